"""`sprawlctl enable`: puts the start-up hook into an interpreter's site directory, and takes it out again.

1. Each file appears by rename, the start-up files last and leaving first: at no moment can an interpreter
   start with a hook that lacks a module.
2. What is written is listed in `virtual_sprawl/HOOK-FILES` before the first file is; undoing removes what
   is listed and unchanged, and nothing else.
3. An interpreter of a package manager (PEP 668) is written to only if that was asked for by name.
"""

import os
import sys

from .hookfiles import LIST, PACKAGE, START_UP, EnableError, format_list, hook_files, row_of
from .sitedir import SiteDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any, Optional

__all__ = ["EnableError", "Report", "configure_disable", "configure_enable", "disable", "enable", "status"]

EXIT_REFUSED = 1
_OURS = ("enabled", "outdated", "modified")


class Report:
    """What was done or found: the site directory, its state, and the files concerned.

    `state` is `enabled`, `outdated` (by another release), `modified` (a listed file was changed), `absent`,
    or `installed` (a package installer put the distribution there, and is the one to remove it). `files` are
    those written or removed, `kept` those left alone because somebody changed them.
    """

    __slots__ = ("directory", "files", "kept", "python", "scope", "state")

    def __init__(self, site: SiteDirectory, state: str) -> None:
        self.python = site.python
        self.scope = site.scope
        self.directory = site.directory
        self.state = state
        self.files: "list[str]" = []
        self.kept: "list[str]" = []

    def as_dict(self) -> "dict[str, Any]":
        """Return the report for `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}


def enable(python: str, scope: "Optional[str]" = None) -> Report:
    """Put the hook into the interpreter `python`; `scope` is `user`, `system` or None for system if allowed.

    Raises EnableError: `python.not-found`, `python.unsupported`, `enable.externally-managed`,
    `enable.no-site`, `enable.unwritable`, `enable.foreign-files`, `enable.not-effective`.
    """
    site = SiteDirectory(python, scope or "system")
    if site.managed and scope is None:
        raise EnableError(
            "enable.externally-managed",
            f"{site.python} belongs to the system's package manager",
            "use --user, or --system to write into it all the same",
        )
    report = _look(site)
    if report.state == "installed":
        return report
    files = hook_files(site.version)
    _check_foreign(site, files)
    try:
        _write(site, files)
    except OSError as error:
        raise EnableError(
            "enable.unwritable",
            f"cannot write {error.filename or site.directory}: {error.strerror}",
            "use --user, or run sprawlctl as the owner of that directory",
        ) from error
    except EnableError:
        _undo(site)
        raise
    report = _look(site)
    report.files = [site.path(name) for name in files]
    return report


def disable(python: str, scope: "Optional[str]" = None) -> Report:
    """Take the hook out again; without a scope, out of wherever it is.

    Raises EnableError as `enable` does.
    """
    found = [report for report in status(python) if scope in (None, report.scope)]
    if not found:
        raise EnableError("enable.no-site", f"{python} reads no {scope or ''} site directory when it starts")
    for report in found:
        if report.state in _OURS:
            report.files, report.kept = _undo(SiteDirectory(python, report.scope))
            report.state = "absent"
            return report
    return found[0]


def status(python: str) -> "list[Report]":
    """Return a report for each of the interpreter's site directories. Raises EnableError."""
    reports = []
    for scope in ("system", "user"):
        try:
            reports.append(_look(SiteDirectory(python, scope)))
        except EnableError as error:
            if error.code != "enable.no-site":
                raise
    return reports


def _look(site: SiteDirectory) -> Report:
    rows = site.listed()
    if not rows:
        return Report(site, "installed" if site.has_distribution() else "absent")
    if any(row_of(site.read(name) or b"") != row for name, row in rows.items()):
        return Report(site, "modified")
    current = {name: row_of(content) for name, content in hook_files(site.version).items()}
    return Report(site, "enabled" if rows == current else "outdated")


