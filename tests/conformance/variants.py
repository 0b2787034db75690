"""Sets of options, as a tool has them on its command line and as we have them."""

from __future__ import annotations

from dataclasses import dataclass

from sprawld.model import Wanted

__all__ = ["DEFAULT", "Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of options."""

    label: str
    arguments: tuple[str, ...]
    """Of the tool."""
    wanted: Wanted


DEFAULT = Variant("default", (), Wanted())
