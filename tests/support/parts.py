"""A project of many wheels: what is interrupted, filled up and cut off; and whether it is whole."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from sprawld.errors import StoreError
from sprawld.store.manifest import read_manifest

from .index import SimpleIndex
from .wheels import build_wheel

__all__ = ["expected_output", "make_parts", "parts_code", "torn_entries"]


def make_parts(
    directory: Path, index: SimpleIndex, count: int, *, size: int = 600_000, modules: int = 40
) -> list[str]:
    """Build `count` wheels of `size` bytes that do not compress; return lines of requirements with hashes."""
    lines = []
    for number in range(count):
        # Data that does not compress, so that a run has something to be interrupted in.
        data = random.Random(number).randbytes(size)
        files = {f"part{number}/__init__.py": f"VALUE = {number}\n", f"part{number}/data.bin": data}
        files |= {f"part{number}/m{item}.py": f"X = {item}\n" for item in range(modules)}
        wheel = build_wheel(directory, f"part{number}", "1.0", files)
        index.add(wheel)
        lines.append(f"part{number}==1.0 --hash=sha256:{index.sha256(wheel.name)}")
    return lines


def parts_code(count: int) -> str:
    """Return a program that imports all of them and prints one number."""
    return (
        f"import sys\nfrom importlib import import_module\n"
        f"print(sum(import_module(f'part{{n}}').VALUE for n in range({count})))"
    )


def expected_output(count: int) -> str:
    """Return what that program prints."""
    return f"{sum(range(count))}\n"


def torn_entries(store: Path) -> list[str]:
    """Compare every file of every visible entry with its manifest; return what is not as it says."""
    torn = []
    for entry in sorted((store / "wheels").iterdir()) if (store / "wheels").exists() else ():
        try:
            listed = {file.path: file for file in read_manifest(entry / "manifest").files}
        except StoreError as error:
            torn.append(f"{entry.name[:12]}: {error}")
            continue
        found = {
            str(path.relative_to(entry)) for path in entry.rglob("*") if path.is_file() or path.is_symlink()
        }
        if found != {*listed, "manifest"}:
            torn.append(f"{entry.name[:12]}: {len(found ^ {*listed, 'manifest'})} files too many or too few")
            continue
        torn += [
            f"{entry.name[:12]}/{name}: changed"
            for name, file in listed.items()
            if hashlib.sha256((entry / name).read_bytes()).hexdigest() != file.digest
        ]
    return torn
