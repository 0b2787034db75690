"""Generated path sets: links that show what copies would, an index that says what FileFinder finds."""

from __future__ import annotations

import os
import tempfile
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprawld.errors import StoreError
from sprawld.pathsets.merge import Source, Tree
from sprawld.pathsets.setindex import MODULE, NAMESPACE, PACKAGE, importable

pytestmark = pytest.mark.property

names = st.sampled_from("ab")
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), st.sampled_from(["", "x", "y"]), max_size=4
).filter(lambda tree: not any(other.startswith(f"{path}/") for path in tree for other in tree))


def overlay(entries: list[dict[str, str]]) -> dict[str, str] | None:
    """Return path -> content when the entries are copied over each other; None if that is impossible."""
    merged: dict[str, str] = {}
    for entry in entries:
        merged.update(entry)
    impossible = any(other.startswith(f"{path}/") for path in merged for other in merged)
    return None if impossible else merged


@settings(deadline=None, max_examples=100)
@given(st.lists(trees, min_size=1, max_size=4))
def test_links_show_what_copies_would(entries: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        for number, entry in enumerate(entries):
            Path(root, "wheels", str(number)).mkdir(parents=True)
            for path, content in entry.items():
                file = Path(root, "wheels", str(number), path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content)
        staged, final = Path(root, "tmp/deeper/x"), Path(root, "sets/x")
        staged.mkdir(parents=True)
        final.parent.mkdir()
        tree = Tree(str(staged), str(final), root)
        tree.make_directory("top")
        expected = overlay(entries)
        sources = [Source(f"p{n}", f"wheels/{n}") for n in range(len(entries))]
        if expected is None:
            with pytest.raises(StoreError) as caught:
                tree.place_children("top", sources)
            assert caught.value.code == "set.collision"
            return
        tree.place_children("top", sources)
        staged.rename(final)
        found = {
            os.path.relpath(os.path.join(directory, name), final / "top"): Path(directory, name).read_text()
            for directory, _, files in os.walk(final, followlinks=True)
            for name in files
        }
        assert found == expected
        different = {path for path in found if len({entry[path] for entry in entries if path in entry}) > 1}
        assert {conflict.path.removeprefix("top/") for conflict in tree.conflicts} == different


SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)
some_suffixes = st.sets(st.sampled_from([*SUFFIXES, ".cpython-27.so", ".txt"]), max_size=3)


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "odd-name"]), some_suffixes),
    st.dictionaries(st.sampled_from(["a", "b", "c", "x.libs"]), some_suffixes),
)
def test_the_index_says_what_file_finder_finds(
    files: dict[str, set[str]], inits: dict[str, set[str]]
) -> None:
    present = [stem + suffix for stem, suffixes in files.items() for suffix in suffixes]
    directories = {name: ["__init__" + suffix for suffix in suffixes] for name, suffixes in inits.items()}
    top = importable(present, directories, SUFFIXES)
    with tempfile.TemporaryDirectory() as root:
        for name in present:
            Path(root, name).touch()
        for directory, members in directories.items():
            Path(root, directory).mkdir()
            for name in members:
                Path(root, directory, name).touch()
        finder = FileFinder(
            root,
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (SourceFileLoader, SOURCE_SUFFIXES),
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        )
        for name in ("a", "b", "c", "odd-name", "absent"):
            spec = finder.find_spec(name)
            if spec is None:
                assert name not in top
                continue
            kind, relative = top[name]
            if spec.loader is None:
                assert (kind, relative) == (NAMESPACE, name)
            else:
                assert spec.origin == os.path.join(root, relative)
                assert kind == (PACKAGE if spec.submodule_search_locations else MODULE)
    assert "x.libs" not in top
