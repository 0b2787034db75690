"""Is a path set what would be built today from its own description: name by name, link by link, byte by byte.

1. `set.json` says what a set was built from. The set is built once more in tmp/ and the two trees are
   compared, so there is one statement of what a set has to be: `build_set`.
2. A set whose interpreter was replaced, or that another release built, cannot be built once more. It is
   "stale": nothing asks for it again, and it is only checked that its links lead somewhere and agree with its
   description, and that its lease is one that programs can hold.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from sprawld.model import Digest
from sprawld.store import files, leases, manifest, references

from . import overlay, startup
from .merge import same_content
from .pathset import SetEntry, build_set, set_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sprawld.model import Environment, Overlay

__all__ = ["Description", "Difference", "compare", "describe_set", "is_current", "outline", "rebuild"]

DESCRIPTION_BYTES: Final = 16 << 20
_NOT_BUILT: Final = "boot"
"""Written when a set is published, not when it is built."""

DifferenceKind = Literal["missing", "extra", "changed", "mode", "link", "description"]


class Difference(NamedTuple):
    """One way in which a set is not what it should be."""

    kind: DifferenceKind
    """link: it leads to another place, or to none."""
    path: str
    """From the set's root, with slashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What `set.json` says that the set was built from."""

    lock: Path
    entries: tuple[Digest, ...]
    packages: tuple[str, ...]
    """`name==version` of each entry."""
    client: str
    executable: str
    identity: str
    """`Environment.identity` of the interpreter it was built for."""
    overlays: tuple[Overlay, ...] = ()
    bundles: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    """Distributions whose start-up code runs."""


def describe_set(path: Path) -> Description | None:
    """Read `set.json` in the set's directory; None when it is missing or damaged."""
    try:
        content: dict[str, Any] = json.loads(files.read_small(path / "set.json", DESCRIPTION_BYTES))
        found = Description(
            lock=Path(content["lock"]),
            entries=tuple(Digest(_text(digest)) for digest in content["entries"]),
            packages=tuple(map(_text, content["packages"])),
            client=_text(content["client"]),
            executable=_text(content["python"]["executable"]),
            identity=_text(content["python"]["identity"]),
            overlays=tuple(map(overlay.from_record, content.get("overlays", ()))),
            bundles=tuple(map(_text, content.get("bundles", ()))),
            allowed=tuple(map(_text, content.get("allowed", sorted(startup.ALLOWED)))),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if len(found.entries) == len(found.packages) else None


def is_current(name: str, described: Description, environment: Environment) -> bool:
    """Tell whether a request of today, for the interpreter as it is, would name this very set."""
    return environment.identity == described.identity and name == set_digest(
        described.entries, environment, described.client, described.overlays, described.allowed
    )


def rebuild(
    staged: Path, final: Path, described: Description, environment: Environment, store_root: Path
) -> None:
    """Build into the empty directory `staged` what should lie at `final`; raises what `build_set` raises."""
    entries = []
    for digest, package in zip(described.entries, described.packages, strict=True):
        name, _, version = package.rpartition("==")
        summary = manifest.read_summary(store_root / "wheels" / digest / manifest.NAME)
        entries.append(SetEntry(digest=digest, name=name, version=version, summary=summary))
    build_set(
        staged,
        final,
        entries,
        environment,
        store_root=store_root,
        client_digest=described.client,
        lock=described.lock,
        overlays=described.overlays,
        bundles=described.bundles,
        allowed=described.allowed,
    )


def compare(final: Path, built: Path) -> list[Difference]:
    """Return how the set at `final` differs from the one just built, sorted by path.

    Follows no link. The modes of the two roots are not compared: `built` is not published.
    """
    found, wanted = dict(_walk(final)), dict(_walk(built))
    status = found.pop(_NOT_BUILT, None)
    differences = [] if status and stat.S_ISREG(status.st_mode) else [Difference("missing", _NOT_BUILT)]
    differences += [Difference("missing", path) for path in wanted.keys() - found.keys()]
    differences += [Difference("extra", path) for path in found.keys() - wanted.keys()]
    for path in wanted.keys() & found.keys():
        kind = _difference(final / path, found[path], built / path, wanted[path])
        if kind is not None:
            differences.append(Difference(kind, path))
    return sorted(differences, key=lambda difference: difference.path)


def outline(path: Path, described: Description) -> list[Difference]:
    """Check what can be checked of a stale set: links that dangle, and entries that it does not describe.

    The interpreter may be gone; that is what makes a set stale.
    """
    differences = [
        Difference("link", place)
        for place, status in _walk(path)
        if stat.S_ISLNK(status.st_mode)
        and not os.readlink(path / place).startswith("/")
        and not os.path.exists(path / place)
    ]
    if not _is_lease(path / leases.LEASE):
        differences.append(Difference("changed", leases.LEASE))
    named = {*described.entries, *described.bundles, described.client}
    if references.of_links(path) != named:
        differences.append(Difference("description", "set.json"))
    return sorted(differences, key=lambda difference: difference.path)


def _is_lease(path: Path) -> bool:
    """Tell whether a lease can be held: without one gc would take the set for one that nobody runs on."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and os.access(path, os.R_OK | os.W_OK)
    except OSError:
        return False


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(root / prefix) as children:
            for child in children:
                status = child.stat(follow_symlinks=False)
                yield prefix + child.name, status
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(f"{prefix}{child.name}/")


def _is_same(path: Path, found: os.stat_result, built: Path, wanted: os.stat_result) -> bool:
    # Hard links to one file are it, whatever it holds.
    return os.path.samestat(found, wanted) or (
        found.st_size == wanted.st_size and same_content(os.fspath(path), os.fspath(built))
    )


def _difference(
    path: Path, found: os.stat_result, built: Path, wanted: os.stat_result
) -> DifferenceKind | None:
    if stat.S_IFMT(found.st_mode) != stat.S_IFMT(wanted.st_mode):
        return "changed"
    if stat.S_ISLNK(wanted.st_mode):
        return "link" if os.readlink(path) != os.readlink(built) else None
    if stat.S_ISREG(wanted.st_mode) and not _is_same(path, found, built, wanted):
        return "changed"
    return "mode" if stat.S_IMODE(found.st_mode) != stat.S_IMODE(wanted.st_mode) else None
