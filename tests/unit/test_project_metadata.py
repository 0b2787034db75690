"""METADATA and entry points of a project, held against what its tables say."""

from __future__ import annotations

from email import message_from_string
from pathlib import Path

import pytest

from tests.support.projects import look, pyproject, write_tree

FULL = """\
description = "Does things"
requires-python = ">=3.8"
keywords = ["one", "two"]
license = "MIT"
authors = [{name = "A B", email = "a@example.org"}, {name = "C D"}]
maintainers = [{email = "m@example.org"}]
classifiers = ["Typing :: Typed"]
dependencies = ["six >=1.16", "Attrs[x] ; python_version < '3.9' or os_name == 'nt'"]
[project.urls]
Home = "https://example.org"
[project.optional-dependencies]
Cool_Stuff = ["click", "rich; python_version < '3.9' or os_name == 'nt'"]
[project.scripts]
demo = "demo_app.cli:main"
[project.gui-scripts]
demo-gui = "demo_app.gui:App.run [Cool_Stuff]"
[project.entry-points.pytest11]
demo = "demo_app.plugin"
[project.entry-points."acme.plugins"]
a = "demo_app:A"
"""
POETRY = """\
[build-system]
requires = []
build-backend = "poetry.core.masonry.api"
[tool.poetry]
name = "demo-app"
version = "1.0"
description = "Does things"
authors = ["A B <a@example.org>", "Other <o@example.org>"]
license = "MIT"
homepage = "https://example.org"
[tool.poetry.dependencies]
python = "^3.8"
six = "^1.16"
attrs = {version = "~23.1", extras = ["x"], optional = true}
git-one = {git = "https://example.org/r.git", rev = "abc"}
many = [{version = "1.*", python = "<3.10"}, {version = ">=2,!=2.1.*", python = "^3.10"}]
exact = "1.4.2"
near = {path = "../near", develop = true}
either = "^1 || ^3"
here = {version = "*", markers = "sys_platform == 'linux'"}
[tool.poetry.extras]
cool = ["attrs"]
[tool.poetry.scripts]
demo = "demo_app.cli:main"
table = {reference = "demo_app.cli:table", type = "console"}
copied = {reference = "bin/copied.sh", type = "file"}
[tool.poetry.plugins."acme.plugins"]
a = "demo_app:A"
"""
SETUP_CFG = """\
[metadata]
name = Demo_App
version = 1.0
description = Does things
[options]
python_requires = >=3.8
packages = find:
package_dir =
    = src
install_requires =
    six>=1.16
    # a comment
    attrs[x]; python_version < "3.9"
[options.packages.find]
where = src
[options.extras_require]
cool = click
[options.entry_points]
console_scripts =
    Demo = demo_app.cli:main
acme.plugins =
    a = demo_app:A
"""
SETUP_PY = """\
from setuptools import find_packages, setup
setup(
    name="demo-app", version="1.0", description="Does things", python_requires=">=3.8",
    package_dir={"": "src"}, packages=find_packages("src"), install_requires=["six>=1.16"],
    extras_require={"cool": ["click"]}, entry_points={"console_scripts": ["Demo=demo_app.cli:main"]},
)
"""


def headers(tree: Path) -> dict[str, list[str]]:
    overlay = look(tree).overlay
    assert overlay is not None, look(tree).obstacle
    message = message_from_string(overlay.metadata)
    assert not message.defects
    assert message.get_payload() == ""
    return {key: message.get_all(key, []) for key in message}


def project(directory: Path, **files: str) -> Path:
    named = {name.replace("_", "."): text for name, text in files.items()}
    return write_tree(directory, {"src/demo_app/__init__.py": "", **named})


