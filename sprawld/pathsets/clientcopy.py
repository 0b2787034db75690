"""The client copy: the few client files that a set's own interpreter imports, kept in the store by content.

A set must run without the distribution that made it, and beside a newer one. So the set links a copy of the
client that is named by the digest of its files; an older copy stays as long as a set points to it.

    <store>/client/<digest>/_virtual_sprawl/{__init__,enter,finder,...}.py  and  __pycache__/*.pyc

1. A copy appears by rename and its files are on the disk before that: it is read by every start of every set.
2. The bytecode is written once per interpreter by that interpreter and is never checked against the source:
   a start costs no stat for it, and no user process has a reason to write here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING, Final

from sprawld.errors import InterpreterError, StoreError
from sprawld.store import files
from virtual_sprawl import joined

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "COPY_NAME",
    "client_digest",
    "client_files",
    "compile_client_copy",
    "ensure_client_copy",
    "is_compiled",
]

COPY_NAME: Final = "_virtual_sprawl"
"""Import name of the copy: a program may import `virtual_sprawl` itself without getting an old one."""

ENTRANCES: Final = ("__init__", "known", "outside", "readonly")
"""Modules a set imports by name, beside the joined ones; what all import relatively comes along."""

COMPILE_SECONDS: Final = 60.0
"""Far more than a few files need on a loaded machine; a stuck interpreter must not hold a worker for ever."""

# Runs in the target interpreter, Python 3.8 syntax. Optimised runs (-O, -OO) get their own files: without
# them each such start would compile in vain, or write into the store.
_COMPILE: Final = """
import importlib.util, marshal, os, sys

directory = sys.argv[1]
target = os.path.join(directory, "__pycache__")
os.makedirs(target, mode=0o755, exist_ok=True)
for name in sorted(os.listdir(directory)):
    if not name.endswith(".py"):
        continue
    path = os.path.join(directory, name)
    with open(path, "rb") as stream:
        source = stream.read()
    # Flags 0b01: hash-based, not checked (PEP 552).
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
    for level, optimization in ((0, ""), (1, "1"), (2, "2")):
        code = compile(source, path, "exec", dont_inherit=True, optimize=level)
        final = importlib.util.cache_from_source(path, optimization=optimization)
        staged = os.path.join(target, "." + os.urandom(8).hex())
        with open(staged, "xb") as stream:
            stream.write(head + marshal.dumps(code))
            stream.flush()
            # An empty file after a power cut would be taken for bytecode, since nothing checks it.
            os.fsync(stream.fileno())
        os.chmod(staged, 0o444)
        os.replace(staged, final)
"""


def client_digest(package_dir: Path) -> str:
    """Return the name of the copy of the client in `package_dir`: a digest of the files' names and bytes."""
    return _digest(client_files(package_dir))


def ensure_client_copy(store_root: Path, package_dir: Path) -> str:
    """Make the copy exist in the store, whole, and return its digest.

    Raises StoreError `store.damaged` when the client itself lacks a file that a set imports. A copy whose
    content is not what its name says (a disk fault, a write by root) is moved to `trash/` and made anew.
    """
    content = client_files(package_dir)
    digest = _digest(content)
    final = store_root / "client" / digest
    if not _is_whole(final / COPY_NAME, content):
        with files.writing(f"the client copy {final}"):
            _publish(store_root, final, content)
    return digest


def compile_client_copy(executable: str, path: Path) -> None:
    """Let the interpreter `executable` write the bytecode of a copy.

    `path` is `client/<digest>` or the package in it. Idempotent; blocks for a bare start of that interpreter.
    Raises InterpreterError `python.probe-failed`.
    """
    package = path if path.name == COPY_NAME else path / COPY_NAME
    command = [executable, "-I", "-S", "-B", "-c", _COMPILE, os.fspath(package)]
    try:
        # Nothing of the daemon's environment reaches a user's interpreter: -I ignores PYTHON*, and the
        # dynamic linker's variables are not for us to hand on.
        done = subprocess.run(
            command,
            env={"PATH": os.defpath},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMPILE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(
            "python.probe-failed", f"{executable}: the client was not compiled: {error}"
        ) from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [
            f"exit status {done.returncode}"
        ]
        raise InterpreterError(
            "python.probe-failed", f"{executable}: the client was not compiled: {lines[-1]}"
        )


def is_compiled(package: Path, tag: str) -> bool:
    """Tell whether an interpreter has written the bytecode of every module of a copy; blocks."""
    try:
        there = set(os.listdir(package / "__pycache__"))
        modules = [name for name in os.listdir(package) if name.endswith(".py")]
    except FileNotFoundError:
        return False
    return all(f"{name[:-3]}.{tag}.pyc" in there for name in modules)


def client_files(package_dir: Path) -> dict[str, bytes]:
    """Return file name -> content of the entrances and everything they import relatively."""
    found: dict[str, bytes] = {}
    waiting = [*ENTRANCES, *joined.SET]
    while waiting:
        module = waiting.pop()
        name = f"{module}.py"
        if name in found:
            continue
        try:
            found[name] = _source(package_dir, module)
        except OSError as error:
            raise StoreError(
                "store.damaged",
                f"the client's file {name} cannot be read: {error.strerror}",
                hint="install virtual-sprawl again",
            ) from error
        waiting += joined.relative_imports(found[name], os.fspath(package_dir))
    return dict(sorted(found.items()))


def _source(package_dir: Path, module: str) -> bytes:
    try:
        return (package_dir / f"{module}.py").read_bytes()
    except FileNotFoundError:
        if module not in joined.SET:
            raise
        # The tree: what an installation has joined already.
        return joined.join(os.fspath(package_dir), module)


def _digest(content: dict[str, bytes]) -> str:
    state = hashlib.sha256(b"client 1\n")
    for name, data in content.items():
        state.update(b"%s %d\n" % (name.encode(), len(data)))
        state.update(data)
    # As long as a set's name; see pathset.DIGEST_DIGITS.
    return state.hexdigest()[:40]


def _is_whole(directory: Path, content: dict[str, bytes]) -> bool:
    try:
        return all((directory / name).read_bytes() == data for name, data in content.items())
    except OSError:
        return False


def _publish(store_root: Path, final: Path, content: dict[str, bytes]) -> None:
    staging = store_root / "tmp"
    for directory in (staging, final.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = files.random_name("client")
    try:
        _write_copy(staging / name, content)
        _rename(staging / name, final, content)
    finally:
        with files.open_directory(staging) as descriptor:
            files.remove_tree(name, descriptor)


def _write_copy(staged: Path, content: dict[str, bytes]) -> None:
    package = staged / COPY_NAME
    staged.mkdir(mode=0o700)
    package.mkdir(mode=0o700)
    # Written by the daemon at any time, for an interpreter that is new to it; so not sealed.
    (package / "__pycache__").mkdir(mode=0o700)
    for name, data in content.items():
        descriptor = os.open(package / name, files.CREATE, 0o444)
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
    files.sync_directory(package)
    package.chmod(0o555)


def _rename(staged: Path, final: Path, content: dict[str, bytes]) -> None:
    try:
        staged.rename(final)
    except OSError:
        if _is_whole(final / COPY_NAME, content):
            return  # another thread was faster
        trash = final.parent.parent / "trash"
        trash.mkdir(mode=0o700, exist_ok=True)
        final.rename(trash / files.random_name("client"))
        staged.rename(final)
    files.sync_directory(final.parent)
