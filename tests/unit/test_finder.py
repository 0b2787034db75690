"""The set's finder against CPython's: same answers, fewer system calls."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import inspect
import marshal
import os
import pkgutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

import pytest

from tests.support.sets import HandmadeSet, make_set
from virtual_sprawl import finder

EXTENSION = EXTENSION_SUFFIXES[0]

TREE: dict[str, str | bytes] = {
    "module.py": "value = 'module'\n",
    "package/__init__.py": "value = 'package'\n",
    "package/module.py": "value = 'package.module'\n",
    "package/data.txt": "data\n",
    "package/inner/__init__.py": "",
    "package/inner/deep.py": "value = 'deep'\n",
    "package/plain/leaf.py": "value = 'leaf'\n",
    "package.py": "raise AssertionError('a package comes before a module')\n",
    "space/portion.py": "value = 'portion'\n",
    "space.d/ignored.py": "",
    "both.py": "value = 'both'\n",
    "both/ignored.py": "raise AssertionError('a module comes before a namespace')\n",
    f"native{EXTENSION}": b"",
    "native.py": "raise AssertionError('an extension comes before source')\n",
    f"package/native{EXTENSION}": b"",
    "compiled.pyc": MAGIC_NUMBER + bytes(12) + marshal.dumps(compile("value = 'compiled'", "x", "exec")),
    "package/compiled.pyc": MAGIC_NUMBER + bytes(12) + marshal.dumps(compile("value = 1", "x", "exec")),
    "package/native/ignored.py": "",
    "package/odd.py/x.py": "",
    "demo-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.5\n",
}
Hook = Callable[[str], FileFinder]
NAMES = ("module", "package", "space", "both", "native", "compiled")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> HandmadeSet:
    return make_set(tmp_path_factory.mktemp("store"), Path(sys.executable), TREE)


@pytest.fixture
def hook(tree: HandmadeSet) -> Hook:
    return finder.SetIndex(tree.index, str(tree.path)).path_hook()


@pytest.fixture
def active(tree: HandmadeSet) -> Iterator[HandmadeSet]:
    """Import from the set, in this process, for the length of a test."""
    before = set(sys.modules)
    path, hooks, dont_write = sys.path[:], sys.path_hooks[:], sys.dont_write_bytecode
    sys.dont_write_bytecode = False
    sys.path_hooks.insert(0, finder.SetIndex(tree.index, str(tree.path)).path_hook())
    sys.path_importer_cache.clear()
    sys.path.append(str(tree.site_packages))
    yield tree
    sys.path[:], sys.path_hooks[:], sys.dont_write_bytecode = path, hooks, dont_write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in NAMES:
            del sys.modules[name]
    sys.path_importer_cache.clear()


def same(ours: object, theirs: object) -> None:
    """Compare two specs in everything that an importer or a tool looks at."""
    if theirs is None or ours is None:
        assert ours is theirs
        return
    for attribute in ("name", "origin", "has_location", "cached", "parent", "submodule_search_locations"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    loader, expected = ours.loader, theirs.loader  # type: ignore[attr-defined]
    assert isinstance(loader, type(expected))
    assert getattr(loader, "path", None) == getattr(expected, "path", None)
    assert getattr(loader, "name", None) == getattr(expected, "name", None)


def reference(directory: str) -> FileFinder:
    return FileFinder(
        directory,
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (SourceFileLoader, [".py"]),
        (SourcelessFileLoader, [".pyc"]),
    )


@pytest.mark.parametrize("name", [*NAMES, "absent", "space.d", "demo-1", "", "package.absent"])
def test_top_level_names_are_found_as_file_finder_finds_them(
    tree: HandmadeSet, hook: Hook, name: str
) -> None:
    directory = str(tree.site_packages)
    same(hook(directory).find_spec(name), reference(directory).find_spec(name))


@pytest.mark.parametrize(
    "name",
    ["module", "inner", "plain", "native", "compiled", "odd", "data", "absent", "module.py", "", "x/y"],
)
def test_names_below_are_found_as_file_finder_finds_them(tree: HandmadeSet, hook: Hook, name: str) -> None:
    directory = str(tree.site_packages / "package")
    full = f"package.{name}"
    same(hook(directory).find_spec(full), reference(directory).find_spec(full))


def test_the_finder_is_a_file_finder(tree: HandmadeSet, hook: Hook) -> None:
    found = hook(str(tree.site_packages))
    assert isinstance(found, FileFinder)
    assert found.path == str(tree.site_packages)


def test_the_hook_passes_for_that_of_file_finder(hook: Hook) -> None:
    standard = FileFinder.path_hook()
    assert (hook.__name__, hook.__module__) == (standard.__name__, standard.__module__)
    variables = dict(zip(hook.__code__.co_freevars, hook.__closure__ or (), strict=True))
    assert [suffixes for _, suffixes in variables["loader_details"].cell_contents] == [
        EXTENSION_SUFFIXES,
        [".py"],
        [".pyc"],
    ]


def test_other_places_are_left_to_other_hooks(tree: HandmadeSet, hook: Hook, tmp_path: Path) -> None:
    inside = tree.site_packages / "package"
    places = [tmp_path, tree.path, tree.path / "bin", inside / "absent", inside / "module.py"]
    escapes = [f"{inside}/../../../../..", f"{tree.site_packages}x"]
    for place in (*map(str, places), *escapes):
        with pytest.raises(ImportError):
            hook(place)


def test_directories_of_the_store_itself_are_claimed(tree: HandmadeSet, hook: Hook) -> None:
    behind = os.path.realpath(tree.site_packages / "package")
    spec = hook(behind).find_spec("package.module")
    assert spec is not None
    assert spec.origin == f"{behind}/module.py"


def test_a_zip_file_in_the_set_is_left_to_zipimport(tmp_path: Path) -> None:
    made = make_set(tmp_path, Path(sys.executable), {"package/__init__.py": ""})
    archive = Path(os.path.realpath(made.site_packages / "package")) / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped.py", "")
    hook = finder.SetIndex(made.index, str(made.path)).path_hook()
    with pytest.raises(ImportError):
        hook(f"{made.site_packages}/package/archive.zip")


def test_everything_imports(active: HandmadeSet) -> None:
    for name in ("module", "both", "space.portion", "package", "package.module", "package.inner.deep"):
        module = importlib.import_module(name)
        assert module.value == name.rpartition(".")[2] if name != "package.module" else "package.module"
        assert module.__file__ is not None
        assert module.__file__.startswith(f"{active.site_packages}/")
    assert importlib.import_module("package.plain.leaf").value == "leaf"
    assert importlib.import_module("compiled").value == "compiled"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("package.absent")


def test_a_namespace_spans_the_set_and_other_directories(active: HandmadeSet, tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        (tmp_path / name / "space").mkdir(parents=True)
        (tmp_path / name / "space" / f"{name}.py").write_text(f"value = {number}\n")
    sys.path.append(str(tmp_path / "first"))
    assert importlib.import_module("space.portion").value == "portion"
    assert importlib.import_module("space.first").value == 0
    # The path of a namespace package follows sys.path.
    sys.path.append(str(tmp_path / "second"))
    assert importlib.import_module("space.second").value == 1


def test_tools_see_the_set(active: HandmadeSet) -> None:
    names = {module.name: module.ispkg for module in pkgutil.iter_modules([str(active.site_packages)])}
    packages = {"_virtual_sprawl", "package"}
    assert names == {name: name in packages for name in (*packages, *NAMES) if name != "space"}
    walked = {
        module.name for module in pkgutil.walk_packages([str(active.site_packages / "package")], "package.")
    }
    assert {"package.inner", "package.inner.deep", "package.module"} <= walked
    module = importlib.import_module("package.module")
    assert inspect.getsource(module) == "value = 'package.module'\n"
    assert pkgutil.get_data("package", "data.txt") == b"data\n"
    assert importlib.resources.files("package").joinpath("data.txt").read_text() == "data\n"
    assert importlib.metadata.version("demo") == "1.5"
    assert isinstance(PathFinder.find_spec("module").loader, SourceFileLoader)  # type: ignore[union-attr]


def test_invalidating_caches_changes_nothing(active: HandmadeSet) -> None:
    importlib.invalidate_caches()
    assert importlib.import_module("package.module").value == "package.module"


def test_bytecode_is_read_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_set(tmp_path, Path(sys.executable), {"fresh.py": "value = 1\n", "cached.py": "value = 1\n"})
    entry = Path(os.path.realpath(made.site_packages / "cached.py")).parent
    cached = made.site_packages / "__pycache__" / Path(cache_from_source("cached.py")).name
    cached.parent.mkdir()
    # Unchecked: the loader must take it, whatever the source says.
    code = marshal.dumps(compile("value = 2", "cached.py", "exec"))
    cached.write_bytes(MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + code)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    hook = finder.SetIndex(made.index, str(made.path)).path_hook()
    before = sorted(map(str, tmp_path.rglob("*")))
    values = {}
    for name in ("fresh", "cached"):
        spec = hook(str(made.site_packages)).find_spec(name)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        values[name] = module.value
    assert values == {"fresh": 1, "cached": 2}
    assert sorted(map(str, tmp_path.rglob("*"))) == before
    assert not (entry / "__pycache__").exists()


def test_bytecode_goes_where_the_user_sends_all_of_it(
    tmp_path: Path, tree: HandmadeSet, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    spec = hook(str(tree.site_packages)).find_spec("module")
    assert spec is not None
    spec.loader.get_code("module")  # type: ignore[union-attr]
    assert [path.suffix for path in tmp_path.rglob("module*")] == [".pyc"]


def test_an_index_of_another_interpreter_or_format_is_refused(tree: HandmadeSet) -> None:
    good = marshal.loads(tree.index)
    for bad in ((1, *good[1:]), (2, "cpython-00", *good[2:])):
        with pytest.raises(ValueError, match="another format or interpreter"):
            finder.SetIndex(marshal.dumps(bad), str(tree.path))


def test_a_store_may_have_moved(tree: HandmadeSet, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(tree.path.parent.parent)
    moved = elsewhere / "sets" / tree.path.name
    index = finder.SetIndex(tree.index, str(moved))
    assert index.site_packages == str(moved / tree.site_packages.relative_to(tree.path))
    assert index.path_hook()(index.site_packages).find_spec("module") is not None


def test_the_index_may_name_the_start_up_files(tree: HandmadeSet) -> None:
    fields = [*marshal.loads(tree.index)]
    fields[5] = ("a.pth",)
    assert finder.SetIndex(marshal.dumps(tuple(fields)), str(tree.path)).start_up == ("a.pth",)
    assert finder.SetIndex(tree.index, str(tree.path)).start_up is None
