"""The seam between the readers and the rest: what every lockfile, once read, can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from sprawld.model import Environment, Pin, Project, Wanted

__all__ = ["Lock"]


class Lock(Protocol):
    """A lockfile that was read and is sound; pure data, safe to keep and to share between threads."""

    @property
    def path(self) -> Path:
        """Absolute path of the file it was read from."""

    @property
    def format(self) -> str:
        """Tool and version as shown to the user: `uv 1.3`, `poetry 2.1`, `pylock 1.0`, `requirements`."""

    @property
    def hashed(self) -> bool:
        """True when a selected file without a strong hash must be refused (design rule 2)."""

    @property
    def project(self) -> Project:
        """The root project as far as static metadata tells."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file the answer depends on, the lock first: while their stats hold, so does the answer."""

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return the pins that apply, each name once, sorted by name.

        Raises SelectionError (`select.*`) when the lock excludes the environment or the options, and
        LockError (`lock.*`) when its content contradicts itself.
        """
