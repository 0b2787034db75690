"""Direct records: what lets a start take its set without asking, once there is nothing left to do for it.

The format, and what reads it, is `virtual_sprawl.direct`. A record is a promise that this daemon would give
the same answer while its checks hold, and do nothing but that:

1. The set and its entries would survive a power cut; nobody would find out otherwise.
2. No pack is still to be made of its entries; a start that does not ask cannot have them made.
3. The set links to the client files of this release. Records of another release go when a daemon starts.
4. `wheels/` and `bundles/` are among the checks: whoever takes something away there makes the next start ask.
"""

from __future__ import annotations

import logging
import marshal
import os
from typing import TYPE_CHECKING, Final

from virtual_sprawl import direct, protocol

from .hotpath import check_of, checks_hold
from .pathsets import setindex
from .store import files, leases, publication

if TYPE_CHECKING:
    from .hotpath import Check, Ready
    from .pathsets.pack import Packer
    from .standing import Standing
    from .store.tree import Store

__all__ = ["DirectRecords"]

_LOG = logging.getLogger(__name__)

MOST_RECORDS: Final = 8192
"""As many as a developer's scripts times their interpreters; a record is some 2 kB. Past it all go."""
_CLIENT: Final = ".client"
"""Names the client copy that the sets of all records link to."""


class DirectRecords:
    """The directory of records. Every method but `offer` blocks; they are called off the event loop."""

    def __init__(self, store: Store, packer: Packer, standing: Standing) -> None:
        self._store = store
        self._packer = packer
        self._standing = standing
        self._directory = store.root / direct.DIRECTORY
        self._offered: dict[bytes, Ready] = {}
        self._written: dict[bytes, tuple[Ready, tuple[Check, ...]]] = {}

    def prepare(self, client_digest: str) -> None:
        """Drop the records of another release."""
        witness = self._directory / _CLIENT
        records = [path for path in self._directory.iterdir() if path != witness]
        before = witness.read_text() if witness.exists() else ""
        if before != client_digest or len(records) > MOST_RECORDS:
            for path in records:
                path.unlink(missing_ok=True)
            witness.write_text(client_digest)

    def offer(self, request: bytes, ready: Ready) -> None:
        """Note that an answer was given; costs no I/O."""
        if len(self._offered) < MOST_RECORDS:
            self._offered[request] = ready

    def write(self) -> int:
        """Write the records of what was offered where nothing is left to do; return how many.

        The others are forgotten: whoever asks again offers them again.
        """
        offered, self._offered = self._offered, {}
        written = 0
        for request, ready in offered.items():
            try:
                written += self._write(request, ready)
            except (OSError, ValueError, protocol.ProtocolError) as error:
                _LOG.warning("no direct record: %s", error)
        return written

    def _write(self, request: bytes, ready: Ready) -> bool:
        # Looked at before the entries are: a change in between makes the record stale, never wrong.
        standing = tuple(check_of(str(self._store.root / kind)) for kind in ("wheels", "bundles"))
        item = publication.look(self._store.root, "sets", ready.digest)
        if (
            item is None
            or not publication.is_durable(self._store.root, item)
            or not self._standing.stands(ready.digest)
            or not checks_hold(ready.checks)
        ):
            return False
        if self._written.get(request) == (ready, standing):
            return False  # an older hook asks all the same
        _, directory, data = protocol.decode_strings(ready.payload)[:3]
        index = setindex.decode(data)
        if index.start_up is None or self._packer.is_wanted(index.digests):
            return False
        # Made when the set was; by an older release it was not.
        leases.offer(self._store.set_path(ready.digest))
        key = direct.key_of(protocol.decode_fields(request))
        checks = (*ready.checks, *standing)
        record = (direct.FORMAT, key, checks, os.fsdecode(directory), index.site_packages, index.start_up)
        self._publish(direct.name_of(key), marshal.dumps(record, setindex.MARSHAL_VERSION))
        if len(self._written) >= MOST_RECORDS:
            self._written.clear()
        self._written[request] = ready, standing
        return True

    def _publish(self, name: str, blob: bytes) -> None:
        staged = self._store.root / "tmp" / files.random_name("direct")
        descriptor = os.open(staged, files.CREATE, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(blob)
            stream.flush()
            # An empty file would only cost the short way; half a one must not be taken for whole.
            os.fsync(descriptor)
        staged.replace(self._directory / name)
