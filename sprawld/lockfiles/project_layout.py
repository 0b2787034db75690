"""Where in a source tree the code of a project lies: what an editable install of it puts on sys.path.

Specification: the documentation and behaviour of each build backend. Where several places are possible each
backend has its own order; where a backend would use an import hook (setuptools with the packages beside the
project file) the directory itself is put on the path, as the others do.

A package that bears another name in the tree than it is imported by gets a link under its name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ._toml import Table, get, shown, strings, table, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .setup_files import SetupFacts
    from .source_tree import SourceTree

__all__ = ["Layout", "find_layout"]

_START_UP: Final = ("sitecustomize", "usercustomize")
_START_UP_FILES: Final = tuple(f"{module}{suffix}" for module in _START_UP for suffix in ("", ".py", ".pyc"))
_NO_STEPS: Final = frozenset({"version", "vcs"})
"""Build hooks of hatch that write a version and nothing else."""


@dataclass(slots=True)
class Layout:
    """Directories for sys.path and links, relative to the tree while they are collected."""

    paths: dict[str, None] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Import name -> path of the package or module."""
    modules: dict[str, None] = field(default_factory=dict)

    def add(self, path: str, *modules: str) -> None:
        """Put a directory on the path."""
        self.paths[os.path.normpath(path)] = None
        self.modules |= dict.fromkeys(module.partition(".")[0] for module in modules)

    def add_as(self, name: str, path: str) -> None:
        """Make what lies at `path` importable as `name`, over the directory above it where that will do."""
        path = os.path.normpath(path)
        above, last = os.path.split(path)
        if last in (name, f"{name}.py"):
            self.add(above or ".", name)
        else:
            self.links[name] = path
            self.modules[name] = None


def find_layout(tree: SourceTree, setup: SetupFacts, name: str) -> Layout:
    """Return the absolute real places of the project called `name`; what is wrong goes to the notes."""
    found = Layout()
    finder = _FINDERS.get(tree.backend, _unknown)
    finder(tree, setup, found, name)
    return _checked(tree, found)


def _checked(tree: SourceTree, found: Layout) -> Layout:
    sound = Layout(modules={name: None for name in found.modules if name.isidentifier()})
    for relative in found.paths:
        path = tree.inside(relative)
        if path is None or not tree.is_directory(relative):
            tree.note(f"{shown(repr(relative))} is not a directory of the project")
        elif not tree.is_safe(path):
            tree.note(f"{shown(repr(relative))} can be written by others")
        elif _has_start_up(tree, path):
            # It would run in every process of the set, before the program can say anything.
            tree.note(
                f"{shown(repr(relative))} has a start-up module ({' or '.join(_START_UP)}), move it away"
            )
        else:
            sound.paths[path] = None
        for file in _START_UP_FILES:
            tree.watch(f"{relative}/{file}")
    for name, relative in found.links.items():
        path = tree.inside(relative)
        exists = tree.is_directory(relative) or tree.is_file(relative)
        if path is None or not exists or not name.isidentifier() or name in _START_UP:
            tree.note(f"{shown(repr(relative))} cannot be imported as {shown(repr(name))}")
        else:
            sound.links[name] = path
    return sound


def _has_start_up(tree: SourceTree, path: str) -> bool:
    """Tell whether a directory of the tree has a module, of whatever kind, that `site` would import."""
    return any(os.path.lexists(f"{path}/{file}") for file in _START_UP_FILES) or any(
        child.endswith(".so") and child.partition(".")[0] in _START_UP
        for child in tree.children(os.path.relpath(path, tree.root))
    )


def _guess(tree: SourceTree, found: Layout, name: str, bases: Iterable[str] = ("src", ".")) -> bool:
    """Look for a package or module of the project's name; tell whether there is one."""
    tree.watch("src")
    for base in bases:
        for module in dict.fromkeys((name, name.lower())):
            if tree.has_module(base, module):
                found.add(base, module)
                return True
    return False


