"""Groups and extras that were asked for, checked against those that a lock has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._toml import Fault, shown
from .artifacts import package_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from packaging.utils import NormalizedName

    from sprawld.model import Wanted

__all__ = ["active_extras", "active_groups"]

_LISTED = 20
"""Names in a message; a hostile lock has 10^5 of them."""


def active_groups(
    wanted: Wanted,
    *,
    known: Collection[NormalizedName],
    default: Collection[NormalizedName],
    base: NormalizedName,
    every: Collection[NormalizedName] | None = None,
) -> frozenset[NormalizedName]:
    """Return the groups to install; `base` is the group of the project's own dependencies.

    `every` is what `all_groups` stands for, if that is not every known one. Raises Fault
    `select.unknown-group`.
    """
    if wanted.only_groups:
        return frozenset(_known(wanted.only_groups, known, "group"))
    groups: set[NormalizedName] = {base} if wanted.no_dev else {base, *default}
    if wanted.all_groups:
        groups.update(known if every is None else every)
    groups.update(_known(wanted.groups, known, "group"))
    return frozenset(groups.difference(_known(wanted.no_groups, known, "group")))


def active_extras(wanted: Wanted, known: Collection[NormalizedName]) -> frozenset[NormalizedName]:
    """Return the extras to install; raises Fault `select.unknown-extra`."""
    chosen = frozenset(_known(wanted.extras, known, "extra"))
    return chosen.union(known) if wanted.all_extras else chosen


def _known(names: Iterable[str], known: Collection[NormalizedName], word: str) -> list[NormalizedName]:
    chosen = [package_name(name) for name in names]
    for name in chosen:
        if name not in known:
            listed = ", ".join(sorted(known)[:_LISTED])
            raise Fault(
                f"select.unknown-{word}",
                f"the lock has no {word} {shown(repr(name))}",
                hint=f"it has: {listed}" if listed else f"it has no {word}s",
            )
    return chosen
