"""Asks a real interpreter, once, what selection and path sets need to know of it.

1. The question runs as `-I -S -B -c`, with a fixed environment and a deadline: nothing that lies in a
   project, in site-packages or in the environment of the caller can change the answer.
2. What is asked about is always the base interpreter: a virtual environment's python is followed to it.
3. An answer is kept while path, mtime and size of the interpreter hold, and while the packaging library, the
   kernel and the libc are the ones it was computed with (tags and `platform_release` depend on them).
4. The copy on disk is believed only if it is a regular file of this user that nobody else can write.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import platform
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import packaging
from packaging.tags import Tag

from sprawld.errors import InterpreterError
from sprawld.model import Environment

from . import probing
from .platforms import OLDEST, build_tags, describe, platforms_of

if TYPE_CHECKING:
    from .probing import Begun

__all__ = ["Environments", "describe", "probe", "probe_async"]

# Bumped when `_probe.py` answers differently: answers kept by an older release are asked for again.
_FORMAT: Final = 1
# A virtual environment of a virtual environment is one step each; a longer chain is a loop.
_STEPS: Final = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """What must hold of the interpreter's file for an answer to be used again."""

    device: int
    inode: int
    mtime_ns: int
    size: int


def probe(executable: str) -> Environment:
    """Run the interpreter and return its environment; nothing is cached.

    `executable` is an absolute path; a virtual environment's python stands for its base interpreter.
    Raises InterpreterError: `python.not-found`, `python.unsupported`, `python.probe-failed`.
    """
    return _environment(_ask_base(executable))


async def probe_async(executable: str) -> Environment:
    """Do what `probe` does without blocking the event loop."""
    return await asyncio.to_thread(probe, executable)


