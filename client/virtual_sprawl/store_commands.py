"""`sprawlctl gc|verify|ls|why|pin|unpin`: the commands that care for the store.

Exit codes: 0 done, and for `verify` all is sound or was repaired; 1 refused, problems remain (`verify`), or
nothing of that name is in the store (`why`); 2 a command line that makes no sense; 3 no daemon to be had.
"""

import argparse
import os
import re
import sys

from . import connection, printing, progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List

    Add = Callable[[Any, str, str, str], argparse.ArgumentParser]

__all__ = ["configure"]

EXIT_PROBLEMS = 1

_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SORTS = ("size", "last-used", "projects", "name")


def configure(commands: "Any", add: "Add") -> None:
    """Add the commands; `add` makes a parser from (commands, name, what it does, an example)."""
    gc = add(
        commands,
        "gc",
        "remove path sets and packages that nothing uses any more",
        "sprawlctl gc --max-age 7d --max-size 20G --dry-run",
    )
    gc.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    gc.add_argument(
        "--max-age",
        metavar="AGE",
        type=_seconds,
        help="a set last used longer ago than this is not kept, as 30d, 12h or 0 (default: gc-max-age of "
        "config.toml, else 30d); what runs is never touched",
    )
    for option, text in (
        ("--max-size", "remove the least recently used sets until the packages take no more than this"),
        ("--min-free", "remove the least recently used sets until the disk has this much free"),
    ):
        key = "gc" + option[1:]
        text += ", as 20G or 500M (default: %s of config.toml, else no limit)" % key
        gc.add_argument(option, metavar="SIZE", type=_size, help=text)
    gc.set_defaults(run=_gc)

    _configure_verify(
        add(commands, "verify", "check the store, and repair it", "sprawlctl verify --all --repair")
    )

    ls = add(commands, "ls", "list the packages in the store", "sprawlctl ls --sort size")
    ls.add_argument("--sort", choices=_SORTS, default="name", help="the largest, or longest unused, first")
    ls.set_defaults(run=_ls)

    why = add(commands, "why", "show what keeps a package in the store", "sprawlctl why numpy==2.1.0")
    why.add_argument("package", metavar="DIST[==VERSION]")
    why.set_defaults(run=_why)

    for name, text in (
        ("pin", "keep what a lockfile uses, or all below a directory, whatever its age"),
        ("unpin", "leave what was pinned to gc again"),
    ):
        parser = add(commands, name, text, "sprawlctl %s ~/projects/app/uv.lock" % name)
        parser.add_argument("path", metavar="LOCKFILE|DIRECTORY")
        parser.set_defaults(run=_pin)


def _configure_verify(verify: argparse.ArgumentParser) -> None:
    level = verify.add_mutually_exclusive_group()
    level.add_argument(
        "--quick",
        dest="level",
        action="store_const",
        const="quick",
        default="sample",
        help="hash nothing: files, sizes, modes, links, and what should not be there",
    )
    level.add_argument(
        "--all",
        dest="level",
        action="store_const",
        const="all",
        help="hash everything (default: a sixteenth of the packages, each day the next one)",
    )
    verify.add_argument(
        "--repair",
        action="store_true",
        help="fetch damaged packages again, remove what does not belong; what runs is never touched",
    )
    verify.add_argument("--offline", action="store_true", help="with --repair: fetch and delete nothing")
    verify.set_defaults(run=_verify)


def _seconds(text: str) -> float:
    unit = _AGES.get(text[-1:].lower())
    try:
        value = float(text if unit is None else text[:-1]) * (unit or _AGES["d"])
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("%r is not an age like 30d, 12h or 90m" % text)
    return value


