"""Local and version-control sources as the older lock formats write them.

Specification: direct URL data structure. Paths are relative to the lock's directory; nothing here looks at
the file system or at environment variables: a lock in a clone could otherwise send any of them to any host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from sprawld.model import Source

from ._toml import Fault, invalid, shown
from .artifacts import git_source, local_path, relative_directory, web_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ARCHIVES",
    "FILE_SCHEME",
    "VARIABLE",
    "directory_source",
    "file_url_path",
    "index_url",
    "is_full_commit",
    "split_reference",
    "vcs_source",
    "without_variables",
]

FILE_SCHEME: Final = "file:"
ARCHIVES: Final = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
"""Suffixes by which the older formats tell a file from a directory."""
_FULL_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Poetry writes a local repository as `file://None/path`, for it takes the host of the URL to be None.
_FILE_URL: Final = re.compile(r"file:(?://(?:localhost|None)?(?=/))?(?P<path>(?!//)[^?#]*)", re.IGNORECASE)

_USER_INFORMATION: Final = re.compile(r"(?P<scheme>[a-z+]+://)(?P<user>[^/?#]*@)", re.IGNORECASE)
VARIABLE: Final = "${"
"""How a variable begins."""


def is_full_commit(text: str) -> bool:
    """Tell a full commit id, which names one content, from branches, tags and short ids."""
    return _FULL_COMMIT.fullmatch(text) is not None


def file_url_path(root: Path, url: str) -> Path:
    """Return the path a `file:` URL (RFC 8089) names, or a relative one by the old habit of pip."""
    match = _FILE_URL.fullmatch(re.split(r"[?#]", url, maxsplit=1)[0])
    if match is None:
        raise Fault("lock.url-refused", f"file URL names another host: {shown(repr(url))}")
    return local_path(root, unquote(match["path"]))


def without_variables(url: str) -> str:
    """Return a URL without variables (`${NAME}`), which are allowed only where credentials stand.

    Such credentials are dropped: they come from the user's own settings. Raises Fault `lock.url-refused` for
    variables anywhere else.
    """
    match = _USER_INFORMATION.match(url)
    if match is not None and "$" in match["user"]:
        url = match["scheme"] + url[match.end() :]
    if VARIABLE in url:
        raise Fault(
            "lock.url-refused",
            f"URL depends on an environment variable: {shown(repr(url.rpartition('@')[2]))}",
            hint="for an index, name it in your own settings",
        )
    return url


def index_url(url: str) -> str:
    """Return the http(s) URL of an index; raises Fault `lock.url-refused`."""
    return web_url(without_variables(url))


def split_reference(url: str) -> tuple[str, str | None]:
    """Split `https://host/repository.git@reference`; the `@` of a user name is none."""
    place, _, reference = url.rpartition("@")
    if reference and not set(reference) & set("/:") and set(place) & set("/:"):
        return place, reference
    return url, None


def directory_source(root: Path, path: str, *, editable: bool, subdirectory: str | None = None) -> Source:
    """Return the source of a project that lies in a local directory."""
    return Source(
        kind="editable" if editable else "directory",
        path=local_path(root, path),
        subdirectory=None if subdirectory is None else relative_directory(subdirectory),
    )


def vcs_source(
    root: Path,
    url: str,
    *,
    reference: str | None = None,
    commit: str | None = None,
    subdirectory: str | None = None,
) -> Source:
    """Return the source of a package in a git repository, which may be a local one (`file:`)."""
    url = url.removeprefix("git+")
    if not url.lower().startswith(FILE_SCHEME):
        return git_source(url, reference=reference, commit=commit, subdirectory=subdirectory)
    if commit is not None and not is_full_commit(commit):
        invalid(f"not a commit id: {shown(repr(commit))}")
    # Everything but the place is checked as for any other repository.
    checked = git_source("https://localhost/", reference=reference, commit=commit, subdirectory=subdirectory)
    return Source(
        kind="git",
        path=file_url_path(root, url),
        reference=checked.reference,
        commit=checked.commit,
        subdirectory=checked.subdirectory,
    )
