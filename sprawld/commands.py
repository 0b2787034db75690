"""The commands of the tools: JSON in, JSON out. Their shapes are part of the interface.

status   {}                          -> version, pid, uptime_s, socket, store {path, bytes, sets, ...}
gc, verify, ls, why, pin, unpin      -> see `storecommands`
view, writable, ide, kernel, ...     -> see `projectcommands`
select   {fields, python, platform}  -> lock, format, passed_over, warnings, packages
doctor   {fields}                    -> see `doctoring`
install  {wheel, into}               -> entry, name, version, sha256, into
credentials {variables}              -> changed; what a client has when an index refused without
stop     {}                          -> pid
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet

from .acquire.platforms import describe, platform_of
from .acquire.urls import redact
from .doctoring import doctor
from .errors import RequestError, SelectionError, SprawlError, StoreError, WheelError
from .model import Artifact, digest_of
from .pathsets.install import install_into
from .projectcommands import COMMANDS as PROJECT_COMMANDS
from .projectcommands import run_project_command
from .request import ResolveRequest
from .selecting import why_no_lock
from .store import leases
from .store.manifest import read_summary
from .storecommands import COMMANDS, run_store_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .model import Choice, Digest, Selection
    from .parts import Parts
    from .progress import Progress
    from .store.manifest import ManifestSummary

__all__ = ["run_command"]

MOST_VARIABLES = 1000


async def run_command(
    parts: Parts, command: str, arguments: Mapping[str, object], report: Callable[[Progress], None]
) -> object:
    """Run one command; RequestError `proto.unknown-request` for a name that is not in the list above."""
    match command:
        case "status":
            return await asyncio.to_thread(_status, parts)
        case _ if command in COMMANDS:
            return await run_store_command(parts, command, arguments, report)
        case _ if command in PROJECT_COMMANDS:
            return await run_project_command(parts, command, arguments, report)
        case "select":
            return await _select(parts, arguments)
        case "doctor":
            return await doctor(parts, arguments)
        case "install":
            return await _install(parts, arguments, report)
        case "credentials":
            return {"changed": parts.learn_credentials(_credentials(arguments))}
        case "stop":
            parts.stop()
            return {"pid": os.getpid()}
        case _:
            raise RequestError(
                "proto.unknown-request",
                f"this daemon does not know the command {command!r}",
                hint="update it",
            )


def _text(arguments: Mapping[str, object], name: str) -> str:
    value = arguments.get(name, "")
    if not isinstance(value, str):
        raise RequestError("proto.malformed", f"the argument {name} must be a string")
    return value


def _credentials(arguments: Mapping[str, object]) -> dict[str, str]:
    """Return the variables that may be told: uv's names for credentials, and nothing else."""
    variables = arguments.get("variables")
    if not isinstance(variables, dict) or len(variables) > MOST_VARIABLES:
        raise RequestError("proto.malformed", "the argument variables must be an object of strings")
    for name, value in variables.items():
        if not re.fullmatch(r"UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)", name) or not isinstance(value, str):
            raise RequestError("proto.malformed", "a variable that is not one of credentials")
    return variables


def _status(parts: Parts) -> dict[str, Any]:
    store = parts.store
    held = store.statistics()
    leased = sum(leases.is_leased(store.set_path(name)) for name in store.sets())
    return {
        "version": parts.version,
        "pid": os.getpid(),
        "uptime_s": round(time.monotonic() - parts.started, 3),
        "rss_bytes": _resident_bytes(),
        "python": sys.version.split()[0],
        "socket": str(parts.config.socket),
        "store": {
            "path": str(store.root),
            "bytes": held.bytes,
            "entries": held.entries,
            "bundles": held.bundles,
            "sets": held.sets,
            "leased": leased,
            "unpinned": parts.first_use.count(),
        },
        **parts.server.statistics(),
        **parts.provider.statistics(),
        "ready": parts.ready.statistics(),
        "packs": store.packs.statistics() | parts.packer.statistics(),
        "scrub": parts.scrubber.statistics(),
    }


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        # No /proc: the peak is the best that can be told, in bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _select(parts: Parts, arguments: Mapping[str, object]) -> dict[str, Any]:
    fields = arguments.get("fields")
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise RequestError("proto.malformed", "the argument fields must be an object of strings")
    request = ResolveRequest.from_fields(fields)
    platform, python = _text(arguments, "platform"), _text(arguments, "python")
    environment = await parts.environments.get(request.python)
    if platform or python:
        version = python or ".".join(map(str, environment.version))
        environment = describe(version, platform or platform_of(environment))
    selected = await parts.selector.select(request, environment)
    if selected is None:
        raise await asyncio.to_thread(why_no_lock, request)
    return _selection_document(selected.selection)


