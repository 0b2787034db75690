"""The one file of a pin: the wheel that fits an interpreter best, else the sdist.

Specifications: platform compatibility tags, binary distribution format (build tags). The order is that of the
lock's own tool, see `preference`. Only files that the lock lists are considered, whatever the index has
today. A yanked release is not passed over: the lock pins it. Where an index yanked single files of one, the
others come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sprawld.errors import LockError, SelectionError
from sprawld.model import Choice

from ._toml import shown
from .advice import python_for_wheels
from .artifacts import STRONG_ALGORITHMS, is_wheel, wheel_parts
from .preference import by_pip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sprawld.model import Artifact, ChoiceKind, Environment, Hash, Pin

    from .preference import Preference

__all__ = ["choose", "choose_from"]

_TREES: Final[dict[str, ChoiceKind]] = {
    "git": "git",
    "directory": "directory",
    "editable": "editable",
    "virtual": "virtual",
}
_ALLOW: Final = "lock again, or name the index or host in `allow-weak-hashes` of your own configuration"


def choose(
    pin: Pin,
    environment: Environment,
    *,
    hashed: bool,
    allow_weak: tuple[str, ...] = (),
    preference: Preference = by_pip,
) -> Choice:
    """Return the choice for a pin; `unresolved` when the lock names no files and an index must be asked.

    With `hashed` the chosen file must have a strong hash in the lock, except from the indexes and hosts in
    `allow_weak` (from the user's own configuration). Raises SelectionError `select.no-wheel`, LockError
    `lock.hash-missing` and `lock.hash-weak`.
    """
    tree = _TREES.get(pin.source.kind)
    if tree is not None:
        return Choice(pin=pin, kind=tree)
    if not pin.artifacts:
        if pin.source.kind != "registry":
            raise _no_wheel(pin, environment)
        if hashed:
            _check_hashes(pin, pin.hashes, pin.name, allow_weak)
        return Choice(pin=pin, kind="unresolved")
    choice = choose_from(pin.artifacts, pin, environment, preference)
    if hashed:
        assert choice.artifact is not None
        hashes = choice.artifact.hashes or pin.hashes
        _check_hashes(pin, hashes, choice.artifact.filename, allow_weak, choice.artifact.url)
    return choice


def choose_from(
    artifacts: Collection[Artifact], pin: Pin, environment: Environment, preference: Preference = by_pip
) -> Choice:
    """Return the best of these files of a pin; raises SelectionError `select.no-wheel`."""
    best: tuple[tuple[Any, ...], Artifact] | None = None
    sdist: Artifact | None = None
    for artifact in artifacts:
        if not is_wheel(artifact.filename):
            # One release may have several archives; the lock's order is the tool's preference.
            if sdist is None or (sdist.yanked and not artifact.yanked):
                sdist = artifact
            continue
        parts = wheel_parts(artifact.filename)
        fit = None if parts is None else preference(parts, environment)
        if fit is None:
            continue
        value = (not artifact.yanked, fit)
        # Of equals the first is taken.
        if best is None or value > best[0]:
            best = (value, artifact)
    if best is not None:
        return Choice(pin=pin, kind="wheel", artifact=best[1])
    if sdist is not None:
        return Choice(pin=pin, kind="sdist", artifact=sdist)
    raise _no_wheel(pin, environment, artifacts)


def _check_hashes(
    pin: Pin, hashes: tuple[Hash, ...], what: str, allow_weak: tuple[str, ...], url: str | None = None
) -> None:
    if any(hash_.algorithm in STRONG_ALGORITHMS for hash_ in hashes) or _is_allowed(pin, url, allow_weak):
        return
    if hashes:
        raise LockError(
            "lock.hash-weak",
            f"{pin.name} {pin.version or ''}: only {hashes[0].algorithm} is locked for {shown(what)}",
            hint=_ALLOW,
        )
    raise LockError(
        "lock.hash-missing",
        f"{pin.name} {pin.version or ''}: the lock has hashes, but none for {shown(what)}",
        hint=_ALLOW,
    )


def _is_allowed(pin: Pin, url: str | None, allow_weak: tuple[str, ...]) -> bool:
    """An entry is an index URL (compared without credentials) or the host name of an index or a file."""
    places = [place for place in (pin.source.index, pin.source.url, url) if place is not None]
    allowed = {entry.rstrip("/") for entry in allow_weak}
    return any(_bare(place) in allowed or urlsplit(place).hostname in allowed for place in places)


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _no_wheel(pin: Pin, environment: Environment, artifacts: Iterable[Artifact] = ()) -> SelectionError:
    version = ".".join(map(str, environment.version))
    system = environment.markers.get("sys_platform", "")
    return SelectionError(
        "select.no-wheel",
        f"{pin.name} {pin.version}: the lock has no wheel for Python {version} on {system} and no sdist",
        hint=python_for_wheels(artifacts, environment),
    )
