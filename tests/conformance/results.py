"""What came out so far, one file for each lock, so that an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from .tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Results"]


class Results:
    """Keeps tallies in a directory; what is there counts as asked, until it is deleted."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def find(self, form: str, lock: str) -> Tally | None:
        """Return the tally of a lock, None if it is to be asked about."""
        path = self._path(form, lock)
        if path is None or not path.is_file():
            return None
        return Tally.from_json(json.loads(path.read_text(encoding="utf-8")))

    def keep(self, form: str, tally: Tally) -> None:
        """Keep a complete tally. It appears by rename, so what is there is whole."""
        path = self._path(form, tally.lock)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(".part")
        staged.write_text(json.dumps(tally.as_json(), indent=2) + "\n", encoding="utf-8")
        staged.replace(path)

    def _path(self, form: str, lock: str) -> Path | None:
        if self._directory is None:
            return None
        # The names of locks are long and share their ends.
        digest = hashlib.sha256(lock.encode()).hexdigest()[:12]
        return self._directory / form / f"{lock.replace('/', '__')[-80:]}-{digest}.json"
