"""The files that let systemd or launchd start the daemon, made for this user.

1. Files appear by rename; only files that carry our mark are ever overwritten or removed, so that a unit
   somebody wrote by hand is safe.
2. The daemon must find the store its clients use, and the settings its user has: the variables of `PASSED_ON`
   are written into the unit as they are now, because a service manager starts without the shell's.

Specifications: systemd.unit(5), systemd.syntax(7), launchd.plist(5).
"""

import os
import sys

from . import locations
from .atomic import write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Optional

__all__ = [
    "LABEL",
    "USERNS",
    "ServiceError",
    "ServiceFile",
    "install",
    "installed",
    "remove",
    "render",
    "service_directory",
    "uninstall",
]

LABEL = "org.virtual-sprawl.sprawld"
PROPERTY_LIST = LABEL + ".plist"
MARK = "Written by `sprawlctl service install`"
USERNS = "sprawld.service.d/50-userns.conf"
UNITS = ("sprawld.socket", "sprawld.service")
# Paths only: a proxy's address may hold a password, and a unit is a file that others can read.
PASSED_ON = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")


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
            write_file(file.path, file.content.encode())
        except OSError as error:
            raise ServiceError("service.unwritable", f"cannot write {file.path}: {error.strerror}") from error
    return [file.path for file in changed]


def uninstall(environ: "Mapping[str, str]", platform: str = sys.platform) -> "list[str]":
    """Remove the files that carry our mark; return their paths."""
    return remove(_paths(environ, platform))


def installed(environ: "Mapping[str, str]", platform: str = sys.platform) -> "list[str]":
    """Return the paths of the files that carry our mark."""
    return [path for path in _paths(environ, platform) if MARK in (_read(path) or "")]


def remove(paths: "Sequence[str]") -> "list[str]":
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
