"""A path set: the venv-shaped directory of links that one lock, on one interpreter, imports from.

    sets/<digest>/
      pyvenv.cfg  pip.conf  set.json  index  entry-points  lease
      bin/        python, python3, pythonX.Y -> the base interpreter; the scripts of the entries
      lib/pythonX.Y/site-packages/      links; `_virtual_sprawl` and its two start-up files
      include/  share/  etc/ ...        links to the other files of the entries

1. Entries are laid in the order of their normalised names and the last one wins a file that several have.
   The order does not depend on the lock, so two locks with the same files share one set.
2. Start-up code of wheels (`.pth`, `.start`, `sitecustomize`) runs before the program can say anything. It is
   left out, except for the distributions that `allowed` names; path lines of a `.pth` are kept.
3. A file of a wheel never takes the place of one of the set's own.
4. All links are relative, but those to the interpreter: the store may move as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sprawld.errors import InterpreterError, StoreError
from sprawld.store import files

from . import distributions, overlay, prefix, scripts, setindex, startup
from .bundled import Bundled
from .clientcopy import COPY_NAME
from .merge import Conflict, Source, Tree

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from sprawld.model import Digest, Environment, Overlay
    from sprawld.store.manifest import ManifestSummary

    from .older import OlderSets

__all__ = ["LAYOUT", "SetEntry", "build_set", "set_digest"]

LAYOUT: Final = 5
"""Part of every set's digest; raised when the same entries would be laid out differently."""

DIGEST_DIGITS: Final = 40
"""Of the hex digest. 160 bits leave no collisions to find, and 64 digits would push the first line of
scripts past what kernels read for every longer home directory."""

SITE_PACKAGES: Final = "lib/python/site-packages"
"""Where an entry keeps what goes to a site-packages directory."""

_DIRECTORY_KINDS: Final = frozenset({"package", "namespace", "directory"})


PIP_CONF: Final = """\
# Read by pip when it runs on this set. Neither stops pip where it is told to write elsewhere (--prefix, as in
# the environments it builds in); both stop it before it writes here, and show what to do.
[install]
prefix = /dev/null/virtual-sprawl: packages are read-only. Add it to the lock, or run sprawl view --copy DIR
[uninstall]
root-user-action = virtual-sprawl: packages are read-only. Remove yours from the lock
"""
"""In a virtual environment the mark "externally managed" has no effect, and no file mode stops root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEntry:
    """One entry of a set."""

    digest: Digest
    name: str
    """Normalised."""
    version: str
    summary: ManifestSummary
    """First line of the entry's manifest."""
    beside: Mapping[str, Sequence[str]] | None = None
    """What `prefix.beside` says of it, where that was asked already."""
    entry_points: Sequence[str | None] | None = None
    """What `distributions.entry_points_of` says of it, likewise."""

    @property
    def package(self) -> str:
        """Name and version as they are written in `set.json`."""
        return f"{self.name}=={self.version}"


def set_digest(
    entries: Sequence[Digest],
    environment: Environment,
    client_digest: str,
    overlays: Sequence[Overlay] = (),
    allowed: Collection[str] = startup.ALLOWED,
) -> str:
    """Return the name of the set of these entries for this interpreter: 40 hex digits.

    The order of `entries` does not matter. A set without `overlays` is bound to no project. `allowed`:
    distributions whose start-up code runs.
    """
    parts = [
        LAYOUT,
        sorted(entries),
        sorted(allowed),
        environment.identity,
        environment.executable,
        environment.cache_tag,
        environment.library,
        list(environment.module_suffixes),
        client_digest,
        [overlay.record(one) for one in overlays],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:DIGEST_DIGITS]


