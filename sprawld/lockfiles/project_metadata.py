"""The metadata of a project as its wheel would have it, from the tables of its project file.

Specifications: pyproject.toml ([project]), core metadata 2.4, entry points; setuptools' documentation for its
dynamic fields. The long description is left out: each edit of a README would make another path set.

A value that could not stand in one line of METADATA is left out and told in the notes, as is everything that
a build backend would compute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement

from ._toml import Table, get, invalid, shown, strings, table, tables
from .project_poetry import poetry_entry_points, poetry_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .setup_files import SetupFacts
    from .source_tree import SourceTree

__all__ = ["Metadata", "read_metadata"]

_REFERENCE: Final = re.compile(
    r"[^\W\d]\w*(?:\.[^\W\d]\w*)*(?P<attribute>\s*:\s*[^\W\d]\w*(?:\.[^\W\d]\w*)*)?\s*(?:\[[\w\s,.-]*\])?"
)
_GROUP: Final = re.compile(r"\w+(?:[.-]\w+)*")
_SCRIPTS: Final = {"scripts": "console_scripts", "gui-scripts": "gui_scripts"}
_MAXIMUM_ITEMS: Final = 5_000
"""Requirements and entry points of one project; the largest known have some hundreds."""


@dataclass(slots=True)
class Metadata:
    """What goes into `.dist-info`."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    """Headers of METADATA after Name and Version."""
    entry_points: list[tuple[str, str, str]] = field(default_factory=list)

    def text(self, name: str, version: str) -> str:
        """Return METADATA."""
        first = [("Metadata-Version", "2.4"), ("Name", name), ("Version", version)]
        return "".join(f"{key}: {value}\n" for key, value in [*first, *self.fields])


def read_metadata(tree: SourceTree, setup: SetupFacts) -> Metadata:
    """Collect the metadata of the project in a tree; raises Fault for values of a wrong type."""
    found: list[tuple[str, str]] = []
    points: list[tuple[str, str, str]] = []
    project = tree.pyproject.project
    poetry = tree.pyproject.tool("poetry")
    if project:
        dynamic = set(strings(project, "dynamic"))
        found += _standard(project)
        points += _standard_entry_points(project)
        found, points = _add_dynamic(tree, setup, dynamic, found, points)
    elif poetry and tree.backend in ("poetry", ""):
        found += poetry_metadata(tree, poetry)
    else:
        found += _of_setup(setup)
        points += _lines_entry_points(setup.entry_points)
        _note_computed(tree, setup, ("install_requires", "extras_require", "entry_points"))
    if tree.backend == "poetry":
        points += poetry_entry_points(poetry)
    if len(found) + len(points) > _MAXIMUM_ITEMS:
        invalid(f"more than {_MAXIMUM_ITEMS} requirements and entry points")
    return Metadata(_sound_fields(tree, found), _sound_entry_points(tree, points))


def _standard(project: Table) -> Iterator[tuple[str, str]]:
    for key, header in (("description", "Summary"), ("requires-python", "Requires-Python")):
        value = get(project, key, str)
        if value:
            yield header, " ".join(value.split("\n")) if key == "description" else value
    if keywords := strings(project, "keywords"):
        yield "Keywords", ",".join(keywords)
    for key, header in (("authors", "Author"), ("maintainers", "Maintainer")):
        yield from _people(tables(project, key), header)
    yield from _license(project)
    yield from (("Classifier", classifier) for classifier in strings(project, "classifiers"))
    urls = table(project, "urls")
    yield from (("Project-URL", f"{label}, {url}") for label, url in urls.items() if isinstance(url, str))
    yield from (("Requires-Dist", text) for text in strings(project, "dependencies"))
    optional = table(project, "optional-dependencies")
    yield from _extras({extra: strings(optional, extra) for extra in optional})


def _people(people: Iterable[Table], header: str) -> Iterator[tuple[str, str]]:
    names, addresses = [], []
    for person in people:
        name, address = get(person, "name", str), get(person, "email", str)
        if address:
            addresses.append(f"{name} <{address}>" if name else address)
        elif name:
            names.append(name)
    if names:
        yield header, ", ".join(names)
    if addresses:
        yield f"{header}-email", ", ".join(addresses)


def _license(project: Table) -> Iterator[tuple[str, str]]:
    value = project.get("license")
    if isinstance(value, str):
        yield "License-Expression", value
    elif isinstance(value, dict) and isinstance(text := value.get("text"), str) and "\n" not in text.strip():
        # A whole licence is for the file of that name.
        yield "License", text.strip()


def _extras(optional: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for extra, requirements in optional.items():
        normal = re.sub(r"[-_.]+", "-", extra).lower()
        yield "Provides-Extra", normal
        for text in requirements:
            yield f"Requires-Dist:{normal}", text


def _standard_entry_points(project: Table) -> Iterator[tuple[str, str, str]]:
    for key, group in _SCRIPTS.items():
        for name, value in table(project, key).items():
            yield group, name, _text(value)
    groups = table(project, "entry-points")
    for group in groups:
        for name, value in table(groups, group).items():
            yield group, name, _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _add_dynamic(
    tree: SourceTree,
    setup: SetupFacts,
    dynamic: set[str],
    found: list[tuple[str, str]],
    points: list[tuple[str, str, str]],
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """Add what [project] leaves to the backend, as far as the backend takes it from literals."""
    missing = dynamic - {"version", "readme", "license", "license-files", "urls", "keywords", "classifiers"}
    missing -= {"authors", "maintainers"}
    if tree.backend == "setuptools":
        more, more_points, told = _setuptools_dynamic(tree, setup, missing)
    elif tree.backend == "poetry":
        poetry = tree.pyproject.tool("poetry")
        wanted = {"Requires-Dist" if "dependencies" in missing else "", _EXTRA_HEADER if missing else ""}
        wanted |= {"Requires-Python" if "requires-python" in missing else ""}
        more = [item for item in poetry_metadata(tree, poetry) if item[0].partition(":")[0] in wanted]
        more_points, told = [], missing
    else:
        more, more_points, told = [], [], set()
    if left := sorted(missing - told):
        tree.note(f"{', '.join(map(shown, left))}: made by its build backend, not in its metadata here")
    return found + more, points + more_points


_EXTRA_HEADER: Final = "Provides-Extra"


def _setuptools_dynamic(
    tree: SourceTree, setup: SetupFacts, missing: set[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]], set[str]]:
    settings = table(tree.pyproject.tool("setuptools"), "dynamic")
    found: list[tuple[str, str]] = []
    points: list[tuple[str, str, str]] = []
    told: set[str] = set()
    if "dependencies" in missing and "dependencies" in settings:
        lines = _lines_of(tree, table(settings, "dependencies"))
        found += (("Requires-Dist", line) for line in lines)
        told.add("dependencies")
    if "optional-dependencies" in missing and "optional-dependencies" in settings:
        optional = table(settings, "optional-dependencies")
        found += _extras({extra: _lines_of(tree, table(optional, extra)) for extra in optional})
        told.add("optional-dependencies")
    if "entry-points" in missing and "entry-points" in settings:
        text = "\n".join(_lines_of(tree, table(settings, "entry-points")))
        points += _lines_entry_points(_sections(text))
        told |= {"entry-points", "scripts", "gui-scripts"}
    left = missing - told
    legacy = _of_setup(setup)
    headers = {
        "description": ("Summary",),
        "requires-python": ("Requires-Python",),
        "dependencies": ("Requires-Dist",),
        "optional-dependencies": (_EXTRA_HEADER, "Requires-Dist:"),
    }
    for name in sorted(left & headers.keys()):
        more = [item for item in legacy if _is_of(item[0], headers[name])]
        found += more
        told |= {name} if more else set()
    if left & {"entry-points", "scripts", "gui-scripts"} and setup.entry_points:
        points += _lines_entry_points(setup.entry_points)
        told |= {"entry-points", "scripts", "gui-scripts"}
    return found, points, told


def _is_of(header: str, headers: tuple[str, ...]) -> bool:
    return header in headers or any(item.endswith(":") and header.startswith(item) for item in headers)


def _lines_of(tree: SourceTree, source: Table) -> tuple[str, ...]:
    """Return the lines of the files (or the one value) that a dynamic field names."""
    files = source.get("file")
    paths = files if isinstance(files, list) else [files]
    texts = (tree.read(path) or "" for path in paths if isinstance(path, str))
    lines = (line.strip() for text in texts for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith(("#", "-")))


def _sections(text: str) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    group = ""
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group:
            groups.setdefault(group, []).append(line)
    return {name: tuple(lines) for name, lines in groups.items()}


def _of_setup(setup: SetupFacts) -> list[tuple[str, str]]:
    found = [("Summary", setup.description), ("Requires-Python", setup.requires_python)]
    found = [(header, value) for header, value in found if value]
    found += (("Requires-Dist", text) for text in setup.requires)
    return [*found, *_extras(setup.extras)]


def _note_computed(tree: SourceTree, setup: SetupFacts, keys: tuple[str, ...]) -> None:
    if computed := sorted(set(setup.computed).intersection(keys)):
        tree.note(f"{', '.join(computed)}: computed by its setup.py, not in its metadata here")


def _lines_entry_points(groups: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str, str]]:
    for group, lines in groups.items():
        for line in lines:
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()


def _sound_fields(tree: SourceTree, found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    sound: dict[tuple[str, str], None] = {}
    for header, value in found:
        key, _, extra = header.partition(":")
        text = _requirement(value, extra) if key == "Requires-Dist" else value.strip()
        if text is None or not text.isprintable():
            tree.note(f"{key} {shown(repr(value))} is not sound, and left out")
        else:
            sound[(key, text)] = None
    return list(sound)


def _requirement(text: str, extra: str) -> str | None:
    try:
        requirement = Requirement(text)
        if extra:
            condition = f'extra == "{extra}"'
            before = requirement.marker
            requirement.marker = Marker(condition if before is None else f"({before}) and {condition}")
        return str(requirement)
    except (InvalidRequirement, ValueError, RecursionError):
        return None


def _sound_entry_points(
    tree: SourceTree, points: Iterable[tuple[str, str, str]]
) -> list[tuple[str, str, str]]:
    sound: dict[tuple[str, str], str] = {}
    for group, name, value in points:
        reference = _REFERENCE.fullmatch(value)
        is_script = group in _SCRIPTS.values()
        if (
            reference is None
            # White space between its parts may be a line's end, which would begin another one in the file.
            or not value.isprintable()
            or (is_script and not reference["attribute"])
            or not _GROUP.fullmatch(group)
            or not _is_name(name)
        ):
            tree.note(f"entry point {shown(repr(name))} of {shown(repr(group))} is not sound, and left out")
        else:
            sound[group, name] = re.sub(r"\s*:\s*", ":", value.strip())
    return [(group, name, value) for (group, name), value in sorted(sound.items())]


def _is_name(name: str) -> bool:
    return (
        bool(name)
        and name.isprintable()
        and name == name.strip()
        and not set(name) & {"=", "\\"}
        and (name[0] not in "[#;")
    )
