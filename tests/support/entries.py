"""Entries and sets made by hand, as small as they can be and still true, and leases on them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sprawld.model import Digest
from sprawld.store import leases, manifest
from sprawld.store.manifest import ManifestFile, ManifestSummary
from sprawld.store.tree import Store

SITE = "lib/python/site-packages"


def digest_of(text: str) -> Digest:
    """Return a digest that stands for the wheel called `text`."""
    return Digest(hashlib.sha256(text.encode()).hexdigest())


def default_files(name: str) -> dict[str, bytes]:
    """Return the files of an entry: a package, a deeper directory and a script."""
    return {
        f"{SITE}/{name}/__init__.py": f"name = {name!r}\n".encode(),
        f"{SITE}/{name}/deep/er/data.txt": name.encode() * 100,
        f"bin/{name}": b"#!python\n",
    }


def stage_entry(
    store: Store, name: str, files: Mapping[str, bytes] | None = None, *, boot: str | None = None
) -> Path:
    """Write the tree of an entry into tmp/, read-only but for its top; return its path."""
    staged = store.new_staging("test")
    rows = []
    for path, content in (files or default_files(name)).items():
        target = staged / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        mode = 0o555 if path.startswith("bin/") else 0o444
        target.chmod(mode)
        rows.append(ManifestFile(hashlib.sha256(content).hexdigest(), len(content), mode, path))
    summary = ManifestSummary(
        name=name,
        version="1.0",
        filename=f"{name}-1.0-py3-none-any.whl",
        digest=digest_of(name),
        boot_id=boot or store.boot,
        files=len(rows),
        bytes=sum(row.size for row in rows),
        dist_info=f"{name}-1.0.dist-info",
        root_is_purelib=True,
        tags=("py3-none-any",),
        top_level={name: "package"},
        init={name: ("__init__.py",)},
        entry_points={},
        scripts={name: "python"},
        data=(),
        pth=(),
        requires_python=None,
    )
    (staged / manifest.NAME).write_bytes(manifest.encode(summary, rows))
    (staged / manifest.NAME).chmod(0o444)
    for directory, _, _ in os.walk(staged, topdown=False):
        if directory != str(staged):
            os.chmod(directory, 0o555)
    return staged


def publish_entry(store: Store, name: str, files: Mapping[str, bytes] | None = None) -> Digest:
    """Publish an entry of that name, unless there is one; return its digest."""
    store.publish_entry(stage_entry(store, name, files), digest_of(name))
    return digest_of(name)


def stage_set(store: Store, names: Iterable[str], lock: Path, *, client: str = "") -> Path:
    """Write a set of these entries into tmp/: its links, its lease, its description."""
    names = list(names)
    staged = store.new_staging("set")
    site = staged / "lib" / "python3.12" / "site-packages"
    site.mkdir(parents=True)
    for name in names:
        (site / name).symlink_to(f"../../../../../wheels/{digest_of(name)}/{SITE}/{name}")
    if client:
        (site / "_virtual_sprawl").symlink_to(f"../../../../../client/{client}/_virtual_sprawl")
    (staged / "index").write_bytes(b"index")
    (staged / "lease").touch(0o600)
    entries = [digest_of(name) for name in names]
    described = {"name": "test", "lock": str(lock), "entries": entries, "client": client}
    (staged / "set.json").write_text(json.dumps(described))
    return staged


def set_digest(names: Iterable[str]) -> str:
    """Return the digest of the set of these entries."""
    return digest_of("set " + " ".join(sorted(names)))[:40]


def publish_set(store: Store, names: Iterable[str], lock: Path, *, client: str = "") -> str:
    """Publish a set, unless there is one; return its digest."""
    names = list(names)
    store.publish_set(stage_set(store, names, lock, client=client), set_digest(names))
    return set_digest(names)


def take_lease(path: Path) -> int:
    """Take the lease of a set as a client does, but wait for nothing; return the descriptor that holds it."""
    pipe = leases.pipe_of(path)
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if os.path.exists(pipe) and os.path.samestat(os.fstat(descriptor), os.stat(pipe)):
            return descriptor
        os.close(descriptor)
    descriptor = os.open(path / "lease", os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert os.path.samestat(os.fstat(descriptor), os.stat(path / "lease"))
    return descriptor


@contextlib.contextmanager
def leased(path: Path) -> Iterator[None]:
    """Hold the lease of a set for the length of the block."""
    descriptor = take_lease(path)
    try:
        yield
    finally:
        os.close(descriptor)


def read_set(path: Path) -> int:
    """Read every file that a program running on the set could; return how many. OSError if one is gone."""
    count = 0
    for directory, _, files in os.walk(path, followlinks=True, onerror=_raise):
        for name in files:
            (Path(directory) / name).read_bytes()
            count += 1
    for link in (path / "lib" / "python3.12" / "site-packages").iterdir():
        link.stat()
    return count


def _raise(error: OSError) -> None:
    raise error
