"""`doctor`: what there is to know of a project's packages and of the store before one wonders.

doctor   {fields}   -> lock, set, python, findings [{code, level, message, remedy, subject}]

1. Nothing is fetched, built or changed; what is not there yet is said to be so.
2. A finding has a stable code. Levels: ok, note (good to know), warning (may surprise), error (will not run).
3. A refusal of the lock is a finding under its own code, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from .errors import RequestError, SprawlError
from .model import digest_of
from .pathsets import startup
from .request import ResolveRequest
from .selecting import packages_of, why_no_lock
from .store import bundles, capabilities, files
from .store.firstuse import Release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from .model import Choice, Environment
    from .parts import Parts
    from .selecting import Selected

__all__ = ["CODES", "Remark", "doctor"]

Level = Literal["ok", "note", "warning", "error"]

CODES: Final = (
    "bundle.made",
    "conflict.code",
    "conflict.text",
    "lock.found",
    "lock.needs-build",
    "lock.unpinned",
    "lock.warning",
    "set.not-made",
    "set.ready",
    "startup.allowed",
    "startup.refused",
    "startup.namespace",
    "store.hard-links",
    "store.low",
    "store.network",
    "store.reflinks",
    "store.volatile",
    "user.root",
)
"""Those of this file; refusals come under their own."""

CODE_SUFFIXES: Final = (".py", ".so", ".pyc", ".pyd", ".dylib", ".pth", ".pyi")
LOW_BYTES: Final = 1 << 30
LOW_INODES: Final = 20_000
_DESCRIPTION_BYTES: Final = 16 << 20
_SHOWN: Final = 12
"""Names in one message; the JSON of `select` and `set.json` have all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One finding."""

    code: str
    level: Level
    message: str
    remedy: str = ""
    subject: str = ""
    """The package or file, where it is one."""


async def doctor(parts: Parts, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Answer the command; RequestError for arguments that make no sense."""
    fields = arguments.get("fields")
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise RequestError("proto.malformed", "the argument fields must be an object of strings")
    request = ResolveRequest.from_fields(fields)
    document: dict[str, Any] = {"lock": None, "set": None, "python": str(request.python)}
    found = await asyncio.to_thread(lambda: [*_of_user(), *_of_store(parts)])
    try:
        environment = await parts.environments.get(request.python)
        selected = await parts.selector.select(request, environment)
        if selected is None:
            raise await asyncio.to_thread(why_no_lock, request)
        document["lock"] = str(selected.selection.lock)
        found += await asyncio.to_thread(lambda: [*_of_lock(parts, selected)])
        name = await asyncio.to_thread(_set_name, parts, selected, environment)
        document["set"] = name
        found += await asyncio.to_thread(lambda: [*_of_set(parts, name)])
    except SprawlError as error:
        found.append(Remark(code=error.code, level="error", message=error.message, remedy=error.hint or ""))
    document["findings"] = [asdict(remark) for remark in found]
    return document


def _of_user() -> Iterator[Remark]:
    if os.geteuid() == 0:
        yield Remark(
            code="user.root",
            level="warning",
            message="root may write to read-only files, so a program can change what all projects share",
            remedy="run as another user where you can; `sprawlctl verify --all` finds what was changed",
        )


def _of_store(parts: Parts) -> Iterator[Remark]:
    store = parts.store
    can = capabilities.probe(store)
    yield Remark(
        code="store.hard-links",
        level="ok" if can.hard_links else "warning",
        message=f"{store.root}: hard links {'work' if can.hard_links else 'do not work; bundles are copies'}",
        remedy="" if can.hard_links else "put the cache on a file system that has them: XDG_CACHE_HOME",
    )
    reflinks = (
        "reflinks work" if can.reflinks else "no reflinks here; a view is hard links, or for root copies"
    )
    yield Remark(code="store.reflinks", level="ok", message=reflinks)
    if can.network:
        yield Remark(
            code="store.network",
            level="warning",
            message=f"{store.root} lies on a network file system: slower, and only one machine may use it",
            remedy="put the cache on a local disk: XDG_CACHE_HOME",
        )
    # Some file systems have no table of inodes, and say 0.
    if can.free_bytes < LOW_BYTES or 0 < can.free_inodes < LOW_INODES:
        yield Remark(
            code="store.low",
            level="warning",
            message=f"{can.free_bytes >> 20} MiB and {can.free_inodes} inodes are free for {store.root}",
            remedy="sprawlctl gc --max-age 7d",
        )
    volatile = parts.durability.volatile()
    foreign = [item for item in volatile if not store.is_of_this_boot(item)]
    yield Remark(
        code="store.volatile",
        level="note" if foreign else "ok",
        message=f"{len(volatile)} entries, bundles and sets are not known to be on the disk yet, "
        f"{len(foreign)} of them from before the machine was restarted",
        remedy="nothing to do: they are read again, or made anew, before they are used" if foreign else "",
    )


def _of_lock(parts: Parts, selected: Selected) -> Iterator[Remark]:
    selection = selected.selection
    choices = packages_of(selection)
    yield Remark(
        code="lock.found",
        level="ok",
        message=f"{selection.lock} ({selection.format}): {len(choices)} packages",
    )
    for warning in selection.warnings:
        yield Remark(code="lock.warning", level="warning", message=warning)
    for choice in choices:
        if choice.needs_build:
            why = choice.obstacle or f"only its {choice.kind} fits this interpreter"
            yield Remark(
                code="lock.needs-build",
                level="error",
                message=f"{_name(choice)} would have to be built: {why}",
                remedy="lock a version that has wheels, or run another Python: sprawl +VERSION",
                subject=_name(choice),
            )
    unpinned = [_name(choice) for choice in choices if _is_unpinned(parts, selected, choice)]
    if unpinned:
        yield Remark(
            code="lock.unpinned",
            level="warning",
            message=f"{len(unpinned)} packages have no hash in the lock: {_few(unpinned)}",
            remedy="lock with hashes; until then the files of the first use are the ones that count",
        )


