"""The Pythons that refusals name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sprawld.errors import SelectionError
from sprawld.lockfiles.choose import choose
from sprawld.lockfiles.read import read_lock
from sprawld.model import Artifact, Pin, Source
from tests.support.locks import DIGEST, PLAIN, linux, macos, uv_lock, write

if TYPE_CHECKING:
    from pathlib import Path

    from sprawld.model import Environment

POETRY = """package = []
[metadata]
lock-version = "2.1"
python-versions = "PYTHON"
content-hash = ""
"""
PYLOCK = 'lock-version = "1.0"\ncreated-by = "x"\nrequires-python = "PYTHON"\npackages = []\n'
PYLOCK_PACKAGE = f"""lock-version = "1.0"
created-by = "x"
[[packages]]
name = "a"
version = "1.0"
requires-python = "PYTHON"
[[packages.wheels]]
path = "a-1.0-py3-none-any.whl"
hashes.sha256 = "{DIGEST}"
"""
PDM = '[metadata]\nlock_version = "4.5.0"\nstrategy = ["inherit_metadata"]\ngroups = ["default"]\n'
PIPFILE = '{"_meta": {"pipfile-spec": 6, "requires": {"python_version": "PYTHON"}}, "default": {}}'
UV = uv_lock(requires_python="PYTHON")


def hint_of(directory: Path, name: str, text: str, here: Environment) -> str:
    lock = read_lock(write(directory, name, text))
    with pytest.raises(SelectionError) as caught:
        lock.select(here, PLAIN)
    assert caught.value.code == "select.requires-python"
    return caught.value.hint or ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", UV),
        ("poetry.lock", POETRY),
        ("pylock.toml", PYLOCK),
        ("pylock.toml", PYLOCK_PACKAGE),
        ("pdm.lock", PDM),
        ("Pipfile.lock", PIPFILE),
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize(
    ("python", "here", "named"),
    [("3.12", "3.11.4", "3.12"), ("3.9", "3.11.4", "3.9"), ("3.10", "3.8.1", "3.10")],
)
def test_every_format_names_a_python(
    tmp_path: Path, name: str, text: str, python: str, here: str, named: str
) -> None:
    allowed = python if name == "Pipfile.lock" else f"=={python}.*" if name != "poetry.lock" else f"~{python}"
    if name == "pdm.lock":
        write(tmp_path, "pyproject.toml", f'[project]\nname = "x"\nrequires-python = "{allowed}"\n')
    if name == "uv.lock":
        write(tmp_path, "pyproject.toml", "[tool.uv]\n")
    hint = hint_of(tmp_path, name, text.replace("PYTHON", allowed), linux(here))
    assert f"`sprawl +{named} run ...`" in hint


@pytest.mark.parametrize(
    ("allowed", "named"),
    [
        (">=3.12", "3.12"),
        (">=3.9.22,<3.11", "3.10"),
        ("<3.10", "3.9"),
        (">=4", "VERSION"),
        ("==3.11.9", "VERSION"),
    ],
)
def test_the_nearest_python_is_named(tmp_path: Path, allowed: str, named: str) -> None:
    hint = hint_of(tmp_path, "pylock.toml", PYLOCK.replace("PYTHON", allowed), linux("3.11.4"))
    assert f"`sprawl +{named} run ...`" in hint


@pytest.mark.parametrize(
    ("tails", "named"),
    [
        (("cp310-cp310-manylinux_2_17_x86_64", "cp314-cp314-manylinux_2_17_x86_64"), "3.14"),
        (("cp310-cp310-manylinux_2_17_x86_64",), "3.10"),
        (("cp313-abi3-manylinux_2_17_x86_64",), "3.13"),
        (("py313-none-any", "cp314-cp314t-manylinux_2_17_x86_64"), "3.13"),
        (("cp312-cp312-win_amd64", "cp310-cp310-macosx_11_0_arm64"), "VERSION"),
        ((), "VERSION"),
    ],
)
def test_a_python_that_there_is_a_wheel_for(tails: tuple[str, ...], named: str) -> None:
    files = tuple(Artifact(filename=f"foo-1.0-{tail}.whl") for tail in tails)
    source = Source(kind="registry" if files else "url", index="https://index.example.org/simple")
    pin = Pin(name="foo", version="1.0", source=source, artifacts=files)  # type: ignore[arg-type]
    with pytest.raises(SelectionError) as caught:
        choose(pin, linux("3.12.1"), hashed=False)
    assert caught.value.code == "select.no-wheel"
    assert f"`sprawl +{named} run ...`" in (caught.value.hint or "")


def test_wheels_of_another_platform_do_not_count() -> None:
    files = (
        Artifact(filename="foo-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"),
        Artifact(filename="foo-1.0-cp311-cp311-macosx_11_0_arm64.whl"),
    )
    pin = Pin(name="foo", version="1.0", source=Source(kind="registry"), artifacts=files)  # type: ignore[arg-type]
    with pytest.raises(SelectionError) as caught:
        choose(pin, macos("3.12.1"), hashed=False)
    assert "`sprawl +3.11 run ...`" in (caught.value.hint or "")
