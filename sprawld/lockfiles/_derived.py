"""What is computed once from an environment and asked for thousands of times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from sprawld.model import Environment

__all__ = ["Derived"]

T = TypeVar("T")

_KEPT: Final = 32
"""Environments in use at the same time; a machine has a handful of interpreters."""


class Derived(Generic[T]):
    """A function of an environment that remembers its answers by the environment's identity as an object.

    Environments hold mappings and long tuples: hashing one costs more than most questions about it.
    """

    def __init__(self, compute: Callable[[Environment], T]) -> None:
        self._compute = compute
        # Each entry holds its environment, so no other object can have that id while the entry is there.
        self._known: dict[int, tuple[Environment, T]] = {}

    def __call__(self, environment: Environment) -> T:
        """Return the value for this environment."""
        entry = self._known.get(id(environment))
        if entry is None:
            while len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)), None)
            entry = self._known[id(environment)] = (environment, self._compute(environment))
        return entry[1]
