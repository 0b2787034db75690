"""The metadata that poetry makes of [tool.poetry]: its constraints in the words of the common specifications.

Specification: poetry's documentation, "The pyproject.toml file" and "Dependency specification"; dependency
specifiers. Alternatives of versions (`||`) have no common form: such a requirement is there without version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._toml import Table, get, strings, table
from .artifacts import package_name
from .poetry_constraints import parse_constraint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .poetry_constraints import Range
    from .source_tree import SourceTree

__all__ = ["poetry_entry_points", "poetry_metadata"]

_PERSON: Final = re.compile(r"(?P<name>[^<>]*?)\s*(?:<(?P<email>[^<>]*)>)?")
_URLS: Final = {"homepage": "Homepage", "repository": "Repository", "documentation": "Documentation"}


def poetry_metadata(tree: SourceTree, settings: Table) -> list[tuple[str, str]]:
    """Return the headers of METADATA; `Requires-Dist:EXTRA` for requirements of extras. Raises Fault."""
    found: list[tuple[str, str]] = []
    for key, header in (("description", "Summary"), ("license", "License")):
        if value := get(settings, key, str):
            found.append((header, value))
    if keywords := strings(settings, "keywords"):
        found.append(("Keywords", ",".join(keywords)))
    for key, header in (("authors", "Author"), ("maintainers", "Maintainer")):
        matches = [_PERSON.fullmatch(person.strip()) for person in strings(settings, key)]
        people = [match for match in matches if match is not None]
        if people:
            # Poetry writes the first one only.
            found.append((header, people[0]["name"]))
            found += [(f"{header}-email", people[0]["email"])] if people[0]["email"] else []
    found += (("Classifier", item) for item in strings(settings, "classifiers"))
    found += (("Project-URL", f"{label}, {settings[key]}") for key, label in _URLS.items() if key in settings)
    urls = table(settings, "urls")
    found += (("Project-URL", f"{label}, {url}") for label, url in urls.items())
    return [*found, *_dependencies(tree, settings)]


def _dependencies(tree: SourceTree, settings: Table) -> Iterator[tuple[str, str]]:
    dependencies = table(settings, "dependencies")
    extras = table(settings, "extras")
    members = {extra: set(map(package_name, strings(extras, extra))) for extra in extras}
    for extra in extras:
        yield "Provides-Extra", package_name(extra)
    for name, value in dependencies.items():
        if name.lower() == "python":
            if isinstance(value, str) and (specifier := _specifier(tree, name, value)):
                yield "Requires-Python", specifier
            continue
        for item in value if isinstance(value, list) else [value]:
            requirement = _requirement(tree, name, item)
            if isinstance(item, dict) and item.get("optional") is True:
                for extra, names in members.items():
                    if package_name(name) in names:
                        yield f"Requires-Dist:{package_name(extra)}", requirement
            else:
                yield "Requires-Dist", requirement


def _requirement(tree: SourceTree, name: str, value: object) -> str:
    if not isinstance(value, dict):
        return name + _in_brackets(_specifier(tree, name, value if isinstance(value, str) else "*"))
    item: Table = value
    extras = ",".join(strings(item, "extras"))
    text = f"{name}[{extras}]" if extras else name
    git, url = get(item, "git", str), get(item, "url", str)
    if git is not None:
        reference = next((get(item, key, str) for key in ("rev", "tag", "branch") if key in item), None)
        text += f" @ git+{git}" + (f"@{reference}" if reference else "")
    elif url is not None:
        text += f" @ {url}"
    elif "path" not in item:
        text += _in_brackets(_specifier(tree, name, get(item, "version", str) or "*"))
    conditions = [get(item, "markers", str) or "", *_python(get(item, "python", str))]
    if platform := get(item, "platform", str):
        conditions.append(f'sys_platform == "{platform}"')
    marker = " and ".join(f"({condition})" for condition in conditions if condition)
    return f"{text} ; {marker}" if marker else text


def _in_brackets(specifier: str) -> str:
    return f" ({specifier})" if specifier else ""


def _specifier(tree: SourceTree, name: str, text: str) -> str:
    """Return the specifiers for a constraint; an empty text for any version."""
    alternatives = parse_constraint(text).alternatives
    if len(alternatives) > 1:
        tree.note(f"the versions of {name} have alternatives, which are left out of its metadata")
        return ""
    return ",".join(part for item in alternatives[0] for part in _parts(item))


def _parts(item: Range) -> Iterator[str]:
    if item.low is not None and item.low == item.high:
        yield f"{'!=' if item.inverted else '=='}{item.low}"
        return
    low = str(item.low).removesuffix(".dev0") if item.low is not None else ""
    high = str(item.high).removesuffix(".dev0") if item.high is not None else ""
    if item.inverted:
        yield f"!={low}.*"
        return
    if low:
        yield f"{'>=' if item.include_low else '>'}{low}"
    if high:
        yield f"{'<=' if item.include_high else '<'}{high}"


def _python(text: str | None) -> Iterator[str]:
    if text is None or text == "*":
        return
    alternatives = [
        " and ".join(_python_markers(part) for item in parts for part in _parts(item))
        for parts in parse_constraint(text).alternatives
    ]
    yield " or ".join(f"({item})" if len(alternatives) > 1 else item for item in alternatives if item)


def _python_markers(part: str) -> str:
    operator = part.rstrip("0123456789.*!abcdevpostr")
    version = part[len(operator) :]
    variable = "python_full_version" if version.count(".") > 1 else "python_version"
    return f'{variable} {operator} "{version}"'


def poetry_entry_points(settings: Table) -> Iterator[tuple[str, str, str]]:
    """Yield group, name and reference of [tool.poetry.scripts] and [tool.poetry.plugins]."""
    for name, value in table(settings, "scripts").items():
        if isinstance(value, dict):
            # `type = "file"` is a script that is copied as it is.
            if value.get("type", "console") == "console":
                yield "console_scripts", name, str(value.get("reference", value.get("callable", "")))
        else:
            yield "console_scripts", name, value if isinstance(value, str) else ""
    plugins = table(settings, "plugins")
    for group in plugins:
        for name, value in table(plugins, group).items():
            yield group, name, value if isinstance(value, str) else ""
