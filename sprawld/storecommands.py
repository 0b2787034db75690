"""The commands that care for the store: JSON in, JSON out. Their shapes are part of the interface.

gc      {dry_run, max_age_s, max_size, min_free}  -> sets, entries, bytes, items [{kind, name, bytes, reason}]
verify  {level, repair, offline, fields}          -> sound, checked {}, problems [{kind, path, status, ...}]
ls      {}                                        -> entries [{name, version, sha256, ...}], bundles [{...}]
why     {name, version}                           -> entries [{name, version, sets [...], installs [...]}]
pin     {path}                                    -> path, changed, sets
unpin   {path}                                    -> path, changed, sets
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from .errors import RequestError, SprawlError
from .pathsets.view import remove_abandoned
from .store import bundles, gc, holders, leases, pins, references
from .store.budget import Budget
from .store.manifest import read_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .parts import Parts
    from .progress import Progress
    from .store.manifest import ManifestSummary
    from .store.writable import Unused

__all__ = ["COMMANDS", "collect", "run_store_command"]

COMMANDS = ("gc", "verify", "ls", "why", "pin", "unpin")

QUARANTINE_SECONDS = 7 * 86400.0
"""Long enough to look at what was damaged, and by what."""


async def run_store_command(
    parts: Parts, command: str, arguments: Mapping[str, object], report: Callable[[Progress], None]
) -> object:
    """Run one of `COMMANDS`."""
    match command:
        case "gc":
            return await _gc(parts, arguments)
        case "verify":
            return await _verify(parts, arguments, report)
        case "ls":
            return await asyncio.to_thread(_ls, parts)
        case "why":
            name, version = _text(arguments, "name"), _text(arguments, "version")
            return await asyncio.to_thread(_why, parts, name, version)
        case "pin" | "unpin":
            path = Path(_text(arguments, "path"))
            if not path.is_absolute():
                raise RequestError("proto.malformed", f"the path to {command} is not absolute: {path}")
            return await asyncio.to_thread(_pin, parts, path, command == "pin")
        case _:
            raise AssertionError(command)


def _text(arguments: Mapping[str, object], name: str) -> str:
    value = arguments.get(name, "")
    if not isinstance(value, str):
        raise RequestError("proto.malformed", f"the argument {name} must be a string")
    return value


def _number(arguments: Mapping[str, object], name: str) -> float | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        raise RequestError("proto.malformed", f"the argument {name} must be a number and not negative")
    return float(value)


# --- gc ---


async def _gc(parts: Parts, arguments: Mapping[str, object]) -> dict[str, Any]:
    age, size, free = (_number(arguments, name) for name in ("max_age_s", "max_size", "min_free"))
    dry_run = bool(arguments.get("dry_run", False))
    # What the user names now is meant: what is being made right now is protected by its holds.
    named = not (age is None and size is None and free is None)
    grace = 0.0 if named else gc.GRACE_SECONDS

    def work() -> dict[str, Any]:
        return collect(
            parts,
            age=age,
            max_size=None if size is None else int(size),
            min_free=None if free is None else int(free),
            grace=grace,
            dry_run=dry_run,
        )

    return await asyncio.to_thread(work)


def collect(
    parts: Parts,
    *,
    age: float | None = None,
    max_size: int | None = None,
    min_free: int | None = None,
    grace: float | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Run one gc within the limits given, and those of the configuration where none are; blocks.

    On a full disk the reserve is given up first, and made again when there is room.
    """
    if grace is None:
        grace = gc.GRACE_SECONDS
    if not dry_run:
        parts.reserve.drop_if_scarce()
    try:
        report = _collect(parts, age, max_size, min_free, grace, dry_run)
    except SprawlError as error:
        if error.code != "disk.full" or dry_run or not parts.reserve.drop():
            raise
        report = _collect(parts, age, max_size, min_free, grace, dry_run)
    if not dry_run:
        _sweep(parts)
        gone = [dead.name for dead in report.removed if dead.kind == "sets"]
        parts.loop.call_soon_threadsafe(parts.ready.forget_sets, gone)
        parts.reserve.make()
    copies = _collect_copies(parts, grace, dry_run)
    items = [asdict(dead) for dead in report.removed]
    for copy in copies:
        name = str(copy.lock or copy.path)
        items.append(
            {"kind": "writable", "name": name, "bytes": copy.bytes, "reason": copy.reason, "title": name}
        )
    return {
        "dry_run": dry_run,
        "sets": sum(item["kind"] == "sets" for item in items),
        "entries": sum(item["kind"] == "wheels" for item in items),
        "bytes": sum(item["bytes"] for item in items),
        "items": items,
    }