def build_set(
    staged: Path,
    final: Path,
    entries: Sequence[SetEntry],
    environment: Environment,
    *,
    store_root: Path,
    client_digest: str,
    lock: Path,
    overlays: Sequence[Overlay] = (),
    bundles: Sequence[str] = (),
    allowed: Collection[str] = startup.ALLOWED,
    older: OlderSets | None = None,
) -> bytes:
    """Fill the directory `staged` for its later place `final` and return the index's bytes.

    `bundles` are those of `plan_bundles`, made already; links that `older` sets have are shared. Blocks;
    reads no manifest, and lists directories only where entries share one. The caller renames `staged` and
    then takes the right to write from it; the directories below have lost it already. Raises StoreError
    `set.collision`, `disk.full`, `store.unwritable`; WheelError `wheel.bad-entry-point`; InterpreterError.
    """
    _check_interpreter(environment)
    bundled = Bundled.of(store_root, bundles)
    builder = _Builder(
        entries=sorted(entries, key=lambda entry: entry.name),
        environment=environment,
        final=os.fspath(final),
        store=os.fspath(store_root),
        tree=Tree(
            os.fspath(staged),
            os.fspath(final),
            os.fspath(store_root),
            bundled.path,
            *(() if older is None else (older.find,)),
        ),
        bundled=bundled,
        overlays=overlays,
        allowed=allowed,
    )
    with files.writing(f"the path set {final}"), contextlib.closing(builder.tree):
        return builder.build(client_digest, lock)


def _check_interpreter(environment: Environment) -> None:
    executable = environment.executable
    if not executable.startswith("/"):
        raise InterpreterError("python.not-found", "a path set needs an interpreter of this machine")
    if not executable.isprintable():
        # It becomes a line of pyvenv.cfg.
        raise InterpreterError("python.unsupported", f"the interpreter's path is not text: {executable!r}")


