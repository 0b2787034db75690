"""The commands that give a project's set to other programs: JSON in, JSON out. Their shapes are interface.

view      {fields, target, mode, replace, bytecode, umask}  -> path, set, lock, reflink, hardlink, copy, ...
writable  {fields, umask}                                   -> path, set, lock, made
ide       {fields}                                          -> project, lock, set, link, python, site_packages
unlink    {start, script}                                   -> removed, link
kernel    {fields, spec}                                    -> spec, lock, set, python, version
unkernel  {spec}                                            -> removed
"""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .errors import RequestError, SelectionError, StoreError
from .lockfiles.find import find_lock
from .pathsets import wheelfiles
from .pathsets.placing import LINK_MODES
from .pathsets.setcheck import describe_set
from .pathsets.view import Wish, write_view
from .request import ResolveRequest
from .selecting import packages_of
from .store.projects import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .hotpath import Ready
    from .model import Environment, Source
    from .parts import Parts
    from .pathsets.view import View
    from .progress import Progress

    Report = Callable[[Progress], None]

__all__ = ["COMMANDS", "run_project_command"]

COMMANDS = ("view", "writable", "ide", "unlink", "kernel", "unkernel")


async def run_project_command(
    parts: Parts, command: str, arguments: Mapping[str, object], report: Report
) -> object:
    """Run one of `COMMANDS`."""
    match command:
        case "view":
            return await _view(parts, arguments, report)
        case "writable":
            return await _writable(parts, arguments, report)
        case "ide":
            return await _ide(parts, arguments, report)
        case "unlink":
            return await asyncio.to_thread(_unlink, parts, arguments)
        case "kernel":
            return await _kernel(parts, arguments, report)
        case "unkernel":
            path = _path(arguments, "spec")
            return {"removed": await asyncio.to_thread(parts.state.projects.remove, "kernel", path)}
        case _:
            raise AssertionError(command)


def _request(arguments: Mapping[str, object]) -> ResolveRequest:
    fields = arguments.get("fields")
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise RequestError("proto.malformed", "the argument fields must be an object of strings")
    return ResolveRequest.from_fields(fields)


def _path(arguments: Mapping[str, object], name: str) -> Path:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise RequestError("proto.malformed", f"the argument {name} is not an absolute path")
    return Path(value)


def _wish(arguments: Mapping[str, object]) -> Wish:
    mode, umask = arguments.get("mode", "auto"), arguments.get("umask", 0o022)
    for known in LINK_MODES:
        if mode == known and isinstance(umask, int) and 0 <= umask <= 0o777:
            return Wish(
                mode=known,
                replace=bool(arguments.get("replace", False)),
                bytecode=bool(arguments.get("bytecode", False)),
                # What the user cannot write to could not be removed by the user.
                umask=umask & 0o077,
            )
    raise RequestError("proto.malformed", "the argument mode or umask makes no sense")


# --- view, writable ---


async def _view(parts: Parts, arguments: Mapping[str, object], report: Report) -> dict[str, Any]:
    target, wish = _path(arguments, "target"), _wish(arguments)
    request = _request(arguments)
    ready, view = await _write(parts, request, report, lambda _: target, wish)
    assert view is not None
    counts = {way: view.counts.get(way, 0) for way in ("reflink", "hardlink", "copy")}
    return {
        "path": str(view.path),
        "set": ready.digest,
        "lock": ready.lock,
        **counts,
        "replaced": view.replaced,
    }


async def _writable(parts: Parts, arguments: Mapping[str, object], report: Report) -> dict[str, Any]:
    wish = _wish({"mode": "own", "umask": arguments.get("umask", 0o022)})
    wish = Wish(mode="own", umask=wish.umask, lease=True)
    copies = parts.writable

    def place(ready: Ready) -> Path | None:
        path = copies.path(Path(ready.lock), ready.digest)
        # Before it is looked at: from here on gc takes it for new.
        copies.record(Path(ready.lock), ready.digest)
        return None if path.exists() else path

    async with parts.copying:
        ready, view = await _write(parts, _request(arguments), report, place, wish)
    path = copies.path(Path(ready.lock), ready.digest)
    return {"path": str(path), "set": ready.digest, "lock": ready.lock, "made": view is not None}


async def _write(
    parts: Parts,
    request: ResolveRequest,
    report: Report,
    place: Callable[[Ready], Path | None],
    wish: Wish,
) -> tuple[Ready, View | None]:
    """Realise the set and write it where `place` says; nowhere when that says None."""
    ready = await parts.following.realise(request, report)
    parts.used(ready.lock, ready.digest)
    environment = await parts.environments.get(request.python)
    origins = await _origins(parts, request, environment)
    cancelled = threading.Event()
    writing = asyncio.to_thread(_write_now, parts, ready, environment, place, wish, origins, cancelled)
    try:
        return ready, await writing
    finally:
        # Whoever asked has gone away: the thread ends at its next file and leaves nothing.
        cancelled.set()