def _collect(
    parts: Parts, age: float | None, max_size: int | None, min_free: int | None, grace: float, dry_run: bool
) -> gc.GcReport:
    config = parts.config
    default = gc.MAX_AGE_SECONDS if config.gc_max_age is None else config.gc_max_age
    limits = Budget.of(
        parts.store.root,
        config.gc_max_size if max_size is None else max_size,
        config.gc_min_free if min_free is None else min_free,
    )
    with parts.collecting:
        plan = gc.plan(
            parts.store,
            parts.state,
            now=time.time(),
            max_age_seconds=default if age is None else age,
            grace_seconds=grace,
            client=parts.realiser.client_digest,
            believe_ages=age is not None,
            limits=limits,
        )
        return gc.run(plan, dry_run=dry_run)


def _collect_copies(parts: Parts, grace: float, dry_run: bool) -> list[Unused]:
    """Remove the writable copies whose lockfile has changed or is gone."""
    if not dry_run:
        with contextlib.suppress(FileNotFoundError):
            remove_abandoned(parts.store.root / "writable", ".")
    found = parts.writable.unused(now=time.time(), grace=grace)
    return [copy for copy in found if dry_run or parts.writable.remove(copy)]


def _sweep(parts: Parts) -> None:
    """Drop what belongs to nothing any more: origins of entries that are gone, old quarantined trees."""
    store = parts.store
    needed: set[str] = {*store.entries()}
    for name in store.sets():
        found = references.read_references(store.set_path(name))
        needed |= found.names if found is not None else set()
    parts.origins.sweep(needed, before=time.time() - gc.GRACE_SECONDS)
    for name in store.quarantine.names():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - (store.root / "quarantine" / name).lstat().st_ctime > QUARANTINE_SECONDS:
                store.quarantine.delete(name)


# --- verify ---


async def _verify(
    parts: Parts, arguments: Mapping[str, object], report: Callable[[Progress], None]
) -> dict[str, Any]:
    level, fields = arguments.get("level", "sample"), arguments.get("fields", {})
    if level not in ("quick", "sample", "all"):
        raise RequestError("proto.malformed", f"there is no level {level!r}")
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise RequestError("proto.malformed", "the argument fields must be an object of strings")
    document = await parts.caretaker.verify(
        level,
        repair=bool(arguments.get("repair", False)),
        offline=bool(arguments.get("offline", False)),
        settings=lambda: parts.settings_of(fields),
        report=report,
    )
    parts.scrubber.learn(document)
    return document


# --- ls, why, pin ---


