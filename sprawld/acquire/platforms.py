"""Environments by description: markers and tags of interpreters and platforms that are not on this machine.

Specifications: platform compatibility tags (PEP 425, 513, 571, 599, 600, 656) and dependency specifiers.
The libc and macOS versions assumed for a named platform are the ones uv assumes for the same name, so that
both tools choose the same files.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms

from sprawld.errors import InterpreterError, SelectionError
from sprawld.model import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PLATFORMS", "build_tags", "describe", "platform_of", "platforms_of"]

OLDEST: Final = (3, 8)
# Minor versions up to this one existed before a glibc 3 could; the compatibility rule counts down from it.
_LAST_GLIBC_2_MINOR: Final = 50
_LEGACY_MANYLINUX: Final = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_MANYLINUX_MACHINES: Final = frozenset(
    {"x86_64", "i686", "aarch64", "armv7l", "ppc64", "ppc64le", "s390x", "loongarch64", "riscv64"}
)
_GLIBC: Final = (2, 28)
_MUSL: Final = (1, 2)
_MACOS: Final = (13, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Platform:
    system: str
    """`platform.system()`: Linux, Darwin or Windows."""
    machine: str
    """`platform.machine()` there."""
    tags: tuple[str, ...]
    """Platform tags, best first."""
    extension: str
    """Extension suffix of that build; `{}` is the version without dot and, if free-threaded, `t`."""


def _linux(machine: str, glibc: tuple[int, int] | None = _GLIBC) -> _Platform:
    tags = manylinux(machine, glibc) if glibc else musllinux(machine, _MUSL)
    libc = "gnu" if glibc else "musl"
    return _Platform(
        system="Linux",
        machine=machine,
        tags=(f"linux_{machine}", *tags),
        extension=f".cpython-{{}}-{machine}-linux-{libc}.so",
    )


def _macos(machine: str) -> _Platform:
    return _Platform(
        system="Darwin",
        machine=machine,
        tags=tuple(mac_platforms(_MACOS, machine)),
        extension=".cpython-{}-darwin.so",
    )


def _windows(machine: str, tag: str) -> _Platform:
    return _Platform(system="Windows", machine=machine, tags=(tag,), extension=f".cp{{}}-{tag}.pyd")


def manylinux(machine: str, glibc: tuple[int, int]) -> Iterator[str]:
    """Yield the manylinux tags a glibc of this version can run, newest first (PEP 600)."""
    if machine not in _MANYLINUX_MACHINES:
        return
    oldest = (2, 5) if machine in ("x86_64", "i686") else (2, 17)
    major, minor = glibc
    while (major, minor) >= oldest:
        yield f"manylinux_{major}_{minor}_{machine}"
        if legacy := _LEGACY_MANYLINUX.get((major, minor)):
            yield f"{legacy}_{machine}"
        major, minor = (major, minor - 1) if minor else (major - 1, _LAST_GLIBC_2_MINOR)


def musllinux(machine: str, musl: tuple[int, int]) -> Iterator[str]:
    """Yield the musllinux tags a musl of this version can run, newest first (PEP 656)."""
    for minor in range(musl[1], -1, -1):
        yield f"musllinux_{musl[0]}_{minor}_{machine}"


def platform_of(environment: Environment) -> str:
    """Return the name of the platform that an interpreter of this machine runs on."""
    machine = environment.markers.get("platform_machine", "")
    if environment.markers.get("sys_platform") == "darwin":
        return f"macos-{machine}"
    is_musl = any(tag.platform.startswith("musllinux") for tag in environment.tags)
    return f"{'musllinux' if is_musl else 'linux'}-{machine}"


@functools.cache
def _platforms() -> dict[str, _Platform]:
    return {
        "linux-x86_64": _linux("x86_64"),
        "linux-aarch64": _linux("aarch64"),
        "musllinux-x86_64": _linux("x86_64", None),
        "musllinux-aarch64": _linux("aarch64", None),
        "macos-arm64": _macos("arm64"),
        "macos-x86_64": _macos("x86_64"),
        "windows-x86_64": _windows("AMD64", "win_amd64"),
        "windows-arm64": _windows("ARM64", "win_arm64"),
        "windows-x86": _windows("x86", "win32"),
    }


_TRIPLES: Final = {
    "linux": "linux-x86_64",
    "macos": "macos-arm64",
    "windows": "windows-x86_64",
    "x86_64-unknown-linux-gnu": "linux-x86_64",
    "aarch64-unknown-linux-gnu": "linux-aarch64",
    "x86_64-unknown-linux-musl": "musllinux-x86_64",
    "aarch64-unknown-linux-musl": "musllinux-aarch64",
    "aarch64-apple-darwin": "macos-arm64",
    "x86_64-apple-darwin": "macos-x86_64",
    "x86_64-pc-windows-msvc": "windows-x86_64",
    "aarch64-pc-windows-msvc": "windows-arm64",
    "i686-pc-windows-msvc": "windows-x86",
}
PLATFORMS: Final = (
    "linux-x86_64",
    "linux-aarch64",
    "musllinux-x86_64",
    "musllinux-aarch64",
    "macos-arm64",
    "macos-x86_64",
    "windows-x86_64",
    "windows-arm64",
    "windows-x86",
)
"""Names that `describe` takes, besides uv's (`x86_64-unknown-linux-gnu`, `x86_64-manylinux_2_34`)."""