def _check_foreign(site: SiteDirectory, files: "dict[str, bytes]") -> None:
    listed = site.listed()
    for name in files:
        if name not in listed and os.path.lexists(site.path(name)):
            raise EnableError(
                "enable.foreign-files",
                f"{site.path(name)} exists and was not put there by sprawlctl",
                "remove it first",
            )


def _write(site: SiteDirectory, files: "dict[str, bytes]") -> None:
    previous = site.listed()
    rows = {name: row_of(content) for name, content in files.items()}
    site.make()
    # Listed first, with what an older release left: whatever happens from here on can be undone.
    site.write(LIST, format_list({**previous, **rows}))
    modules = [name for name in files if name not in START_UP]
    for name in modules:
        site.write(name, files[name])
    origin = site.compile(modules)
    if os.path.realpath(origin) != os.path.realpath(site.path(PACKAGE + "/__init__.py")):
        raise EnableError(
            "enable.not-effective",
            f"{site.python} imports {PACKAGE} from {os.path.dirname(origin)}, which is earlier on its path",
            "remove that one first",
        )
    for name in files.keys() - set(modules):
        site.write(name, files[name])
    for name in previous.keys() - rows.keys():
        site.remove(name)
    site.write(LIST, format_list(rows))


def _undo(site: SiteDirectory) -> "tuple[list[str], list[str]]":
    """Remove what is listed and unchanged; return (removed, kept)."""
    removed, kept = [], []
    rows = site.listed()
    for name in sorted(rows, key=lambda name: (name not in START_UP, name)):
        content = site.read(name)
        try:
            site.remove_bytecode(name)
            if content is None:
                continue
            if row_of(content) != rows[name]:
                kept.append(site.path(name))
                continue
            site.remove(name)
        except OSError as error:
            message = f"cannot remove {site.path(name)}: {error.strerror}"
            raise EnableError("enable.unwritable", message) from error
        removed.append(site.path(name))
    site.remove_empty()
    return removed, kept


def configure_enable(parser: "argparse.ArgumentParser") -> None:
    """Give `sprawlctl enable` its arguments; `run` in the parsed arguments does the work."""
    _configure(parser, enable)


def configure_disable(parser: "argparse.ArgumentParser") -> None:
    """Give `sprawlctl disable` its arguments; `run` in the parsed arguments does the work."""
    _configure(parser, disable)


def _configure(parser: "argparse.ArgumentParser", verb: "Callable[[str, Optional[str]], Report]") -> None:
    parser.add_argument(
        "-p", "--python", metavar="PYTHON", help="version (3.12) or path (default: python3 on PATH)"
    )
    scope = parser.add_mutually_exclusive_group()
    for name, text in (("user", "this user's site directory"), ("system", "the interpreter's own")):
        scope.add_argument(f"--{name}", dest="scope", action="store_const", const=name, help=text)
    parser.set_defaults(run=lambda arguments: _main(verb, arguments))


def _main(verb: "Callable[[str, Optional[str]], Report]", arguments: "argparse.Namespace") -> int:
    import json

    from . import interpreters, printing

    try:
        python = interpreters.find_interpreter(arguments.python) if arguments.python else _first_on_path()
        report = verb(python, arguments.scope)
    except (EnableError, interpreters.InterpreterNotFound) as error:
        # The text may quote what was given on the command line, or what the interpreter said.
        sys.stderr.write(f"sprawlctl: {printing.plain(str(error))}\n")
        return EXIT_REFUSED
    if getattr(arguments, "json", False):
        sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    else:
        # Of the two ways to end up without a hook, one has changed something.
        state = "disabled" if report.state == "absent" and report.files else report.state
        sys.stdout.write(printing.plain(f"{state}: {report.python} in {report.directory}") + "\n")
    for path in report.kept:
        sys.stderr.write(printing.plain(f"kept, because it was changed: {path}") + "\n")
    return 0


def _first_on_path() -> str:
    import shutil

    found = shutil.which("python3")
    if found is None:
        raise EnableError("python.not-found", "there is no python3 on PATH", "name one with -p")
    return found
