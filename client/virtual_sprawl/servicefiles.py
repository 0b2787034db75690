"""`sprawlctl service`: the files that let systemd or launchd start the daemon, made for this user.

1. Files appear by rename; only files that carry our mark are ever overwritten or removed, so that a unit
   somebody wrote by hand is safe.
2. Nothing is enabled or started unless `--now` asks for it: the commands to do so are printed.
3. The daemon must find the store its clients use, and the settings its user has: the variables of `PASSED_ON`
   are written into the unit as they are now, because a service manager starts without the shell's.

Specifications: systemd.unit(5), systemd.syntax(7), launchd.plist(5).
"""

import os
import sys

from . import locations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import Optional

__all__ = ["ServiceError", "ServiceFile", "configure", "install", "render", "status", "uninstall"]

LABEL = "org.virtual-sprawl.sprawld"
PROPERTY_LIST = LABEL + ".plist"
MARK = "Written by `sprawlctl service install`"
USERNS = "sprawld.service.d/50-userns.conf"
UNITS = ("sprawld.socket", "sprawld.service")
# Paths only: a proxy's address may hold a password, and a unit is a file that others can read.
PASSED_ON = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")
COMMAND_SECONDS = 30.0

EXIT_REFUSED = 1


class ServiceError(Exception):
    """The service files cannot be written or removed; `code` is stable, `hint` the remedy or empty."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} [{code}]" + (f"; hint: {hint}" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint


class ServiceFile:
    """One file of the service: absolute path and content."""

    __slots__ = ("content", "path")

    def __init__(self, path: str, content: str) -> None:
        self.path = path
        self.content = content

    def state(self) -> str:
        """Return `absent`, `current`, `outdated` (ours, but not as it would be written now) or `foreign`."""
        found = _read(self.path)
        if found is None:
            return "absent"
        if found == self.content:
            return "current"
        return "outdated" if MARK in found else "foreign"


def render(
    program: str,
    environ: "Mapping[str, str]",
    platform: str = sys.platform,
    userns: bool = True,
) -> "list[ServiceFile]":
    """Return the files for this user, the ones that refer to others last.

    `program` is the absolute path of sprawld; with `userns` the drop-in that needs user name spaces is there.
    Raises ServiceError `service.bad-path` for a path no unit can hold.
    """
    # Relative ones mean nothing to a daemon, whose working directory is the root.
    passed_on = {name: environ[name] for name in PASSED_ON if environ.get(name, "").startswith("/")}
    # Whether systemd expands a variable in the name of a program depends on its version.
    if "$" in program or not program.startswith("/"):
        raise ServiceError("service.bad-path", f"{program!r} cannot be the program of a service")
    for path in (program, *passed_on.values()):
        if not path.isprintable():
            raise ServiceError("service.bad-path", f"{path!r} cannot be written into a service file")
    directory = service_directory(environ, platform)
    if platform == "darwin":
        return [ServiceFile(f"{directory}/{PROPERTY_LIST}", _property_list(program, environ, passed_on))]
    lines = "".join("Environment=%s\n" % _quoted(f"{name}={value}") for name, value in passed_on.items())
    names = [USERNS, *UNITS] if userns else list(UNITS)
    return [
        ServiceFile(
            f"{directory}/{name}",
            _template(name).replace("@SPRAWLD@", _quoted(program)).replace("@ENVIRONMENT@\n", lines),
        )
        for name in names
    ]


def service_directory(environ: "Mapping[str, str]", platform: str = sys.platform) -> str:
    """Return the directory of this user's service files."""
    home = locations.home_directory(environ)
    if platform == "darwin":
        return home + "/Library/LaunchAgents"
    config = environ.get("XDG_CONFIG_HOME", "")
    return (config if config.startswith("/") else home + "/.config") + "/systemd/user"