class Environments:
    """Environments of the interpreters that were asked, in memory and, given a directory, on disk."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._known: dict[str, tuple[_File, Environment]] = {}
        # Interpreters are asked one after the other: there are few, and each costs a process.
        self._turn = asyncio.Lock()
        self._asked = 0
        self._begun: dict[str, Begun] = {}
        """Interpreters that were asked before there was this object."""

    def asked(self, executable: str, begun: Begun) -> None:
        """Take what an interpreter was asked already, for when it is first asked for."""
        self._begun[executable] = begun

    def known(self, executable: str) -> Environment | None:
        """Return the environment if it is in memory and the file is unchanged: one stat, no waiting."""
        entry = self._known.get(executable)
        if entry is None:
            return None
        try:
            return entry[1] if _identify(executable) == entry[0] else None
        except OSError:
            return None

    def get_now(self, executable: str) -> Environment:
        """Return the environment, asking the interpreter if need be; blocks, and raises as `probe` does."""
        known = self.known(executable)
        if known is not None:
            return known
        probing.check_runnable(executable)
        real = os.path.realpath(executable)
        file = _identify(real)
        answer = self._load(real, file)
        begun = self._begun.pop(executable, None)
        if begun is not None and (answer is not None or _file_of(begun.file) != file):
            probing.abandon(begun)
            begun = None
        if answer is None:
            self._asked += 1
            answer = _ask_base(executable, begun)
            base_file = _identify(answer["base"])
            self._save(os.path.realpath(answer["base"]), base_file, answer)
            if base_file != file:
                # The path names something that leads to the interpreter, and may lead elsewhere tomorrow.
                return _environment(answer)
        environment = _environment(answer)
        self._known[executable] = (file, environment)
        return environment

    async def get(self, executable: str) -> Environment:
        """Do what `get_now` does without blocking the event loop."""
        known = self.known(executable)
        if known is not None:
            return known
        async with self._turn:
            return await asyncio.to_thread(self.get_now, executable)

    def statistics(self) -> dict[str, int]:
        """Return counters for `sprawlctl status`."""
        return {"known": len(self._known), "asked": self._asked}

    def _file_of(self, real: str) -> Path | None:
        if self._directory is None:
            return None
        return self._directory / f"{hashlib.sha256(os.fsencode(real)).hexdigest()}.json"

    def _load(self, real: str, file: _File) -> dict[str, Any] | None:
        path = self._file_of(real)
        if path is None:
            return None
        try:
            kept = json.loads(_read_own(path))
            answer: dict[str, Any] = kept["answer"]
            if (
                kept["key"] == _key(real, file)
                and _check(answer)
                and os.path.realpath(answer["base"]) == real
            ):
                return answer
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("ignoring %s: %s", path, error)
        return None

    def _save(self, real: str, file: _File, answer: dict[str, Any]) -> None:
        path = self._file_of(real)
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, staged = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                    json.dump({"key": _key(real, file), "answer": answer}, stream)
                Path(staged).replace(path)
            except BaseException:
                Path(staged).unlink(missing_ok=True)
                raise
        except OSError as error:
            # Only the next start of the daemon is slower for it.
            _log.warning("cannot keep the answer of %s: %s", real, error)


def _read_own(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError("not a file that only this user can write")
        return stream.read()


def _identify(path: str) -> _File:
    # A path of the client, not a Path: this is on the way of every warm start.
    return _file_of(os.stat(path))  # noqa: PTH116


def _file_of(status: os.stat_result) -> _File:
    return _File(device=status.st_dev, inode=status.st_ino, mtime_ns=status.st_mtime_ns, size=status.st_size)


def _key(real: str, file: _File) -> list[Any]:
    libc = "-".join(platform.libc_ver())
    system = [*os.uname()[0:1], *os.uname()[2:], libc, platform.mac_ver()[0]]
    return [_FORMAT, packaging.__version__, system, real, file.mtime_ns, file.size]


def _ask_base(executable: str, begun: Begun | None = None) -> dict[str, Any]:
    """Return the answer of the base interpreter below `executable`, which may have been asked already."""
    path = executable
    for _ in range(_STEPS):
        answer, begun = _ask(path, begun), None
        base: str = answer["base"]
        try:
            if Path(base).samefile(path):
                return answer
        except OSError as error:
            raise InterpreterError(
                "python.not-found",
                f"the base interpreter of {path} is gone: {base}",
                hint="make the virtual environment again, or name another interpreter",
            ) from error
        path = base
    raise InterpreterError("python.probe-failed", f"{executable} leads to no base interpreter")


def _ask(executable: str, begun: Begun | None = None) -> dict[str, Any]:
    status, said, complained = probing.outcome(begun or probing.begin(executable), executable)
    if status:
        complaint = complained.decode("utf-8", "replace").strip()
        if "-I" in complaint and "nknown option" in complaint:
            raise _too_old(executable, "older than 3.4")
        last = complaint.splitlines()[-1][:200] if complaint else f"exit status {status}"
        raise InterpreterError("python.probe-failed", f"{executable} failed when asked: {last!r}")
    try:
        answer = json.loads(said)
        implementation, version = str(answer["implementation"]), tuple(answer["version"])
        if implementation != "cpython":
            raise _too_old(executable, f"{implementation}, not CPython")
        if version < OLDEST:
            raise _too_old(executable, f"Python {'.'.join(map(str, version))}")
        if not _check(answer):
            raise ValueError("incomplete")
    except (ValueError, KeyError, TypeError) as error:
        raise InterpreterError(
            "python.probe-failed", f"{executable} answered something that is not an answer"
        ) from error
    return answer  # type: ignore[no-any-return]


def _too_old(executable: str, what: str) -> InterpreterError:
    return InterpreterError(
        "python.unsupported",
        f"{executable} is {what}",
        hint=f"CPython {OLDEST[0]}.{OLDEST[1]} or newer is needed",
    )


_STRINGS: Final = ("base", "abiflags", "cache_tag", "soabi", "extension_suffix", "library")


def _check(answer: Any) -> bool:
    """Tell whether an answer, of an interpreter or from disk, has every part in its right type."""
    version, suffixes, markers, tags = (answer[key] for key in ("version", "suffixes", "markers", "tags"))
    return (
        all(isinstance(answer[key], str) for key in _STRINGS)
        and len(version) == 3
        and all(isinstance(part, int) for part in version)
        and all(isinstance(suffix, str) for suffix in suffixes)
        and isinstance(markers, dict)
        and all(isinstance(value, str) for value in markers.values())
        and (tags is None or (len(tags) > 0 and all(tag.count("-") == 2 for tag in tags)))
        and (tags is not None or isinstance(answer["facts"], dict))
        and answer["base"].startswith("/")
    )


def _environment(answer: dict[str, Any]) -> Environment:
    real = os.path.realpath(answer["base"])
    file = _identify(real)
    major, minor, micro = answer["version"]
    parts = [real, file.mtime_ns, file.size, [major, minor, micro]]
    parts += [answer[key] for key in ("soabi", "extension_suffix", "cache_tag", "abiflags")]
    return Environment(
        markers=dict(answer["markers"]),
        tags=_tags(answer),
        version=(major, minor, micro),
        identity=json.dumps(parts),
        # Some installations start through a link whose target goes by another name.
        executable=real if Path(real).name.startswith("python") else answer["base"],
        cache_tag=answer["cache_tag"],
        library=answer["library"],
        module_suffixes=tuple(answer["suffixes"]),
    )


def _tags(answer: dict[str, Any]) -> tuple[Tag, ...]:
    if answer["tags"] is not None:
        return tuple(Tag(*tag.split("-")) for tag in answer["tags"])
    facts = answer["facts"]
    platforms = platforms_of(
        facts["platform"],
        wide=facts["wide"],
        libc=(facts["libc"][0], facts["libc"][1]),
        macos=facts["macos"],
        machine=answer["markers"]["platform_machine"],
    )
    major, minor, _ = answer["version"]
    return build_tags(
        (major, minor), platforms, free_threaded=bool(answer.get("free_threaded")), debug=facts["debug"]
    )
