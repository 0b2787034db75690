"""Where the members of a wheel go in an entry, and what an entry offers by its paths alone.

An entry is a small prefix of its own, so that paths between its parts have the depth they have in a
virtual environment:

    lib/python/site-packages/   the wheel's root, .data/purelib, .data/platlib
    bin/                        .data/scripts
    include/<project>/          .data/headers
    everything else             .data/data, from the entry's root

Specification: binary distribution format, "The .data directory".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sprawld.errors import WheelError
from sprawld.store import manifest

from .membernames import fold, shown
from .wheelmetadata import check_script_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SITE_PACKAGES", "Contents", "Layout", "contents"]

SITE_PACKAGES: Final = "lib/python/site-packages"

_RESERVED: Final = frozenset({manifest.NAME, "pyvenv.cfg"})
"""Files at the root of an entry or a set that no wheel may bring."""

_TREES: Final = frozenset({"lib", "bin", "include"})
_SOURCE_SUFFIXES: Final = frozenset({".py", ".pyc"})
_EXTENSION_SUFFIXES: Final = frozenset({".so", ".abi3.so", ".abi3t.so"})


class Layout:
    """The mapping from member names to paths in the entry, for one wheel."""

    def __init__(self, data_directory: str, project: str) -> None:
        """Take `<name>-<version>.data` and the project name as METADATA spells it."""
        self._prefix = f"{data_directory}/"
        self._schemes = {
            "purelib": f"{SITE_PACKAGES}/",
            "platlib": f"{SITE_PACKAGES}/",
            "scripts": "bin/",
            "headers": f"include/{project}/",
            "data": "",
        }

    def place(self, name: str) -> str:
        """Return where a member goes, or raise WheelError; directories keep their slash."""
        if not name.startswith(self._prefix):
            return f"{SITE_PACKAGES}/{name}"
        scheme, slash, rest = name[len(self._prefix) :].partition("/")
        start = self._schemes.get(scheme)
        if start is None or not slash:
            if not scheme:  # the member for the .data directory itself
                return f"{SITE_PACKAGES}/"
            raise WheelError("wheel.bad-data", f"{shown(name)} is of no known scheme")
        if scheme == "scripts" and "/" in rest:
            raise WheelError("wheel.bad-data", f"{shown(name)} is a script in a directory")
        place = start + rest
        first, _, below = place.partition("/")
        if fold(first) in _RESERVED:
            raise WheelError("wheel.bad-data", f"{shown(name)} would replace a file of the store")
        if first == "bin" and below and "/" not in below:
            check_script_name(below)
        return place


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an entry offers, as far as paths tell; the fields are those of ManifestSummary."""

    top_level: dict[str, str] = field(default_factory=dict)
    init: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scripts: tuple[str, ...] = ()
    """Files directly in bin/."""
    data: tuple[str, ...] = ()
    pth: tuple[str, ...] = ()


def contents(paths: Iterable[str]) -> Contents:
    """Sort the paths of an entry's files into what its summary tells."""
    top_level: dict[str, str] = {}
    init: dict[str, tuple[str, ...]] = {}
    scripts: list[str] = []
    data: set[str] = set()
    below_site_packages = len(SITE_PACKAGES) + 1
    for path in sorted(paths):
        if path.startswith(f"{SITE_PACKAGES}/"):
            name, slash, rest = path[below_site_packages:].partition("/")
            if not slash:
                top_level[name] = "module" if _is_module(name) else "file"
            elif _is_module(rest) and rest.startswith("__init__.") and "." not in name:
                top_level[name] = "package"
                init[name] = (*init.get(name, ()), rest)
            elif top_level.get(name, "directory") == "directory":
                top_level[name] = "namespace" if _is_importable(f"{name}/{rest}") else "directory"
            continue
        tree, slash, rest = path.partition("/")
        if tree not in _TREES or not slash:
            data.add(tree)
        elif tree == "bin" and "/" not in rest:
            scripts.append(rest)
    return Contents(
        top_level=top_level,
        init=init,
        scripts=tuple(scripts),
        data=tuple(sorted(data)),
        pth=tuple(name for name, kind in top_level.items() if kind == "file" and _is_startup(name)),
    )


def _is_module(name: str) -> bool:
    """Tell whether some interpreter would import a file: the stem of a module's name has no dot."""
    dot = name.find(".")
    if dot <= 0 or "/" in name:
        return False
    suffix = name[dot:]
    return (
        suffix in _SOURCE_SUFFIXES
        or suffix in _EXTENSION_SUFFIXES
        or (suffix.endswith(".so") and suffix.startswith((".cpython-", ".pypy")))
    )


def _is_importable(path: str) -> bool:
    directory, _, file = path.rpartition("/")
    return "." not in directory and _is_module(file)


def _is_startup(name: str) -> bool:
    return name.endswith((".pth", ".start"))