_PYTHON: Final = re.compile(r"(?:cpython-?)?(3)\.([0-9]{1,3})(?:\.([0-9]{1,3}))?(t?)", re.ASCII)
_MANYLINUX: Final = re.compile(r"(x86_64|aarch64)-(?:manylinux_2_([0-9]{1,2})|manylinux(2014))", re.ASCII)


def describe(python: str, platform: str) -> Environment:
    """Return the environment of a CPython (`3.12`, `3.12.1`, `3.13t`) on a named platform.

    `3.12` means 3.12.0. `platform_release` and `platform_version` are empty: nothing is known of them.
    Raises InterpreterError `python.unsupported` and SelectionError `select.unsupported-environment`.
    """
    match = _PYTHON.fullmatch(python)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        raise InterpreterError(
            "python.unsupported",
            f"{python!r} does not name a CPython this release supports",
            hint=f"give a version from {OLDEST[0]}.{OLDEST[1]} on, such as 3.12, 3.12.1 or 3.13t",
        )
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    return _environment(version, bool(match[4]), _find(platform), platform)


def _find(platform: str) -> _Platform:
    if match := _MANYLINUX.fullmatch(platform):
        return _linux(match[1], (2, 17 if match[3] else int(match[2])))
    found = _platforms().get(_TRIPLES.get(platform, platform))
    if found is None:
        raise SelectionError(
            "select.unsupported-environment",
            f"{platform!r} is not a platform this release can describe",
            hint=f"known: {', '.join(PLATFORMS)}",
        )
    return found


def _environment(
    version: tuple[int, int, int], free_threaded: bool, platform: _Platform, name: str
) -> Environment:
    short = f"{version[0]}.{version[1]}"
    full = ".".join(map(str, version))
    threads = "t" if free_threaded else ""
    nodot = f"{version[0]}{version[1]}"
    windows = platform.system == "Windows"
    suffixes = [platform.extension.format(nodot + threads)]
    suffixes += [".pyd"] if windows else [".abi3.so", ".so"]
    return Environment(
        markers={
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "nt" if windows else "posix",
            "platform_machine": platform.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": platform.system,
            "platform_version": "",
            "python_full_version": full,
            "python_version": short,
            "sys_platform": {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}[platform.system],
        },
        tags=build_tags(version[:2], platform.tags, free_threaded=free_threaded),
        version=version,
        identity=f"described:{full}{threads}:{name}",
        cache_tag=f"cpython-{nodot}",
        library=f"python{short}{threads}",
        module_suffixes=(*suffixes, ".py", ".pyc"),
    )


def build_tags(
    version: tuple[int, int], platforms: Iterable[str], *, free_threaded: bool = False, debug: bool = False
) -> tuple[Tag, ...]:
    """Return every tag a CPython of this version supports on these platform tags, best first."""
    platforms = tuple(platforms)
    nodot = f"{version[0]}{version[1]}"
    abi = f"cp{nodot}{'t' if free_threaded else ''}"
    # A debug build loads normal extension modules too.
    abis = [f"{abi}d", abi] if debug else [abi]
    return (
        *cpython_tags(version, abis, platforms),
        *compatible_tags(version, f"cp{nodot}", platforms),
    )


def platforms_of(
    platform: str, *, wide: bool, libc: tuple[str, str], macos: str, machine: str
) -> tuple[str, ...]:
    """Return the platform tags of a real interpreter from raw facts, best first.

    `platform` is `sysconfig.get_platform()`, `wide` tells 64-bit builds, `libc` is (name, version),
    `macos` the system's version or empty, `machine` is `platform.machine()`.
    """
    name = re.sub(r"[^a-z0-9_]", "_", platform.lower())
    if macos:
        major, minor = _two(macos)
        return tuple(mac_platforms((major, minor), machine if wide else "i386"))
    if not name.startswith("linux_"):
        return (name,)
    machine = name.removeprefix("linux_")
    if not wide:
        machine = {"x86_64": "i686", "aarch64": "armv8l"}.get(machine, machine)
    machines = ("armv8l", "armv7l") if machine == "armv8l" else (machine,)
    tags = [f"linux_{each}" for each in machines]
    for each in machines:
        if libc[0] == "glibc" and libc[1]:
            tags += manylinux(each, _two(libc[1]))
        elif libc[0] == "musl" and libc[1]:
            tags += musllinux(each, _two(libc[1]))
    return tuple(tags)


def _two(version: str) -> tuple[int, int]:
    match = re.match(r"([0-9]+)\.([0-9]+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