def install(files: "Sequence[ServiceFile]") -> "list[str]":
    """Write the files; return the paths that changed.

    Raises ServiceError `service.foreign-file` before anything is written, or `service.unwritable`.
    """
    for file in files:
        if file.state() == "foreign":
            raise ServiceError(
                "service.foreign-file",
                f"{file.path} was not written by sprawlctl",
                "remove it, or keep it and do without `sprawlctl service`",
            )
    changed = [file for file in files if file.state() != "current"]
    for file in changed:
        try:
            os.makedirs(os.path.dirname(file.path), exist_ok=True)
            _write(file.path, file.content)
        except OSError as error:
            raise ServiceError("service.unwritable", f"cannot write {file.path}: {error.strerror}") from error
    return [file.path for file in changed]


def uninstall(environ: "Mapping[str, str]", platform: str = sys.platform) -> "list[str]":
    """Remove the files that carry our mark; return their paths."""
    return _remove(_paths(environ, platform))


def _remove(paths: "Sequence[str]") -> "list[str]":
    """Remove those of the files that carry our mark, and the drop-in's directory if nothing else is in it."""
    removed = [path for path in paths if MARK in (_read(path) or "")]
    for path in removed:
        os.unlink(path)
        if path.endswith("/" + USERNS):
            try:
                os.rmdir(os.path.dirname(path))
            except OSError:
                pass  # the user's own drop-ins are in it
    return removed


def status(files: "Sequence[ServiceFile]") -> "list[tuple[str, str]]":
    """Return (path, state) of each file; see `ServiceFile.state`."""
    return [(file.path, file.state()) for file in files]


def configure(parser: "argparse.ArgumentParser") -> None:
    """Give `sprawlctl service` its arguments; `run` in the parsed arguments does the work."""
    parser.add_argument("action", choices=("install", "uninstall", "status"))
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be written, and write nothing"
    )
    parser.add_argument(
        "--now", action="store_true", help="run the commands that enable or disable the service"
    )
    parser.set_defaults(run=run)


def run(arguments: "argparse.Namespace") -> int:
    """Do what `sprawlctl service` was asked to; returns the exit code."""
    try:
        if arguments.action == "uninstall":
            return _run_uninstall(arguments)
        from . import launch

        try:
            program = launch.find_daemon(os.environ)
        except launch.NotStartedError as error:
            raise ServiceError("service.no-program", error.message, error.hint) from error
        if arguments.action == "status":
            return _run_status(program)
        return _run_install(arguments, program)
    except ServiceError as error:
        sys.stderr.write(f"sprawlctl: {error}\n")
        return EXIT_REFUSED


def _run_install(arguments: "argparse.Namespace", program: str) -> int:
    darwin = sys.platform == "darwin"
    userns = not darwin and not arguments.dry_run and _userns_work()
    files = render(program, os.environ, userns=userns or arguments.dry_run)
    if arguments.dry_run:
        for file in files:
            sys.stdout.write(f"# {file.path} ({file.state()})\n{file.content}\n")
        return 0
    for path in install(files):
        sys.stdout.write(f"wrote {path}\n")
    if not darwin and not userns:
        # An upgrade of the system may have forbidden what worked before.
        _remove([service_directory(os.environ) + "/" + USERNS])
        sys.stderr.write(
            "user name spaces do not work for services of this user: the service runs without "
            "the restrictions that need one\n"
        )
    return _finish(arguments.now, _enabling(files))


def _run_uninstall(arguments: "argparse.Namespace") -> int:
    ours = [path for path in _paths(os.environ, sys.platform) if MARK in (_read(path) or "")]
    if arguments.dry_run:
        sys.stdout.writelines(f"would remove {path}\n" for path in ours)
        return 0
    # Before the files go: a manager cannot stop what it no longer knows.
    code = _finish(arguments.now, _disabling()) if ours else 0
    for path in uninstall(os.environ):
        sys.stdout.write(f"removed {path}\n")
    return code


