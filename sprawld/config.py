"""The daemon's configuration: frozen, from the user's own file and the environment, units in the names.

Only `<config>/virtual-sprawl/config.toml` of the user is read, never a file of a project: a clone must not
be able to change what is trusted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import tomli

from virtual_sprawl import locations

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Config", "Limits", "config_file", "load_config", "parse_age", "parse_size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what the network and archives may make this program do."""

    connect_seconds: float = 10.0
    idle_seconds: float = 30.0
    """No byte for this long ends an attempt."""
    attempts: int = 4
    """One try and three retries."""
    backoff_seconds: float = 0.25
    """First pause; doubled for each retry, with jitter."""
    redirects: int = 5
    downloads: int = 16
    """Artifacts fetched at the same time."""
    page_seconds: float = 120.0
    """A project page that has not arrived whole by then will not."""
    file_seconds: float = 6 * 3600.0
    """The same for all attempts at one file: the largest wheels, over the slowest lines that are any use."""
    page_bytes: int = 64 << 20
    """Largest project page read."""
    artifact_bytes: int = 8 << 30
    """Largest file fetched when neither lock nor host says how large it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the daemon is told from outside."""

    store: Path
    socket: Path
    index: str | None = None
    """Default index from the user's configuration file."""
    require_hashes: bool = False
    """Refuse files that no lockfile pins by hash."""
    allow_weak_hashes: tuple[str, ...] = ()
    """Indexes or hosts whose files may lack a strong hash in a lock that has hashes elsewhere."""
    allow_bad_record: tuple[str, ...] = ()
    """Distribution names whose wheels may have a wrong RECORD."""
    allow_startup: tuple[str, ...] = ()
    """Distribution names whose start-up code (lines of `.pth`, `sitecustomize`) runs."""
    workers: int = 2
    """Unpacking processes."""
    idle_exit_seconds: float = 3600.0
    """Exit after this long without a request; 0 never exits. A supervised daemon never exits by itself."""
    gc_max_age: float | None = None
    """Seconds after its last use that a set is kept; None for the release's own default."""
    gc_max_size: int | None = None
    """Bytes that the entries may take together; None for no limit."""
    gc_min_free: int | None = None
    """Bytes to leave free on the store's disk; None for no limit."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts, as `host` or `host:port`, that locks may name though their addresses are private."""
    keyring: bool = False
    """Ask the command `keyring` for passwords of indexes whose URLs have a user name only."""
    scrub: str = "report"
    """What becomes of what the scrub finds: "report", or "repair"; "off" for no scrub."""
    scrub_age: float = 7 * 86400.0
    """Seconds after which everything in the store is read again."""
    limits: Limits = field(default_factory=Limits)

    @property
    def has_budget(self) -> bool:
        """True where the store is to be kept within limits without being asked each time."""
        return self.gc_max_size is not None or self.gc_min_free is not None


_KEYS: dict[str, type] = {
    "index": str,
    "require-hashes": bool,
    "allow-weak-hashes": list,
    "allow-bad-record": list,
    "allow-hosts": list,
    "allow-startup": list,
    "keyring": bool,
    "workers": int,
    "idle-exit-seconds": int,
    "gc-max-age": str,
    "gc-max-size": str,
    "gc-min-free": str,
    "scrub": str,
    "scrub-age": str,
}
_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def config_file() -> Path:
    """Return the path of the user's configuration file."""
    return platformdirs.user_config_path(locations.APPLICATION) / "config.toml"


def load_config(environ: Mapping[str, str], path: Path | None = None) -> Config:
    """Read the configuration; ConfigError names the file and the key that is wrong."""
    path = path or config_file()
    values = _read(path)
    for key, value in values.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise ConfigError(
                "config.invalid", f"{path}: unknown key {key!r}", hint=f"known keys: {', '.join(_KEYS)}"
            )
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError("config.invalid", f"{path}: {key} must be a {kind.__name__}")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise ConfigError("config.invalid", f"{path}: {key} must be a list of strings")
    options = {key.replace("-", "_"): _freeze(value) for key, value in values.items()}
    _parse_limits(options, path)
    if "workers" in options:
        options["workers"] = max(1, options["workers"])
    return Config(
        store=Path(locations.store_directory(environ)),
        socket=Path(locations.socket_path(environ)),
        **options,
    )


def parse_age(text: str) -> float:
    """Return the seconds of an age like `30d`, `12h` or `90m`; a bare number is days. ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdw]?)", text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is not an age like 30d, 12h or 90m")
    return float(match[1]) * _AGES[match[2] or "d"]


def parse_size(text: str) -> int:
    """Return the bytes of a size like `20G`, `500M` or `1.5 TiB`; units are powers of 1024. ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is not a size like 20G or 500M")
    return int(float(match[1]) * _SIZES[match[2]])


def _parse_limits(options: dict[str, Any], path: Path) -> None:
    for name, parse in (
        ("gc_max_age", parse_age),
        ("gc_max_size", parse_size),
        ("gc_min_free", parse_size),
        ("scrub_age", _parse_scrub_age),
        ("scrub", _parse_scrub),
    ):
        if name in options:
            try:
                options[name] = parse(options[name])
            except ValueError as error:
                key = name.replace("_", "-")
                raise ConfigError("config.invalid", f"{path}: {key}: {error}") from error


def _parse_scrub_age(text: str) -> float:
    age = parse_age(text)
    if age < _AGES["h"]:
        raise ValueError("less than 1h would be all the time")
    return age


def _parse_scrub(text: str) -> str:
    if text not in ("report", "repair", "off"):
        raise ValueError(f"{text!r} is none of report, repair and off")
    return text


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError("config.invalid", f"{path}: {error}") from error


def _freeze(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
