"""Pipfile.lock: spec 6, and the files of 2017 from before the spec had a number.

Specification: Pipfile (pypa/pipfile) and pipenv's documentation. The file is JSON. Each section (`default`,
`develop`, further categories) is flat: what it lists is installed if its markers hold. It has versions and
hashes but no file names, so the index of each entry has to be asked.

1. The lock was made for one Python: another one than `_meta.requires` names is refused.
2. Without options `default` is selected, as by `pipenv install`. `dev` is another name for `develop`.
3. Sections are installed one after the other, `default` first: where two lock different versions of a
   package, that of the later one stays. `pipenv lock` does write such files; reading one gives a warning.
4. Variables in source URLs are not expanded; see `sources.index_url`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from packaging.utils import NormalizedName

from sprawld.errors import LockError

from ._toml import Fault, Table, at, get, invalid, read_text, read_toml, reading, shown, table, tables
from .artifacts import package_name
from .bulk import check_bulk
from .freshness import pipfile_warnings
from .local_name import local_project
from .pipfile_entry import Entry, Index, from_table
from .remedies import earlier_release
from .sources import index_url
from .wanted import active_extras, active_groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sprawld.model import Environment, Pin, Project, Wanted

__all__ = ["PipfileLock", "read"]

_NEWEST_SPEC: Final = 6
_META: Final = "_meta"
_DEFAULT: Final = NormalizedName("default")
_DEVELOP: Final = NormalizedName("develop")
_OPTION_NAME: Final = NormalizedName("dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipfileLock:
    """A Pipfile.lock; see `sprawld.lockfiles.lock.Lock`."""

    path: Path
    format: str
    project: Project
    inputs: tuple[Path, ...]
    hashed: bool
    """True when any entry has hashes; those of 2017 have none."""
    python: tuple[str, str]
    """`python_version` and `python_full_version` of `_meta.requires`; empty where absent."""
    sections: Mapping[NormalizedName, Mapping[NormalizedName, Entry]]
    indexes: tuple[Index, ...]
    warnings: tuple[str, ...] = ()

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return what `pipenv sync` would install; see `sprawld.lockfiles.lock.Lock`.

        Groups are the sections; there are no extras.
        """
        with reading(self.path):
            self._check_python(environment)
            active_extras(wanted, ())
            groups = active_groups(_renamed(wanted), known=self.sections, default=(), base=_DEFAULT)
            known_as = groups | {_OPTION_NAME} if _DEVELOP in groups else groups
            chosen: dict[NormalizedName, Entry] = {}
            via: dict[NormalizedName, list[str]] = {}
            for section, entries in self.sections.items():
                if section in groups:
                    for name, entry in entries.items():
                        if entry.applies(environment, known_as):
                            chosen[name] = entry
                            via.setdefault(name, []).append(section)
            return tuple(
                entry.pin(self.path.parent, self.indexes, tuple(via[name]))
                for name, entry in sorted(chosen.items())
            )

    def _check_python(self, environment: Environment) -> None:
        series, full = self.python
        release = ".".join(map(str, environment.version))
        if (series and series != ".".join(release.split(".")[:2])) or (full and full != release):
            wanted = full or series or ""
            raise Fault(
                "select.requires-python",
                f"the lock was made for Python {shown(wanted)}, this is Python {release}",
                hint=f"run that Python, as in `sprawl +{shown(wanted)} run ...`, or lock for this one",
            )


def read(path: Path, root: Path | None = None) -> PipfileLock:
    """Read a Pipfile.lock; `root` is not used. Raises LockError (`lock.*`) naming the file and the place."""
    text = read_text(path)
    check_bulk(path, text)
    with reading(path):
        document = _parse(text)
        meta = table(document, _META)
        spec = get(meta, "pipfile-spec", int)
        if spec is not None and spec > _NEWEST_SPEC:
            hint = earlier_release("pipfile")
            raise Fault("lock.unsupported", f"Pipfile.lock spec {spec} is not read, only 6", hint=hint)
        requires = table(meta, "requires")
        sections = _sections(document)
        entries = [entry for section in sections.values() for entry in section.values()]
        sources = tables(meta, "sources")
        indexes = tuple(
            Index(get(source, "name", str) or "", index_url(get(source, "url", str) or ""))
            for source in sources
        )
        python = get(requires, "python_version", str), get(requires, "python_full_version", str)
        warnings = list(_differences(sections))
        if any(get(source, "verify_ssl", bool) is False for source in sources):
            warnings.append("the lock asks for verify_ssl = false, which is not honoured")
    project, project_file = local_project(path)
    pipfile = path.with_name("Pipfile")
    warnings.extend(pipfile_warnings(_pipfile(pipfile), meta))
    return PipfileLock(
        path=path,
        format=f"pipfile {spec or 2017}",
        project=project,
        inputs=(path, project_file, pipfile),
        hashed=any(entry.hashes for entry in entries),
        python=(python[0] or "", python[1] or ""),
        sections=sections,
        indexes=indexes,
        warnings=tuple(warnings),
    )


def _pipfile(path: Path) -> Table:
    """Return the Pipfile, which only serves to tell whether it changed; a missing or odd one is empty."""
    try:
        return read_toml(path)
    except LockError:
        return {}


def _parse(text: str) -> Table:
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise Fault("lock.syntax", "nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, and integers with more digits than int() takes
        raise Fault("lock.syntax", shown(error)) from None
    if not isinstance(document, dict):
        invalid("not a JSON object")
    return document


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Build an object; of two members with one name a reader takes the first, another the last."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Fault("lock.syntax", "an object has two members of the same name")
    return members


def _sections(document: Table) -> dict[NormalizedName, Mapping[NormalizedName, Entry]]:
    """Return the sections in the order in which pipenv installs them."""
    read = {package_name(name): _section(document, name) for name in document if name != _META}
    first = {name: read.pop(name, {}) for name in (_DEFAULT, _DEVELOP) if name in read or name == _DEFAULT}
    return {**first, **read}


def _differences(sections: Mapping[NormalizedName, Mapping[NormalizedName, Entry]]) -> Iterator[str]:
    seen: dict[NormalizedName, Entry] = {}
    for section, entries in sections.items():
        for name, entry in entries.items():
            if seen.setdefault(name, entry).version != entry.version:
                yield f"{name} is locked as {seen[name].version}, and in {section} as {entry.version}"


def _section(document: Table, section: str) -> dict[NormalizedName, Entry]:
    found: dict[NormalizedName, Entry] = {}
    with at(shown(section)):
        for name, item in table(document, section).items():
            with at(shown(name)):
                if not isinstance(item, dict):
                    invalid(f"expected object, got {type(item).__name__}")
                entry = from_table(name, item)
                if entry.name in found:
                    raise Fault("lock.duplicate-package", "listed twice, spelled differently")
                found[entry.name] = entry
    return found


def _renamed(wanted: Wanted) -> Wanted:
    """pipenv's option is `--dev`, its section `develop`."""

    def names(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_DEVELOP if name == _OPTION_NAME else name for name in given)

    return replace(
        wanted,
        groups=names(wanted.groups),
        only_groups=names(wanted.only_groups),
        no_groups=names(wanted.no_groups),
    )