def _run_status(program: str) -> int:
    files = render(program, os.environ)
    sys.stdout.writelines(f"{state:9}{path}\n" for path, state in status(files))
    return 0


def _enabling(files: "Sequence[ServiceFile]") -> "list[list[str]]":
    # A daemon that a client started holds the store; the service's own would find it taken.
    stop = ["sprawlctl", "stop"]
    if sys.platform == "darwin":
        return [stop, ["launchctl", "bootstrap", f"gui/{os.getuid()}", files[0].path]]
    systemctl = ["systemctl", "--user"]
    return [[*systemctl, "daemon-reload"], stop, [*systemctl, "enable", "--now", "sprawld.socket"]]


def _disabling() -> "list[list[str]]":
    if sys.platform == "darwin":
        return [["launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}"]]
    return [["systemctl", "--user", "disable", "--now", "sprawld.socket", "sprawld.service"]]


def _finish(now: bool, commands: "Sequence[Sequence[str]]") -> int:
    """Run the commands, or print them for the user to run."""
    if not now:
        sys.stdout.write("next:\n")
        sys.stdout.writelines("  " + " ".join(command) + "\n" for command in commands)
        return 0
    for command in commands:
        if command[0] == "sprawlctl":
            _stop_daemon()
        elif not _runs(command):
            sys.stderr.write(f"sprawlctl: {' '.join(command)} failed\n")
            return EXIT_REFUSED
    return 0


def _stop_daemon() -> None:
    from . import connection

    try:
        connection.call("stop", {}, start=False)
    except connection.Refusal:
        pass  # none is running


def _userns_work() -> bool:
    """Tell whether systemd can give this user's services a user name space; many systems forbid it."""
    return _runs(
        ["systemd-run", "--user", "--quiet", "--wait", "--collect", "-p", "PrivateUsers=yes", "true"],
        quiet=True,
    )


def _runs(command: "Sequence[str]", quiet: bool = False) -> bool:
    import subprocess

    output = subprocess.DEVNULL if quiet else None
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _paths(environ: "Mapping[str, str]", platform: str) -> "list[str]":
    directory = service_directory(environ, platform)
    names: "Sequence[str]" = (PROPERTY_LIST,) if platform == "darwin" else (USERNS, *UNITS)
    return [f"{directory}/{name}" for name in names]


def _property_list(program: str, environ: "Mapping[str, str]", passed_on: "Mapping[str, str]") -> str:
    variables = "".join(
        f"<key>{name}</key><string>{_escaped(value)}</string>" for name, value in passed_on.items()
    )
    text = _template(PROPERTY_LIST).replace("@ENVIRONMENT@", variables)
    for name, value in (
        ("SPRAWLD", program),
        ("SOCKET", locations.socket_path(environ)),
        ("LOG", locations.log_file(environ)),
    ):
        text = text.replace(f"@{name}@", _escaped(value))
    return text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    """Return one word of a unit file: quotes, backslashes and specifiers lose their meaning."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'


def _template(name: str) -> str:
    package = os.path.dirname(os.path.abspath(__file__))
    checkout = os.path.dirname(os.path.dirname(package))
    for directory in (package + "/service", checkout + "/systemd", checkout + "/launchd"):
        text = _read(f"{directory}/{name}")
        if text is not None:
            return text
    raise ServiceError(
        "service.no-template", f"the template of {name} is missing", "install virtual-sprawl again"
    )


def _read(path: str) -> "Optional[str]":
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ServiceError("service.unreadable", f"cannot read {path}: {error.strerror}") from error


def _write(path: str, content: str) -> None:
    staged = f"{path}.{os.getpid()}.tmp"
    try:
        with open(staged, "x", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # The umask may be tighter than a service manager can read.
        os.chmod(staged, 0o644)
        os.replace(staged, path)
    except BaseException:
        if os.path.lexists(staged):
            os.unlink(staged)
        raise
