"""Sources and files of the packages in a pylock.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sprawld.model import Pin, Source

from ._toml import Fault, at, invalid, shown
from .advice import excluded_python
from .artifacts import artifact, hash_table, local_path, no_files, relative_directory, web_url
from .markers import python_allowed
from .sources import FILE_SCHEME, directory_source, file_url_path, vcs_source

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.pylock import Package, PackageArchive, PackageSdist, PackageWheel

    from sprawld.model import Artifact, Environment

    from .pylock import Entry

__all__ = ["ASK_INDEX", "pin"]

ASK_INDEX: Final = "ask-the-index:"
"""Stands in for the URL of a file that has none; as a URL it would be refused."""


def pin(entry: Entry, environment: Environment, root: Path) -> Pin:
    """Return the pin of a selected entry, its files checked; `root` is the lock's directory.

    Raises Fault for a source or file that is not sound, and `select.requires-python`.
    """
    package = entry.package
    with at(f"packages[{entry.index}] ({entry.name})"):
        if package is None:
            invalid("no source: neither files nor vcs, directory or archive")
        requires = package.requires_python
        if requires is not None and not python_allowed(str(requires), environment):
            raise excluded_python(entry.name, str(requires), environment)
        source = _source(package, root)
        found = [_file(entry, root, wheel, wheel.filename) for wheel in package.wheels or ()]
        if package.sdist is not None:
            found.append(_file(entry, root, package.sdist, package.sdist.filename))
        if package.archive is not None:
            # An archive may be a wheel; its name has to be taken from where it lies.
            found.append(_file(entry, root, package.archive, None))
        artifacts = tuple(file for file in found if file is not None)
        if found and not artifacts:
            raise no_files()
        return Pin(name=entry.name, version=entry.version, source=source, artifacts=artifacts)


def _source(package: Package, root: Path) -> Source:
    if package.vcs is not None:
        vcs = package.vcs
        if vcs.type != "git":
            raise Fault("lock.unsupported", f"version control system {shown(repr(vcs.type))}")
        return vcs_source(
            root,
            vcs.url or f"file:{vcs.path}",
            reference=vcs.requested_revision,
            commit=vcs.commit_id,
            subdirectory=vcs.subdirectory,
        )
    if package.directory is not None:
        directory = package.directory
        return directory_source(
            root, directory.path, editable=bool(directory.editable), subdirectory=directory.subdirectory
        )
    if package.archive is not None:
        archive = package.archive
        subdirectory = None if archive.subdirectory is None else relative_directory(archive.subdirectory)
        url, path = _place(archive, root)
        return Source(kind="path" if url is None else "url", url=url, path=path, subdirectory=subdirectory)
    index = package.index
    if index is not None and index.lower().startswith(FILE_SCHEME):
        return Source(kind="registry", path=file_url_path(root, index))
    return Source(kind="registry", index=None if index is None else web_url(index))


def _place(file: PackageWheel | PackageSdist | PackageArchive, root: Path) -> tuple[str | None, Path | None]:
    """Return URL, path or neither. A `file:` URL is a path, and beside one it only repeats it.

    pip and uv write such URLs for files of local indexes, pdm for local archives.
    """
    url = file.url or ""
    if url.startswith(ASK_INDEX):
        return None, None
    local = url.lower().startswith(FILE_SCHEME)
    if file.path is not None and (local or not url):
        return None, local_path(root, file.path.replace("\\", "/"))
    return (None, file_url_path(root, url)) if local else (web_url(url), None)


def _file(
    entry: Entry, root: Path, file: PackageWheel | PackageSdist | PackageArchive, filename: str | None
) -> Artifact | None:
    url, path = _place(file, root)
    return artifact(
        entry.name,
        entry.version,
        filename=filename,
        url=url,
        path=path,
        hashes=hash_table(file.hashes),
        size=file.size,
        direct=filename is None,
    )
