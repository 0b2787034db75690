"""The start-up hook: decides whether this start is to run on a path set, and does it when `site` is done.

1. Start-up files run in the middle of `site`: directories are added and other start-up files run after ours.
   The last thing site does is to import `sitecustomize`; a finder that waits for that name is the signal.
2. Start-up files can run twice in one start, and there are two of ours: the second call finds the finder.
3. Python starts whatever happens, with one exception: a start that was asked to have its packages and cannot
   get them ends with one line on stderr.
"""

import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any, Optional

    from .direct import Direct
    from .finder import SetIndex

__all__ = ["activate"]

VARIABLE = "VIRTUAL_SPRAWL"

# Our own programs must never run on the packages of a project, theirs are in the base site.
_OWN_PROGRAMS = ("sprawl", "sprawlctl", "sprawld")


def activate() -> None:
    """Prepare to run this start on a path set, if VIRTUAL_SPRAWL asks for it.

    Called by `virtual_sprawl.pth` and `virtual_sprawl.start`, in the module `_start`; see `joined`.
    """
    if os.environ.get(VARIABLE, "") not in ("", "0") and _applies():
        sys.meta_path.insert(0, _SiteEnd())


def _applies() -> bool:
    """Tell whether this is the start of an ordinary Python program that may be given packages."""
    for finder in sys.meta_path:
        if isinstance(finder, _SiteEnd):
            return False
    # Later calls come from `site.addsitedir`; only in a start is `site` still being imported.
    site = getattr(sys.modules.get("site"), "__spec__", None)
    if sys.flags.ignore_environment or not getattr(site, "_initializing", True):
        return False
    if sys.implementation.name != "cpython" or getattr(sys, "frozen", False) or not _is_python():
        return False
    if os.path.basename(_first_argument()) in _OWN_PROGRAMS:
        return False
    # A set's own interpreter has its packages.
    if sys.prefix != sys.base_prefix and os.path.exists(sys.prefix + "/lease"):
        return False
    return os.geteuid() == os.getuid()


def _first_argument() -> str:
    """Return `sys.argv[0]`: a script's path, "-c", "-m" (the module is not known yet), "-" or nothing."""
    # Interpreters that a program makes beside its main one may have no arguments at all.
    return sys.argv[0] if getattr(sys, "argv", None) else ""


def _is_python() -> bool:
    """Tell an interpreter from a program that embeds one (uwsgi, Blender, vim...)."""
    original = getattr(sys, "orig_argv", None)
    if original is None:
        # 3.8 and 3.9. macOS has no such link; there the name in sys.executable has to do.
        try:
            original = [os.readlink("/proc/self/exe")]
        except OSError:
            original = [sys.executable]
    return bool(original) and _is_python_name(sys.executable) and _is_python_name(original[0])


def _is_python_name(path: "Optional[str]") -> bool:
    return path is not None and os.path.basename(path).lower().startswith("python")


class _SiteEnd:
    """Waits at the head of sys.meta_path for the end of `site`, once."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Never find anything; start the run on the set when site asks for `sitecustomize`."""
        if fullname == "sitecustomize":
            sys.meta_path.remove(self)
            try:
                _run_on_set(os.environ.get(VARIABLE, ""))
            except KeyboardInterrupt:
                from . import ending

                ending.die_of_interrupt()
            except Exception as error:
                from . import ending

                ending.refuse(error)


def _load(package: "ModuleType", *names: str) -> None:
    """Load modules of this package into `package`, each after those that it imports.

    The import system would find the same files, and takes twice as long. Where they do not lie in files as
    usual, they are left to it.
    """
    make_loader: "Any" = type(globals()["__loader__"])
    if make_loader.__name__ != "SourceFileLoader":
        return
    directory = os.path.dirname(__file__)
    for name in names:
        full = package.__name__ + "." + name
        if full in sys.modules:
            continue
        path = "%s/%s.py" % (directory, name)
        loader = make_loader(full, path)
        try:
            code = _compiled(directory, name, path)
        except (OSError, ValueError, EOFError, TypeError):
            code = loader.get_code(full)
        module = sys.modules[full] = type(sys)(full)
        module.__package__, module.__file__, module.__loader__ = package.__name__, path, loader
        try:
            exec(code, module.__dict__)
        except BaseException:
            del sys.modules[full]
            raise
        setattr(package, name, module)


def _compiled(directory: str, name: str, path: str) -> "CodeType":
    """Return the code of a module from its bytecode file (PEP 3147, 552); OSError or ValueError: no."""
    if sys.flags.optimize or sys.pycache_prefix is not None:
        raise ValueError
    cached = "%s/__pycache__/%s.%s.pyc" % (directory, name, sys.implementation.cache_tag)
    descriptor = os.open(cached, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    source = os.stat(path)
    numbers = 0, int(source.st_mtime), source.st_size
    if data[:16] != MAGIC_NUMBER + b"".join([(n & 0xFFFFFFFF).to_bytes(4, "little") for n in numbers]):
        raise ValueError
    code: "CodeType" = marshal.loads(memoryview(data)[16:])
    return code


def _run_on_set(value: str) -> None:
    package = sys.modules[__package__]
    _load(package, "locations", "question", "direct")
    from . import direct, locations, question

    store = locations.store_directory(os.environ)
    if not _is_own(store):
        return
    try:
        fields = question.of_this_start(_first_argument())
    except FileNotFoundError:
        return  # the working directory is gone: nothing lies above it
    found = direct.find_direct(store, fields)
    if found is None or not _go_directly(found, value == "exec"):
        _load(package, "protocol", "connection", "roundtrip")
        from . import roundtrip

        meanwhile = ("lease", "packs", "topfinder", "finder", "activation")
        if not roundtrip.run_on_set(fields, value == "exec", lambda: _load(package, *meanwhile)):
            return
    if value != "inherit":
        # The program's children run on the set by their executable; the variable would drag every other
        # Python on the way into it too.
        del os.environ[VARIABLE]


def _go_directly(found: "Direct", execute: bool) -> bool:
    """Activate the set of a direct record; False when it was collected meanwhile."""
    package = sys.modules[__package__]
    _load(package, "lease", "topfinder", "activation")
    from . import activation, lease, topfinder

    directory, site_packages, start_up = found

    def open_index(fields: "Any", directory: str) -> "SetIndex":
        """Load the finder, long after this package has left `sys.modules`: under a name of no meaning."""
        late = type(sys)("")
        late.__name__ = "_virtual_sprawl_%x" % id(late)
        late.topfinder = topfinder  # type: ignore[attr-defined]
        sys.modules[late.__name__] = late
        try:
            _load(late, "packs", "finder")
        finally:
            for name in (late.__name__, late.__name__ + ".packs", late.__name__ + ".finder"):
                sys.modules.pop(name, None)
        index: "SetIndex" = late.finder.SetIndex(fields, directory)
        return index

    try:
        lease.take_lease(directory)
        activation.enter_set(topfinder.Entrance(directory, site_packages, open_index), start_up, execute)
    except (OSError, ImportError):
        return False
    return True


def _is_own(store: str) -> bool:
    """Tell whether the store is this user's, or is not there yet: root never runs on a user's store."""
    try:
        return os.stat(store).st_uid == os.geteuid()
    except OSError:
        return True
