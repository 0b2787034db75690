"""`sprawlctl`: what the daemon holds and does; a cold path, so argparse and rich are welcome.

Exit codes: 0 done, 1 refused (the code is in brackets on the line) or problems found (`verify`), 2 a command
line that makes no sense, 3 no daemon is running (`status`, `stop`) or can be started.
"""

import argparse
import sys

from . import __version__, connection, enable, printing, service_command, store_commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, NoReturn, Optional

__all__ = ["main"]

EXIT_REFUSED = 1
EXIT_NO_DAEMON = 3


def main() -> "NoReturn":
    """Run the command line; never returns."""
    try:
        try:
            _main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        from . import ending

        ending.die_of_closed_pipe()


def _main() -> "NoReturn":
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
        prog="sprawlctl",
        description="Look at, tidy and stop the per-user package daemon.",
        epilog="example:\n  sprawlctl status\n\n`sprawlctl COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version="sprawlctl " + __version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    status = _command(
        commands, "status", "show the daemon and its store", "sprawlctl status --json | jq .store.bytes"
    )
    status.set_defaults(run=_status)

    store_commands.configure(commands, _command)

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


def _status(arguments: argparse.Namespace) -> int:
    document = connection.call("status", {}, start=False)
    if arguments.json:
        printing.print_json(document)
        return 0
    store, packs = document["store"], document["packs"]
    rows = [
        ("version", document["version"]),
        ("pid", str(document["pid"])),
        ("up", printing.show_duration(document["uptime_s"])),
        ("memory", printing.show_bytes(document["rss_bytes"])),
        ("socket", document["socket"]),
        ("store", store["path"]),
        ("", "%s in %d packages" % (printing.show_bytes(store["bytes"]), store["entries"])),
        ("", "%s in %d packs" % (printing.show_bytes(packs["bytes"]), packs["count"])),
        (
            "",
            "%d path sets, %d in use; %d bundles" % (store["sets"], store["leased"], store.get("bundles", 0)),
        ),
        ("served", "%d requests, %d at once" % (document["requests"], document["ready"]["hits"])),
        ("fetched", "%d wheels, %s" % (document["fetched"], printing.show_bytes(document["fetched_bytes"]))),
    ]
    rows.append(("read again", _scrub(document.get("scrub"))))
    if store["unpinned"]:
        rows.append(("unpinned", "%d packages of locks without hashes" % store["unpinned"]))
    printing.print_rows(rows)
    return 0


def _scrub(scrub: "Optional[Dict[str, Any]]") -> str:
    """Return how far the look at everything in the store is, which the daemon takes in idle time."""
    if scrub is None:
        return "an older daemon does not tell"
    text = "all, %s" % printing.show_age(scrub["finished"]) if scrub["finished"] else "not yet"
    if scrub["running"]:
        text += "; now %d of %d" % (scrub["done"], scrub["total"])
    if scrub["problems"]:
        text += "; %d problems: sprawlctl verify --all --repair" % len(scrub["problems"])
    return text


def _stop(arguments: argparse.Namespace) -> int:
    document = connection.call("stop", {}, start=False)
    if arguments.json:
        printing.print_json(document)
        return 0
    sys.stdout.write("stopping %d\n" % document["pid"])
    return 0
