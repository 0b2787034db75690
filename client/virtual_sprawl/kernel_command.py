"""`sprawl kernel`: Jupyter kernels that run on the packages of a lockfile.

A kernelspec starts `sprawl kernel start`, which asks for the set each time: so a kernel follows its lockfile
even where nothing else asked since that was written, and says what is wrong when the lock is refused. It
becomes the kernel by exec, so interrupts and restarts reach it as they reach any other.
"""

import json
import os
import re
import sys

from . import connection, view_command
from .options import EXIT_REFUSED, SELECTION_OPTIONS, UsageError, fail, operands, print_and_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, NoReturn, Optional, Tuple

    from .options import Options

__all__ = ["kernel"]

USAGE = """\
usage: sprawl [+VERSION] kernel install [OPTIONS] [SCRIPT|DIRECTORY]
       sprawl kernel list [--prefix DIR] [--json]
       sprawl kernel remove [--prefix DIR] NAME

Let Jupyter run notebooks on the packages of the nearest lockfile above SCRIPT or DIRECTORY (default: the
working directory). The lock must have ipykernel. The kernel follows the lock: no need to install it again.

options:
  --name NAME         the kernel's name (default: that of the project)
  --display-name TEXT what Jupyter shows
  --user              for Jupyter of this user (default)
  --prefix DIR        for a Jupyter installed in DIR
  --json              print a JSON object: name, spec, argv, lock
  -q, --quiet         no progress
{selection}
example:
  sprawl kernel install --group dev --display-name "Penguins"
""".format(selection=SELECTION_OPTIONS)

_SPEC = "kernel.json"
_OWN = "virtual-sprawl"


def kernel(arguments: "list[str]", options: "Options") -> "NoReturn":
    """Run one of the commands; never returns."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print_and_exit(USAGE)
    command, rest = arguments[0], arguments[1:]
    options.known = {"--user": False, "--prefix": True}
    if command == "start":
        _start(rest, options)
    if command == "install":
        options.known.update({"--name": True, "--display-name": True})
        places = operands(rest, options, USAGE, 1)
        sys.exit(_install(options, places[0] if places else ""))
    if command == "list":
        operands(rest, options, USAGE, 0)
        sys.exit(_list(options))
    if command == "remove":
        names = operands(rest, options, USAGE, 1)
        if not names:
            raise UsageError("kernel remove needs a name; `sprawl kernel list` tells them")
        sys.exit(_remove(options, names[0]))
    raise UsageError("unknown command %r; see `sprawl kernel --help`" % command)


def _start(arguments: "list[str]", options: "Options") -> "NoReturn":
    """Become the kernel; what Jupyter runs. After `--` comes what is for ipykernel."""
    from . import run_command

    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options.known = {"--project": True, "--interpreter": True}
    operands(arguments[:cut], options, USAGE, 0)
    options.python = options.more.get("--interpreter", options.python)
    options.quiet = True
    place = options.more.get("--project", "")
    target = ["-m", "ipykernel_launcher", *arguments[cut + 1 :]]
    if os.path.isdir(place):
        run_command.become(options, place, "", target, False)
    run_command.become(options, os.path.dirname(place), place, target, False)


def _install(options: "Options", place: str) -> int:
    fields = view_command.question(options, place)
    name = options.more.get("--name") or _default_name(fields)
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z", name):
        raise UsageError("a kernel's name has letters, digits, '.', '_' and '-' only, not %r" % name)
    directory = os.path.join(_kernels(options), name)
    before = _read(directory)
    if before is None and os.path.lexists(directory):
        _refuse(
            "kernel.foreign",
            "%s is a kernel that `sprawl kernel` did not write" % directory,
            "choose another --name, or remove it with `jupyter kernelspec remove %s`" % name,
        )
    spec = os.path.join(directory, _SPEC)
    document = view_command.ask("kernel", {"fields": fields, "spec": spec}, options.quiet)
    content = _spec(options, fields, document, options.more.get("--display-name") or "%s (sprawl)" % name)
    try:
        _write(spec, content)
    except OSError as error:
        connection.call("unkernel", {"spec": spec})
        _refuse("kernel.unwritable", "%s cannot be written: %s" % (spec, error.strerror))
    if options.json:
        document = {"name": name, "spec": spec, "argv": content["argv"], "lock": document["lock"]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write("kernel %s: %s\n" % (name, spec))
    return 0


def _spec(
    options: "Options", fields: "Dict[str, str]", document: "Dict[str, Any]", title: str
) -> "Dict[str, Any]":
    argv = [*_program(), "kernel", "start", "--project", fields["script"] or fields["start"]]
    # The very interpreter, so that a newer Python installed tomorrow does not become the kernel's.
    argv += ["--interpreter", fields["python"]]
    if fields["lock"]:
        argv += ["--lock", fields["lock"]]
    for field, option in (("extras", "--extra"), ("groups", "--group")):
        for value in filter(None, fields[field].split(",")):
            argv += [option, value]
    for option in filter(None, fields["options"].split(",")):
        name, _, value = option.partition(":")
        argv += ["--" + name, *([value] if value else [])]
    return {
        "argv": [*argv, "--", "-f", "{connection_file}"],
        "display_name": title,
        "language": "python",
        "metadata": {"debugger": True, _OWN: {"project": document["project"], "lock": document["lock"]}},
    }


def _program() -> "list[str]":
    """Return the command that is `sprawl`, absolute: Jupyter's PATH may be another."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) == "sprawl" and os.access(path, os.X_OK):
        return [path]
    return [sys.executable, "-c", "from virtual_sprawl.cli import main; main()"]