def test_the_standard_table(tmp_path: Path) -> None:
    tree = project(tmp_path, pyproject_toml=pyproject("hatch", FULL))
    assert headers(tree) == {
        "Metadata-Version": ["2.4"],
        "Name": ["demo-app"],
        "Version": ["1.0"],
        "Summary": ["Does things"],
        "Requires-Python": [">=3.8"],
        "Keywords": ["one,two"],
        "Author": ["C D"],
        "Author-email": ["A B <a@example.org>"],
        "Maintainer-email": ["m@example.org"],
        "License-Expression": ["MIT"],
        "Classifier": ["Typing :: Typed"],
        "Project-URL": ["Home, https://example.org"],
        "Requires-Dist": [
            "six>=1.16",
            'Attrs[x]; python_version < "3.9" or os_name == "nt"',
            'click; extra == "cool-stuff"',
            'rich; (python_version < "3.9" or os_name == "nt") and extra == "cool-stuff"',
        ],
        "Provides-Extra": ["cool-stuff"],
    }
    found = look(tree)
    assert found.notes == ()
    assert found.overlay is not None
    assert found.overlay.entry_points == (
        ("acme.plugins", "a", "demo_app:A"),
        ("console_scripts", "demo", "demo_app.cli:main"),
        ("gui_scripts", "demo-gui", "demo_app.gui:App.run [Cool_Stuff]"),
        ("pytest11", "demo", "demo_app.plugin"),
    )


def test_poetrys_table(tmp_path: Path) -> None:
    tree = project(tmp_path, pyproject_toml=POETRY)
    found = headers(tree)
    assert found["Requires-Python"] == [">=3.8,<4"]
    assert (found["Author"], found["Author-email"]) == (["A B"], ["a@example.org"])
    assert found["Project-URL"] == ["Homepage, https://example.org"]
    assert found["Requires-Dist"] == [
        "six<2,>=1.16",
        'attrs[x]<23.2,>=23.1; extra == "cool"',
        "git-one @ git+https://example.org/r.git@abc",
        'many<2,>=1; python_version < "3.10"',
        'many!=2.1.*,>=2; python_version >= "3.10" and python_version < "4"',
        "exact==1.4.2",
        "near",
        "either",
        'here; sys_platform == "linux"',
    ]
    overlay = look(tree).overlay
    assert overlay is not None
    assert overlay.entry_points == (
        ("acme.plugins", "a", "demo_app:A"),
        ("console_scripts", "demo", "demo_app.cli:main"),
        ("console_scripts", "table", "demo_app.cli:table"),
    )
    assert any("either" in note for note in look(tree).notes)


def test_poetrys_dependencies_beside_the_standard_table(tmp_path: Path) -> None:
    text = (
        '[build-system]\nbuild-backend = "poetry.core.masonry.api"\n[project]\nname = "demo-app"\n'
        'dynamic = ["version", "dependencies"]\n[tool.poetry]\nversion = "1.0"\ndescription = "no"\n'
        '[tool.poetry.dependencies]\nsix = "^1.16"\n'
    )
    found = headers(project(tmp_path, pyproject_toml=text))
    assert found["Requires-Dist"] == ["six<2,>=1.16"]
    assert "Summary" not in found


@pytest.mark.parametrize("files", [{"setup_cfg": SETUP_CFG}, {"setup_py": SETUP_PY}])
def test_the_older_files_of_setuptools(tmp_path: Path, files: dict[str, str]) -> None:
    tree = project(tmp_path, **files)
    found = headers(tree)
    assert found["Summary"] == ["Does things"]
    assert found["Requires-Python"] == [">=3.8"]
    assert found["Requires-Dist"][0] == "six>=1.16"
    assert found["Requires-Dist"][-1] == 'click; extra == "cool"'
    overlay = look(tree).overlay
    assert overlay is not None
    assert ("console_scripts", "Demo", "demo_app.cli:main") in overlay.entry_points
    assert overlay.paths == (str(tmp_path / "src"),)
    assert look(tree).notes == ()


