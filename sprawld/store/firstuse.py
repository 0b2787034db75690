"""First use: what an index said of the files of a release, when a lock without hashes first asked.

A lock that has no hashes by nature can only trust the first answer and hold the index to it from then on.

    first-use/<sha256 of the key>.json    {"format", "index", "name", "version", "files": [{...}, ...]}

1. A record is never changed silently: a file may be added that the index did not have before, but a recorded
   file name keeps its sha256, or the change is refused.
2. A record that cannot be read is not "no record": taking it for one would trust the next answer again.
3. Records hold no secrets: the index is named without user name, password and query, and the address of a
   file that needs any of these is left out, so that the index is asked for it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sprawld.errors import FetchError, StoreError
from sprawld.model import Artifact, Hash

from . import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["FirstUse", "Release"]

_FORMAT: Final = 1
_RECORD_BYTES: Final = 16 << 20
"""Far more than the files of any one release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The key of a record: one version of a project on one index."""

    index: str
    """URL of the index; user name, password, query and fragment do not count."""
    name: NormalizedName
    version: str

    def identity(self) -> list[str]:
        """Return what tells this release from every other one."""
        return [files.without_secrets(self.index).rstrip("/"), self.name, self.version]


class FirstUse:
    """The records in `first-use/` of the store `root`. Thread-safe; every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "first-use"
        self._staging = root / "tmp"
        self._lock = threading.Lock()

    def recall(self, release: Release) -> tuple[Artifact, ...] | None:
        """Return the recorded files, each with its sha256; None when the release was never used.

        StoreError `store.damaged` when there is a record that cannot be read.
        """
        path = self._file(release)
        try:
            content = json.loads(files.read_small(path, _RECORD_BYTES))
            if content["format"] != _FORMAT or _identity(content) != release.identity():
                raise ValueError("another format or release")
            return tuple(_artifact(entry) for entry in content["files"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "store.damaged",
                f"the first-use record of {release.name} {release.version} cannot be read: {path}",
                hint="remove the file to trust the index once more",
            ) from error

    def remember(self, release: Release, artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
        """Record files that are not recorded yet and return the whole record.

        Every artifact needs a sha256 (ValueError). FetchError `fetch.hash-mismatch` when one differs from
        what is recorded for its file name; then nothing is recorded. StoreError when it cannot be written.
        """
        with self._lock:
            recorded = self.recall(release) or ()
            known = {artifact.filename: artifact for artifact in recorded}
            for artifact in artifacts:
                before = known.setdefault(artifact.filename, _bare(artifact))
                _require_same(release, before, artifact)
            merged = tuple(known[name] for name in sorted(known))
            if merged != recorded:
                self._write(release, merged)
            return merged

    def find(self, sha256: str) -> tuple[Release, Artifact] | None:
        """Return the recorded file with a digest and its release; reads every record, for repairs.

        Records that cannot be read are passed over: what is fetched by the answer has to have the digest.
        """
        for name in sorted(os.listdir(self._path)):
            try:
                content = json.loads(files.read_small(self._path / name, _RECORD_BYTES))
                release = Release(index=content["index"], name=content["name"], version=content["version"])
                found = [_artifact(entry) for entry in content["files"] if entry["sha256"] == sha256]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if found:
                return release, found[0]
        return None

    def count(self) -> int:
        """Return the number of releases that are held to their first use."""
        return sum(name.endswith(".json") for name in os.listdir(self._path))

    def _write(self, release: Release, artifacts: tuple[Artifact, ...]) -> None:
        index, name, version = release.identity()
        content = {
            "format": _FORMAT,
            "index": index,
            "name": name,
            "version": version,
            "files": [_entry(artifact) for artifact in artifacts],
        }
        with files.writing(f"the first-use record of {name} {version}", self._staging):
            text = json.dumps(content, indent=1).encode("ascii")
            files.write_atomic(self._file(release), text, self._staging)

    def _file(self, release: Release) -> Path:
        key = json.dumps(release.identity()).encode("ascii")
        return self._path / (hashlib.sha256(key).hexdigest() + ".json")


def _sha256(artifact: Artifact) -> str:
    for locked in artifact.hashes:
        if locked.algorithm == "sha256":
            return locked.value.lower()
    raise ValueError(f"{artifact.filename} has no sha256")


def _require_same(release: Release, before: Artifact, now: Artifact) -> None:
    if _sha256(before) == _sha256(now):
        return
    raise FetchError(
        "fetch.hash-mismatch",
        f"{now.filename} of {release.name} {release.version} has sha256 {_sha256(now)} now, and had "
        f"{_sha256(before)} when it was first used; {files.without_secrets(release.index)} changed the file",
        hint="a released file never changes: find out why before you remove the record in first-use/",
    )


def _bare(artifact: Artifact) -> Artifact:
    url = artifact.url
    if url is not None and url.partition("#")[0] != files.without_secrets(url):
        url = None
    return Artifact(
        filename=artifact.filename,
        url=url,
        hashes=(Hash(algorithm="sha256", value=_sha256(artifact)),),
        size=artifact.size,
        yanked=artifact.yanked,
    )


def _entry(artifact: Artifact) -> dict[str, Any]:
    return {
        "filename": artifact.filename,
        "url": artifact.url,
        "sha256": _sha256(artifact),
        "size": artifact.size,
        "yanked": artifact.yanked,
    }


def _identity(content: dict[str, Any]) -> list[Any]:
    return [content["index"], content["name"], content["version"]]


def _artifact(entry: dict[str, Any]) -> Artifact:
    filename, url, sha256, size = entry["filename"], entry["url"], entry["sha256"], entry["size"]
    if not isinstance(filename, str) or os.sep in filename:
        raise ValueError("a file without a name")
    if not isinstance(sha256, str) or len(sha256) != 64:
        raise ValueError("a file without sha256")
    if not isinstance(url, str | None) or not isinstance(size, int | None):
        raise TypeError("a file with a wrong address or size")
    return Artifact(
        filename=filename,
        url=url,
        hashes=(Hash(algorithm="sha256", value=sha256),),
        size=size,
        yanked=bool(entry["yanked"]),
    )
