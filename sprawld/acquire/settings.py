"""Which package index: the user's settings of this program, pip and uv, in that order.

The first of these that names a default index gives it:

    VIRTUAL_SPRAWL_INDEX, PIP_INDEX_URL, UV_DEFAULT_INDEX or UV_INDEX_URL   (of the client, in its request)
    `index` in the user's config.toml                                       (of this program)
    pip's configuration files, then uv's                                    (the user's before the system's)
    the constant that distlib publishes

1. A default that comes from pip brings pip's extra indexes, one from uv uv's, one from this program's own
   settings none: that index is meant to be the only one. Without any default both tools' extras count.
2. As in the tools themselves, a variable replaces the same key of the files.
3. Only http(s) indexes are used. Extra indexes with other URLs (`file:`) and find-links are ignored; a
   default of that kind is an error, since leaving it out would ask another index than the one meant.
4. Nothing of a project is read here.

Specifications: pip "Configuration" (locations, precedence), uv "Settings" (`index`, `index-url`).
"""

from __future__ import annotations

import configparser
import functools
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import tomli

from sprawld.errors import ConfigError
from sprawld.model import IndexSettings

from .urls import origin_of, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sprawld.config import Config

__all__ = ["default_index", "resolve_settings"]

_log = logging.getLogger(__name__)


class _Layer(NamedTuple):
    """What one tool's files or variables say; None and empty where they are silent."""

    default: str | None
    extra: tuple[str, ...]
    origin: str


def resolve_settings(
    fields: Mapping[str, str],
    config: Config,
    environ: Mapping[str, str],
    home: Path,
    *,
    system: Path = Path("/etc"),
) -> IndexSettings:
    """Return the indexes to use for a request; a `default` of None stands for `default_index()`.

    `fields` are those of the client's request, `environ` and `home` are the daemon's. Raises ConfigError
    `config.invalid` for a file that does not parse and a default index that is not http(s).
    """
    if fields.get("index"):
        return _settings(fields["index"], (), "VIRTUAL_SPRAWL_INDEX")
    pip_variables = _Layer(
        fields.get("pip-index") or None, _words(fields.get("pip-extra", "")), "PIP_INDEX_URL"
    )
    uv_variables = _Layer(
        _unnamed(fields.get("uv-index", "")) or None,
        tuple(_unnamed(word) for word in _words(fields.get("uv-extra", ""))),
        "UV_DEFAULT_INDEX",
    )
    # Files are read only when what comes before them is silent: a broken one must not stand in the way.
    if uv_variables.default and not pip_variables.default:
        return _settings(*_over(uv_variables, lambda: _uv_files(environ, home, system)))
    if config.index and not pip_variables.default:
        return _settings(config.index, (), "config.toml")
    pip = _over(pip_variables, lambda: _pip_files(environ, home, system))
    if pip.default:
        return _settings(*pip)
    uv = _over(uv_variables, lambda: _uv_files(environ, home, system))
    if uv.default:
        return _settings(*uv)
    return _settings(None, pip.extra + uv.extra, "")


@functools.cache
def default_index() -> str:
    """Return the simple API of the default index: a packaging library's constant, with that API's path."""
    # Imported here because most locks name the URLs of their files and never need an index.
    from distlib.index import DEFAULT_INDEX  # type: ignore[import-untyped]

    parts = urlsplit(str(DEFAULT_INDEX))
    return urlunsplit((parts.scheme, parts.netloc, "/simple/", "", ""))


def _settings(default: str | None, extra: Iterable[str], origin: str) -> IndexSettings:
    if default is not None:
        if origin_of(default) is None:
            raise ConfigError(
                "config.invalid",
                f"{origin}: not an index this program can ask: {redact(default)}",
                hint="only http and https indexes are used",
            )
        default = _slashed(default)
    kept = []
    for url in map(_slashed, extra):
        if origin_of(url) is None:
            _log.info("extra index left out, it is not http(s): %s", redact(url))
        elif url != default and url not in kept:
            kept.append(url)
    return IndexSettings(default=default, extra=tuple(kept))


def _over(variables: _Layer, files: Callable[[], _Layer]) -> _Layer:
    """Lay the variables over what the files say, key by key; the files are read only if a key is missing."""
    if variables.default and variables.extra:
        return variables
    below = files()
    return _Layer(
        variables.default or below.default,
        variables.extra or below.extra,
        variables.origin if variables.default else below.origin,
    )


def _slashed(url: str) -> str:
    return url if url.endswith("/") else url + "/"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _unnamed(text: str) -> str:
    """Drop the name of uv's `name=url` form."""
    return re.sub(r"^[A-Za-z0-9._-]+=(?=[a-z+]+:)", "", text.strip())


# --- pip


def _pip_files(environ: Mapping[str, str], home: Path, system: Path) -> _Layer:
    """Merge pip's files, the most important last, as pip does."""
    default, origin = None, ""
    extra: tuple[str, ...] = ()
    for path in _pip_places(environ, home, system):
        values = _pip_values(path)
        if values.get("index-url"):
            default, origin = values["index-url"], str(path)
        if "extra-index-url" in values:
            extra = _words(values["extra-index-url"])
    return _Layer(default, extra, origin)


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


# --- uv


def _uv_files(environ: Mapping[str, str], home: Path, system: Path) -> _Layer:
    """Merge uv's files: the user's keys before the system's, lists of both one after the other."""
    default, origin = None, ""
    extra: tuple[str, ...] = ()
    for path in _uv_places(environ, home, system):
        found = _uv_values(path)
        if found.default and not default:
            default, origin = found.default, str(path)
        extra += found.extra
    return _Layer(default, extra, origin)


def _uv_places(environ: Mapping[str, str], home: Path, system: Path) -> Iterator[Path]:
    yield _xdg_home(environ, home) / "uv" / "uv.toml"
    for directory in (*_xdg_directories(environ, system), system):
        path = directory / "uv" / "uv.toml"
        if path.exists():  # uv takes the first system-wide file and no other
            yield path
            return


def _uv_values(path: Path) -> _Layer:
    text = _text(path)
    if text is None:
        return _Layer(None, (), "")
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError("config.invalid", f"{path}: {error}") from error
    default, extra = None, []
    indexes = document.get("index", [])
    for index in indexes if isinstance(indexes, list) else []:
        if not isinstance(index, dict) or not isinstance(index.get("url"), str):
            raise ConfigError("config.invalid", f"{path}: an [[index]] without a url")
        if index.get("default") is True:
            default = default or index["url"]
        elif index.get("explicit") is not True:  # explicit ones serve only packages that name them
            extra.append(index["url"])
    legacy = document.get("extra-index-url", [])
    extra += [url for url in legacy if isinstance(url, str)] if isinstance(legacy, list) else []
    if not default and isinstance(document.get("index-url"), str):
        default = document["index-url"]
    return _Layer(default, tuple(extra), str(path))


# --- files


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
