"""Whatever lies in a directory, the set's finder and CPython's find the same things in it."""

from __future__ import annotations

import shutil
import sys
from importlib.machinery import FileFinder, all_suffixes
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sets import make_set
from virtual_sprawl import finder

pytestmark = pytest.mark.property

# Few names, so that packages, modules and namespaces of one name meet.
NAMES = st.sampled_from(["a", "b", "__init__", "A", "a.b", "x-y"])
SUFFIXES = st.frozensets(st.sampled_from([*all_suffixes(), ".txt", ".so.1"]), max_size=3)
# Name -> (suffixes of the files of that stem, what lies in the directory of that name if there is one).
TREES = st.recursive(
    st.none(),
    lambda below: st.dictionaries(NAMES, st.tuples(SUFFIXES, below), min_size=1, max_size=4),
    max_leaves=10,
)


def files_of(tree: Any, prefix: str = "") -> dict[str, bytes]:
    """Return path -> content; each directory gets a file, for a wheel has no empty ones."""
    found: dict[str, bytes] = {}
    for name, (suffixes, below) in (tree or {}).items():
        found.update({f"{prefix}{name}{suffix}": b"" for suffix in suffixes})
        if below is not None:
            found[f"{prefix}{name}/placeholder.txt"] = b""
            found.update(files_of(below, f"{prefix}{name}/"))
    return found


def shape(spec: Any) -> object:
    if spec is None:
        return None
    loader = spec.loader
    kind = (
        None if loader is None else [t.__name__ for t in type(loader).__mro__ if "Loader" in t.__name__][-1]
    )
    portions = spec.submodule_search_locations
    return spec.name, spec.origin, list(portions) if portions is not None else None, kind


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@given(TREES)
@settings(max_examples=150, deadline=None)
def test_both_finders_agree(scratch: Path, tree: Any) -> None:
    shutil.rmtree(scratch / "sets", ignore_errors=True)
    shutil.rmtree(scratch / "wheels", ignore_errors=True)
    made = make_set(scratch, Path(sys.executable), files_of(tree))
    hook = finder.SetIndex(made.index, str(made.path)).path_hook()
    details = [(loader, [suffix]) for suffix, loader in reference_loaders()]
    for directory in (made.site_packages, *walk(made.site_packages)):
        ours, theirs = hook(str(directory)), FileFinder(str(directory), *details)
        for name in ("a", "b", "__init__", "A", "x-y", "a.b", "missing", "placeholder"):
            assert shape(ours.find_spec(name)) == shape(theirs.find_spec(name)), (directory, name)


def reference_loaders() -> list[tuple[str, type]]:
    """Return suffix and loader pairs of this interpreter's own FileFinder."""
    standard = next(hook for hook in sys.path_hooks if "FileFinder" in getattr(hook, "__qualname__", ""))
    return standard(str(Path(__file__).parent))._loaders  # type: ignore[attr-defined, no-any-return]


def walk(directory: Path) -> list[Path]:
    """Return every directory below, through the links of the set."""
    below = [child for child in directory.iterdir() if child.is_dir() and child.name != "_virtual_sprawl"]
    return [*below, *(deeper for child in below for deeper in walk(child))]
