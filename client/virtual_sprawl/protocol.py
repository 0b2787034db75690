"""The wire format, sans-IO: frames and messages, used by both sides.

A connection carries frames. Each frame has a nine-byte head and a payload:

    offset  size  field
    0       3     magic, b"vsp"
    3       1     protocol version of the sender
    4       1     message kind
    5       4     payload length in bytes, big-endian

1. The head never changes its shape: any version can be told from its first four bytes, so that a newer peer
   can answer an older one with a sentence it understands (`ERROR` of version 1 is understood for ever).
2. A payload is a list of byte strings: each a four-byte big-endian length and that many bytes. Requests hold
   alternating names and values; unknown names are ignored, so a field can be added without a new version.
3. A request may be followed by any number of `PROGRESS` frames and exactly one other frame.
4. Limits are checked on the head, before a byte of the payload is kept.

This module is imported by the start-up hook: no imports but `sys`, builtins only.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "CALL",
    "ERROR",
    "HEAD_BYTES",
    "NO_LOCK",
    "PATH_SET",
    "PROGRESS",
    "REPLY_LIMIT",
    "REQUEST_LIMIT",
    "RESOLVE",
    "RESULT",
    "VERSION",
    "FrameReader",
    "ProtocolError",
    "decode_fields",
    "decode_strings",
    "encode_fields",
    "encode_frame",
    "encode_strings",
    "peer_pid",
    "peer_uid",
]

MAGIC = b"vsp"
VERSION = 1
HEAD_BYTES = 9

# Requests (client to daemon).
RESOLVE = 1  # "which path set for this interpreter, script and options?"
CALL = 2  # a command of the tools: name and JSON arguments

# Replies (daemon to client).
PATH_SET = 16  # digest, set directory, set index
NO_LOCK = 17  # no lockfile above the start directory: nothing to do
ERROR = 18  # code, message, hint
PROGRESS = 19  # stage, packages done, packages total, bytes done, bytes total, name in work
RESULT = 20  # JSON document, for the tools only

# A request is a few paths and options; a megabyte leaves room for any command line's worth of them.
REQUEST_LIMIT = 1 << 20
# A set index of 10,000 top-level names is about 1 MiB; JSON of `select` for a large lock about 2 MiB.
REPLY_LIMIT = 16 << 20


class ProtocolError(Exception):
    """The peer sent something that is not this protocol; `code` is the stable error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def encode_strings(strings: "Iterable[bytes]") -> bytes:
    """Join byte strings into one payload."""
    parts = []
    for string in strings:
        parts.append(len(string).to_bytes(4, "big"))
        parts.append(string)
    return b"".join(parts)


def decode_strings(payload: bytes) -> "list[bytes]":
    """Split a payload into its byte strings; ProtocolError if the lengths do not add up."""
    strings = []
    offset, end = 0, len(payload)
    while offset < end:
        start = offset + 4
        offset = start + int.from_bytes(payload[offset:start], "big")
        if start > end or offset > end:
            raise ProtocolError("proto.malformed", "a string of the message runs past its end")
        strings.append(payload[start:offset])
    return strings


def encode_fields(fields: "Mapping[str, str]") -> bytes:
    """Encode names and values; surrogates from undecodable file names survive the way."""
    return encode_strings(text.encode("utf-8", "surrogateescape") for item in fields.items() for text in item)


def decode_fields(payload: bytes) -> "dict[str, str]":
    """Decode names and values; ProtocolError on an odd count, a repeated name or bytes without meaning."""
    strings = decode_strings(payload)
    if len(strings) % 2:
        raise ProtocolError("proto.malformed", "the message ends after a name without a value")
    fields = {}
    for position in range(0, len(strings), 2):
        name = strings[position].decode("utf-8", "surrogateescape")
        if name in fields:
            raise ProtocolError("proto.malformed", "the message repeats the field " + ascii(name))
        fields[name] = strings[position + 1].decode("utf-8", "surrogateescape")
    return fields


def encode_frame(kind: int, payload: bytes) -> bytes:
    """Return head and payload of one frame."""
    return b"".join((MAGIC, bytes((VERSION, kind)), len(payload).to_bytes(4, "big"), payload))


class FrameReader:
    """Cuts a byte stream into frames, whatever the chunks it arrives in.

    `limit` is the longest payload accepted, in bytes. After a ProtocolError the stream has no meaning any
    more and the connection must be closed.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def pending(self) -> int:
        """Bytes received that do not make a whole frame yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> "Iterator[tuple[int, bytes]]":
        """Take bytes; yield (kind, payload) of each frame that is whole now."""
        buffer = self._buffer
        buffer += data
        while buffer:
            # The magic is checked as it arrives: a peer that speaks HTTP hears "no" after one byte.
            head = bytes(buffer[:HEAD_BYTES])
            if not MAGIC.startswith(head[:3]):
                raise ProtocolError("proto.malformed", "the peer does not speak this protocol")
            if len(head) > 3 and head[3] != VERSION:
                raise ProtocolError(
                    "proto.version", "the peer speaks protocol %d, this side %d" % (head[3], VERSION)
                )
            if len(head) < HEAD_BYTES:
                return
            length = int.from_bytes(head[5:], "big")
            if length > self._limit:
                raise ProtocolError(
                    "proto.too-large", "a frame of %d bytes exceeds the limit of %d" % (length, self._limit)
                )
            end = HEAD_BYTES + length
            if len(buffer) < end:
                return
            payload = bytes(buffer[HEAD_BYTES:end])
            del buffer[:end]
            yield head[4], payload


def peer_uid(connection: "socket.socket") -> int:
    """Return the effective uid of the process at the other end of a Unix socket.

    Linux: unix(7), SO_PEERCRED, `struct ucred {pid, uid, gid}`. macOS: LOCAL_PEERCRED at level SOL_LOCAL,
    `struct xucred {version, uid, ...}`. With socket activation the client sees the service manager's pid,
    but the same uid; so only the uid means anything. The constants are spelled out because `_socket` does
    not have all of them on every platform.
    """
    if sys.platform == "darwin":
        credentials = connection.getsockopt(0, 1, 76)
    else:
        credentials = connection.getsockopt(1, 17, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder)


def peer_pid(connection: "socket.socket") -> int:
    """Return the process that made the other end listen, or 0 where the system does not tell.

    For messages only: with socket activation it is the service manager.
    """
    return 0 if sys.platform == "darwin" else int.from_bytes(connection.getsockopt(1, 17, 4), sys.byteorder)
