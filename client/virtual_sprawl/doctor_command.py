"""`sprawl doctor`: what is unusual about a project's packages, the daemon, the hook and the store."""

import json
import os
import stat
import sys

from . import __version__, connection, enable, locations, printing, view_command
from .hookfiles import EnableError
from .options import interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List

    from .options import Options

__all__ = ["CODES", "USAGE", "doctor"]

EXIT_ERRORS = 1

CODES = (
    "daemon.reachable",
    "daemon.version",
    "hook.installed",
    "hook.missing",
    "hook.outdated",
    "hook.unknown",
    "socket.directory",
    "socket.none",
)
"""Those of this file; the daemon has more, and refusals come under their own."""

USAGE = """\
usage: sprawl [+VERSION] doctor [OPTIONS] [SCRIPT|DIRECTORY]

Tell what is unusual about the packages of the nearest lockfile above SCRIPT or DIRECTORY (default: the
working directory), and about the daemon, the start-up hook and the store. Nothing is fetched or changed.
Exit code 1 if there is an error, else 0.

options:
  --json              print a JSON object: lock, set, python, and findings, each with code, level (ok, note,
                      warning, error), message, remedy, subject
  -q, --quiet         warnings and errors only
{selection}
example:
  sprawl doctor --json | jq '.findings[] | select(.level == "warning")'
"""


def doctor(options: "Options", place: str) -> int:
    """Look, ask the daemon, print; return the exit code."""
    fields = view_command.question(options, place)
    findings = list(_socket())
    document: "Dict[str, Any]" = {"lock": None, "set": None, "python": interpreter(options.python)}
    try:
        version = connection.call("status", {})["version"]
        findings.append(_finding("daemon.reachable", "ok", "the daemon answers, version " + version))
        if version != __version__:
            findings.append(
                _finding(
                    "daemon.version",
                    "warning",
                    "the daemon is of version %s, this command of %s" % (version, __version__),
                    "sprawlctl stop; the next run starts the new one",
                )
            )
        answer = connection.call("doctor", {"fields": fields})
        findings += answer.pop("findings")
        document.update(answer)
    except connection.Refusal as refusal:
        findings.append(_finding(refusal.code, "error", refusal.message, refusal.hint))
    findings += _hook(document["python"])
    document["findings"] = findings
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _print(findings, options.quiet)
    return EXIT_ERRORS if any(finding["level"] == "error" for finding in findings) else 0


def _finding(code: str, level: str, message: str, remedy: str = "") -> "Dict[str, Any]":
    return {"code": code, "level": level, "message": message, "remedy": remedy, "subject": ""}


def _socket() -> "Iterator[Dict[str, Any]]":
    directory = locations.runtime_directory(os.environ)
    try:
        found = os.lstat(directory)
    except OSError:
        yield _finding("socket.none", "ok", directory + " is not there yet; the daemon makes it")
        return
    mode = stat.S_IMODE(found.st_mode)
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not mode & 0o077
    if private:
        yield _finding("socket.directory", "ok", directory + " is private")
    else:
        yield _finding(
            "socket.directory",
            "error",
            "%s is not a directory of this user alone (owner %d, mode %o)" % (directory, found.st_uid, mode),
            "remove it, or set XDG_RUNTIME_DIR to a directory of your own",
        )


def _hook(python: str) -> "Iterator[Dict[str, Any]]":
    try:
        reports = enable.status(python)
    except EnableError as error:
        yield _finding("hook.unknown", "note", error.message, error.hint)
        return
    known = {report.state: report for report in reports}
    for state in ("enabled", "installed"):
        if state in known:
            where = known[state].directory
            yield _finding("hook.installed", "ok", "%s has the start-up hook, in %s" % (python, where))
            return
    for state in ("outdated", "modified"):
        if state in known:
            text = "the start-up hook in %s is %s" % (known[state].directory, state)
            yield _finding("hook.outdated", "warning", text, "sprawlctl enable -p " + python)
            return
    yield _finding(
        "hook.missing",
        "note",
        python + " has no start-up hook: VIRTUAL_SPRAWL=1 does nothing there, `sprawl run` needs none",
        "sprawlctl enable -p " + python,
    )


def _print(findings: "List[Dict[str, Any]]", quiet: bool) -> None:
    order = ("error", "warning", "note", "ok")
    shown = [finding for finding in findings if finding["code"] != "conflict.text"]
    for level in order[:2] if quiet else order:
        for finding in shown:
            if finding["level"] == level:
                line = "%-7s  %-17s  %s" % (level, finding["code"], finding["message"])
                sys.stdout.write(printing.plain(line) + "\n")
                if finding["remedy"]:
                    sys.stdout.write(" " * 28 + printing.plain("remedy: " + finding["remedy"]) + "\n")
    counts = [sum(finding["level"] == level for finding in shown) for level in order[:2]]
    words = ["%d %s%s" % (n, word, "" if n == 1 else "s") for n, word in zip(counts, order)]
    sys.stdout.write(", ".join(words) + "\n")
