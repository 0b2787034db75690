"""pip's and uv's own configuration files: where they lie and what they say. Nothing of a project is read.

1. Keys of a file that this user may not read configure nothing; a file that does not parse is an error.
2. A key of a later file replaces that of an earlier one for pip; for uv the user's file goes first.

Specifications: pip "Configuration" (locations, precedence), uv "Configuration files".
"""

from __future__ import annotations

import configparser
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli

from sprawld.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PipSettings", "pip_settings", "uv_documents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipSettings:
    """The keys of [global] and [install], with `-` in their names, and the file that each came from."""

    values: Mapping[str, str]
    origins: Mapping[str, str]


def pip_settings(environ: Mapping[str, str], home: Path, system: Path) -> PipSettings:
    """Merge pip's files, the most important last, as pip does. ConfigError `config.invalid`."""
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for path in _pip_places(environ, home, system):
        found = _pip_values(path)
        values |= found
        origins |= dict.fromkeys(found, str(path))
    return PipSettings(values=values, origins=origins)


def _pip_places(environ: Mapping[str, str], home: Path, system: Path) -> Iterator[Path]:
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == "/dev/null":  # pip's documented way to ask for no file at all
        return
    if sys.platform == "darwin":
        yield Path("/Library/Application Support/pip/pip.conf")
    for directory in reversed(_xdg_directories(environ, system)):
        yield directory / "pip" / "pip.conf"
    yield system / "pip.conf"
    if named:
        yield Path(named)
        return
    yield home / ".pip" / "pip.conf"
    support = home / "Library" / "Application Support" / "pip"
    if sys.platform == "darwin" and support.is_dir():
        yield support / "pip.conf"
    else:
        yield _xdg_home(environ, home) / "pip" / "pip.conf"


def _pip_values(path: Path) -> dict[str, str]:
    """Return the keys of [global], with those of [install] laid over them."""
    text = _text(path)
    if text is None:
        return {}
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ConfigError("config.invalid", f"{path}: {type(error).__name__}") from error
    values: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            items = parser.items(section)
            values.update((key.lower().replace("_", "-"), value.strip()) for key, value in items if value)
    return values


def uv_documents(environ: Mapping[str, str], home: Path, system: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return uv's files, the most important first, with their paths. ConfigError `config.invalid`."""
    documents = []
    for path in _uv_places(environ, home, system):
        text = _text(path)
        if text is not None:
            try:
                documents.append((path, tomli.loads(text)))
            except tomli.TOMLDecodeError as error:
                raise ConfigError("config.invalid", f"{path}: {error}") from error
    return documents


def _uv_places(environ: Mapping[str, str], home: Path, system: Path) -> Iterator[Path]:
    yield _xdg_home(environ, home) / "uv" / "uv.toml"
    for directory in (*_xdg_directories(environ, system), system):
        path = directory / "uv" / "uv.toml"
        if path.exists():  # uv takes the first system-wide file and no other
            yield path
            return


def _xdg_home(environ: Mapping[str, str], home: Path) -> Path:
    named = environ.get("XDG_CONFIG_HOME", "")
    return Path(named) if named.startswith("/") else home / ".config"


def _xdg_directories(environ: Mapping[str, str], system: Path) -> list[Path]:
    """Return the system-wide configuration directories, the most important first."""
    named = [Path(item) for item in environ.get("XDG_CONFIG_DIRS", "").split(":") if item.startswith("/")]
    return named or [system / "xdg"]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        # A file that this user may not read configures nothing for this user.
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("config.invalid", f"{path}: {type(error).__name__}") from error
