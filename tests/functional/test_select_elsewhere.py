"""`sprawl select` for interpreters and platforms that are not here, without any network."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

ORIGIN = "http://127.0.0.1:9"
TAGS = (
    "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64",
    "cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64",
    "cp313-cp313-musllinux_1_2_x86_64",
    "cp313-cp313-macosx_11_0_arm64",
    "cp313-cp313-macosx_10_13_x86_64",
    "cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64",
)
PROJECT = """\
[project]
name = "sample"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["fast"]
[project.optional-dependencies]
web = ["served"]
[dependency-groups]
dev = ["checked"]
docs = ["written"]
"""


def package(name: str, tags: tuple[str, ...] = ("py3-none-any",)) -> str:
    wheels = "".join(
        f'    {{ url = "{ORIGIN}/{name}-1.0-{tag}.whl", hash = "sha256:{index:064x}", size = 1 }},\n'
        for index, tag in enumerate(tags)
    )
    return (
        f'[[package]]\nname = "{name}"\nversion = "1.0"\nsource = {{ registry = "{ORIGIN}/simple" }}\n'
        f"wheels = [\n{wheels}]\n\n"
    )


LOCK = (
    'version = 1\nrevision = 3\nrequires-python = ">=3.9"\n\n'
    + package("checked")
    + package("fast", TAGS)
    + '[[package]]\nname = "sample"\nversion = "1.0"\nsource = { virtual = "." }\n'
    'dependencies = [{ name = "fast" }]\n'
    '[package.optional-dependencies]\nweb = [{ name = "served" }]\n'
    '[package.dev-dependencies]\ndev = [{ name = "checked" }]\ndocs = [{ name = "written" }]\n'
    '[package.metadata]\nrequires-dist = [{ name = "fast" }, '
    '{ name = "served", marker = "extra == \'web\'" }]\n'
    'provides-extras = ["web"]\n'
    '[package.metadata.requires-dev]\ndev = [{ name = "checked" }]\ndocs = [{ name = "written" }]\n\n'
    + package("served")
    + package("written")
)


@pytest.fixture
def project(sandbox: Sandbox) -> Path:
    # Whatever is asked of this index fails: the lock has to do.
    sandbox.environ["VIRTUAL_SPRAWL_INDEX"] = f"{ORIGIN}/simple/"
    files = {"pyproject.toml": PROJECT, "uv.lock": LOCK, "requirements.txt": "fast>=1\n"}
    return sandbox.project("sample", files)


def selected(sandbox: Sandbox, project: Path, *options: str, env: dict[str, str] | None = None) -> Any:
    return json.loads(sandbox.sprawl("select", "--json", *options, cwd=project, env=env).stdout)


@pytest.mark.parametrize(
    ("python", "platform", "tag"),
    [
        ("3.13", "linux-x86_64", TAGS[0]),
        ("3.13.1", "linux-aarch64", TAGS[1]),
        ("3.13", "musllinux-x86_64", TAGS[2]),
        ("3.13", "macos-arm64", TAGS[3]),
        ("3.13", "macos-x86_64", TAGS[4]),
        ("3.9", "linux-x86_64", TAGS[5]),
        ("3.17", "linux-x86_64", TAGS[5]),
    ],
)
def test_any_interpreter_on_any_platform(
    sandbox: Sandbox, project: Path, python: str, platform: str, tag: str
) -> None:
    document = selected(sandbox, project, "--python", python, "--platform", platform, "--no-dev")
    assert document["lock"] == str(project / "uv.lock")
    assert document["format"].startswith("uv 1")
    (fast,) = [item for item in document["packages"] if item["kind"] != "virtual"]
    assert fast["filename"] == f"fast-1.0-{tag}.whl"
    assert fast["sha256"] == f"{TAGS.index(tag):064x}"
    assert {"name", "version", "kind", "filename", "sha256", "source", "via"} <= fast.keys()


def test_a_version_that_is_not_installed_is_described_for_this_platform(
    sandbox: Sandbox, project: Path
) -> None:
    document = selected(sandbox, project, "--python", "3.19")
    assert "fast" in [item["name"] for item in document["packages"]]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], "checked fast"),
        (["--no-dev"], "fast"),
        (["--no-group", "dev"], "fast"),
        (["--group", "docs"], "checked fast written"),
        (["--all-groups"], "checked fast written"),
        (["--only-group", "docs"], "written"),
        (["--extra", "web"], "checked fast served"),
        (["--all-extras", "--no-dev"], "fast served"),
    ],
)
def test_extras_and_groups(sandbox: Sandbox, project: Path, options: list[str], names: str) -> None:
    document = selected(sandbox, project, "--python", "3.13", "--platform", "linux-x86_64", *options)
    chosen = [item["name"] for item in document["packages"] if item["kind"] != "virtual"]
    assert chosen == names.split()


def test_extras_and_groups_of_the_environment(sandbox: Sandbox, project: Path) -> None:
    wanted = {"VIRTUAL_SPRAWL_EXTRAS": "web", "VIRTUAL_SPRAWL_GROUPS": "docs"}
    document = selected(sandbox, project, "--python", "3.13", "--platform", "linux-x86_64", env=wanted)
    chosen = [item["name"] for item in document["packages"] if item["kind"] != "virtual"]
    assert chosen == ["checked", "fast", "served", "written"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--platform", "plan9"], "select.unsupported-environment"),
        (["--python", "banana"], "python.unsupported"),
        (["--python", "3.7"], "python.unsupported"),
        (["--extra", "nothing"], "select.unknown-extra"),
        (["--group", "nothing"], "select.unknown-group"),
        (["--python", "3.8", "--platform", "linux-x86_64"], "select.requires-python"),
        (["--python", "3.13", "--platform", "windows-x86_64"], "select.no-wheel"),
    ],
)
def test_what_cannot_be_selected(sandbox: Sandbox, project: Path, options: list[str], code: str) -> None:
    outcome = sandbox.sprawl("select", *options, cwd=project, check=False)
    (line,) = outcome.stderr.splitlines()
    assert (outcome.returncode, outcome.stdout) == (125, "")
    assert f"[{code}]" in line
    if code in ("select.requires-python", "select.no-wheel"):
        assert re.search(r"`sprawl \+(3\.[0-9]+|VERSION) run ...`", line)
