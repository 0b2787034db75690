"""From a lockfile to one file per package, for one interpreter and one set of wishes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sprawld.errors import LockError, SprawlError, error_from_code
from sprawld.model import Selection

from ._toml import reading
from .choose import choose
from .preference import preference_of

if TYPE_CHECKING:
    from sprawld.model import Choice, Environment, Pin, Wanted

    from .find import Found
    from .lock import Lock

__all__ = ["select"]


def select(
    found: Found,
    lock: Lock,
    environment: Environment,
    wanted: Wanted,
    *,
    allow_weak: tuple[str, ...] = (),
) -> Selection:
    """Return what `lock` gives this environment; nothing is asked of a network.

    `allow_weak` names indexes or hosts, from the user's own configuration, whose files may lack a strong
    hash. A `Choice` of kind `unresolved`, or whose artifact has neither URL nor path, is for an index to
    complete. Raises SelectionError (`select.*`) and LockError (`lock.*`) with the lock's path in the message.
    """
    with reading(lock.path):
        pins = lock.select(environment, wanted)
    choices = tuple(_choose(lock, pin, environment, allow_weak) for pin in pins)
    for choice, following in pairwise(choices):
        if choice.pin.name == following.pin.name:
            raise LockError(
                "lock.duplicate-package", f"{lock.path}: {choice.pin.name} is selected more than once"
            )
    return Selection(
        lock=lock.path,
        format=lock.format,
        choices=choices,
        project=lock.project,
        hashed=lock.hashed,
        passed_over=found.passed_over,
        warnings=tuple(getattr(lock, "warnings", ())),
    )


def _choose(lock: Lock, pin: Pin, environment: Environment, allow_weak: tuple[str, ...]) -> Choice:
    try:
        return choose(
            pin,
            environment,
            hashed=lock.hashed,
            allow_weak=allow_weak,
            preference=preference_of(lock.format),
        )
    except SprawlError as error:
        raise error_from_code(error.code, f"{lock.path}: {error.message}", error.hint) from None
