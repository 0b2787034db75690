"""What a tool answered, what we answered, and the count of how often both are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sprawld.errors import SprawlError
from sprawld.model import Pin

__all__ = ["DIRECT", "Answer", "Tally", "answer_of", "difference", "file_difference"]

DIRECT = ("git", "url", "path", "directory", "editable")
"""Sources of which tools often tell the name only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Packages with their versions, or why there are none."""

    packages: Mapping[str, str | None] = field(default_factory=dict)
    """Normalised name -> version; None where only the name is told."""
    refused: str = ""
    """Our code for the reason; empty if there is an answer, "?" for a reason we have no code for."""
    text: str = ""
    """What was said when refusing."""


def answer_of(select: Callable[[], Iterable[Pin]]) -> Answer:
    """Return what `select` selects, or why it refuses, in the form of a tool's answer."""
    try:
        return Answer(packages={str(pin.name): _version(pin) for pin in select()})
    except SprawlError as error:
        return Answer(refused=error.code, text=str(error))


def _version(pin: Pin) -> str | None:
    return None if pin.source.kind in DIRECT else pin.version


def difference(theirs: Answer, ours: Answer) -> str:
    """Return what differs, or an empty string; of direct sources the name is enough."""
    if theirs.refused or ours.refused:
        if theirs.refused == ours.refused:
            return ""
        tool = f"refuses ({theirs.refused}: {theirs.text})" if theirs.refused else "selects"
        we = f"refuse ({ours.text})" if ours.refused else "select"
        return f"the tool {tool}, we {we}"
    missing = [f"{name}=={theirs.packages[name]}" for name in sorted(theirs.packages.keys() - ours.packages)]
    surplus = [f"{name}=={ours.packages[name]}" for name in sorted(ours.packages.keys() - theirs.packages)]
    other = [
        f"{name} {ours.packages[name]} for {theirs.packages[name]}"
        for name in sorted(theirs.packages.keys() & ours.packages)
        if None not in (ours.packages[name], theirs.packages[name])
        and ours.packages[name] != theirs.packages[name]
    ]
    return f"missing {missing}, surplus {surplus}, other {other}" if missing or surplus or other else ""


def file_difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Return which packages have another file, or an empty string; both map names to file names."""
    return ", ".join(
        f"{name}: {ours.get(name)} for {theirs.get(name)}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    )


@dataclass(slots=True)
class Tally:
    """The comparisons of one lock."""

    lock: str
    equal: int = 0
    refused: int = 0
    """Both refuse, for the same reason."""
    files: int = 0
    """Packages of which both take the same file."""
    different: list[str] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    """Reason -> how often there was nothing to compare."""

    def count(self, label: str, theirs: Answer, ours: Answer, excuse: str = "") -> None:
        """Count one comparison of packages; with `excuse` a difference is not ours."""
        found = difference(theirs, ours)
        if found and excuse:
            self.excluded[excuse] += 1
        elif found:
            self.different.append(f"{label}: {found}")
        elif theirs.refused:
            self.refused += 1
        else:
            self.equal += 1

    def count_files(self, label: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
        """Count the files of one selection."""
        found = file_difference(theirs, ours)
        if found:
            self.different.append(f"{label}: files: {found}")
        self.files += sum(theirs.get(name) == filename for name, filename in ours.items())

    @property
    def compared(self) -> int:
        """How many selections were compared."""
        return self.equal + self.refused + len(self.different)

    def as_json(self) -> dict[str, Any]:
        """Return everything that was counted."""
        return {
            "lock": self.lock,
            "compared": self.compared,
            "equal": self.equal,
            "refused_by_both": self.refused,
            "same_files": self.files,
            "different": self.different,
            "excluded": dict(self.excluded),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the tally that `as_json` told."""
        return cls(
            lock=document["lock"],
            equal=document["equal"],
            refused=document["refused_by_both"],
            files=document["same_files"],
            different=list(document["different"]),
            excluded=Counter(document["excluded"]),
        )