def _ls(parts: Parts) -> dict[str, Any]:
    store = parts.store
    uses: dict[str, int] = dict(parts.state.entry_uses().items())
    projects: dict[str, set[str]] = {}
    for name in store.sets():
        found = references.read_references(store.set_path(name))
        if found is None:
            continue
        known = _uses(parts, name, found)
        for digest in found.names:
            projects.setdefault(digest, set()).update(str(lock) for lock in known)
            uses[digest] = max(uses.get(digest, 0), *known.values(), 0)
    for link in parts.state.projects.all():
        found = references.read_references(store.set_path(link.digest)) if link.digest else None
        for digest in found.names if found is not None else ():
            projects.setdefault(digest, set()).add(str(link.lock))
    for install in parts.state.installs.all():
        for digest in install.entries:
            projects.setdefault(digest, set()).add(str(install.target))
    rows = []
    for digest in sorted(store.entries()):
        summary = _summary(parts, digest)
        rows.append(
            {
                "name": summary.name if summary else None,
                "version": summary.version if summary else None,
                "sha256": digest,
                "bytes": summary.bytes if summary else 0,
                "pack_bytes": store.packs.bytes_of(digest),
                "last_used": uses.get(digest) or None,
                "projects": len(projects.get(digest, ())),
            }
        )
    return {"entries": rows, "bundles": bundles.listing(store)}


def _why(parts: Parts, name: str, version: str) -> dict[str, Any]:
    wanted = canonicalize_name(name)
    store, rows = parts.store, []
    for digest in sorted(store.entries()):
        summary = _summary(parts, digest)
        if summary is None or canonicalize_name(summary.name) != wanted:
            continue
        if version and summary.version != version:
            continue
        rows.append(
            {
                "name": summary.name,
                "version": summary.version,
                "sha256": digest,
                "bytes": summary.bytes,
                "path": str(store.entry_path(digest)),
                "sets": _sets_with(parts, digest),
                "installs": [
                    str(install.target) for install in parts.state.installs.all() if digest in install.entries
                ],
                "held": digest in store.holds,
            }
        )
    return {"name": wanted, "version": version or None, "entries": rows}


def _sets_with(parts: Parts, digest: str) -> list[dict[str, Any]]:
    store, kept = parts.store, parts.state.pins.all()
    links = [follower for follower in parts.state.projects.all() if follower.is_alive()]
    found = []
    for name in sorted(store.sets()):
        path = store.set_path(name)
        reference = references.read_references(path)
        if reference is not None and digest in reference.names:
            found.append((name, path, reference))
    running = holders.holders_of(path for _, path, _ in found)
    rows = []
    for name, path, reference in found:
        locks = _uses(parts, name, reference)
        rows.append(
            {
                "set": name,
                "locks": [
                    {
                        "path": str(lock),
                        "exists": lock.exists(),
                        "last_used": used,
                        "pins": [str(pin.path) for pin in kept if pins.covers([pin], lock)],
                    }
                    for lock, used in sorted(locks.items())
                ],
                "links": [
                    {"kind": link.kind, "path": str(link.anchor)} for link in links if link.digest == name
                ],
                "in_use": leases.is_leased(path),
                "processes": [
                    {"pid": holder.pid, "command": holder.command} for holder in running.get(path, ())
                ],
            }
        )
    return rows


def _uses(parts: Parts, name: str, found: references.References) -> dict[Path, int]:
    """Return the lockfiles that gave a set, with the last use of each."""
    uses = {} if found.lock is None else {found.lock: found.made}
    uses |= {root.lock: root.used for root in parts.state.roots_of(name)}
    # Starts that ask no daemon tell it there.
    stamp = leases.last_use(parts.store.set_path(name))
    return {lock: max(used, stamp) for lock, used in uses.items()}


def _summary(parts: Parts, digest: str) -> ManifestSummary | None:
    try:
        return read_summary(parts.store.entry_path(digest) / "manifest")
    except SprawlError:
        return None


def _pin(parts: Parts, path: Path, keep: bool) -> dict[str, Any]:
    book = parts.state.pins
    changed = book.pin(path, now=time.time()) if keep else book.unpin(path)
    this = [pins.Pin(path=path, pinned=0)]
    sets = 0
    for name in parts.store.sets():
        found = references.read_references(parts.store.set_path(name))
        if found is not None:
            sets += any(pins.covers(this, lock) for lock in _uses(parts, name, found))
    return {"path": os.fspath(path), "changed": changed, "sets": sets}