def _selection_document(selection: Selection) -> dict[str, Any]:
    return {
        "lock": str(selection.lock),
        "format": selection.format,
        "passed_over": [{"path": str(item.path), "reason": item.reason} for item in selection.passed_over],
        "warnings": list(selection.warnings),
        "packages": [_package_document(choice) for choice in selection.choices],
    }


def _package_document(choice: Choice) -> dict[str, Any]:
    pin, artifact = choice.pin, choice.artifact
    return {
        "name": pin.name,
        "version": pin.version,
        "kind": choice.kind,
        "filename": artifact.filename if artifact else None,
        "sha256": digest_of(artifact) if artifact else None,
        "source": _source_text(choice),
        "via": list(pin.via),
        "needs_build": choice.needs_build,
    }


def _source_text(choice: Choice) -> str:
    source = choice.pin.source
    place = source.path or source.url or source.index
    # Secrets and one-time tokens live in user name, password and query.
    return f"{source.kind} {redact(str(place))}" if place else source.kind


async def _install(
    parts: Parts, arguments: Mapping[str, object], report: Callable[[Progress], None]
) -> dict[str, Any]:
    wheel, into = Path(_text(arguments, "wheel")), _text(arguments, "into")
    if not wheel.is_absolute() or not await asyncio.to_thread(wheel.is_file):
        raise WheelError("wheel.not-found", f"{wheel} is not a file")
    artifact = Artifact(filename=wheel.name, path=wheel)
    asking = asyncio.create_task(_ask_early(parts, into))
    try:
        digest = await parts.provider.provide_file(artifact)
    except BaseException:
        asking.cancel()
        raise
    await asyncio.wait([asking])
    entry = parts.store.entry_path(digest)
    with parts.store.holds.hold([digest]):
        summary = await asyncio.to_thread(read_summary, entry / "manifest")
        if into:
            await _require_fitting(parts, Path(into), summary)
            await asyncio.to_thread(install_into, Path(into), entry, summary, wheel=wheel)
            await asyncio.to_thread(_record_install, parts, Path(into), digest)
    return {
        "entry": str(entry),
        "name": summary.name,
        "version": summary.version,
        "sha256": digest,
        "into": into or None,
    }


async def _ask_early(parts: Parts, into: str) -> None:
    """Have the interpreter of a venv asked what it is while the wheel for it is unpacked."""
    if bool(into) and await asyncio.to_thread(Path(into, "pyvenv.cfg").is_file):
        # What is wrong with it is said when the wheel is there.
        with contextlib.suppress(SprawlError):
            await parts.environments.get(f"{into}/bin/python")


def _record_install(parts: Parts, venv: Path, digest: Digest) -> None:
    """Keep the entry alive as long as the venv is there, beside those installed before."""
    installs = parts.state.installs
    before = [install.entries for install in installs.all() if install.target == venv]
    installs.record(venv, frozenset((digest,)).union(*before), now=time.time())


async def _require_fitting(parts: Parts, venv: Path, summary: ManifestSummary) -> None:
    """Refuse a wheel that the venv's interpreter could not import."""
    python = venv / "bin" / "python"
    if not await asyncio.to_thread((venv / "pyvenv.cfg").is_file):
        raise StoreError("install.not-a-venv", f"{venv} is not a virtual environment", hint="python -m venv")
    environment = await parts.environments.get(str(python))
    tags = {str(tag) for tag in environment.tags}
    requires = SpecifierSet(summary.requires_python or "")
    version = ".".join(map(str, environment.version))
    if not tags.intersection(summary.tags) or not requires.contains(version, prereleases=True):
        raise SelectionError(
            "select.no-wheel", f"{summary.filename} does not fit the Python {version} of {venv}"
        )
