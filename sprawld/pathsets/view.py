"""A view: a path set written out as a virtual environment of real files; needs neither daemon nor store.

    DIR/    pyvenv.cfg  .gitignore
      bin/        python -> the base interpreter, python3, pythonX.Y; scripts that name DIR/bin/python
      lib/pythonX.Y/site-packages/      the files of all wheels, merged, each .dist-info with its own RECORD
      include/site/  share/  etc/ ...

1. It is filled beside DIR under a name of its own and appears by rename, so nobody sees half of one. What a
   crash leaves there is removed by the next view of the same DIR; a lock tells it from one being filled.
2. The order of the wheels is that of the set, so the same file wins where several wheels have one.
3. As in a set, start-up code of wheels is left out, but for the distributions that are allowed to have it.
4. A directory is replaced only if its pyvenv.cfg says that it is a view.

Specifications: PEP 405 (`pyvenv.cfg`), binary distribution format, recording installed projects, direct URL.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError
from sprawld.store import files
from sprawld.store.manifest import read_summary

from . import overlay, startup, wheelfiles
from .clientcopy import COPY_NAME
from .merge import Tree
from .placing import Placer
from .venv import Venv, read_settings

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sprawld.model import Environment, Overlay

    from .placing import LinkMode
    from .setcheck import Description
    from .wheelfiles import Placed

__all__ = ["SETTING", "View", "Wish", "is_view", "remove_abandoned", "write_view"]

SETTING: Final = "virtual-sprawl-view"
"""Key of pyvenv.cfg by which a view is known; its value is the set that was written out."""

COMPILE_SECONDS: Final = 1800.0
"""Some 100,000 modules on a loaded machine."""

# Runs in the target interpreter, Python 3.8 syntax. Modules that do not compile are templates, or for another
# Python; no installer minds them.
_COMPILE: Final = """
import compileall, sys
compileall.compile_dir(sys.argv[1], ddir=sys.argv[2], quiet=2, workers=0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was written."""

    path: Path
    counts: Mapping[str, int]
    """Files by the way they got there: reflink, hardlink, copy."""
    replaced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a view is to be written."""

    mode: LinkMode = "auto"
    replace: bool = False
    """Put it in the place of an older view."""
    bytecode: bool = False
    umask: int = 0o022
    lease: bool = False
    """With a file `lease` that a process which runs on it can lock."""


def is_view(path: Path) -> bool:
    """Tell whether a directory is a view: its pyvenv.cfg says so."""
    try:
        return SETTING in read_settings(f"{path}/pyvenv.cfg")
    except OSError:
        return False


def write_view(
    target: Path,
    path_set: Path,
    described: Description,
    environment: Environment,
    *,
    store_root: Path,
    wish: Wish,
    origins: Mapping[str, Mapping[str, object]],
    cancelled: threading.Event,
) -> View:
    """Write the set at `path_set`, which is so described, to the absolute path `target`.

    `origins` has the content of direct_url.json for packages that came from no index. Blocks; ends with
    InterruptedError, and leaves nothing, once `cancelled` is set. StoreError: `view.occupied`, `view.exists`,
    `view.link-impossible`, `install.collision`, `disk.full`, `store.unwritable`, `store.damaged`.
    """
    target = Path(os.path.abspath(target))
    old = _check_target(target, replace=wish.replace)
    with files.writing(f"the view {target}"), _staging(target) as staged:
        writer = _Writer(
            staged=os.fspath(staged),
            final=os.fspath(target),
            environment=environment,
            placer=Placer(wish.mode, umask=wish.umask, place=os.fspath(target)),
            cancelled=cancelled,
        )
        writer.frame(path_set.name, lease=wish.lease)
        for package, digest in sorted(zip(described.packages, described.entries, strict=True)):
            name = package.rpartition("==")[0]
            writer.entry(store_root / "wheels" / digest, name, described.allowed, origins.get(name))
        writer.projects(described.overlays)
        writer.path_lines(path_set)
        if wish.bytecode:
            writer.compile()
        writer.check()
        os.chmod(staged, 0o777 & ~wish.umask)
        _move(staged, target, old=old)
    return View(path=target, counts=dict(writer.placer.counts), replaced=old)


def _check_target(target: Path, *, replace: bool) -> bool:
    """Return whether there is a view to be replaced; StoreError for anything else that is in the way."""
    if not os.path.lexists(target):
        return False
    if target.is_symlink() or not target.is_dir():
        raise StoreError("view.occupied", f"{target} is not a directory", hint="name another one")
    if not os.listdir(target):
        return False
    if not is_view(target) or target.lstat().st_uid != os.geteuid():
        raise StoreError(
            "view.occupied",
            f"{target} is not empty, and is not a view that virtual-sprawl wrote",
            hint="name another directory, or remove it yourself",
        )
    if not replace:
        raise StoreError(
            "view.exists", f"{target} is a view already", hint="--replace puts the new one in its place"
        )
    return True


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Yield a directory beside `target`, removed at the end if it still is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.sprawl-"
    remove_abandoned(target.parent, prefix)
    name = files.random_name(f"{prefix}new")
    with files.open_directory(os.path.realpath(target.parent)) as parent:
        os.mkdir(name, 0o700, dir_fd=parent)
        with files.open_directory(name, dir_fd=parent) as descriptor:
            # Held until the view has its name, and freed by the kernel should this process die.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield target.parent / name
            finally:
                files.remove_tree(name, parent)


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove what writers of views in a directory left when they were killed, by the prefix of its names."""
    with files.open_directory(os.path.realpath(parent)) as directory:
        for name in os.listdir(directory):
            if not name.startswith(prefix):
                continue
            with contextlib.suppress(OSError), files.open_directory(name, dir_fd=directory) as found:
                fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                files.remove_tree(name, directory)


def _move(staged: Path, target: Path, *, old: bool) -> None:
    """Give the view its name; an older one is out of the way for as long as two renames take."""
    if not old:
        # Over an empty directory as well, and over nothing else.
        os.rename(staged, target)
        return
    aside = target.with_name(files.random_name(f".{target.name}.sprawl-old"))
    os.rename(target, aside)
    try:
        os.rename(staged, target)
    except OSError:
        os.rename(aside, target)
        raise
    with files.open_directory(os.path.realpath(target.parent)) as parent:
        files.remove_tree(aside.name, parent)


@dataclass(slots=True, kw_only=True)
class _Writer:
    """One view while it is written: to `staged`, for `final`."""

    staged: str
    final: str
    environment: Environment
    placer: Placer
    cancelled: threading.Event
    venv: Venv = field(init=False)

    def __post_init__(self) -> None:
        self.venv = Venv.made(self.staged, self.environment.library)

    def check(self) -> None:
        """End here when nobody waits any more."""
        if self.cancelled.is_set():
            raise InterruptedError("the view is not wanted any more")

    def frame(self, digest: str, *, lease: bool) -> None:
        """Write what a virtual environment has before anything is installed."""
        environment = self.environment
        for directory in ("bin", f"lib/{environment.library}/site-packages"):
            self.placer.make_directories(f"{self.staged}/{directory}")
        if sys.platform == "linux":
            os.symlink("lib", f"{self.staged}/lib64")
        os.symlink(environment.executable, f"{self.staged}/bin/python")
        for name in ("python3", environment.library):
            os.symlink("python", f"{self.staged}/bin/{name}")
        lines = {
            "home": os.path.dirname(environment.executable),
            "include-system-site-packages": "false",
            "version": ".".join(map(str, environment.version)),
            "executable": environment.executable,
            SETTING: digest,
        }
        text = "".join(f"{key} = {value}\n" for key, value in lines.items())
        self.placer.create(f"{self.staged}/pyvenv.cfg", [text.encode()], 0o644)
        self.placer.create(f"{self.staged}/.gitignore", [b"*\n"], 0o644)
        if lease:
            self.placer.create(f"{self.staged}/lease", [], 0o600)

    def entry(
        self, source: Path, name: str, allowed: Collection[str], origin: Mapping[str, object] | None
    ) -> None:
        """Write the files of one entry; those of an earlier one make room."""
        summary = read_summary(source / "manifest")
        placed = wheelfiles.plan(self.venv, source, summary, f"{self.final}/bin/python")
        if name not in allowed:
            placed = [item for item in placed if not self._is_startup(item)]
        placed += wheelfiles.metadata(self.venv, summary, origin)
        for item in (*placed, wheelfiles.record(self.venv, summary.dist_info, placed)):
            self.check()
            try:
                self._put(item)
            except FileNotFoundError:
                self.placer.make_directories(os.path.dirname(item.target))
                self._put(item)

    def projects(self, overlays: Sequence[Overlay]) -> None:
        """Write what the set has of local projects: as with an editable install, their code stays there."""
        tree = _Tree(self.staged, self.final, self.placer)
        overlay.lay(
            tree, f"lib/{self.environment.library}/site-packages", overlays, f"{self.final}/bin/python"
        )

    def path_lines(self, path_set: Path) -> None:
        """Take over the `.pth` files that the set keeps of wheels: path lines without code."""
        below = path_set / "lib" / self.environment.library / "site-packages"
        for item in below.glob("*.pth"):
            target = f"{self.venv.site_packages}/{item.name}"
            if not item.is_symlink() and item.stem != COPY_NAME and not os.path.lexists(target):
                self.placer.create(target, [files.read_small(item, startup.PTH_BYTES)], 0o644)

    def compile(self) -> None:
        """Let the interpreter write bytecode, with the paths that the files will have."""
        below = os.path.relpath(self.venv.site_packages, self.staged)
        command = [self.environment.executable, "-I", "-S", "-c", _COMPILE]
        umask = f"{self.placer.umask:o}"
        # The modes of bytecode follow the umask; the daemon's own is stricter than the user's.
        shell = ["/bin/sh", "-c", 'umask "$0" && exec "$@"', umask]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*shell, *command, f"{self.staged}/{below}", f"{self.final}/{below}"],
                env={"PATH": os.defpath},
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMPILE_SECONDS,
                check=False,
            )

    def _is_startup(self, item: Placed) -> bool:
        prefix = f"{self.venv.site_packages}/"
        name = item.target.removeprefix(prefix).partition("/")[0]
        return item.target.startswith(prefix) and startup.is_startup(name)

    def _put(self, item: Placed) -> None:
        try:
            self._create(item)
        except FileExistsError:
            # Replaced and not opened: it may be a link to the store.
            os.unlink(item.target)
            self._create(item)

    def _create(self, item: Placed) -> None:
        if item.source is None:
            self.placer.create(item.target, [item.content], item.mode)
        else:
            self.placer.put(item.source, item.target, item.mode)


class _Tree(Tree):
    """The view, for those who write into a set: files become the user's."""

    def __init__(self, staged: str, final: str, placer: Placer) -> None:
        super().__init__(staged, final, final)
        self._placer = placer

    def make_directory(self, relative: str) -> None:
        """Make a directory."""
        self._placer.make_directories(self.path(relative))

    def write(self, relative: str, content: bytes, mode: int = 0o444) -> None:
        """Write a file; one of a wheel makes room, as the project is installed last."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(relative))
        self._placer.create(self.path(relative), [content], mode | 0o200)
