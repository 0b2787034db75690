"""A RESOLVE request, checked: what the hook or `sprawl` asks for.

Fields are text from this user's own processes; unknown ones are ignored (a newer client), malformed ones are
refused with `proto.malformed`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from virtual_sprawl import protocol

from .errors import RequestError
from .model import Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ResolveRequest", "wanted_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveRequest:
    """One question: which path set, for this interpreter, from here, with these options?"""

    python: str
    """Absolute path of the base interpreter."""
    start: Path
    """Directory from which lockfiles are searched upwards."""
    script: Path | None = None
    lock: Path | None = None
    """A lockfile named by the user instead of searched for."""
    wanted: Wanted = field(default_factory=Wanted)
    offline: bool = False
    fields: Mapping[str, str]
    """All fields as they came, for the index settings."""

    @classmethod
    def from_payload(cls, payload: bytes) -> ResolveRequest:
        """Decode and check."""
        return cls.from_fields(protocol.decode_fields(payload))

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> ResolveRequest:
        """Check the fields of a request."""
        options = _list(fields, "options")
        return cls(
            python=str(_path(fields, "python", required=True)),
            start=_path(fields, "start", required=True) or Path(),
            script=_path(fields, "script"),
            lock=_path(fields, "lock"),
            wanted=wanted_of(_list(fields, "extras"), _list(fields, "groups"), options),
            offline="offline" in options,
            fields=fields,
        )


_OPTIONS_HINT: Final = (
    "VIRTUAL_SPRAWL_OPTIONS takes all-extras, all-groups, no-dev, only-group:NAME, no-group:NAME and offline"
)


def wanted_of(extras: tuple[str, ...], groups: tuple[str, ...], options: tuple[str, ...]) -> Wanted:
    """Translate the options of the command line; RequestError for an unknown one."""
    only, without = [], []
    for option in options:
        name, _, value = option.partition(":")
        if name == "only-group" and value:
            only.append(value)
        elif name == "no-group" and value:
            without.append(value)
        elif option not in ("all-extras", "all-groups", "no-dev", "offline"):
            # From the variable of the hook, as people write it; our own command line sends none other.
            raise RequestError("proto.malformed", f"unknown option {option!r}", hint=_OPTIONS_HINT)
    return Wanted(
        extras=extras,
        groups=groups,
        only_groups=tuple(only),
        no_groups=tuple(without),
        all_extras="all-extras" in options,
        all_groups="all-groups" in options,
        no_dev="no-dev" in options,
    )


def _path(fields: Mapping[str, str], name: str, *, required: bool = False) -> Path | None:
    value = fields.get(name, "")
    if not value and not required:
        return None
    if not value.startswith("/") or "\0" in value:
        raise RequestError("proto.malformed", f"the field {name} is not an absolute path: {value!r}")
    return Path(value)


def _list(fields: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in fields.get(name, "").split(",") if part.strip())
