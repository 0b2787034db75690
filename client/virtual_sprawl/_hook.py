"""The start-up hook: decides whether this start is to run on a path set, and does it when `site` is done.

1. Start-up files run in the middle of `site`: directories are added and other start-up files run after ours.
   The last thing site does is to import `sitecustomize`; a finder that waits for that name is the signal.
2. Start-up files can run twice in one start: the second call finds the finder.
3. Python starts whatever happens, with one exception: a start that was asked to have its packages and cannot
   get them ends with one line on stderr.
"""

import os
import sys

from . import activation, direct, lease, locations, question, sitelast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from .direct import Direct

__all__ = ["activate"]

VARIABLE = "VIRTUAL_SPRAWL"
_THIS: "Any" = sys.modules[__name__]

# Our own programs must never run on the packages of a project, theirs are in the base site.
_OWN_PROGRAMS = ("sprawl", "sprawlctl", "sprawld")


def activate() -> None:
    """Prepare to run this start on a path set, if VIRTUAL_SPRAWL asks for it.

    Called by `virtual_sprawl.pth` in the module `_start`; see `joined`.
    """
    if os.environ.get(VARIABLE, "") not in ("", "0") and _applies():
        sys.meta_path.insert(0, _THIS)


def _applies() -> bool:
    """Tell whether this is the start of an ordinary Python program that may be given packages."""
    if _THIS in sys.meta_path:
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
    if sys.prefix != sys.base_prefix and os.access(sys.prefix + "/lease", os.F_OK):
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


def find_spec(fullname: str, path: object = None, target: object = None) -> None:
    """Never find anything; start the run on the set when site asks for `sitecustomize`.

    This module itself waits at the head of sys.meta_path, once: to make a class takes longer than the rest.
    """
    if fullname == sitelast.SITE_END:
        sys.meta_path.remove(_THIS)
        entered = ""
        try:
            entered = _run_on_set(os.environ.get(VARIABLE, ""))
        except KeyboardInterrupt:
            from . import ending

            ending.die_of_interrupt()
        except Exception as error:
            from . import ending

            ending.refuse(error)
        if entered:
            sitelast.refuse_if_absent(entered)


def _run_on_set(value: str) -> str:
    """Run on the set, if there is one; return its site-packages directory where that took no question."""
    store = locations.store_directory(os.environ)
    if not _is_own(store):
        return ""
    try:
        fields = question.of_this_start(_first_argument())
    except FileNotFoundError:
        return ""  # the working directory is gone: nothing lies above it
    entered = _go_directly(direct.find_direct(store, fields), value == "exec")
    if not entered:
        from . import roundtrip

        if not roundtrip.run_on_set(fields, value == "exec"):
            return ""
    if value != "inherit":
        # The program's children run on the set by their executable; the variable would drag every other
        # Python on the way into it too.
        del os.environ[VARIABLE]
    return entered


def _go_directly(found: "Optional[Direct]", execute: bool) -> str:
    """Activate the set of a direct record; return nothing when it was collected meanwhile."""
    if found is None:
        return ""
    directory, site_packages, start_up = found
    try:
        lease.take_lease(directory)
        activation.enter_set(directory, site_packages, start_up, execute)
    except (OSError, ImportError):
        return ""
    return site_packages


def _is_own(store: str) -> bool:
    """Tell whether the store is this user's, or is not there yet: root never runs on a user's store."""
    try:
        return os.stat(store).st_uid == os.geteuid()
    except OSError:
        return True
