"""What setup.cfg and setup.py say of a project, as far as it is written there as literals.

Specification: setuptools' documentation, "Configuring setuptools using setup.cfg files" and "Keywords". A
setup.py is parsed and never run: keywords of its one call of `setup` count where they are literals. Whatever
it computes is left to the notes.
"""

from __future__ import annotations

import ast
import configparser
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .source_tree import SourceTree

__all__ = ["SetupFacts", "listed", "read_setup_files"]

_COMPILING: Final = (
    "ext_modules",
    "cffi_modules",
    "rust_extensions",
    "libraries",
    "cmdclass",
    "distclass",
)
"""Keywords with which `setup` does more than to copy Python files."""
_LITERALS: Final = (
    "name",
    "version",
    "description",
    "python_requires",
    "package_dir",
    "packages",
    "py_modules",
    "install_requires",
    "extras_require",
    "entry_points",
)


@dataclass(slots=True)
class SetupFacts:
    """What both files say together; setup.cfg comes after setup.py, as for setuptools."""

    name: str = ""
    version: str = ""
    """A version, or `attr: module.name`, or `file: path`."""
    description: str = ""
    requires_python: str = ""
    package_dir: dict[str, str] = field(default_factory=dict)
    where: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """Listed by name."""
    requires: tuple[str, ...] = ()
    extras: dict[str, tuple[str, ...]] = field(default_factory=dict)
    entry_points: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Group -> lines `name = reference`."""
    computed: tuple[str, ...] = ()
    """Keywords of setup.py that are not literals."""


def read_setup_files(tree: SourceTree) -> SetupFacts:
    """Read the two files of a tree; build steps are added to its `steps`."""
    facts = SetupFacts()
    if tree.is_file("setup.py"):
        _read_program(tree, facts)
    else:
        tree.watch("setup.py")
    _read_configuration(tree, facts)
    return facts


def listed(text: str) -> tuple[str, ...]:
    """Return the items of a value that has one per line, or commas between them."""
    items = text.splitlines() if "\n" in text.strip() else text.split(",")
    return tuple(item.strip() for item in items if item.strip() and not item.strip().startswith("#"))


def _read_program(tree: SourceTree, facts: SetupFacts) -> None:
    module = tree.parse("setup.py")
    calls = list(_setup_calls(module)) if module is not None else []
    if len(calls) != 1:
        tree.steps.append("what its setup.py does cannot be told without running it")
        return
    values: dict[str, object] = {}
    computed = []
    for keyword in calls[0].keywords:
        if keyword.arg is None:
            tree.steps.append("its setup.py computes what it passes to setup()")
        elif keyword.arg in _COMPILING:
            tree.steps.append(f"its setup.py has {keyword.arg}")
        elif keyword.arg in _LITERALS:
            try:
                values[keyword.arg] = ast.literal_eval(keyword.value)
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                where = _found_in(keyword)
                if where:
                    facts.where = (where,)
                computed.append(keyword.arg)
    facts.computed = tuple(computed)
    _take_literals(facts, values)


def _setup_calls(module: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name == "setup":
                yield node


def _found_in(keyword: ast.keyword) -> str:
    """Return the directory of `packages=find_packages("src")`."""
    call = keyword.value
    if keyword.arg != "packages" or not isinstance(call, ast.Call):
        return ""
    values = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "where")]
    first = values[0] if values else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _take_literals(facts: SetupFacts, values: Mapping[str, object]) -> None:
    texts = {key: value.strip() for key, value in values.items() if isinstance(value, str)}
    facts.name = texts.get("name", "")
    facts.version = texts.get("version", "")
    facts.description = texts.get("description", "")
    facts.requires_python = texts.get("python_requires", "")
    facts.package_dir = {
        key: item for key, item in _pairs(values.get("package_dir")) if isinstance(item, str)
    }
    facts.packages = (*_strings(values.get("packages")), *_strings(values.get("py_modules")))
    facts.requires = _strings(values.get("install_requires"))
    facts.extras = {key: _strings(item) for key, item in _pairs(values.get("extras_require"))}
    facts.entry_points = {key: _strings(item) for key, item in _pairs(values.get("entry_points"))}


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((key, item) for key, item in value.items() if isinstance(key, str))


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return listed(value)
    if isinstance(value, (list, tuple, set)):
        return tuple(item for item in value if isinstance(item, str))
    return ()


def _read_configuration(tree: SourceTree, facts: SetupFacts) -> None:
    text = tree.read_optional("setup.cfg")
    if text is None:
        return
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        tree.note("setup.cfg does not parse")
        return

    def value(section: str, *keys: str) -> str:
        # Dashes were allowed for a long time.
        return next((parser.get(section, key) for key in keys if parser.has_option(section, key)), "").strip()

    facts.name = value("metadata", "name") or facts.name
    facts.version = value("metadata", "version") or facts.version
    facts.description = value("metadata", "description", "summary") or facts.description
    facts.requires_python = value("options", "python_requires", "python-requires") or facts.requires_python
    places = listed(value("options", "package_dir", "package-dir"))
    facts.package_dir |= {
        key.strip(): place.strip() for key, _, place in (item.partition("=") for item in places)
    }
    packages = value("options", "packages")
    if not re.match(r"find(?:_namespace)?:", packages):
        facts.packages = listed(packages) or facts.packages
    facts.where = listed(value("options.packages.find", "where")) or facts.where
    facts.packages += listed(value("options", "py_modules", "py-modules"))
    facts.requires = (
        _required(tree, value("options", "install_requires", "install-requires")) or facts.requires
    )
    if parser.has_section("options.extras_require"):
        for extra, lines in parser.items("options.extras_require"):
            facts.extras[extra] = _required(tree, lines)
    if parser.has_section("options.entry_points"):
        # Names of groups and entry points keep their case; configparser lowers those of options.
        exact = configparser.RawConfigParser(strict=False)
        exact.optionxform = str  # type: ignore[assignment, method-assign]
        exact.read_string(text)
        for group, lines in exact.items("options.entry_points"):
            facts.entry_points[group] = listed(lines)


def _required(tree: SourceTree, value: str) -> tuple[str, ...]:
    if not value.startswith("file:"):
        # A comma stands inside of requirements, so only lines (and semicolons of old) part them.
        lines = (line.strip() for line in value.splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))
    texts = (tree.read(path) or "" for path in listed(value.removeprefix("file:")))
    lines = (line.strip() for text in texts for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith(("#", "-")))