def _size(text: str) -> int:
    match = re.match(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\Z", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError("%r is not a size like 20G or 500M" % text)
    return int(float(match.group(1)) * _SIZES[match.group(2)])


def _gc(arguments: argparse.Namespace) -> int:
    options = {
        "dry_run": arguments.dry_run,
        "max_age_s": arguments.max_age,
        "max_size": arguments.max_size,
        "min_free": arguments.min_free,
    }
    document = connection.call("gc", options)
    if arguments.json:
        printing.print_json(document)
        return 0
    verb = "would remove" if arguments.dry_run else "removed"
    for item in document["items"]:
        sys.stdout.write("%s %s: %s\n" % (verb, printing.plain(_title(item)), printing.plain(item["reason"])))
    size = printing.show_bytes(document["bytes"])
    sys.stdout.write("%s %d sets, %d packages, %s\n" % (verb, document["sets"], document["entries"], size))
    return 0


def _title(item: "Dict[str, Any]") -> str:
    """Return what a user knows something by that gc removes; a digest alone tells nobody anything."""
    title = item.get("title", "")
    if not title or title == item["name"]:
        return str(item["name"])
    return "%s%s (%s)" % ("set of " if item["kind"] == "sets" else "", title, item["name"][:12])


def _verify(arguments: argparse.Namespace) -> int:
    fields = connection.resolve_fields(connection.base_executable(), "/")
    options = {
        "level": arguments.level,
        "repair": arguments.repair,
        "offline": arguments.offline,
        # A damaged package is fetched from where this user's environment says.
        "fields": {name: value for name, value in fields.items() if "index" in name or "extra" in name},
    }
    line = progress.Progress(quiet=arguments.json)
    try:
        document = connection.call("verify", options, line.show)
    finally:
        line.clear()
    if arguments.json:
        printing.print_json(document)
    else:
        _print_findings(document)
    return 0 if document["sound"] else EXIT_PROBLEMS


def _print_findings(document: "Dict[str, Any]") -> None:
    for problem in document["problems"]:
        words = [problem["kind"] + ":", problem["path"]]
        if problem["package"]:
            words.append("(%s)" % problem["package"])
        if problem["status"] != "found":
            words.append("- " + problem["status"])
        if problem["detail"]:
            words.append("- " + problem["detail"])
        sys.stdout.write(printing.plain(" ".join(words)) + "\n")
    checked = document["checked"]
    sys.stdout.write(
        "%d packages (%d hashed, %s), %d bundles, %d sets, %d client copies, %d packs: "
        % (
            checked["entries"],
            checked["hashed"],
            printing.show_bytes(checked["bytes"]),
            checked.get("bundles", 0),
            checked["sets"],
            checked["clients"],
            checked.get("packs", 0),
        )
    )
    left = sum(problem["status"] != "repaired" for problem in document["problems"])
    repaired = len(document["problems"]) - left
    sys.stdout.write("sound" if not left else "%d problems remain" % left)
    sys.stdout.write(", %d repaired\n" % repaired if repaired else "\n")
    if left and not document["repair"]:
        sys.stderr.write("hint: sprawlctl verify --all --repair\n")


def _ls(arguments: argparse.Namespace) -> int:
    document = connection.call("ls", {})
    rows = document["entries"]
    rows.sort(key=lambda row: (row["name"] or "", row["version"] or ""))
    if arguments.sort == "size":
        rows.sort(key=lambda row: -row["bytes"] - row.get("pack_bytes", 0))
    elif arguments.sort == "last-used":
        rows.sort(key=lambda row: row["last_used"] or 0)
    elif arguments.sort == "projects":
        rows.sort(key=lambda row: -row["projects"])
    if arguments.json:
        printing.print_json(document)
        return 0
    table = [
        (
            row["name"] or "(damaged)",
            row["version"] or row["sha256"][:12],
            printing.show_bytes(row["bytes"]),
            printing.show_bytes(row.get("pack_bytes", 0)),
            printing.show_age(row["last_used"]),
            str(row["projects"]),
        )
        for row in rows
    ]
    printing.print_table(
        ("name", "version", "size", "packs", "last used", "projects"),
        table,
        ("size", "packs", "last used", "projects"),
    )
    return 0


def _why(arguments: argparse.Namespace) -> int:
    name, _, version = arguments.package.partition("==")
    document = connection.call("why", {"name": name.strip(), "version": version.strip()})
    found = document["entries"]
    if arguments.json:
        printing.print_json(document)
    elif not found:
        sys.stderr.write("sprawlctl: the store has no %s\n" % printing.plain(arguments.package))
    else:
        for entry in found:
            # Several sets of one lockfile (for other groups, of yesterday) say the same.
            lines = dict.fromkeys(map(printing.plain, _reasons(entry)))
            sys.stdout.write("\n".join(lines) + "\n")
    return 0 if found else EXIT_PROBLEMS


def _reasons(entry: "Dict[str, Any]") -> "List[str]":
    size = printing.show_bytes(entry["bytes"])
    lines = ["%s %s (%s, %s)" % (entry["name"], entry["version"], size, entry["sha256"][:12])]
    for one in entry["sets"]:
        for lock in one["locks"]:
            gone = "" if lock["exists"] else ", gone"
            lines.append(
                "  lockfile %s (used %s%s)" % (lock["path"], printing.show_age(lock["last_used"]), gone)
            )
            lines += ["  pinned by %s" % path for path in lock["pins"]]
        for link in one.get("links", ()):
            form = "  kernel %s" if link["kind"] == "kernel" else "  link for editors of %s"
            lines.append(form % link["path"])
        lines += [
            "  running in %d: %s" % (process["pid"], process["command"]) for process in one["processes"]
        ]
        if one["in_use"] and not one["processes"]:
            lines.append("  in use by a process")
    lines += ["  installed into %s" % path for path in entry["installs"]]
    if entry["held"]:
        lines.append("  needed by a request under way")
    if len(lines) == 1:
        lines.append("  nothing; the next gc removes it")
    return lines


def _pin(arguments: argparse.Namespace) -> int:
    # As the daemon knows lockfiles: absolute, links on the way resolved, the file itself not.
    directory, name = os.path.split(os.path.abspath(arguments.path))
    path = os.path.join(os.path.realpath(directory), name)
    if os.path.isdir(path):
        path = os.path.realpath(path)
    if arguments.command == "pin" and not os.path.exists(path):
        sys.stderr.write("sprawlctl: %s does not exist\n" % printing.plain(path))
        return EXIT_PROBLEMS
    document = connection.call(arguments.command, {"path": path})
    if arguments.json:
        printing.print_json(document)
        return 0
    state = arguments.command + "ned" if document["changed"] else "was so already:"
    sys.stdout.write("%s %s (%d sets now)\n" % (state, printing.plain(document["path"]), document["sets"]))
    return 0
