"""Every importable name of a set leads to the same spec with the set's finder and with CPython's alone."""

from __future__ import annotations

import contextlib
import pkgutil
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from importlib.machinery import FileFinder, PathFinder, all_suffixes
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.workshop import Workshop
from virtual_sprawl import finder

pytestmark = [pytest.mark.property, pytest.mark.timeout(300)]

# Few names, so that packages, modules and portions of one name meet, in one wheel and across wheels.
NAMES = ("ba", "bb", "bc")
DEPTH = 4
SUFFIXES = (*all_suffixes(), ".cpython-27-x86_64-linux-gnu.so", ".txt")

files = st.builds(
    lambda parts, leaf, suffix: "/".join([*parts, leaf]) + suffix,
    st.lists(st.sampled_from(NAMES), max_size=DEPTH - 1),
    st.sampled_from([*NAMES, "__init__"]),
    st.sampled_from(SUFFIXES),
)
# A file of the name `__init__` beside the packages is a module like any other.
wheels = st.lists(st.frozensets(files, min_size=1, max_size=6), min_size=1, max_size=4)
elsewhere = st.frozensets(files, max_size=3)

Hook = Callable[[str], Any]


@contextlib.contextmanager
def import_system(hooks: list[Hook], path: list[str]) -> Iterator[None]:
    """Let this process import through these hooks from these directories, and leave no trace of it."""
    before = sys.path[:], sys.path_hooks[:], dict(sys.path_importer_cache), set(sys.modules)
    sys.path[:], sys.path_hooks[:] = path, hooks
    sys.path_importer_cache.clear()
    try:
        yield
    finally:
        sys.path[:], sys.path_hooks[:] = before[0], before[1]
        sys.path_importer_cache.clear()
        sys.path_importer_cache.update(before[2])
        for name in set(sys.modules) - before[3]:
            del sys.modules[name]


def standard_hooks() -> list[Hook]:
    """Return the hooks that a fresh interpreter has: zip files, then CPython's FileFinder."""
    return [
        hook
        for hook in sys.path_hooks
        if getattr(hook, "__module__", "") in ("zipimport", FileFinder.__module__)
    ]


def survey(hooks: list[Hook], path: list[str]) -> dict[str, Any]:
    """Return name -> what importers and tools ask of it, for all names that could be there."""
    found: dict[str, Any] = {}

    def descend(prefix: str, directories: list[str] | None, depth: int) -> None:
        listed = pkgutil.iter_modules(path if directories is None else directories, prefix)
        found[prefix] = [(name, is_package) for _, name, is_package in listed if "sprawl" not in name]
        for name in (*NAMES, "__init__"):
            spec = PathFinder.find_spec(prefix + name, directories)
            found[prefix + name] = shape(spec)
            if spec is not None and spec.submodule_search_locations is not None and depth:
                # The path of a namespace package asks the module that it lies in.
                module = sys.modules[prefix + name] = types.ModuleType(prefix + name)
                module.__path__ = spec.submodule_search_locations
                descend(prefix + name + ".", list(module.__path__), depth - 1)

    with import_system(hooks, path):
        descend("", None, DEPTH)
    return found


def shape(spec: Any) -> object:
    if spec is None:
        return None
    loader, portions = spec.loader, spec.submodule_search_locations
    kinds = [kind.__name__ for kind in type(loader).__mro__ if kind.__module__.startswith("_frozen")]
    return (
        (spec.name, spec.origin, spec.has_location, spec.cached, spec.parent),
        None if portions is None else (type(portions).__name__, list(portions)),
        None if loader is None else (kinds[0], loader.path, loader.name, loader.is_package(spec.name)),
    )


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("both")


@given(wheels, elsewhere, st.booleans())
@settings(max_examples=120, deadline=None)
def test_specs_and_listings_are_the_same(
    scratch: Path, contents: list[frozenset[str]], outside: frozenset[str], first: bool
) -> None:
    for name in ("store", "built", "outside"):
        shutil.rmtree(scratch / name, ignore_errors=True)
    workshop = Workshop(scratch / "store")
    entries = [
        workshop.entry(f"wheel{number}", files=dict.fromkeys(names, ""))
        for number, names in enumerate(contents)
    ]
    made = workshop.build(Path(sys.executable), *entries)
    site_packages = str(next(made.glob("lib/*/site-packages")))
    for name in outside:
        file = scratch / "outside" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    path = [str(scratch / "outside"), site_packages]
    ours = finder.SetIndex((made / "index").read_bytes(), str(made)).path_hook()
    standard = standard_hooks()
    assert len(standard) == 2
    theirs = survey(standard, path if first else path[::-1])
    assert survey([ours, *standard], path if first else path[::-1]) == theirs
    # The survey has not looked at nothing: each wheel that has a module has it at one of these names.
    modules = {name + suffix for name in (*NAMES, "__init__") for suffix in all_suffixes()}
    if any(name.rpartition("/")[2] in modules for names in contents for name in names):
        assert any(value for name, value in theirs.items() if name and not name.endswith("."))
