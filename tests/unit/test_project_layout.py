"""Where each build backend has the code of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.projects import look, pyproject, relative_paths, write_tree

SRC = ("src/demo_app/__init__.py",)
FLAT = ("demo_app/__init__.py", "tests/test_it.py", "docs/conf.py")
LIB = ("lib/python/demo_app/__init__.py",)

CASES = {
    # backend, tables, files, paths, import names
    "setuptools src": ("setuptools", "", SRC, ["src"], ["demo_app"]),
    "setuptools flat": ("setuptools", "", FLAT, ["."], ["demo_app"]),
    "no build system": ("", "", FLAT, ["."], ["demo_app"]),
    "setuptools package-dir": (
        "setuptools",
        '[tool.setuptools.package-dir]\n"" = "lib/python"\n',
        LIB,
        ["lib/python"],
        ["demo_app"],
    ),
    "setuptools find.where": (
        "setuptools",
        '[tool.setuptools.packages.find]\nwhere = ["lib/python", "src"]\n',
        (*LIB, "src/other/__init__.py"),
        ["lib/python", "src"],
        ["demo_app", "other"],
    ),
    "setuptools listed": (
        "setuptools",
        '[tool.setuptools]\npackages = ["one", "one.two"]\npy-modules = ["three"]\n',
        ("one/two/__init__.py", "three.py", "src/x.py"),
        ["."],
        ["one", "three"],
    ),
    "setuptools one package elsewhere": (
        "setuptools",
        '[tool.setuptools]\npackages = ["demo_app"]\npackage-dir = {demo_app = "python/demo_app"}\n',
        ("python/demo_app/__init__.py",),
        ["python"],
        ["demo_app"],
    ),
    "hatch src": ("hatch", "", SRC, ["src"], ["demo_app"]),
    "hatch flat before src": ("hatch", "", (*FLAT, *SRC), ["."], ["demo_app"]),
    "hatch single module": ("hatch", "", ("demo_app.py",), ["."], ["demo_app"]),
    "hatch namespace": ("hatch", "", ("acme/demo_app/__init__.py",), ["."], ["acme"]),
    "hatch packages": (
        "hatch",
        '[tool.hatch.build.targets.wheel]\npackages = ["src/one", "lib/two"]\n',
        ("src/one/__init__.py", "lib/two/__init__.py"),
        ["src", "lib"],
        ["one", "two"],
    ),
    "hatch sources list": (
        "hatch",
        '[tool.hatch.build]\nonly-include = ["lib/python/demo_app"]\nsources = ["lib/python"]\n',
        LIB,
        ["lib/python"],
        ["demo_app"],
    ),
    "hatch sources table": (
        "hatch",
        '[tool.hatch.build]\nsources = {"lib/python" = ""}\n',
        LIB,
        ["lib/python"],
        ["demo_app"],
    ),
    "hatch dev-mode-dirs": (
        "hatch",
        '[tool.hatch.build]\ndev-mode-dirs = [".", "lib"]\npackages = ["x"]\n',
        ("x/__init__.py", "lib/y.py"),
        [".", "lib"],
        ["x"],
    ),
    "poetry default": ("poetry", "", FLAT, ["."], ["demo_app"]),
    "poetry src": ("poetry", "", SRC, ["src"], ["demo_app"]),
    "poetry from": (
        "poetry",
        '[tool.poetry]\npackages = [{include = "one", from = "lib"}, {include = "two.py"}]\n',
        ("lib/one/__init__.py", "two.py"),
        ["lib", "."],
        ["one", "two"],
    ),
    "pdm src": ("pdm", "", SRC, ["src"], ["demo_app"]),
    "pdm flat": ("pdm", "", FLAT, ["."], ["demo_app"]),
    "pdm package-dir": (
        "pdm",
        '[tool.pdm.build]\npackage-dir = "lib/python"\n',
        LIB,
        ["lib/python"],
        ["demo_app"],
    ),
    "uv_build": ("uv", "", SRC, ["src"], ["demo_app"]),
    "uv_build module-root": (
        "uv",
        '[tool.uv.build-backend]\nmodule-root = ""\nmodule-name = "other.part"\n',
        ("other/part/__init__.py",),
        ["."],
        ["other"],
    ),
    "flit": ("flit", "", ("demo_app.py",), ["."], ["demo_app"]),
    "flit module": ("flit", '[tool.flit.module]\nname = "ns.mod"\n', ("src/ns/mod.py",), ["src"], ["ns"]),
    "maturin": (
        "maturin",
        '[tool.maturin]\npython-source = "lib/python"\n',
        LIB,
        ["lib/python"],
        ["demo_app"],
    ),
    "unknown": ("acme_build", "", (*SRC, "setup.cfg"), ["src"], ["demo_app"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_layouts_of_each_backend(tmp_path: Path, case: str) -> None:
    backend, tables, files, paths, modules = CASES[case]
    project = write_tree(tmp_path / "p", files)
    write_tree(project, {"pyproject.toml": pyproject(backend, tables)})
    found = look(project)
    assert relative_paths(project, found) == paths
    assert found.overlay is not None
    assert sorted(found.overlay.modules) == modules
    assert found.overlay.links == ()


@pytest.mark.parametrize(
    ("backend", "tables", "links"),
    [
        ("setuptools", '[tool.setuptools]\npackage-dir = {demo_app = "lib"}\n', {"demo_app": "lib"}),
        ("hatch", '[tool.hatch.build.targets.wheel.sources]\n"lib" = "demo_app"\n', {"demo_app": "lib"}),
        (
            "hatch",
            '[tool.hatch.build.targets.wheel]\npackages = ["lib"]\nsources = {"lib" = "renamed"}\n',
            {"renamed": "lib"},
        ),
        (
            "poetry",
            '[tool.poetry]\npackages = [{include = "x", from = "lib", to = "deep"}]\n',
            {"deep": "lib"},
        ),
    ],
)
def test_a_package_with_another_name_in_the_tree_gets_a_link(
    tmp_path: Path, backend: str, tables: str, links: dict[str, str]
) -> None:
    project = write_tree(tmp_path, ["lib/__init__.py", "lib/x/__init__.py"])
    write_tree(project, {"pyproject.toml": pyproject(backend, tables)})
    overlay = look(project).overlay
    assert overlay is not None
    assert {name: str(Path(path).relative_to(project)) for name, path in overlay.links} == links


def test_a_src_directory_that_comes_into_being_counts(tmp_path: Path) -> None:
    project = write_tree(tmp_path, {"pyproject.toml": pyproject("setuptools"), "demo_app.py": ""})
    found = look(project)
    assert relative_paths(project, found) == ["."]
    assert project / "src" in found.watched
    write_tree(project, SRC)
    assert relative_paths(project, look(project)) == ["src"]


OUTSIDE = "../elsewhere"
ESCAPES = {
    "setuptools where": ("setuptools", f'[tool.setuptools.packages.find]\nwhere = ["{OUTSIDE}"]\n'),
    "setuptools absolute": ("setuptools", '[tool.setuptools.package-dir]\n"" = "/usr/lib"\n'),
    "setuptools link": ("setuptools", '[tool.setuptools.package-dir]\n"" = "sly"\n'),
    "setuptools linked package": ("setuptools", '[tool.setuptools.package-dir]\ndemo_app = "sly"\n'),
    "hatch dirs": ("hatch", f'[tool.hatch.build]\ndev-mode-dirs = ["{OUTSIDE}"]\n'),
    "hatch packages": ("hatch", '[tool.hatch.build.targets.wheel]\npackages = ["sly/demo_app"]\n'),
    "poetry from": ("poetry", f'[tool.poetry]\npackages = [{{include = "x", from = "{OUTSIDE}"}}]\n'),
    "pdm": ("pdm", f'[tool.pdm.build]\npackage-dir = "{OUTSIDE}"\n'),
    "uv": ("uv", '[tool.uv.build-backend]\nmodule-root = "~root"\n'),
    "uv control characters": ("uv", '[tool.uv.build-backend]\nmodule-root = "x\\nimport os"\n'),
    "maturin": ("maturin", '[tool.maturin]\npython-source = "sly"\n'),
}


@pytest.mark.parametrize("case", ESCAPES)
def test_no_path_leaves_the_project(tmp_path: Path, case: str) -> None:
    write_tree(tmp_path / "elsewhere", ["demo_app/__init__.py"])
    write_tree(tmp_path / "p", {"pyproject.toml": pyproject(*ESCAPES[case])})
    (tmp_path / "p" / "sly").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "x\nimport os").mkdir()
    found = look(tmp_path / "p")
    assert found.overlay is None
    assert found.obstacle
    assert found.obstacle.isprintable()


def test_a_link_inside_the_project_is_followed_once(tmp_path: Path) -> None:
    project = write_tree(tmp_path, {"pyproject.toml": pyproject("uv"), "code/demo_app/__init__.py": ""})
    (project / "src").symlink_to("code")
    assert relative_paths(project, look(project)) == ["code"]


START_UP = [
    "sitecustomize.py",
    "usercustomize/__init__.py",
    "sitecustomize.pyc",
    "usercustomize.cpython-311-x86_64-linux-gnu.so",
]


@pytest.mark.parametrize("module", START_UP)
def test_a_directory_with_a_start_up_module_is_not_put_on_the_path(tmp_path: Path, module: str) -> None:
    project = write_tree(tmp_path, {"pyproject.toml": pyproject("uv"), "src/demo_app.py": ""})
    assert relative_paths(project, look(project)) == ["src"]
    write_tree(project, [f"src/{module}"])
    found = look(project)
    assert found.overlay is None
    assert "start-up module" in found.obstacle
    appearing = ("sitecustomize", "sitecustomize.py", "usercustomize.pyc")
    assert {project / "src" / name for name in appearing} <= {*found.watched}


def test_a_start_up_module_that_is_a_link_out_of_the_project_is_one(tmp_path: Path) -> None:
    project = write_tree(tmp_path / "p", {"pyproject.toml": pyproject("uv"), "src/demo_app.py": ""})
    (project / "src" / "sitecustomize.py").symlink_to(tmp_path / "elsewhere.py")
    assert "start-up module" in look(project).obstacle


def test_what_others_can_write_is_not_put_on_the_path(tmp_path: Path) -> None:
    project = write_tree(tmp_path / "p", {"pyproject.toml": pyproject("uv"), "src/demo_app.py": ""})
    (project / "src").chmod(0o777)
    assert "written by others" in look(project).obstacle
    (project / "src").chmod(0o755)
    project.chmod(0o777)
    assert "written by" in look(project).obstacle
