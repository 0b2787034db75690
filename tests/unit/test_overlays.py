"""Which local trees of a lock become overlays, tool by tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import SelectionError
from sprawld.lockfiles.find import find_lock
from sprawld.lockfiles.overlays import with_overlays
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.selection import select
from sprawld.model import Selection, Wanted
from sprawld.selecting import overlays_of, packages_of, refuse_builds
from tests.support.locks import PLAIN, linux, package, uv_lock
from tests.support.projects import pyproject, write_tree

APP = {"demo_app/__init__.py": ""}
POETRY = '[metadata]\nlock-version = "2.1"\npython-versions = "*"\ncontent-hash = ""\n'
PDM = '[metadata]\nlock_version = "4.5.0"\nstrategy = ["inherit_metadata"]\ngroups = ["default"]\n'
PYLOCK = 'lock-version = "1.0"\ncreated-by = "{tool}"\n'
OWN = '[[packages]]\nname = "demo-app"\n[packages.directory]\npath = "."\neditable = {editable}\n'
SIX = package("six")
ONLY_DOCS = Wanted(only_groups=("docs",))


def selected(directory: Path, wanted: Wanted = PLAIN, lock_name: str = "") -> Selection:
    # A lock without packages counts only where it is named.
    found = find_lock(directory, explicit=directory / lock_name if lock_name else None)
    assert found is not None
    lock = read_lock(found.lock, root=found.root)
    return with_overlays(select(found, lock, linux(), wanted), wanted)[0]


def names(selection: Selection) -> list[str]:
    return [overlay.name for overlay in overlays_of(selection)]


def lock_of_uv(source: str) -> str:
    return uv_lock(package("demo-app", source=f'{source} = "."', dependencies='{ name = "six" }'), SIX)


CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "uv": ({"uv.lock": lock_of_uv("editable"), "pyproject.toml": pyproject()}, ["demo-app"]),
    "uv without package": ({"uv.lock": lock_of_uv("virtual"), "pyproject.toml": pyproject()}, []),
    "uv, not editable": ({"uv.lock": lock_of_uv("directory"), "pyproject.toml": pyproject()}, ["demo-app"]),
    "poetry": ({"poetry.lock": POETRY, "pyproject.toml": pyproject("poetry")}, ["demo-app"]),
    "poetry without package": (
        {
            "poetry.lock": POETRY,
            "pyproject.toml": pyproject("poetry", "[tool.poetry]\npackage-mode = false\n"),
        },
        [],
    ),
    "poetry without a build system": (
        {"poetry.lock": POETRY, "pyproject.toml": pyproject("", "[tool.poetry]\n")},
        ["demo-app"],
    ),
    "pdm": ({"pdm.lock": PDM, "pyproject.toml": pyproject("pdm")}, ["demo-app"]),
    "pdm without distribution": (
        {"pdm.lock": PDM, "pyproject.toml": pyproject("pdm", "[tool.pdm]\ndistribution = false\n")},
        [],
    ),
    "pdm application": (
        {"pdm.lock": PDM, "pyproject.toml": pyproject("pdm", '[tool.pdm]\npackage-type = "application"\n')},
        [],
    ),
    "pylock that lists it": (
        {
            "pylock.toml": PYLOCK.format(tool="uv") + OWN.format(editable="true"),
            "pyproject.toml": pyproject(),
        },
        ["demo-app"],
    ),
    "pylock that does not": (
        {"pylock.toml": PYLOCK.format(tool="uv") + "packages = []\n", "pyproject.toml": pyproject()},
        [],
    ),
    "pylock of pdm": (
        {"pylock.toml": PYLOCK.format(tool="pdm") + "packages = []\n", "pyproject.toml": pyproject("pdm")},
        ["demo-app"],
    ),
    "requirements with -e": (
        {"requirements.txt": "-e .\nsix==1.17.0\n", "pyproject.toml": pyproject()},
        ["demo-app"],
    ),
    "requirements with a path": ({"requirements.txt": "./\n", "pyproject.toml": pyproject()}, ["demo-app"]),
    "requirements alone": ({"requirements.txt": "six==1.17.0\n", "pyproject.toml": pyproject()}, []),
    "pipfile": (
        {
            "Pipfile.lock": '{"_meta": {"pipfile-spec": 6, "sources": []}, "develop": {}, "default": '
            '{"demo-app": {"editable": true, "path": "."}}}',
            "pyproject.toml": pyproject(),
        },
        ["demo-app"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_project_is_there_when_its_tool_installs_it(tmp_path: Path, case: str) -> None:
    files, expected = CASES[case]
    selection = selected(write_tree(tmp_path, files | APP))
    assert names(selection) == expected
    assert all(choice.pin.name != "demo-app" for choice in packages_of(selection))
    refuse_builds(packages_of(selection))


@pytest.mark.parametrize("case", ["uv", "poetry", "pdm"])
def test_it_is_not_there_when_only_a_group_is_asked_for(tmp_path: Path, case: str) -> None:
    files = dict(CASES[case][0])
    files["pyproject.toml"] += "\n[dependency-groups]\ndocs = []\n"
    files = {
        name: text.replace('groups = ["default"]', 'groups = ["default", "docs"]').replace(
            'source = { editable = "." }',
            'source = { editable = "." }\ndev-dependencies = { docs = [{ name = "six" }] }',
        )
        for name, text in files.items()
    }
    project = write_tree(tmp_path, files | APP)
    assert names(selected(project, lock_name=f"{case}.lock")) == ["demo-app"]
    assert names(selected(project, ONLY_DOCS, f"{case}.lock")) == []


def test_a_directory_that_is_not_editable_is_served_and_said_so(tmp_path: Path) -> None:
    files = CASES["uv, not editable"][0]
    warnings = selected(write_tree(tmp_path, files | APP)).warnings
    assert any("as if it were editable, not copied" in warning for warning in warnings)


WORKSPACE = {
    "pyproject.toml": pyproject("uv", '[tool.uv.workspace]\nmembers = ["packages/*"]\n', name="root-app"),
    "uv.lock": uv_lock(
        package("root-app", source='editable = "."', dependencies='{ name = "member" }'),
        package("member", source='editable = "packages/member"', dependencies='{ name = "beside" }'),
        package("beside", source='editable = "libs/beside"'),
        head='[manifest]\nmembers = ["root-app", "member"]',
    ),
    "src/root_app/__init__.py": "",
    "packages/member/pyproject.toml": pyproject("hatch", name="member"),
    "packages/member/src/member/__init__.py": "",
    "libs/beside/pyproject.toml": pyproject("setuptools", name="beside"),
    "libs/beside/beside.py": "",
}


def test_a_workspace_and_what_lies_beside_it(tmp_path: Path) -> None:
    root = write_tree(tmp_path, WORKSPACE)
    assert names(selected(root)) == ["beside", "member", "root-app"]
    # Run from a member, only that and what it needs.
    assert names(selected(root / "packages/member")) == ["beside", "member"]


def test_a_tree_with_a_build_step_is_refused_with_the_reason(tmp_path: Path) -> None:
    root = write_tree(tmp_path, WORKSPACE)
    write_tree(root, {"libs/beside/setup.py": "from setuptools import setup\nsetup(ext_modules=[])\n"})
    selection = selected(root)
    assert names(selection) == ["member", "root-app"]
    with pytest.raises(SelectionError) as refusal:
        refuse_builds(packages_of(selection))
    assert refusal.value.code == "select.needs-build"
    assert "beside: its setup.py has ext_modules" in refusal.value.hint


def test_only_trees_of_the_same_clone_are_served(tmp_path: Path) -> None:
    clone = write_tree(
        tmp_path / "clone/app",
        {
            "pyproject.toml": pyproject("hatch"),
            "uv.lock": uv_lock(
                package("demo-app", source='editable = "."', dependencies='{ name = "beside" }'),
                package("beside", source='editable = "../beside"'),
            ),
        }
        | APP,
    )
    write_tree(clone.parent / "beside", {"pyproject.toml": pyproject("flit", name="beside"), "beside.py": ""})
    refused = selected(clone)
    assert names(refused) == ["demo-app"]
    with pytest.raises(SelectionError) as refusal:
        refuse_builds(packages_of(refused))
    assert "lies outside of the project" in refusal.value.hint
    # With a repository around both, both belong to the clone; a link out of it does not.
    (clone.parent / ".git").mkdir()
    assert names(selected(clone)) == ["beside", "demo-app"]
    (clone.parent / "beside").rename(tmp_path / "elsewhere")
    (clone.parent / "beside").symlink_to(tmp_path / "elsewhere")
    assert names(selected(clone)) == ["demo-app"]


def test_a_project_that_cannot_be_served_is_left_out_with_a_warning(tmp_path: Path) -> None:
    files = CASES["uv"][0] | {"pyproject.toml": pyproject("flit")}
    selection = selected(write_tree(tmp_path, files))
    assert names(selection) == []
    assert packages_of(selection)[0].pin.name == "six"
    refuse_builds(packages_of(selection))
    assert any("the project itself (demo-app) is not in the set" in text for text in selection.warnings)


def test_a_locked_package_of_the_same_name_stays(tmp_path: Path) -> None:
    files = f'[{{file = "demo_app-9-py3-none-any.whl", hash = "sha256:{"a" * 64}"}}]'
    entry = (
        '[[package]]\nname = "demo-app"\nversion = "9"\ngroups = ["main"]\noptional = false\n'
        f"files = {files}\n"
    )
    project = {"poetry.lock": entry + POETRY, "pyproject.toml": pyproject("poetry")}
    selection = selected(write_tree(tmp_path, project | APP))
    assert names(selection) == []
    assert [choice.pin.version for choice in packages_of(selection)] == ["9"]
