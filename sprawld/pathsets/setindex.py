"""The set index: top-level import name -> where it lies, as CPython's FileFinder would find it.

The hook loads it in place of listing the set's site-packages; the bytes of the file `index` and of the
daemon's reply are the same:

    marshal.dumps((2, cache tag, set directory, site-packages directory, top, start-up, digests, owners), 4)
    top: dict[str, tuple[kind, path relative to site-packages]]
    start-up: names of the `.pth` and `.start` files in site-packages, or None if that is to be looked up
    digests: entries; owners: dict[path relative to site-packages, position in digests]

A path in `owners` is a link into that entry. Only directories and source files that can be imported have one:
it leads the finder to the pack.

Rules, those of FileFinder in one directory: a directory with an `__init__` is a package; else a file is a
module; else a directory is a portion of a namespace package. Among files the interpreter's own order of
suffixes decides. A name with a dot in it can never be asked for.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = ["MODULE", "NAMESPACE", "PACKAGE", "SetIndex", "decode", "encode", "importable"]

FORMAT: Final = 2
MARSHAL_VERSION: Final = 4
"""Written by the daemon's Python, read by any from 3.8 on: all of them know version 4."""

PACKAGE: Final = 0
MODULE: Final = 1
NAMESPACE: Final = 2


class SetIndex(NamedTuple):
    """A decoded index."""

    format: int
    cache_tag: str
    set_directory: str
    site_packages: str
    top: dict[str, tuple[int, str]]
    start_up: tuple[str, ...] | None
    digests: tuple[str, ...]
    owners: dict[str, int]


def importable(
    files: Iterable[str], directories: Mapping[str, Collection[str]], suffixes: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Return the index's `top` for one site-packages directory.

    `files` are the names of files in it; `directories` maps each directory to the names of the `__init__`
    files in it, none for a directory without; `suffixes` are `Environment.module_suffixes`.
    """
    top: dict[str, tuple[int, str]] = {}
    for name in directories:
        if "." not in name:
            top[name] = (NAMESPACE, name)
    # From the last suffix to the first, so that the first has the last word.
    for suffix in reversed(suffixes):
        for name in files:
            module = name.removesuffix(suffix)
            if module != name and module and "." not in module:
                top[module] = (MODULE, name)
    for suffix in reversed(suffixes):
        init = "__init__" + suffix
        for name, inits in directories.items():
            if init in inits and "." not in name:
                top[name] = (PACKAGE, f"{name}/{init}")
    return top


def encode(
    cache_tag: str,
    set_directory: str,
    site_packages: str,
    top: Mapping[str, tuple[int, str]],
    *,
    start_up: Iterable[str] | None = None,
    links: Mapping[str, str] | None = None,
) -> bytes:
    """Return the index's bytes; `links` maps paths below site-packages to the digests of entries."""
    owned = {path: digest for path, digest in sorted((links or {}).items()) if _leads_to_modules(path)}
    digests = sorted(set(owned.values()))
    positions = {digest: position for position, digest in enumerate(digests)}
    index = SetIndex(
        format=FORMAT,
        cache_tag=cache_tag,
        set_directory=set_directory,
        site_packages=site_packages,
        top=dict(sorted(top.items())),
        start_up=None if start_up is None else tuple(sorted(start_up)),
        digests=tuple(digests),
        owners={path: positions[digest] for path, digest in owned.items()},
    )
    return marshal.dumps(tuple(index), MARSHAL_VERSION)


def decode(data: bytes) -> SetIndex:
    """Return the index that `encode` wrote; only for bytes of this user, since marshal trusts its input."""
    return SetIndex(*marshal.loads(data))  # noqa: S302


def _leads_to_modules(path: str) -> bool:
    name = path.rpartition("/")[2]
    return "." not in name or name.endswith(".py")
