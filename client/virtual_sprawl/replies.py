"""Replies the daemon left on disk: what a start runs on when no daemon can be reached.

    <store>/replies/<hex sha256 of the RESOLVE payload>
    marshal.dumps(((2, format of the set index), checks, payload of the PATH_SET frame), 4)

1. `checks` holds (path, ctime_ns, size, inode) of everything whose change could change the answer; ctime_ns
   -1 says that the path must not exist; of directories the size does not count. All must hold.
2. The file must be this user's own, since marshal trusts its input.
3. The set must have survived: it is durable, or was made since the machine started.
4. The entries that its index names must be there. Whoever deletes one by hand gets it back from a daemon.
"""

import hashlib
import marshal
import os

from . import direct, finder, ownfile, protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

__all__ = ["saved_reply"]

# A record of an older release may hold an index that this one cannot read.
RECORD_FORMAT = (2, finder.INDEX_FORMAT)
_RECORD_LIMIT = protocol.REPLY_LIMIT + (1 << 20)


def saved_reply(store: str, request: bytes) -> "Optional[bytes]":
    """Return the payload of the saved PATH_SET reply to a RESOLVE payload, if it still is true."""
    try:
        version, checks, payload = marshal.loads(
            ownfile.read_own(store + "/replies/" + hashlib.sha256(request).hexdigest(), _RECORD_LIMIT)
        )
        if version != RECORD_FORMAT or not all(direct.holds(*check) for check in checks):
            return None
        _, directory, index = protocol.decode_strings(payload)[:3]
        whole = _survived(store, os.fsdecode(directory)) and _stands(store, index)
        return payload if whole else None
    except (OSError, EOFError, ValueError, TypeError, IndexError, protocol.ProtocolError):
        # Absent, damaged or of another release: as good as none.
        return None


def _stands(store: str, index: bytes) -> bool:
    digests = marshal.loads(index)[6]
    return all(os.path.lexists(store + "/wheels/" + digest) for digest in digests)


def _survived(store: str, directory: str) -> bool:
    # A set made before a power cut may be full of empty files, unless it was synced.
    witness = directory + "/boot"
    try:
        if os.path.samefile(store + "/durable/sets-" + os.path.basename(directory), witness):
            return True
    except OSError:
        pass
    # Only Linux tells its boot without a call that Python lacks; elsewhere the mark has to be there.
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().strip() == ownfile.read_own(witness, 256).strip()
