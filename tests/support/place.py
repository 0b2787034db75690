"""A store with three entries and a set, and every kind of damage that can be done to it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .index import SimpleIndex
from .sandbox import Sandbox
from .wheels import build_wheel

__all__ = ["DAMAGE", "SETS", "SITE", "Damage", "Place", "damage_set", "flip", "opened", "unlink"]

SITE = "lib/python/site-packages"


class Place:
    """A store with three entries and a set, and what the tests do with it."""

    def __init__(self, directory: Path, index: SimpleIndex) -> None:
        self.index = index
        self.sandbox = Sandbox(directory / "user", index=index.url)
        files = {
            "{0}/__init__.py": "WHO = '{0}'\n",
            "{0}/deep/data.txt": "{0}" * 400,
            "{0}/other.py": "X = 1\n",
        }
        self.entries = {}
        lines = []
        for name in ("alpha", "beta", "gamma"):
            own = {path.format(name): text.format(name) for path, text in files.items()}
            scripts = {"console_scripts": {f"{name}-tool": f"{name}:main"}}
            wheel = build_wheel(directory, name, "1.0", own, entry_points=scripts)
            index.add(wheel)
            digest = index.sha256(wheel.name)
            lines.append(f"{name}==1.0 --hash=sha256:{digest}")
            self.entries[name] = self.sandbox.store / "wheels" / digest
        self.project = self.sandbox.project("app", {}, lines)
        self.set = Path(self.sync())

    def sync(self) -> str:
        return self.sandbox.sprawl("sync", "--print-path", cwd=self.project).stdout.strip()

    def verify(self, *options: str, code: int = 0) -> Any:
        outcome = self.sandbox.run("sprawlctl", "verify", *options, "--json", check=False)
        assert outcome.returncode == code, outcome.stdout + outcome.stderr + self.sandbox.log()
        return json.loads(outcome.stdout)

    def snapshot(self, without: Path) -> dict[str, tuple[int, int]]:
        """Inode and mtime of every file of the entries but one."""
        found = {}
        for entry in self.entries.values():
            if entry != without:
                for path in entry.rglob("*"):
                    status = path.lstat()
                    found[str(path)] = (status.st_ino, status.st_mtime_ns)
        return found


def opened(path: Path, work: Callable[[Path], object]) -> Path:
    """Do something in a read-only place, as root could; return the path."""
    modes = {p: p.lstat().st_mode for p in (path.parent, path) if p.exists() and not p.is_symlink()}
    for one in modes:
        one.chmod(0o755)
    work(path)
    for one, mode in modes.items():
        if one.exists() and not one.is_symlink() and work is not _loosen:
            one.chmod(mode)
    return path


def _loosen(path: Path) -> None:
    path.chmod(0o644 if path.is_file() else 0o755)


def flip(where: float) -> Callable[[Path], object]:
    """Return what flips one bit at a place between 0.0, the start, and 1.0, the end."""

    def work(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(where * (len(content) - 1))] ^= 4
        path.write_bytes(content)

    return work


def _swap(path: Path) -> None:
    other = path.parent / "other.py"
    one, two = path.read_bytes(), other.read_bytes()
    other.chmod(0o644)
    path.write_bytes(two)
    other.write_bytes(one)
    other.chmod(0o444)


def edit(old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new, 1))


def _pycs(path: Path) -> None:
    path.mkdir()
    (path / "__init__.cpython-311.pyc").write_bytes(b"?")


def link(path: Path) -> None:
    path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    path.symlink_to("/etc/hostname")


def unlink(path: Path) -> None:
    path.unlink()


def _directory_mode(path: Path) -> None:
    path.chmod(0o755)


Damage = tuple[str, str, Callable[[Path], object], str, str]
"""Title, path in the entry ({s} site-packages, {n} the package), what is done, kind and path of a finding."""

DAMAGE: list[Damage] = [
    ("flip at the start", "{s}/{n}/__init__.py", flip(0.0), "changed", "{s}/{n}/__init__.py"),
    ("flip in the middle", "{s}/{n}/deep/data.txt", flip(0.5), "changed", "{s}/{n}/deep/data.txt"),
    ("flip at the end", "{s}/{n}/__init__.py", flip(1.0), "changed", "{s}/{n}/__init__.py"),
    (
        "flip in metadata",
        "{s}/{n}-1.0.dist-info/METADATA",
        flip(0.3),
        "changed",
        "{s}/{n}-1.0.dist-info/METADATA",
    ),
    ("truncate", "{s}/{n}/deep/data.txt", lambda p: os.truncate(p, 7), "changed", "{s}/{n}/deep/data.txt"),
    ("empty", "{s}/{n}/__init__.py", lambda p: p.write_bytes(b""), "changed", "{s}/{n}/__init__.py"),
    (
        "zero",
        "{s}/{n}/deep/data.txt",
        lambda p: p.write_bytes(bytes(p.stat().st_size)),
        "changed",
        "{s}/{n}/deep/data.txt",
    ),
    ("longer", "{s}/{n}/other.py", lambda p: p.write_bytes(b"X = 2\n" * 9), "changed", "{s}/{n}/other.py"),
    ("file gone", "{s}/{n}/__init__.py", unlink, "missing", "{s}/{n}/__init__.py"),
    ("directory gone", "{s}/{n}/deep", shutil.rmtree, "missing", "{s}/{n}/deep/data.txt"),
    ("entry gone", "", shutil.rmtree, "missing", ""),
    ("extra file", "{s}/evil.pth", lambda p: p.write_text("import os\n"), "extra", "{s}/evil.pth"),
    ("extra at the root", "extra", Path.touch, "extra", "extra"),
    ("extra pycs", "{s}/{n}/__pycache__", _pycs, "extra", "{s}/{n}/__pycache__/__init__.cpython-311.pyc"),
    ("swapped files", "{s}/{n}/__init__.py", _swap, "changed", "{s}/{n}/__init__.py"),
    ("mode of a file", "{s}/{n}/other.py", _loosen, "mode", "{s}/{n}/other.py"),
    ("mode of a directory", "{s}/{n}/deep", _loosen, "mode", "{s}/{n}/deep"),
    ("link for a file", "{s}/{n}/other.py", link, "changed", "{s}/{n}/other.py"),
    ("link for a directory", "{s}/{n}/deep", link, "extra", "{s}/{n}/deep"),
    ("manifest hash edited", "manifest", edit(b"\n", b"\n0"), "manifest", "manifest"),
    ("manifest path edited", "manifest", edit(b"data.txt", b"dota.txt"), "manifest", "manifest"),
    ("manifest summary edited", "manifest", edit(b"__init__.py", b"__main__.py"), "manifest", "manifest"),
    (
        "manifest truncated",
        "manifest",
        lambda p: os.truncate(p, p.stat().st_size - 3),
        "manifest",
        "manifest",
    ),
    (
        "manifest cut in half",
        "manifest",
        lambda p: os.truncate(p, p.stat().st_size // 2),
        "manifest",
        "manifest",
    ),
    ("manifest empty", "manifest", lambda p: p.write_bytes(b""), "manifest", "manifest"),
    ("manifest gone", "manifest", unlink, "manifest", "manifest"),
]


SETS: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("index flipped", "index", flip(0.5), "changed"),
    ("index cut", "index", lambda p: os.truncate(p, 9), "changed"),
    ("pyvenv.cfg edited", "pyvenv.cfg", edit(b"home", b"hole"), "changed"),
    ("set.json garbage", "set.json", lambda p: p.write_bytes(b"?"), "description"),
    ("python elsewhere", "bin/python", link, "link"),
    ("script edited", "bin/alpha-tool", flip(0.1), "changed"),
    ("lease open to others", "lease", lambda p: p.chmod(0o644), "mode"),
    ("extra file", "evil.pth", Path.touch, "extra"),
    ("link gone", "{site}/alpha", unlink, "missing"),
    ("link elsewhere", "{site}/beta", link, "link"),
]


def damage_set(directory: Path, row: tuple[str, str, Callable[[Path], object], str]) -> Path:
    """Do one thing of SETS to a set; return the path that it is found at."""
    _, where, work, kind = row
    site = next(directory.glob("lib/*/site-packages")).relative_to(directory)
    path = directory / where.format(site=site)
    path.parent.chmod(0o755)
    mode = path.stat().st_mode if path.exists() else 0
    plain = path.is_file() and not path.is_symlink()
    if plain:
        path.chmod(0o644)
    work(path)
    if mode and path.is_file() and not path.is_symlink() and kind != "mode":
        path.chmod(mode)
    path.parent.chmod(0o555)
    return path
