"""The start-up hook: decides whether this start is to run on a path set, and does it when `site` is done.

1. Start-up files run in the middle of `site`: directories are added and other start-up files run after ours.
   The last thing site does is to import `sitecustomize`; a finder that waits for that name is the signal.
2. Start-up files can run twice in one start, and there are two of ours: the second call finds the finder.
3. Python starts whatever happens, with one exception: a start that was asked to have its packages and cannot
   get them ends with one line on stderr.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from .connection import PathSet
    from .progress import Progress

__all__ = ["activate"]

VARIABLE = "VIRTUAL_SPRAWL"

# Our own programs must never run on the packages of a project, theirs are in the base site.
_OWN_PROGRAMS = ("sprawl", "sprawlctl", "sprawld")

# A set can be collected between reply and lease; more often than once in a row it is not.
_ATTEMPTS = 3


def activate() -> None:
    """Prepare to run this start on a path set, if VIRTUAL_SPRAWL asks for it.

    Called by `virtual_sprawl.pth` and `virtual_sprawl.start`.
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


def _load(*names: str) -> None:
    """Load modules of this package, each after those that it imports.

    The import system would find the same files, and takes 0.2 ms longer for six modules: a tenth of what a
    warm start costs. Where they do not lie in files as usual, they are left to it.
    """
    package = sys.modules[__package__]
    make_loader: "Any" = type(package.__loader__)
    if make_loader.__name__ != "SourceFileLoader":
        return
    for name in names:
        full = "%s.%s" % (__package__, name)
        if full in sys.modules:
            continue
        path = "%s/%s.py" % (os.path.dirname(__file__), name)
        loader = make_loader(full, path)
        code = loader.get_code(full)
        module = sys.modules[full] = type(sys)(full)
        module.__package__, module.__file__, module.__loader__ = __package__, path, loader
        try:
            exec(code, module.__dict__)
        except BaseException:
            del sys.modules[full]
            raise
        setattr(package, name, module)


def _run_on_set(value: str) -> None:
    _load("locations", "protocol", "connection")
    from . import connection, locations

    if not _is_own(locations.store_directory(os.environ)):
        return
    try:
        fields = _request()
    except FileNotFoundError:
        return  # the working directory is gone: nothing lies above it
    for _ in range(_ATTEMPTS):
        reply = _ask(fields)
        if reply is None:
            return
        from . import activation

        try:
            activation.activate(reply[1], reply[2], value == "exec")
        except (OSError, ImportError) as error:
            failure: Exception = error
            continue
        except (ValueError, EOFError, TypeError) as error:
            hint = "install one release of virtual-sprawl for both, then: sprawlctl stop"
            raise connection.Refusal("proto.version", "the daemon's set index: %s" % error, hint) from None
        if value != "inherit":
            # The program's children run on the set by their executable; the variable would drag every other
            # Python on the way into it too.
            del os.environ[VARIABLE]
        return
    raise connection.Refusal("store.damaged", "the set cannot be used: %s" % failure, "sprawlctl verify")


def _is_own(store: str) -> bool:
    """Tell whether the store is this user's, or is not there yet: root never runs on a user's store."""
    try:
        return os.stat(store).st_uid == os.geteuid()
    except OSError:
        return True


def _request() -> "Dict[str, str]":
    from . import connection

    environ = os.environ
    first = _first_argument()
    script = ""
    if first in ("", "-", "-c", "-m"):
        start = os.getcwd()
    else:
        script = os.path.realpath(first)
        # `python DIRECTORY` runs the __main__.py in it.
        start = script if not script.endswith(".py") and os.path.isdir(script) else os.path.dirname(script)
    lock = environ.get("VIRTUAL_SPRAWL_LOCK", "")
    return connection.resolve_fields(
        python=connection.base_executable(),
        start=start,
        script=script,
        lock=os.path.abspath(lock) if lock else "",
        extras=environ.get("VIRTUAL_SPRAWL_EXTRAS", ""),
        groups=environ.get("VIRTUAL_SPRAWL_GROUPS", ""),
        options=environ.get("VIRTUAL_SPRAWL_OPTIONS", ""),
    )


def _ask(fields: "Dict[str, str]") -> "Optional[PathSet]":
    """Ask the daemon; what a cold start has to tell meanwhile is drawn, and gone afterwards."""
    from . import connection

    bars: "List[Progress]" = []

    def show(event: "List[bytes]") -> None:
        if not bars:
            from .progress import Progress

            bars.append(Progress(bool(os.environ.get("VIRTUAL_SPRAWL_QUIET"))))
        bars[0].show(event)

    try:
        return connection.resolve(fields, show, _load_activation)
    finally:
        if bars:
            bars[0].clear()


def _load_activation() -> None:
    """Load what will be needed, while the daemon works on the reply."""
    _load("lease", "finder", "activation")
