"""The document of `sprawl select --json`, which lockfiles it passed over, and what it asks of a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

COMMIT = "c" * 40
PROJECT = '[project]\nname = "app"\nversion = "1.0"\n[tool.uv]\npackage = false\n'
POETRY = 'package = []\n[metadata]\nlock-version = "2.1"\npython-versions = "*"\ncontent-hash = ""\n'
NEEDED = ", ".join(f'{{ name = "{name}" }}' for name in ("fast", "tree", "direct", "from-git", "old"))


def selected(sandbox: Sandbox, *words: str | Path, **options: Any) -> Any:
    return json.loads(sandbox.sprawl("select", "--json", *words, **options).stdout)


def uv_lock(index: SimpleIndex) -> str:
    """A lock with a package of every kind of source that uv has, and with what brings each in."""
    fast = (("cp312-cp312-manylinux_2_17_x86_64", "a"), ("cp312-cp312-macosx_11_0_arm64", "b"))
    wheels = "".join(
        f'    {{ url = "{index.file_url(f"fast-1.0-{tag}.whl")}", hash = "sha256:{digest * 64}" }},\n'
        for tag, digest in fast
    )
    return f"""version = 1
revision = 3
requires-python = ">=3.8"

[[package]]
name = "app"
version = "1.0"
source = {{ virtual = "." }}
dependencies = [{NEEDED}]

[[package]]
name = "fast"
version = "1.0"
source = {{ registry = "{index.url}" }}
dependencies = [{{ name = "pure" }}]
sdist = {{ url = "{index.file_url("fast-1.0.tar.gz")}", hash = "sha256:{"c" * 64}" }}
wheels = [
{wheels}]

[[package]]
name = "pure"
version = "2.0+local.1"
source = {{ registry = "{index.url}" }}
wheels = [{{ url = "{index.file_url("pure-2.0+local.1-py3-none-any.whl")}", hash = "sha256:{"d" * 64}" }}]

[[package]]
name = "old"
version = "0.1"
source = {{ registry = "{index.url}" }}
sdist = {{ url = "{index.file_url("old-0.1.tar.gz")}", hash = "sha256:{"e" * 64}" }}

[[package]]
name = "direct"
version = "3.0"
source = {{ url = "{index.file_url("direct-3.0-py3-none-any.whl")}" }}
wheels = [{{ url = "{index.file_url("direct-3.0-py3-none-any.whl")}", hash = "sha256:{"f" * 64}" }}]

[[package]]
name = "from-git"
version = "4.0"
source = {{ git = "https://user:secret@git.example.org/r?tag=v4#{COMMIT}" }}

