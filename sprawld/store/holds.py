"""Holds: names that a realise in flight relies on, and that gc therefore leaves alone.

1. Who makes a set holds the digests of its entries and of its client copy BEFORE asking whether they exist,
   and lets go after the set is published. From then on the set itself keeps them.
2. gc looks up what sets refer to, and later discards. A set published in between would be missed; but its
   names were held in between, and for the length of a collection every hold is remembered after its end.
3. Deciding and discarding happen under one lock. So a name is held before it is discarded or after, never
   while: who holds it and then finds it, keeps it.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Holds"]


class Holds:
    """The names held in this process; thread-safe, never touches the disk by itself."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held: Counter[str] = Counter()
        self._remembered: set[str] | None = None
        """Everything held since the running collection began; None when none runs."""

    @contextlib.contextmanager
    def hold(self, names: Iterable[str]) -> Iterator[None]:
        """Keep gc from discarding these names for the length of the block; may wait for one rename."""
        held = tuple(names)
        with self._lock:
            self._held.update(held)
            if self._remembered is not None:
                self._remembered.update(held)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(held)
                self._held = +self._held

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Remember every hold for the length of the block; one collection at a time (RuntimeError)."""
        with self._lock:
            if self._remembered is not None:
                raise RuntimeError("a collection is running already")
            self._remembered = set(self._held)
        try:
            yield
        finally:
            with self._lock:
                self._remembered = None

    @contextlib.contextmanager
    def unheld(self, name: str) -> Iterator[bool]:
        """Yield whether the name is free; it cannot become held before the block ends."""
        with self._lock:
            yield name not in self._held and name not in (self._remembered or ())

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return name in self._held