def _is_unpinned(parts: Parts, selected: Selected, choice: Choice) -> bool:
    pin, artifact = choice.pin, choice.artifact
    if pin.hashes or choice.needs_build or artifact is None:
        return False
    if not artifact.hashes:
        return True
    if not pin.version or pin.source.kind != "registry":
        return False
    # Hashes that came from the index were recorded at first use.
    index = pin.source.index or selected.settings().default or ""
    release = Release(index=index, name=pin.name, version=pin.version)
    recorded = parts.first_use.recall(release) or ()
    return digest_of(artifact) in {digest_of(known) for known in recorded}


def _set_name(parts: Parts, selected: Selected, environment: Environment) -> str | None:
    """Return the set that a run would use, as far as that is known before anything is fetched."""
    digests = []
    for choice in packages_of(selected.selection):
        digest = parts.provider.known_digest(choice)
        if digest is None:
            return None
        digests.append(digest)
    return parts.realiser.name_of(digests, environment, selected.selection)


def _of_set(parts: Parts, name: str | None) -> Iterator[Remark]:
    if name is None or not parts.store.has_set(name):
        yield Remark(
            code="set.not-made",
            level="note",
            message="its packages were not made ready yet for this interpreter, so they were not looked at",
            remedy="sprawl sync",
        )
        return
    path = parts.store.set_path(name)
    try:
        content = json.loads(files.read_small(path / "set.json", _DESCRIPTION_BYTES))
    except (OSError, ValueError):
        yield Remark(
            code="set.not-made",
            level="error",
            message=f"{path}/set.json is damaged",
            remedy="sprawlctl verify --repair",
        )
        return
    yield Remark(code="set.ready", level="ok", message=str(path))
    yield from _startup(parts, content)
    yield from _conflicts(content["conflicts"])
    for bundle in content.get("bundles", ()):
        yield _bundle(parts.store.root, bundle)


def _startup(parts: Parts, content: Mapping[str, Any]) -> Iterator[Remark]:
    digests = dict(zip(content["packages"], content["entries"], strict=True))
    for item in content["startup"]:
        package, file = item["package"], item["file"]
        name = package.rpartition("==")[0]
        if startup.is_namespace_file(file):
            yield Remark(
                code="startup.namespace",
                level="ok",
                message=f"{package}: {file} is not needed",
                subject=package,
            )
        elif _has_code(parts.store.entry_path(digests[package]) / startup.SITE_PACKAGES / file, item["kept"]):
            yield Remark(
                code="startup.refused",
                level="warning",
                message=f"{package} would run code at each start of Python ({file}); it was left out",
                remedy=f'if you trust it: allow-startup = ["{name}"] in your configuration',
                subject=package,
            )
    extra = sorted({*content.get("allowed", ())} - startup.ALLOWED)
    present = [name for name in extra if any(package.startswith(f"{name}==") for package in digests)]
    if present:
        yield Remark(
            code="startup.allowed",
            level="note",
            message=f"your configuration lets code of these run at each start: {_few(present)}",
        )


def _has_code(path: Path, kept: str) -> bool:
    """Tell whether more was left out of a start-up file than comments."""
    if path.suffix != ".pth":
        return True
    try:
        text = files.read_small(path, startup.PTH_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return True
    lines = {line.strip() for line in text.splitlines() if not line.startswith("#")}
    return not lines <= {"", *kept.splitlines()}


def _conflicts(conflicts: Iterable[Mapping[str, Any]]) -> Iterator[Remark]:
    for conflict in conflicts:
        path = conflict["path"]
        # A script has no suffix, and is code all the same.
        is_code = path.endswith(CODE_SUFFIXES) or ".so." in path or path.startswith("bin/")
        yield Remark(
            code="conflict.code" if is_code else "conflict.text",
            level="warning" if is_code else "ok",
            message=f"{path} differs between packages: that of {conflict['winner']} counts, "
            f"not that of {_few(conflict['losers'])}",
            remedy="do without one of them, if what you import is not what you expect" if is_code else "",
            subject=path,
        )


def _bundle(root: Path, name: str) -> Remark:
    try:
        record = bundles.read_record(root, name)
    except SprawlError as error:
        return Remark(
            code=error.code, level="error", message=error.message, remedy="sprawlctl verify --repair"
        )
    reasons = [
        f"{reason['package']} looks for libraries of {_few(reason['found_in'])} in {reason['looks_in']}"
        for reason in record.reasons
    ]
    copied = f", {record.copied} of them copies" if record.copied else ""
    return Remark(
        code="bundle.made",
        level="note" if record.copied else "ok",
        message=f"{len(record.packages)} packages lie in one tree, {record.files} files{copied}: "
        + "; ".join(reasons[:_SHOWN]),
        subject=name,
    )


def _name(choice: Choice) -> str:
    return f"{choice.pin.name}=={choice.pin.version}" if choice.pin.version else str(choice.pin.name)


def _few(names: Iterable[str]) -> str:
    known = list(names)
    rest = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return ", ".join(known[:_SHOWN]) + rest