[[package]]
name = "tree"
version = "5.0"
source = {{ editable = "tree" }}
"""


def test_the_document(sandbox: Sandbox, index: SimpleIndex) -> None:
    files = {
        "pyproject.toml": PROJECT,
        "uv.lock": uv_lock(index),
        "poetry.lock": POETRY,
        "pylock.toml": 'lock-version = "9.0"\n',
        "requirements.txt": "fast>=1\n",
    }
    project = sandbox.project("app", files)
    document = selected(sandbox, "--python", "3.12", "--platform", "linux-x86_64", cwd=project)
    assert list(document) == ["lock", "format", "passed_over", "warnings", "packages"]
    assert (document["lock"], document["format"]) == (str(project / "uv.lock"), "uv 1.3")

    packages = {package["name"]: package for package in document["packages"]}
    assert list(packages) == sorted(packages) == ["app", "direct", "fast", "from-git", "old", "pure", "tree"]
    keys = ["name", "version", "kind", "filename", "sha256", "source", "via", "needs_build"]
    assert all(list(package) == keys for package in document["packages"])
    short = {name: [package[key] for key in keys[1:]] for name, package in packages.items()}
    assert short == {
        "app": ["1.0", "virtual", None, None, f"virtual {project}", [], False],
        "direct": [
            "3.0",
            "wheel",
            "direct-3.0-py3-none-any.whl",
            "f" * 64,
            f"url {index.file_url('direct-3.0-py3-none-any.whl')}",
            ["app"],
            False,
        ],
        "fast": [
            "1.0",
            "wheel",
            "fast-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
            "a" * 64,
            f"registry {index.url}",
            ["app"],
            False,
        ],
        # Neither the password nor the query is shown.
        "from-git": ["4.0", "git", None, None, "git https://git.example.org/r", ["app"], True],
        "old": ["0.1", "sdist", "old-0.1.tar.gz", "e" * 64, f"registry {index.url}", ["app"], True],
        "pure": [
            "2.0+local.1",
            "wheel",
            "pure-2.0+local.1-py3-none-any.whl",
            "d" * 64,
            f"registry {index.url}",
            ["fast"],
            False,
        ],
        "tree": ["5.0", "editable", None, None, f"editable {project / 'tree'}", ["app"], True],
    }
    # The same lock for another system, of which only a source fits; and nothing was ever asked of the index.
    other = selected(sandbox, "--python", "3.13", "--platform", "linux-aarch64", cwd=project)
    assert {item["name"]: item["kind"] for item in other["packages"]}["fast"] == "sdist"
    assert index.requests.total() == 0


def test_what_was_passed_over(sandbox: Sandbox, index: SimpleIndex) -> None:
    files = {
        "pyproject.toml": PROJECT,
        "uv.lock": uv_lock(index),
        "poetry.lock": POETRY,
        "requirements.txt": "six==1.17.0\n",
    }
    project = sandbox.project("app", files)
    program = project / "program.py"
    program.write_text("")
    document = selected(sandbox, "--python", "3.12", "--platform", "linux-x86_64", program)
    reasons = {item["path"]: item["reason"] for item in document["passed_over"]}
    assert reasons.keys() == {str(project / "poetry.lock"), str(project / "requirements.txt")}
    assert all(reasons.values())
    shown = sandbox.sprawl("select", "--python", "3.12", "--platform", "linux-x86_64", cwd=project).stdout
    for path, reason in reasons.items():
        assert f"passed over: {path}: {reason}" in shown
    # A lock that is named is not weighed against others.
    named = selected(
        sandbox, "--lock", project / "uv.lock", "--python", "3.12", "--platform", "linux-x86_64", cwd=project
    )
    assert named["passed_over"] == []


def test_an_index_is_asked_for_names_only(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> None:
    for tag in ("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-macosx_11_0_arm64", "py3-none-any"):
        index.add(build_wheel(tmp_path, "fast", "1.0", tag=tag))
    project = sandbox.project("app", {}, requirements=["fast==1.0"])
    found = {
        platform: selected(sandbox, "--python", "3.12", "--platform", platform, cwd=project)["packages"][0]
        for platform in ("linux-x86_64", "macos-arm64", "linux-aarch64")
    }
    assert [item["filename"][9:14] for item in found.values()] == ["cp312", "cp312", "py3-n"]
    for item in found.values():
        assert item["sha256"] == index.sha256(item["filename"])
    # One page, once; no file.
    assert index.requests == {index.page_path("fast"): 1}


def test_a_member_of_a_workspace(sandbox: Sandbox, index: SimpleIndex) -> None:
    member = """
[[package]]
name = "member"
version = "1.0"
source = { virtual = "packages/member" }
dependencies = [{ name = "pure" }]
"""
    manifest = '[manifest]\nmembers = ["app", "member"]\n\n[[package]]'
    files = {
        "pyproject.toml": PROJECT + '[tool.uv.workspace]\nmembers = ["packages/*"]\n',
        "uv.lock": uv_lock(index).replace("[[package]]", manifest, 1) + member,
        "packages/member/pyproject.toml": '[project]\nname = "member"\nversion = "1.0"\n',
        "packages/member/src/program.py": "",
    }
    project = sandbox.project("app", files)
    options = ("--python", "3.12", "--platform", "linux-x86_64")
    inside = selected(sandbox, *options, project / "packages" / "member" / "src" / "program.py", cwd=project)
    assert [item["name"] for item in inside["packages"]] == ["member", "pure"]
    assert inside["lock"] == str(project / "uv.lock")
    assert "member" not in [item["name"] for item in selected(sandbox, *options, cwd=project)["packages"]]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--platform", "amiga-m68k"], "select.unsupported-environment"),
        (["--platform", "linux-x86_64", "--python", "2.7"], "python.unsupported"),
        (["--platform", "linux-x86_64", "--python", "three"], "python.unsupported"),
        (["--python", "/nowhere/python"], "python.not-found"),
        (["--lock", "nothing.lock"], "lock.not-found"),
        (["--lock", "readme.md"], "lock.unsupported"),
    ],
)
def test_one_line_with_a_code(sandbox: Sandbox, words: list[str], code: str) -> None:
    project = sandbox.project("app", {"requirements.txt": "six==1.17.0\n", "readme.md": ""})
    outcome = sandbox.sprawl("select", "--json", *words, cwd=project, check=False)
    (line,) = outcome.stderr.splitlines()
    assert (outcome.returncode, outcome.stdout) == (125, "")
    assert f"[{code}]" in line