def _default_name(fields: "Dict[str, str]") -> str:
    place = fields["script"] or fields["start"]
    name = os.path.splitext(os.path.basename(place))[0] if fields["script"] else os.path.basename(place)
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "project"


def _list(options: "Options") -> int:
    found = [
        {"name": name, "spec": os.path.join(_kernels(options), name, _SPEC), **content["metadata"][_OWN]}
        for name, content in _own_kernels(options)
    ]
    if options.json:
        sys.stdout.write(json.dumps({"kernels": found}, indent=2) + "\n")
        return 0
    for row in found:
        sys.stdout.write("%s  %s\n" % (row["name"], row["lock"]))
    if not found:
        sys.stderr.write("sprawl: no kernel here; `sprawl kernel install` makes one\n")
    return 0


def _remove(options: "Options", name: str) -> int:
    directory = os.path.join(_kernels(options), name)
    if "/" in name or not os.path.isdir(directory):
        _refuse("kernel.not-found", "there is no kernel %s" % name, "`sprawl kernel list` tells them")
    if _read(directory) is None:
        _refuse("kernel.foreign", "%s is a kernel that `sprawl kernel` did not write" % directory)
    spec = os.path.join(directory, _SPEC)
    try:
        os.unlink(spec)
        # Logos that somebody has put beside it stay, and the directory with them.
        os.rmdir(directory)
    except OSError as error:
        if os.path.lexists(spec):
            _refuse("kernel.unwritable", "%s cannot be removed: %s" % (spec, error.strerror))
    connection.call("unkernel", {"spec": spec})
    sys.stdout.write("removed kernel %s\n" % name)
    return 0


def _kernels(options: "Options") -> str:
    """Return the directory of kernelspecs: where Jupyter itself puts those of a user, or of a prefix."""
    prefix = options.more.get("--prefix", "")
    if prefix:
        return os.path.join(os.path.abspath(prefix), "share", "jupyter", "kernels")
    data = os.environ.get("JUPYTER_DATA_DIR", "")
    if not data and sys.platform == "darwin":
        data = os.path.expanduser("~/Library/Jupyter")
    elif not data:
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        data = os.path.join(base, "jupyter")
    return os.path.join(os.path.abspath(data), "kernels")


def _own_kernels(options: "Options") -> "Iterator[Tuple[str, Dict[str, Any]]]":
    directory = _kernels(options)
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        content = _read(os.path.join(directory, name))
        if content is not None:
            yield name, content


def _read(directory: str) -> "Optional[Dict[str, Any]]":
    """Return the kernelspec in a directory if `sprawl kernel` wrote it."""
    try:
        with open(os.path.join(directory, _SPEC), encoding="utf-8") as file:
            content = json.load(file)
        own = content["metadata"][_OWN]
        return content if isinstance(own["lock"], str) and isinstance(own["project"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: str, content: "Dict[str, Any]") -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = "%s.%d" % (path, os.getpid())
    with open(partial, "x", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)


def _refuse(code: str, message: str, hint: str = "") -> "NoReturn":
    fail(EXIT_REFUSED, "sprawl: %s" % connection.Refusal(code, message, hint))
