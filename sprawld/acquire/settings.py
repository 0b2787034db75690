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
4. An index that uv's file marks `explicit` is asked only where a lock names it.
5. Nothing of a project is read here.

Specifications: pip "Configuration" (precedence), uv "Settings" (`index`, `index-url`).
"""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from sprawld.errors import ConfigError
from sprawld.model import IndexSettings

from .toolfiles import pip_settings, uv_documents
from .urls import credentials_of, origin_of, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sprawld.config import Config

__all__ = ["default_index", "resolve_settings", "with_named_credentials"]

_log = logging.getLogger(__name__)


class _Layer(NamedTuple):
    """What one tool's files or variables say; None and empty where they are silent."""

    default: str | None
    extra: tuple[str, ...]
    origin: str
    explicit: tuple[str, ...] = ()


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
        _with_own_credentials(fields.get("uv-index", ""), environ) or None,
        tuple(_with_own_credentials(word, environ) for word in _words(fields.get("uv-extra", ""))),
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
    return _settings(None, pip.extra + uv.extra, "", uv.explicit)


@functools.cache
def default_index() -> str:
    """Return the simple API of the default index: a packaging library's constant, with that API's path."""
    # Imported here because most locks name the URLs of their files and never need an index.
    from distlib.index import DEFAULT_INDEX  # type: ignore[import-untyped]

    parts = urlsplit(str(DEFAULT_INDEX))
    return urlunsplit((parts.scheme, parts.netloc, "/simple/", "", ""))


def _settings(
    default: str | None, extra: Iterable[str], origin: str, explicit: Iterable[str] = ()
) -> IndexSettings:
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
    named = (_slashed(url) for url in explicit if origin_of(url) is not None)
    return IndexSettings(default=default, extra=tuple(kept), explicit=tuple(dict.fromkeys(named)))


def _over(variables: _Layer, files: Callable[[], _Layer]) -> _Layer:
    """Lay the variables over what the files say, key by key; the files are read only if a key is missing."""
    if variables.default and variables.extra:
        return variables
    below = files()
    return _Layer(
        variables.default or below.default,
        variables.extra or below.extra,
        variables.origin if variables.default else below.origin,
        below.explicit,
    )


def _slashed(url: str) -> str:
    return url if url.endswith("/") else url + "/"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _with_own_credentials(text: str, environ: Mapping[str, str]) -> str:
    """Return the URL of uv's `name=url` form, with the credentials that the environment has for the name."""
    named = re.match(r"([A-Za-z0-9._-]+)=(?=[a-z+]+:)", text.strip())
    if named is None:
        return text.strip()
    return with_named_credentials(text.strip()[named.end() :], named[1], environ)


def with_named_credentials(url: str, name: str, environ: Mapping[str, str]) -> str:
    """Put UV_INDEX_<NAME>_USERNAME and _PASSWORD into the URL of the index of that name, as uv does.

    So they are bound to its origin like any credentials of a URL. What the URL itself says goes first.
    """
    word = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    user, password = (environ.get(f"UV_INDEX_{word}_{what}", "") for what in ("USERNAME", "PASSWORD"))
    if not name or not (user or password) or origin_of(url) is None:
        return url
    known = credentials_of(url)
    if known is not None and (known[1] or not password):
        return url
    user = user or (known[0] if known else "")
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{host}"))


# --- pip


def _pip_files(environ: Mapping[str, str], home: Path, system: Path) -> _Layer:
    found = pip_settings(environ, home, system)
    default = found.values.get("index-url") or None
    extra = _words(found.values.get("extra-index-url", ""))
    return _Layer(default, extra, found.origins.get("index-url", ""))


# --- uv


def _uv_files(environ: Mapping[str, str], home: Path, system: Path) -> _Layer:
    """Merge uv's files: the user's keys before the system's, lists of both one after the other."""
    default, origin = None, ""
    extra: tuple[str, ...] = ()
    explicit: tuple[str, ...] = ()
    for path, document in uv_documents(environ, home, system):
        found = _uv_values(path, document, environ)
        if found.default and not default:
            default, origin = found.default, str(path)
        extra += found.extra
        explicit += found.explicit
    return _Layer(default, extra, origin, explicit)


def _uv_values(path: Path, document: dict[str, Any], environ: Mapping[str, str]) -> _Layer:
    default: str | None = None
    extra: list[str] = []
    explicit: list[str] = []
    indexes = document.get("index", [])
    for index in indexes if isinstance(indexes, list) else []:
        if not isinstance(index, dict) or not isinstance(index.get("url"), str):
            raise ConfigError("config.invalid", f"{path}: an [[index]] without a url")
        name = index.get("name")
        url = with_named_credentials(index["url"], name if isinstance(name, str) else "", environ)
        if index.get("default") is True:
            default = default or url
        elif index.get("explicit") is True:  # serves only packages that name it
            explicit.append(url)
        else:
            extra.append(url)
    legacy = document.get("extra-index-url", [])
    extra += [url for url in legacy if isinstance(url, str)] if isinstance(legacy, list) else []
    if not default and isinstance(document.get("index-url"), str):
        default = document["index-url"]
    return _Layer(default, tuple(extra), str(path), tuple(explicit))
