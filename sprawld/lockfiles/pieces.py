"""Locks parsed piece by piece, so that a lock which differs in one package costs that package.

A uv.lock is a head and a `[[package]]` for each package. Edited locks, and locks of other projects, share
most of their packages, byte for byte.

1. A text is cut only where a line is `[[package]]` and nothing else, and only if it holds no string that
   goes over lines: then such a line is a header, and the pieces mean what the whole means.
2. Whatever is unusual (a piece with more in it than one package, a syntax error) is parsed as a whole, so
   that messages name the right line.
3. What is given out is shared between locks, and never changed by anybody.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

import tomli

from ._toml import Table, parse_toml
from .bulk import check_bulk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["PACKAGES", "Pieces"]

_HEADER: Final = "[[package]]\n"
_LONG_STRINGS: Final = ('"""', "'''")
_MOST_CHARACTERS: Final = 512 << 10
_MOST_PIECES: Final = 4096
"""What is larger is not remembered as a whole either, and is parsed faster in one go."""

T = TypeVar("T")


@dataclass(slots=True)
class _Piece:
    table: Table
    built: object = None


class Pieces:
    """The packages of the locks that were read lately, by their text; safe between threads."""

    def __init__(self, most_characters: int = _MOST_CHARACTERS) -> None:
        self._most = most_characters
        self._held = 0
        self._pieces: OrderedDict[str, _Piece] = OrderedDict()
        self._by_table: dict[int, _Piece] = {}
        self._turn = threading.Lock()

    def parse(self, path: Path, text: str) -> Table:
        """Return the document that `parse_toml` returns, or raise what it raises."""
        pieces = text.count(_HEADER)
        if not 0 < pieces <= _MOST_PIECES or any(quotes in text for quotes in _LONG_STRINGS):
            return parse_toml(path, text)
        check_bulk(path, text)
        head, *texts = text.split("\n" + _HEADER)
        try:
            document = tomli.loads(head)
            tables = [self._table(piece) for piece in texts]
        except (ValueError, RecursionError):
            return parse_toml(path, text)
        if "package" in document or None in tables:
            return parse_toml(path, text)
        return {**document, "package": tables}

    def built(self, table: Table, build: Callable[[], T]) -> T:
        """Return what `build` made of a table of `parse`, made once while the table is remembered."""
        piece = self._by_table.get(id(table))
        if piece is None or piece.table is not table:
            return build()
        if piece.built is None:
            piece.built = build()
        return cast("T", piece.built)

    def _table(self, text: str) -> Table | None:
        """Return the one package in a piece; None if there is anything else."""
        with self._turn:
            piece = self._pieces.get(text)
            if piece is not None:
                self._pieces.move_to_end(text)
                return piece.table
        document = tomli.loads(_HEADER + text)
        packages = document["package"]
        if len(document) != 1 or len(packages) != 1:
            return None
        table: Table = packages[0]
        with self._turn:
            piece = self._pieces.setdefault(text, _Piece(table))
            if piece.table is table:
                self._held += len(text)
                self._by_table[id(table)] = piece
            while self._held > self._most:
                old, gone = self._pieces.popitem(last=False)
                self._held -= len(old)
                del self._by_table[id(gone.table)]
        return table


PACKAGES: Final = Pieces()
"""Of all locks of this process."""