@dataclass(slots=True, kw_only=True)
class _Builder:
    """What is known while one set is built."""

    entries: Sequence[SetEntry]
    environment: Environment
    final: str
    store: str
    tree: Tree
    bundled: Bundled
    overlays: Sequence[Overlay]
    allowed: Collection[str]
    left_out: list[dict[str, str]] = field(default_factory=list)
    """Start-up files of wheels, and the lines kept of each."""

    @property
    def site_packages(self) -> str:
        return f"lib/{self.environment.library}/site-packages"

    def build(self, client_digest: str, lock: Path) -> bytes:
        """Write everything; see `build_set`."""
        self._refuse_twins()
        for directory in ("bin", "include", "lib", f"lib/{self.environment.library}", self.site_packages):
            self.tree.make_directory(directory)
        self._interpreter()
        self._client(client_digest)
        top = self._site_packages()
        self._scripts()
        overlay.lay(self.tree, self.site_packages, self.overlays, f"{self.final}/bin/python")
        prefix.place_data(self.tree, self.entries, self.store, self.environment.library)
        index = setindex.encode(
            self.environment.cache_tag,
            self.final,
            f"{self.final}/{self.site_packages}",
            top,
            start_up=self._start_up(),
            links=self._owners(),
        )
        self.tree.write("index", index)
        known = distributions.encode(self.entries, self.tree.links, self.site_packages, self.store)
        self.tree.write(distributions.NAME, known)
        self.tree.write("lease", b"", 0o600)
        self.tree.write("set.json", self._description(client_digest, lock))
        self.tree.seal()
        return index

    def _refuse_twins(self) -> None:
        for one, other in zip(self.entries, self.entries[1:], strict=False):
            if one.name == other.name:
                raise StoreError("set.collision", f"{one.package} and {other.package} are one distribution")

    def _interpreter(self) -> None:
        executable = self.environment.executable
        # lib/python3.13t belongs to bin/python3.13t.
        for name in ("python", "python3", self.environment.library):
            self.tree.link_to(f"bin/{name}", executable, executable)
        lines = {
            "home": os.path.dirname(executable),
            "include-system-site-packages": "false",
            "version": ".".join(map(str, self.environment.version)),
            "executable": executable,
            "virtual-sprawl": str(LAYOUT),
        }
        text = "".join(f"{key} = {value}\n" for key, value in lines.items())
        self.tree.write("pyvenv.cfg", text.encode())
        self.tree.write("pip.conf", PIP_CONF.encode())

    def _client(self, client_digest: str) -> None:
        place = f"{self.site_packages}/{COPY_NAME}"
        self.tree.link(place, f"client/{client_digest}/{COPY_NAME}")
        suffix, content = startup.own_file(self.environment.version)
        self.tree.write(place + suffix, content)

    def _site_packages(self) -> dict[str, tuple[int, str]]:
        """Link every top-level name; return the index's table of those that can be imported."""
        children: dict[str, list[Source]] = {}
        modules: set[str] = set()
        directories: dict[str, set[str]] = {}
        for entry in self.entries:
            allowed = entry.name in self.allowed
            for name, kind in entry.summary.top_level.items():
                if startup.is_startup(name) and not (allowed and not startup.is_namespace_file(name)):
                    self._leave_out(entry, name)
                    continue
                source = Source(entry.package, f"wheels/{entry.digest}/{SITE_PACKAGES}/{name}")
                children.setdefault(name, []).append(source)
                if kind in _DIRECTORY_KINDS:
                    directories.setdefault(name, set()).update(entry.summary.init.get(name, ()))
                else:
                    modules.add(name)
        for name, sources in children.items():
            self.tree.place(f"{self.site_packages}/{name}", sources)
        directories[COPY_NAME] = {"__init__.py"}
        return setindex.importable(modules, directories, self.environment.module_suffixes)

    def _start_up(self) -> list[str]:
        names = os.listdir(self.tree.path(self.site_packages))
        return [name for name in names if name.endswith((".pth", ".start"))]

    def _owners(self) -> dict[str, str]:
        """Return what lies in one entry alone: path from site-packages -> the entry's digest."""
        below = self.site_packages + "/"
        found = {}
        for place, path in self.tree.links.items():
            if place.startswith(below):
                for rest, digest in self.bundled.owners(path):
                    found[place.removeprefix(below) + rest] = digest
        return found

    def _leave_out(self, entry: SetEntry, name: str) -> None:
        lines: list[str] = []
        if name.endswith(".pth"):
            path = f"{self.store}/wheels/{entry.digest}/{SITE_PACKAGES}/{name}"
            with contextlib.suppress(OSError):  # too large to be honest
                lines = startup.path_lines(files.read_small(path, startup.PTH_BYTES))
        kept = "".join(f"{line}\n" for line in lines if self._may_be_on_path(line))
        if kept:
            self.tree.write(f"{self.site_packages}/{name}", kept.encode())
        self.left_out.append({"package": entry.package, "file": name, "kept": kept})

    def _may_be_on_path(self, line: str) -> bool:
        """Tell whether a directory below site-packages is one, and brings no module that `site` imports."""
        names: list[str] = []
        try:
            for entry in self.entries:
                names += self._children(f"wheels/{entry.digest}/{SITE_PACKAGES}/{line}")
        except NotADirectoryError:
            return False  # an archive to import from, perhaps
        return bool(names) and not any(map(startup.is_startup_module, names))

    def _scripts(self) -> None:
        """Write or link the scripts; of equal names the last entry's, as with files."""
        found: dict[str, tuple[SetEntry, bytes | None]] = {}
        python = f"{self.final}/bin/python"
        for entry in self.entries:
            summary = entry.summary
            if not summary.entry_points and not summary.scripts:
                continue
            directory = f"{self.store}/wheels/{entry.digest}/bin"
            own = scripts.scripts_of(summary.entry_points, summary.scripts, directory, python)
            for name, content in own.items():
                before = found.get(name)
                if before is not None and (content is None or before[1] != content):
                    self.tree.conflicts.append(Conflict(f"bin/{name}", entry.package, (before[0].package,)))
                found[name] = (entry, content)
        for name, (project, _) in overlay.scripts_of(self.overlays, python).items():
            if name in found:
                self.tree.conflicts.append(Conflict(f"bin/{name}", project, (found.pop(name)[0].package,)))
        for name, (entry, content) in found.items():
            if content is None:
                self.tree.link(f"bin/{name}", f"wheels/{entry.digest}/bin/{name}")
            else:
                self.tree.write(f"bin/{name}", content, 0o555)

    def _children(self, relative: str) -> list[str]:
        try:
            return os.listdir(f"{self.store}/{relative}")
        except FileNotFoundError:
            return []

    def _description(self, client_digest: str, lock: Path) -> bytes:
        environment = self.environment
        description = {
            "set": LAYOUT,
            "name": os.path.basename(self.final),
            "lock": os.fspath(lock),
            "entries": [entry.digest for entry in self.entries],
            "bundles": sorted(self.bundled.names),
            "client": client_digest,
            "python": {
                "executable": environment.executable,
                "version": ".".join(map(str, environment.version)),
                "cache_tag": environment.cache_tag,
                "identity": environment.identity,
            },
            "packages": [entry.package for entry in self.entries],
            "conflicts": self.bundled.conflicts(self.tree.conflicts, self.site_packages),
            "startup": self.left_out,
            "allowed": sorted(self.allowed),
            "overlays": [overlay.record(one) for one in self.overlays],
        }
        return json.dumps(description, indent=1).encode()
