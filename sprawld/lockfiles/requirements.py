"""Requirements files that are locks: fully pinned ones, as pip-compile, uv and `pip freeze` write them.

Specification: pip's documentation, "Requirements File Format". The file is taken as a closed set: what it
does not list is not installed.

1. A file with a requirement that is not pinned is no lock (`lock.not-pinned`): at once if the requirement has
   no marker, else where its marker holds.
2. `-r` and `-c` name files relative to the file they stand in; each is read once, a file that includes itself
   is an error. They may lie anywhere, but must be as trustworthy as the lock. URLs are not read.
3. Constraints install nothing. A pinned version that a constraint excludes is a contradiction, as for pip.
4. Index options hold for the whole lock, wherever they stand. `--no-index` leaves only what
   `--find-links` names: pages, or directories relative to the file the option stands in. Options that choose
   between wheels and sdists, or relax checks, are not honoured; they give a warning.
5. A name may have several lines; those whose markers hold must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import NormalizedName
from packaging.version import Version

from sprawld.errors import LockError
from sprawld.model import Source

from ._toml import Fault, reading, shown
from .local_name import local_project
from .markers import holds
from .requirements_files import Content, collect
from .wanted import active_extras, active_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sprawld.model import Environment, Hash, Pin, Project, Wanted

    from .requirements_entry import Entry

__all__ = ["RequirementsLock", "read"]

_BASE: Final = NormalizedName("default")
_COMPILE: Final = "lock it with `uv pip compile --generate-hashes {name} -o requirements-frozen.txt`"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementsLock:
    """A pinned requirements file; see `sprawld.lockfiles.lock.Lock`."""

    path: Path
    project: Project
    inputs: tuple[Path, ...]
    hashed: bool
    """True with any `--hash` or `--require-hashes`, as for pip."""
    entries: tuple[Entry, ...]
    constraints: Mapping[NormalizedName, tuple[Entry, ...]]
    registry: Source
    """Where packages without a URL come from."""
    warnings: tuple[str, ...] = ()
    format: str = "requirements"

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return what `pip install --no-deps -r` would install; there are no extras and no groups."""
        with reading(self.path):
            active_extras(wanted, ())
            active_groups(wanted, known=(), default=(), base=_BASE)
            applying: dict[NormalizedName, list[Entry]] = {}
            for entry in self.entries:
                if holds(entry.marker, environment):
                    if not entry.pinned:
                        raise _not_pinned(self.path, entry)
                    applying.setdefault(entry.name, []).append(entry)
            return tuple(self._pin(environment, same) for _, same in sorted(applying.items()))

    def _pin(self, environment: Environment, same: list[Entry]) -> Pin:
        first = same[0]
        for other in same[1:]:
            if other.direct != first.direct or not _same_version(first, other):
                raise Fault(
                    "lock.duplicate-package",
                    f"{first.name} is pinned differently in {first.where} and {other.where}",
                )
        for constraint in self.constraints.get(first.name, ()):
            if (
                constraint.specifier is not None
                and first.version is not None
                and holds(constraint.marker, environment)
                and not constraint.specifier.contains(first.version, prereleases=True)
            ):
                raise Fault(
                    "lock.invalid",
                    f"{first.name} {first.version} ({first.where}) is excluded by {constraint.where}",
                )
        via = dict.fromkeys(name for entry in same for name in entry.via)
        return first.pin(self.registry, _common_hashes(same), tuple(via))


def _same_version(first: Entry, other: Entry) -> bool:
    if first.version is None or other.version is None:
        return first.version == other.version
    return Version(first.version) == Version(other.version)


def _common_hashes(same: list[Entry]) -> tuple[Hash, ...]:
    """Return the hashes that every line with hashes lists: each line must be satisfied."""
    lists = [entry.hashes for entry in same if entry.hashes]
    if not lists:
        return ()
    shared = frozenset(lists[0]).intersection(*lists[1:])
    common = tuple(found for found in lists[0] if found in shared)
    if not common:
        raise Fault("lock.invalid", f"no hash of {same[0].name} is listed in all of its lines")
    return common


def _check_pinned(path: Path, content: Content) -> None:
    for entry in content.entries:
        if not entry.pinned and entry.marker is None:
            raise _not_pinned(path, entry)


def _not_pinned(path: Path, entry: Entry) -> Fault:
    return Fault(
        "lock.not-pinned",
        f"not a lock: {shown(repr(entry.text))} ({entry.where}) is not pinned",
        hint=_COMPILE.format(name=path.name),
    )


def read(
    path: Path, root: Path | None = None, *, variables: Mapping[str, str] | None = None
) -> RequirementsLock:
    """Read a requirements file and its includes; `root` is not used.

    `variables` are put in for `${NAME}`; by default there are none. Raises LockError (`lock.*`) naming the
    file and the line.
    """
    content = Content()
    with reading(path):
        try:
            collect(path, content, variables or {})
        except (Fault, LockError):
            # What is no lock at all is passed over, whatever else is wrong with it.
            _check_pinned(path, content)
            raise
        _check_pinned(path, content)
    project, project_file = local_project(path)
    constraints: dict[NormalizedName, list[Entry]] = {}
    for constraint in content.constraints:
        constraints.setdefault(constraint.name, []).append(constraint)
    return RequirementsLock(
        path=path,
        project=project,
        inputs=tuple(
            dict.fromkeys((*content.files, project_file, *_named_by(content), *_directories(content)))
        ),
        hashed=content.hashed,
        entries=tuple(content.entries),
        constraints={name: tuple(same) for name, same in constraints.items()},
        registry=Source(
            kind="registry",
            index=content.index,
            extra_indexes=tuple(dict.fromkeys(content.extra_indexes)),
            find_links=tuple(dict.fromkeys(content.find_links)),
            no_index=content.no_index,
        ),
        warnings=tuple(content.warnings),
    )


def _directories(content: Content) -> list[Path]:
    """Return the directories of `--find-links`: a wheel that is added there may be the better one."""
    return [Path(place) for place in content.find_links if place.startswith("/")]


def _named_by(content: Content) -> list[Path]:
    """Return the project files that local directories were named by."""
    found: list[Path] = []
    for entry in content.entries:
        if entry.direct is not None and entry.direct.path is not None and entry.direct.kind != "path":
            found.extend((entry.direct.path / "pyproject.toml", entry.direct.path / "setup.cfg"))
    return found