def _write_now(
    parts: Parts,
    ready: Ready,
    environment: Environment,
    place: Callable[[Ready], Path | None],
    wish: Wish,
    origins: Mapping[str, Mapping[str, object]],
    cancelled: threading.Event,
) -> View | None:
    store = parts.store
    path = store.set_path(ready.digest)
    with store.holds.hold([ready.digest]):
        described = describe_set(path)
        if described is None:
            raise StoreError("store.damaged", f"the path set {path} is gone", hint="run the command again")
        with store.holds.hold(described.entries):
            target = place(ready)
            if target is None:
                return None
            return write_view(
                target,
                path,
                described,
                environment,
                store_root=store.root,
                wish=wish,
                origins=origins,
                cancelled=cancelled,
            )


async def _origins(
    parts: Parts, request: ResolveRequest, environment: Environment
) -> dict[str, dict[str, object]]:
    """Return the content of direct_url.json for the packages that the lock takes from a file or URL."""
    selected = await parts.selector.select(request, environment)
    found = {}
    for choice in packages_of(selected.selection) if selected is not None else ():
        digest = await asyncio.to_thread(parts.provider.known_digest, choice)
        url = _url_of(choice.pin.source)
        if url is not None:
            found[str(choice.pin.name)] = wheelfiles.direct_url(url, choice.pin.source, digest)
    return found


def _url_of(source: Source) -> str | None:
    if source.kind in ("url", "git") and source.url:
        return source.url
    if source.kind in ("path", "directory", "editable") and source.path is not None:
        return source.path.absolute().as_uri()
    return None


# --- ide, kernel ---


async def _ide(parts: Parts, arguments: Mapping[str, object], report: Report) -> dict[str, Any]:
    request = _request(arguments)
    anchor = await asyncio.to_thread(_anchor, request)
    follower = await _follow(parts, "ide", anchor, request, report)
    link = parts.state.projects.link("ide", anchor)
    environment = await parts.environments.get(request.python)
    return {
        "project": str(anchor),
        "lock": str(follower.lock),
        "set": follower.digest,
        "link": str(link),
        "python": str(link / "bin" / "python"),
        "site_packages": str(link / "lib" / environment.library / "site-packages"),
        "version": ".".join(map(str, environment.version)),
    }


async def _follow(
    parts: Parts, kind: Literal["ide", "kernel"], anchor: Path, request: ResolveRequest, report: Report
) -> Follower:
    ready = await parts.following.realise(request, report)
    parts.used(ready.lock, ready.digest)
    follower = Follower(
        kind=kind,
        anchor=anchor,
        lock=Path(ready.lock),
        fields=request.fields,
        digest=ready.digest,
        check=ready.checks[0],
        updated=0,
    )
    return await parts.following.lead(follower, request, report)


def _anchor(request: ResolveRequest) -> Path:
    """Return what the link is for: the script if the lock is its own, else the project's directory."""
    found = find_lock(request.start, script=request.script, explicit=request.lock)
    if found is None:
        return request.start
    script = request.script
    if script is not None and found.lock.name.startswith(script.name) and found.lock.parent == script.parent:
        return script
    return found.root


def _unlink(parts: Parts, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Remove the link of a script, or of the nearest project directory that has one."""
    start = _path(arguments, "start")
    candidates = [_path(arguments, "script")] if arguments.get("script") else [start, *start.parents]
    for anchor in candidates:
        if parts.state.projects.remove("ide", anchor):
            return {"removed": str(anchor), "link": str(parts.state.projects.link("ide", anchor))}
    return {"removed": None, "link": None}


async def _kernel(parts: Parts, arguments: Mapping[str, object], report: Report) -> dict[str, Any]:
    request, spec = _request(arguments), _path(arguments, "spec")
    ready = await parts.following.realise(request, report)
    entries = await asyncio.to_thread(_names_in, parts, ready.digest)
    if "ipykernel" not in entries:
        raise SelectionError(
            "kernel.no-ipykernel",
            f"{ready.lock} does not give ipykernel, which a Jupyter kernel needs",
            hint="add it to the lock (uv add --dev ipykernel, poetry add -G dev ipykernel, ...), or name "
            "the extra or group that has it with --extra or --group",
        )
    follower = await _follow(parts, "kernel", spec, request, report)
    environment = await parts.environments.get(request.python)
    return {
        "spec": str(spec),
        "lock": str(follower.lock),
        "project": str(await asyncio.to_thread(_anchor, request)),
        "set": follower.digest,
        "python": os.fspath(environment.executable),
        "version": ".".join(map(str, environment.version)),
    }


def _names_in(parts: Parts, digest: str) -> set[str]:
    described = describe_set(parts.store.set_path(digest))
    return {package.rpartition("==")[0] for package in described.packages} if described is not None else set()