def test_dynamic_fields_of_setuptools(tmp_path: Path) -> None:
    text = """\
[build-system]
build-backend = "setuptools.build_meta"
[project]
name = "demo-app"
version = "1.0"
dynamic = ["dependencies", "optional-dependencies", "entry-points", "scripts", "description"]
[tool.setuptools.dynamic]
dependencies = {file = ["needs.txt"]}
entry-points = {file = "points.txt"}
[tool.setuptools.dynamic.optional-dependencies]
cool = {file = ["cool.txt"]}
"""
    tree = project(tmp_path, pyproject_toml=text)
    points = "[console_scripts]\ndemo = demo_app:main\n\n[acme]\nx = demo_app\n"
    write_tree(
        tree, {"needs.txt": "# here\nsix>=1\n-r other.txt\n", "cool.txt": "click\n", "points.txt": points}
    )
    assert headers(tree)["Requires-Dist"] == ["six>=1", 'click; extra == "cool"']
    found = look(tree)
    assert found.overlay is not None
    assert found.overlay.entry_points == (
        ("acme", "x", "demo_app"),
        ("console_scripts", "demo", "demo_app:main"),
    )
    assert found.notes == ("description: made by its build backend, not in its metadata here",)
    assert {tree / "needs.txt", tree / "cool.txt", tree / "points.txt"} <= set(found.watched)


def test_what_only_the_backend_knows_is_told(tmp_path: Path) -> None:
    more = 'dependencies = []\n[project.scripts]\ndemo = "demo_app:main"\n'
    text = pyproject("hatch", more).replace('version = "1.0"', 'version = "1.0"\ndynamic = ["entry-points"]')
    found = look(project(tmp_path, pyproject_toml=text))
    assert found.overlay is not None
    assert found.notes == ("entry-points: made by its build backend, not in its metadata here",)
    assert found.overlay.entry_points == (("console_scripts", "demo", "demo_app:main"),)
    setup = SETUP_PY.replace('["six>=1.16"]', "read('needs.txt')")
    found = look(project(tmp_path / "other", setup_py=setup))
    assert found.notes == ("install_requires: computed by its setup.py, not in its metadata here",)


UNSOUND = [
    'description = "one\\u0000two"',
    'dependencies = ["not a requirement at all"]',
    'dependencies = ["six @ https://example.org/x\\r\\nName: evil"]',
    'keywords = ["a\\nName: evil"]',
    'authors = [{name = "x\\nRequires-Dist: evil"}]',
    'classifiers = ["A\\u2028B"]',
    '[project.urls]\n"a\\nb" = "c"',
    '[project.scripts]\ndemo = "demo_app"',
    '[project.scripts]\ndemo = "demo_app:main; import os"',
    '[project.scripts]\n"de\\nmo" = "demo_app:main"',
    '[project.scripts]\n"a = b" = "demo_app:main"',
    '[project.scripts]\n"[x" = "demo_app:main"',
    '[project.entry-points."a]\\n[console_scripts"]\nx = "demo_app:main"',
    '[project.entry-points.acme]\nx = "demo_app:main\\nevil = x:y"',
    '[project.entry-points.acme]\nx = "demo_app:main\\n[pytest11]"',
    '[project.entry-points.acme]\nx = "demo_app:main [a\\nb]"',
    '[project.entry-points.acme]\nx = "../demo_app"',
]


@pytest.mark.parametrize("line", UNSOUND)
def test_a_value_that_could_end_its_line_is_left_out_and_told(tmp_path: Path, line: str) -> None:
    tree = project(tmp_path, pyproject_toml=pyproject("hatch", line + "\n"))
    found = look(tree)
    assert found.overlay is not None
    assert len(found.notes) == 1
    assert "is not sound, and left out" in found.notes[0]
    assert found.notes[0].isprintable()
    plain = look(project(tmp_path / "plain", pyproject_toml=pyproject("hatch"))).overlay
    assert plain is not None
    assert found.overlay.metadata == plain.metadata
    assert found.overlay.entry_points == ()


@pytest.mark.parametrize(
    "line",
    [
        'dependencies = "six"',
        "description = 1",
        '[project.scripts]\n"x" = 1',
        "scripts = []",
        "authors = [1]",
    ],
)
def test_values_of_a_wrong_type(tmp_path: Path, line: str) -> None:
    found = look(project(tmp_path, pyproject_toml=pyproject("hatch", line + "\n")))
    assert found.obstacle or found.notes