def _unknown(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    if not _guess(tree, found, name):
        found.add("src" if _modules_in(tree, "src") else ".")


def _modules_in(tree: SourceTree, base: str) -> list[str]:
    """Return the names of packages and modules in a directory of the tree."""
    modules = []
    for child in tree.children(base):
        module = child.removesuffix(".py")
        if module.isidentifier() and (
            module != child or (tree.is_directory(f"{base}/{child}") and module != "__pycache__")
        ):
            modules.append(module)
    return modules


def _setuptools(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    settings = tree.pyproject.tool("setuptools")
    for key in ("ext-modules", "cmdclass"):
        if key in settings:
            tree.steps.append(f"[tool.setuptools] has {key}")
    package_dir = {key: str(value) for key, value in table(settings, "package-dir").items()}
    package_dir = package_dir or setup.package_dir
    packages = settings.get("packages")
    find = table(packages, "find") if isinstance(packages, dict) else {}
    where = strings(find, "where") or setup.where
    listed = [item for item in packages if isinstance(item, str)] if isinstance(packages, list) else []
    listed += strings(settings, "py-modules")
    for package, place in package_dir.items():
        if not package:
            found.add(place, *_modules_in(tree, place))
        elif "." not in package:
            found.add_as(package, place)
        elif not place.replace("/", ".").endswith(package):
            tree.note(f"package-dir: {shown(package)} cannot be served from {shown(place)}")
    for place in where:
        found.add(place, *_modules_in(tree, place))
    if "" in package_dir or where:
        return
    if listed or setup.packages:
        rest = [
            package for package in listed or setup.packages if package.partition(".")[0] not in package_dir
        ]
        if rest:
            found.add(".", *rest)
    elif not package_dir:
        tree.watch("src")
        if tree.is_directory("src"):
            found.add("src", *_modules_in(tree, "src"))
        else:
            found.add(".", *(module for module in (name, name.lower()) if tree.has_module(".", module)))


def _hatch(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    build = table(tree.pyproject.tool("hatch"), "build")
    wheel = table(table(build, "targets"), "wheel")
    for hooks in (table(build, "hooks"), table(wheel, "hooks")):
        tree.steps += (
            f"it has the build hook {shown(repr(hook))}" for hook in hooks if hook not in _NO_STEPS
        )
    if "force-include" in wheel or "force-include" in build:
        tree.note("files of `force-include` are only in a built wheel")
    directories = strings(wheel, "dev-mode-dirs") or strings(build, "dev-mode-dirs")
    packages = strings(wheel, "packages") or strings(build, "packages")
    included = packages or strings(wheel, "only-include") or strings(build, "only-include")
    sources = _sources(wheel) or _sources(build)
    for directory in directories:
        found.add(directory)
    for path in included:
        prefix = next((key for key in sources if f"{path}/".startswith(f"{key.rstrip('/')}/")), None)
        if prefix is not None:
            _add_moved(tree, found, path.rstrip("/"), prefix.rstrip("/"), sources[prefix])
        elif packages:
            found.add_as(path.rstrip("/").rpartition("/")[2], path)
        else:
            found.add(".", path.partition("/")[0])
    if directories:
        found.paths = {os.path.normpath(directory): None for directory in directories}
    elif not included:
        for prefix, target in sources.items():
            if target:
                found.add_as(target.rstrip("/").partition("/")[0], prefix)
            else:
                found.add(prefix, *_modules_in(tree, prefix))
        if not sources and not _guess(tree, found, name, (".", "src")):
            _guess_namespace(tree, found, name)


def _sources(settings: Table) -> dict[str, str]:
    value = settings.get("sources")
    if isinstance(value, list):
        return {item: "" for item in value if isinstance(item, str)}
    return {key: str(item) for key, item in table(settings, "sources").items()}


def _add_moved(tree: SourceTree, found: Layout, path: str, prefix: str, target: str) -> None:
    """Add a path whose beginning `prefix` is `target` in a wheel; an empty one removes it."""
    moved = "/".join(part for part in (target.strip("/"), path[len(prefix) :].strip("/")) if part)
    if not moved:
        found.add(prefix, *_modules_in(tree, prefix))
    elif f"/{path}".endswith(f"/{moved}"):
        found.add(path[: -len(moved)].rstrip("/") or ".", moved.partition("/")[0])
    elif "/" not in moved:
        found.add_as(moved, path)
    else:
        tree.note(f"{shown(repr(path))} cannot be served as {shown(repr(moved))}")


def _guess_namespace(tree: SourceTree, found: Layout, name: str) -> None:
    for namespace in tree.children("."):
        if namespace.isidentifier() and tree.is_file(f"{namespace}/{name}/__init__.py"):
            found.add(".", namespace)
            return
    tree.note("it has no package of its own name, and names no other")


def _poetry(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    settings = tree.pyproject.tool("poetry")
    if "build" in settings:
        tree.steps.append("[tool.poetry] has a build script")
    for item in tables(settings, "packages"):
        include, base = get(item, "include", str) or "", get(item, "from", str) or "."
        first = include.partition("/")[0]
        target = get(item, "to", str)
        if target:
            found.links[target.strip("/")] = os.path.normpath(base)
            found.modules[target.strip("/")] = None
        found.add(base, *([first.removesuffix(".py")] if "*" not in first else []))
    if "packages" not in settings and not _guess(tree, found, name, (".", "src")):
        tree.note("it has no package of its own name (for poetry: name one, or set package-mode = false)")


def _pdm(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    settings = tree.pyproject.tool("pdm")
    build = table(settings, "build")
    if any(key in build for key in ("run-setuptools", "custom-hook")):
        tree.steps.append("[tool.pdm.build] has a build script")
    tree.watch("src")
    place = get(build, "package-dir", str) or get(settings, "package-dir", str)
    place = place or ("src" if tree.is_directory("src") else ".")
    modules = _modules_in(tree, place) if place != "." else []
    found.add(place, *modules, *([name] if not modules and tree.has_module(place, name) else []))


def _uv(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    settings = table(tree.pyproject.tool("uv"), "build-backend")
    names = settings.get("module-name", name)
    modules = [item for item in names if isinstance(item, str)] if isinstance(names, list) else [str(names)]
    place = get(settings, "module-root", str)
    found.add("src" if place is None else place or ".", *modules)


def _flit(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    module = get(table(tree.pyproject.tool("flit"), "module"), "name", str) or name
    if not _guess(tree, found, module):
        tree.note(f"it has no module {shown(repr(module))}")


def _maturin(tree: SourceTree, setup: SetupFacts, found: Layout, name: str) -> None:
    settings = tree.pyproject.tool("maturin")
    tree.steps.append("its extension module has to be compiled (maturin)")
    place = get(settings, "python-source", str)
    module = (get(settings, "module-name", str) or name).partition(".")[0]
    if place:
        found.add(place, *_modules_in(tree, place))
    else:
        _guess(tree, found, module, (".", "src", "python"))


_FINDERS: Final[dict[str, Callable[[SourceTree, SetupFacts, Layout, str], None]]] = {
    "flit": _flit,
    "hatch": _hatch,
    "maturin": _maturin,
    "pdm": _pdm,
    "poetry": _poetry,
    "setuptools": _setuptools,
    "uv": _uv,
}
