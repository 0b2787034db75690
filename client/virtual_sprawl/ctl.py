"""`sprawlctl`: what the daemon holds and does; a cold path, so argparse and rich are welcome.

Exit codes: 0 done, 1 refused (the code is in brackets on the line), 2 a command line that makes no sense,
3 no daemon is running (`status`, `stop`).
"""

import argparse
import json
import sys

from . import __version__, connection, enable, service_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["main"]

EXIT_REFUSED = 1
EXIT_NO_DAEMON = 3

DAY_SECONDS = 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS, "w": 7 * DAY_SECONDS}


def main() -> "NoReturn":
    """Run the command line; never returns."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.command is None:
        parser.print_help()
        sys.exit(0)
    try:
        sys.exit(arguments.run(arguments))
    except connection.Refusal as refusal:
        sys.stderr.write("sprawlctl: %s\n" % refusal)
        absent = refusal.code == "daemon.unreachable"
        sys.exit(EXIT_NO_DAEMON if absent else EXIT_REFUSED)
    except KeyboardInterrupt:
        from . import ending

        ending.die_of_interrupt()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sprawlctl", description="Look at, tidy and stop the per-user package daemon."
    )
    parser.add_argument("--version", action="version", version="sprawlctl " + __version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    status = _command(
        commands, "status", "show the daemon and its store", "sprawlctl status --json | jq .store.bytes"
    )
    status.set_defaults(run=_status)

    gc = _command(
        commands,
        "gc",
        "remove path sets and packages that nothing uses any more",
        "sprawlctl gc --max-age 7d --dry-run",
    )
    gc.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    gc.add_argument(
        "--max-age",
        metavar="AGE",
        type=_seconds,
        help="a set last used longer ago than this is not kept, as 30d, 12h or 0 (default: 30d); "
        "what runs is never touched",
    )
    gc.set_defaults(run=_gc)

    stop = _command(commands, "stop", "stop the daemon; requests under way finish first", "sprawlctl stop")
    stop.set_defaults(run=_stop)

    hook = _command(
        commands,
        "enable",
        "put the start-up hook into an interpreter",
        "sprawlctl enable -p python3.12 --user",
    )
    enable.configure_enable(hook)
    unhook = _command(
        commands,
        "disable",
        "take the start-up hook out of an interpreter",
        "sprawlctl disable -p python3.12 --user",
    )
    enable.configure_disable(unhook)
    service = _command(
        commands,
        "service",
        "install, remove or show the files for systemd or launchd",
        "sprawlctl service install",
    )
    service_command.configure(service)
    return parser


def _command(commands: "Any", name: str, text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="example:\n  " + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    return parser


def _seconds(text: str) -> float:
    unit = _UNITS.get(text[-1:].lower())
    try:
        value = float(text if unit is None else text[:-1]) * (unit or DAY_SECONDS)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("%r is not an age like 30d, 12h or 90m" % text)
    return value


def _status(arguments: argparse.Namespace) -> int:
    document = connection.call("status", {}, start=False)
    if arguments.json:
        return _print_json(document)
    store = document["store"]
    rows = [
        ("version", document["version"]),
        ("pid", str(document["pid"])),
        ("up", _duration(document["uptime_s"])),
        ("memory", _bytes(document["rss_bytes"])),
        ("socket", document["socket"]),
        ("store", store["path"]),
        ("", "%s in %d packages" % (_bytes(store["bytes"]), store["entries"])),
        ("", "%d path sets, %d in use" % (store["sets"], store["leased"])),
        ("served", "%d requests, %d at once" % (document["requests"], document["ready"]["hits"])),
        ("fetched", "%d wheels, %s" % (document["fetched"], _bytes(document["fetched_bytes"]))),
    ]
    if store["unpinned"]:
        rows.append(("unpinned", "%d packages of locks without hashes" % store["unpinned"]))
    _print_rows(rows)
    return 0


def _gc(arguments: argparse.Namespace) -> int:
    options = {"dry_run": arguments.dry_run, "max_age_s": arguments.max_age}
    document = connection.call("gc", options)
    if arguments.json:
        return _print_json(document)
    verb = "would remove" if arguments.dry_run else "removed"
    for item in document["items"]:
        sys.stdout.write("%s %s: %s\n" % (verb, _plain(item["name"]), _plain(item["reason"])))
    sys.stdout.write(
        "%s %d sets, %d packages, %s\n"
        % (verb, document["sets"], document["entries"], _bytes(document["bytes"]))
    )
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    document = connection.call("stop", {}, start=False)
    if arguments.json:
        return _print_json(document)
    sys.stdout.write("stopping %d\n" % document["pid"])
    return 0


def _print_json(document: "Any") -> int:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


def _print_rows(rows: "list[tuple[str, str]]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(_plain(value)))
    Console().print(table)


def _plain(text: str) -> str:
    """Return `text` without control characters: names come from wheels and lockfiles."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return "%.0f %s" % (count, unit) if unit == "B" else "%.1f %s" % (count, unit)
        count /= 1024
    return "%.1f GiB" % count


def _duration(seconds: float) -> str:
    for unit, size in (("d", DAY_SECONDS), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return "%.1f %s" % (seconds / size, unit)
    return "%.0f s" % seconds
