"""`sprawl ide`: a stable place where editors and type checkers find the packages of a project."""

import json
import os
import sys

from . import connection, view_command
from .options import EXIT_REFUSED, UsageError, fail, operands, working_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, NoReturn, Optional

    from .options import Options

__all__ = ["KNOWN", "USAGE", "ide"]

KNOWN = {
    "--pyright": False,
    "--remove": False,
    "--venv-link": False,
    "--vscode": False,
    "--write": False,
}

USAGE = """\
usage: sprawl [+VERSION] ide [OPTIONS] [SCRIPT|DIRECTORY]

Make a link that always leads to the packages of a project, or of a script with a lock of its own, and tell
how to show it to editors and checkers. The daemon moves the link when the lockfile changes.

options:
  --print-path        print the path of the link's interpreter and nothing else
  --venv-link         also make .venv in the project a link to it; a real .venv is never replaced
  --vscode            print the setting for VS Code instead
  --pyright           print the setting for pyright, basedpyright and Pylance instead
  --write             with --vscode or --pyright: write it, to .vscode/settings.json or pyrightconfig.json
  --remove            remove the link, and .venv if it is one to it
  --json              print a JSON object: project, lock, set, link, python, site_packages, version, venv
  -q, --quiet         no progress
{selection}
example:
  sprawl ide --venv-link
  mypy --python-executable "$(sprawl ide --print-path)" src
"""

_TEXT = """\
{python}

VS Code        "Python: Select Interpreter", and enter that path; or `sprawl ide --vscode`
PyCharm        Add Interpreter, Local, Select existing, and that path
pyright        pyright --pythonpath {python}; or `sprawl ide --pyright`
mypy           mypy --python-executable {python} ...
ty             ty check --python {link}
pylint         sprawl run pylint ... with pylint in the lock; else
               PYTHONPATH={site_packages} pylint ...
"""


def ide(arguments: "list[str]", options: "Options", usage: str) -> "NoReturn":
    """Run the command; never returns."""
    options.known = KNOWN
    places = operands(arguments, options, usage, 1)
    place = places[0] if places else ""
    if "--write" in options.more and "--vscode" not in options.more and "--pyright" not in options.more:
        raise UsageError("--write needs --vscode or --pyright")
    if "--remove" in options.more:
        sys.exit(_remove(options, place))
    document = view_command.ask("ide", {"fields": view_command.question(options, place)}, options.quiet)
    document["venv"] = _make_venv_link(document) if "--venv-link" in options.more else None
    sys.exit(_tell(document, options))


def _tell(document: "Dict[str, Any]", options: "Options") -> int:
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    elif options.print_path:
        sys.stdout.write(document["python"] + "\n")
    elif "--vscode" in options.more or "--pyright" in options.more:
        _settings(document, options)
    else:
        sys.stdout.write(_TEXT.format(**document))
        if document["venv"]:
            sys.stdout.write("\n%s is a link to it.\n" % document["venv"])
    return 0


def _settings(document: "Dict[str, Any]", options: "Options") -> None:
    directory = _directory(document)
    settings = {
        "--vscode": (
            os.path.join(directory, ".vscode", "settings.json"),
            {"python.defaultInterpreterPath": document["python"]},
        ),
        "--pyright": (
            os.path.join(directory, "pyrightconfig.json"),
            {"venvPath": os.path.dirname(document["link"]), "venv": os.path.basename(document["link"])},
        ),
    }
    for option, (path, wanted) in settings.items():
        if option in options.more:
            if "--write" in options.more:
                _write(directory, path, wanted)
                sys.stdout.write("wrote %s\n" % path)
            else:
                sys.stdout.write(json.dumps(wanted, indent=2) + "\n")


def _write(directory: str, path: str, wanted: "Dict[str, str]") -> None:
    """Put the settings into a JSON file; one with comments, which would be lost, is left alone."""
    content: "Any" = {}
    real = os.path.realpath(path)
    if real != os.path.join(os.path.realpath(directory), os.path.relpath(path, directory)):
        # A clone may bring links; what they lead to is not for this command.
        _refuse("ide.unwritable", "%s leads to %s" % (path, real), "replace the link by a file")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if not isinstance(content, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        _refuse(
            "ide.unreadable-settings",
            "%s is not plain JSON (comments are not), and is left as it is" % path,
            "add by hand what the command prints without --write",
        )
    content.update(wanted)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        partial = "%s.%d" % (path, os.getpid())
        with open(partial, "x", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
        os.replace(partial, path)
    except OSError as error:
        _refuse("ide.unwritable", "%s cannot be written: %s" % (path, error.strerror))


def _directory(document: "Dict[str, Any]") -> str:
    project: str = document["project"]
    return project if os.path.isdir(project) else os.path.dirname(project)


def _make_venv_link(document: "Dict[str, Any]") -> str:
    """Make .venv in the project a link to the stable one; return its path."""
    directory = _directory(document)
    path = os.path.join(directory, ".venv")
    found = _link_at(path)
    if found is None and os.path.lexists(path):
        _refuse("ide.not-a-link", "%s is there, and is no link" % path, "move it away, or remove it yourself")
    if found is not None and found != document["link"] and not _is_ours(found, document):
        _refuse("ide.not-a-link", "%s is a link to %s" % (path, found), "remove it yourself")
    partial = "%s.%d" % (path, os.getpid())
    try:
        os.symlink(document["link"], partial)
        os.replace(partial, path)
    except OSError as error:
        _refuse("ide.unwritable", "%s cannot be made: %s" % (path, error.strerror))
    if not _is_ignored(directory):
        sys.stderr.write(
            "sprawl: git does not ignore %s; add a line `.venv` to .gitignore (`.venv/` matches no link)\n"
            % path
        )
    return path


def _is_ours(target: str, document: "Dict[str, Any]") -> bool:
    """Tell whether a link leads to a project link, be it that of another project or store."""
    projects = os.path.dirname(os.path.dirname(document["link"])) + "/"
    return target.startswith(projects) or "/virtual-sprawl/projects/" in target


def _is_ignored(directory: str) -> bool:
    """Tell whether git ignores .venv in a directory; also true where there is no git to ask."""
    import subprocess

    try:
        asked = subprocess.run(
            ["git", "-C", directory, "check-ignore", "-q", ".venv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return True
    return asked.returncode != 1


def _link_at(path: str) -> "Optional[str]":
    try:
        return os.readlink(path)
    except OSError:
        return None


def _remove(options: "Options", place: str) -> int:
    real = os.path.realpath(place or working_directory())
    start = real if os.path.isdir(real) else os.path.dirname(real)
    script = "" if start == real else real
    document = connection.call("unlink", {"start": start, "script": script})
    link = document["link"]
    if document["removed"] is not None:
        directory = _directory({"project": document["removed"]})
        path = os.path.join(directory, ".venv")
        if _link_at(path) == link:
            os.unlink(path)
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    elif document["removed"] is None:
        sys.stderr.write("sprawl: %s has no link\n" % (script or start))
    else:
        sys.stdout.write("removed the link of %s\n" % document["removed"])
    return 0


def _refuse(code: str, message: str, hint: str = "") -> "NoReturn":
    fail(EXIT_REFUSED, "sprawl: %s" % connection.Refusal(code, message, hint))
