"""What the binaries of a wheel look for: ELF and Mach-O read from honest bytes, and from any others."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sprawld.store import elf, libraries, macho, manifest
from tests.support import binaries
from tests.support.workshop import Workshop

Read = Callable[[int, int], bytes]


def of(content: bytes) -> Read:
    return lambda offset, size: content[offset : offset + size]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("tag", [15, 29])
def test_the_search_path_of_elf(wide: bool, big: bool, tag: int) -> None:
    content = binaries.elf_bytes("$ORIGIN/../b/lib:/usr/lib::${ORIGIN}", tag=tag, wide=wide, big=big)
    assert elf.search_paths(of(content)) == ["$ORIGIN/../b/lib", "/usr/lib", "${ORIGIN}"]
    assert elf.search_paths(of(binaries.elf_bytes(None, wide=wide, big=big))) == []


def test_the_search_path_of_what_a_compiler_made(tmp_path: Path) -> None:
    binaries.library(tmp_path, "libvalue.so", "int value(void) { return 41; }")
    content = binaries.extension(tmp_path, "libvalue.so", "$ORIGIN/../../other/lib")
    assert elf.search_paths(of(content)) == ["$ORIGIN/../../other/lib"]


@pytest.mark.parametrize("fat", [True, False])
def test_the_search_path_of_macho(fat: bool) -> None:
    names = ("@loader_path/../.dylibs/liba.dylib", "/usr/lib/libSystem.B.dylib", "@rpath/libb.dylib")
    content = binaries.macho_bytes("@loader_path/../../b/lib", libraries=names, fat=fat)
    assert macho.search_paths(of(content)) == ["@loader_path/../../b/lib", "@loader_path/../.dylibs"]


@pytest.mark.parametrize("read", [elf.search_paths, macho.search_paths])
def test_no_bytes_are_too_strange(read: Callable[[Read], list[str]]) -> None:
    for content in (b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 58, b"\xca\xfe\xba\xbe" + b"\xff" * 200):
        assert read(of(content)) == []
    chance = random.Random(4)
    seeds = [
        binaries.elf_bytes(),
        binaries.elf_bytes(wide=False),
        binaries.macho_bytes("@loader_path", fat=True),
    ]
    for seed in seeds:
        for _ in range(1500):
            damaged = bytearray(seed[: chance.randrange(len(seed))] if chance.random() < 0.2 else seed)
            for _ in range(chance.randrange(1, 12)):
                if damaged:
                    damaged[chance.randrange(min(400, len(damaged)))] = chance.randrange(256)
            assert len(read(of(bytes(damaged)))) <= 4 * 512


def test_what_is_read_of_a_liar_is_bounded() -> None:
    asked: list[int] = []

    def read(offset: int, size: int) -> bytes:
        asked.append(size)
        head = binaries.elf_bytes()[:64]
        # 65,535 program headers, all of them a dynamic section that never ends.
        return (head[:56] + b"\xff\xff" + head[58:])[:size] if offset == 0 else b"\x02" * size

    elf.search_paths(read)
    assert sum(asked) < 1 << 20


def test_which_files_are_libraries() -> None:
    yes = ["libx.so", "libx.so.12", "x.so", "libx.dylib", "libshiboken6.abi3.so.6.5", "libx.cpython-311-a.so"]
    no = ["_x.cpython-311-x86_64-linux-gnu.so", "_x.abi3.so", "_x.pypy39-pp73.so", "x.py", "libx.a", "x.sort"]
    assert [name for name in [*yes, *no] if libraries.is_library(name)] == yes


def test_search_paths_are_those_of_the_entry() -> None:
    found = libraries.Libraries()
    start = "lib/python/site-packages"
    texts = "$ORIGIN/../../b/lib:$ORIGIN:/usr/lib:$ORIGIN/../../../..:$ORIGIN/../../../../../..:$ORIGINAL/x"
    found.add(f"{start}/a/lib/liba.so", of(binaries.elf_bytes(texts)))
    found.add(f"{start}/a/_x.cpython-311-x86_64-linux-gnu.so", of(binaries.elf_bytes("${ORIGIN}/../a.libs")))
    found.add(f"{start}/a/data.bin", of(b"no binary"))
    assert found.holding == (f"{start}/a/lib",)
    assert found.searched == ("lib", f"{start}/a.libs", f"{start}/a/lib", f"{start}/b/lib")


def test_unpacking_notes_it_in_the_manifest(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "store")
    entry = workshop.entry(
        "a", files={"a/lib/liba.so": binaries.elf_bytes("$ORIGIN/../../b/lib"), "a/__init__.py": ""}
    )
    start = "lib/python/site-packages"
    assert entry.summary.libraries == (f"{start}/a/lib",)
    assert entry.summary.searched == (f"{start}/b/lib",)
    path = workshop.path(entry)
    assert manifest.read_summary(path / "manifest") == entry.summary
    again = libraries.of_entry(str(path), (file.path for file in manifest.read_files(path / "manifest")))
    assert (again.holding, again.searched) == (entry.summary.libraries, entry.summary.searched)


def test_a_manifest_from_before(tmp_path: Path) -> None:
    entry = Workshop(tmp_path / "store").entry("a")
    text = entry.summary.to_json().replace(',"libraries":[],"searched":[]', "")
    assert "searched" not in text
    summary = manifest.ManifestSummary.from_json(text, "it")
    assert (summary.libraries, summary.searched) == (None, None)
