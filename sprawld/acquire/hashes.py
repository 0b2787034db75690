"""Locked and published hashes of a file: which count, and whether two lists speak of the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sprawld.model import Hash

__all__ = ["STRONG_ALGORITHMS", "agreement", "is_strong", "may_be_one_of"]

STRONG_ALGORITHMS: Final = frozenset({"sha256", "sha384", "sha512", "blake2b"})
"""Algorithms that alone are enough to trust a file's bytes."""


def is_strong(hashes: Iterable[Hash]) -> bool:
    """Tell whether the hashes pin the content of a file."""
    return any(item.algorithm in STRONG_ALGORITHMS for item in hashes)


def agreement(published: Iterable[Hash], locked: Iterable[Hash]) -> bool | None:
    """Compare strong hashes of the same algorithm and length; None where there are none to compare."""
    values = {_kind(item): item.value for item in published if item.algorithm in STRONG_ALGORITHMS}
    results = [values[_kind(item)] == item.value for item in locked if _kind(item) in values]
    return all(results) if results else None


def may_be_one_of(published: Iterable[Hash], accepted: Iterable[Hash]) -> bool:
    """Tell whether a file may have one of the accepted hashes, as far as what is published tells."""
    accepted = tuple(accepted)
    kinds = {_kind(item) for item in accepted}
    comparable = [item for item in published if _kind(item) in kinds]
    return not comparable or any(item in accepted for item in comparable)


def _kind(item: Hash) -> tuple[str, int]:
    # blake2b comes in two sizes, and hashes of different sizes say nothing about each other.
    return item.algorithm, len(item.value)
