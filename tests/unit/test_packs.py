"""What the finder takes from a pack, and that a bad pack is as good as none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import pytest

from sprawld.pathsets._packer import INLINE_BYTES
from sprawld.pathsets.pack import pack_tag
from tests.support.packs import pack_entries
from tests.support.sets import HandmadeSet, make_set
from tests.support.workshop import environment_of
from virtual_sprawl import finder, packs

TREE = {
    "package/__init__.py": "",
    "package/module.py": "def where():\n    return 1\n",
    "single.py": "x = 1\n",
}
PYTHON = Path(sys.executable)


@pytest.fixture
def made(tmp_path: Path) -> HandmadeSet:
    return make_set(tmp_path / "store", PYTHON, TREE)


@pytest.fixture
def pack(made: HandmadeSet) -> Path:
    (path,) = pack_entries(made.path.parents[1], PYTHON)
    return path


def load(made: HandmadeSet) -> tuple[bool, CodeType]:
    """Return whether a loader has a place in a pack, and what it loads."""
    hook = finder.SetIndex(made.index, str(made.path)).path_hook()
    spec = hook(f"{made.site_packages}/package").find_spec("package.module")
    assert spec is not None
    loader = spec.loader
    assert isinstance(loader, finder.StoreSourceLoader)
    code = loader.get_code("package.module")
    assert code is not None
    return loader.packed is not None, code


def test_both_sides_name_the_directory_alike() -> None:
    environment = environment_of(PYTHON)
    assert packs.tag(environment.cache_tag, environment.module_suffixes[0]) == pack_tag(environment)
    assert packs.tag("cpython-313", ".cpython-313t-darwin.so") == "cpython-313t-darwin"
    assert packs.tag("cpython-313", ".py") == "cpython-313"


def test_code_has_the_paths_of_the_set(made: HandmadeSet, pack: Path) -> None:
    packed, code = load(made)
    assert packed
    path = f"{made.site_packages}/package/module.py"
    inner = next(constant for constant in code.co_consts if isinstance(constant, CodeType))
    assert (code.co_filename, inner.co_filename) == (path, path)


def test_nothing_but_the_pack_is_looked_at(made: HandmadeSet, pack: Path) -> None:
    (made.site_packages / "package/module.py").unlink()
    hook = finder.SetIndex(made.index, str(made.path)).path_hook()
    assert hook(str(made.site_packages)).find_spec("package").loader.get_code("package") is not None
    found = hook(f"{made.site_packages}/package")
    assert isinstance(found, finder.PackedFinder)
    assert found.find_spec("package.module").loader.get_code("package.module") is not None
    assert found.find_spec("package.absent") is None
    assert list(made.site_packages.glob("**/__pycache__")) == []


def test_the_name_is_checked_as_other_loaders_do(made: HandmadeSet, pack: Path) -> None:
    spec = (
        finder.SetIndex(made.index, str(made.path)).path_hook()(str(made.site_packages)).find_spec("single")
    )
    with pytest.raises(ImportError):
        spec.loader.get_code("another")


def test_large_tables_lie_elsewhere_in_the_file(tmp_path: Path) -> None:
    names = [f"{letter}{number:03}" for letter in "ab" for number in range(300)]
    tree = {f"many/{name[0]}/{name}/{name}_module.py": "" for name in names}
    made = make_set(tmp_path / "store", PYTHON, {"many/__init__.py": "", **tree})
    (path,) = pack_entries(made.path.parents[1], PYTHON)
    index = finder.SetIndex(made.index, str(made.path))
    found = index.pack("many")
    assert found is not None
    for name in names:
        table = found.table(f"many/{name[0]}/{name}")
        assert table is not None
        assert list(table) == [f"{name}_module"]
    assert list(found.table("many") or ()) == ["a", "b", "__init__"]
    assert found.table("many/c") is None
    assert found.table("many/c/c000") is None
    content = path.read_bytes()
    assert len(content) - int.from_bytes(content[24:32], "little") < 2 * INLINE_BYTES


def absent(pack: Path) -> None:
    pack.unlink()


def empty(pack: Path) -> None:
    pack.write_bytes(b"")


def truncated(pack: Path) -> None:
    os.truncate(pack, pack.stat().st_size - 1)


def longer(pack: Path) -> None:
    pack.write_bytes(pack.read_bytes() + b"\0")


def change(pack: Path, position: int) -> None:
    content = bytearray(pack.read_bytes())
    content[position] ^= 0xFF
    pack.write_bytes(content)


def other_magic(pack: Path) -> None:
    change(pack, 0)


def other_interpreter(pack: Path) -> None:
    change(pack, 8)


def unknown_flags(pack: Path) -> None:
    change(pack, 12)


def damaged_start(pack: Path) -> None:
    change(pack, 30)


def damaged_index(pack: Path) -> None:
    change(pack, -1)


def foreign(pack: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(pack, 65534, -1)


def shared(pack: Path) -> None:
    pack.chmod(0o464)


def link(pack: Path) -> None:
    pack.rename(pack.with_name("real"))
    pack.symlink_to("real")


def directory(pack: Path) -> None:
    pack.unlink()
    pack.mkdir()


BAD = [absent, empty, truncated, longer, other_magic, other_interpreter, unknown_flags, damaged_start]
BAD += [damaged_index, foreign, shared, link, directory]


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_bad_pack_is_as_good_as_none(made: HandmadeSet, pack: Path, spoil: Callable[[Path], None]) -> None:
    if spoil not in (foreign, absent, link, directory, shared):
        pack.chmod(0o600)
    spoil(pack)
    packed, code = load(made)
    assert not packed
    assert code.co_filename == f"{made.site_packages}/package/module.py"


def test_damaged_code_is_compiled_from_source(made: HandmadeSet, pack: Path) -> None:
    good = load(made)[1]
    content = bytearray(pack.read_bytes())
    for position in range(packs.HEADER_BYTES, int.from_bytes(content[24:32], "little")):
        content[position] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(content)
    packed, code = load(made)
    assert packed
    assert code == good


@pytest.mark.parametrize("spoil", [absent, truncated, shared])
def test_a_pack_that_changes_under_a_process_is_let_go(
    made: HandmadeSet, pack: Path, spoil: Callable[[Path], None]
) -> None:
    found = finder.SetIndex(made.index, str(made.path)).path_hook()(f"{made.site_packages}/package")
    pack.chmod(0o600)
    spoil(pack)
    spec = found.find_spec("package.module")
    assert spec.loader.packed is not None
    assert spec.loader.get_code("package.module") is not None
    assert spec.loader.packed[0].code(spec.loader.packed[1]) is None


def test_a_pack_that_is_made_later_is_for_the_next_process(made: HandmadeSet) -> None:
    index = finder.SetIndex(made.index, str(made.path))
    assert index.pack("package") is None
    pack_entries(made.path.parents[1], PYTHON)
    assert index.pack("package") is None
    assert load(made)[0]
