"""One question to the daemon over its Unix socket, and the reply where there is one at once.

This module is on the road of every start: what happens when the daemon is absent, busy, silent, at work or
refuses lies in `asking`, and is loaded then.

1. A reply is trusted only from a socket in a real directory of this user with mode 0700, and from a peer with
   this user's uid.
2. Every wait has an end. A daemon that lives answers within HELLO_SECONDS, if only to say that it is at work.
"""

import _socket
import os
from time import monotonic, sleep

from . import locations, protocol
from .question import base_executable, resolve_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, Mapping, Optional, Tuple

    OnProgress = Callable[[List[bytes]], None]
    PathSet = Tuple[str, str, bytes]

__all__ = ["Connection", "Refusal", "Unanswered", "base_executable", "call", "resolve", "resolve_fields"]

# Ten times what a busy daemon needs on a loaded machine.
HELLO_SECONDS = 0.25

# sockaddr_un.sun_path: 104 bytes on macOS, 108 on Linux, with the final NUL.
_LONGEST_ADDRESS_BYTES = 103
# Most replies are below it; a larger one takes another call or two.
_RECEIVE_BYTES = 1 << 16
_FIRST_PAUSE_SECONDS = 0.001


class Refusal(Exception):  # noqa: N818 - the word of the protocol
    """The daemon refused, or cannot be asked; `code` is the stable error code, `hint` the remedy or empty."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = "%s [%s]" % (self.message, self.code)
        if self.hint:
            text += "; hint: " + self.hint
        # One line, and no control sequence for the terminal, whatever a lockfile's author put into a name.
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Unanswered(Exception):  # noqa: N818 - not an error yet
    """No reply: nobody listens ("absent"), none came in time ("silent"), the peer has gone ("dropped")."""


def resolve(
    fields: "Mapping[str, str]",
    on_progress: "Optional[OnProgress]" = None,
    meanwhile: "Optional[Callable[[], None]]" = None,
) -> "Optional[PathSet]":
    """Return (digest, directory, set index) of the path set for a request; None where no lockfile applies.

    `on_progress` gets the strings of each PROGRESS frame; `meanwhile` is called while the daemon thinks.
    Starts the daemon where none runs. Raises Refusal.
    """
    request = protocol.encode_fields(fields)
    frame = protocol.encode_frame(protocol.RESOLVE, request)
    hello = monotonic() + HELLO_SECONDS
    connection = None
    try:
        connection = Connection(hello)
        connection.send(frame, hello)
        if meanwhile is not None:
            meanwhile()
        kind, payload = connection.receive(hello)
        if kind not in (protocol.PATH_SET, protocol.NO_LOCK):
            from . import asking

            question = asking.Question(frame, request, on_progress)
            kind, payload = question.go_on(connection, (kind, payload))
    except Unanswered as error:
        from . import asking

        question = asking.Question(frame, request, on_progress)
        kind, payload = question.ask(error, connection)
    finally:
        if connection is not None:
            connection.close()
    if kind == protocol.NO_LOCK:
        return None
    try:
        digest, directory, index = protocol.decode_strings(payload)[:3]
        return digest.decode("ascii"), os.fsdecode(directory), index
    except (ValueError, protocol.ProtocolError):
        raise Refusal("proto.malformed", "the daemon's reply makes no sense") from None


def call(
    command: str,
    arguments: "Mapping[str, object]",
    on_progress: "Optional[OnProgress]" = None,
    start: bool = True,
) -> "Any":
    """Return the outcome, decoded from JSON, of one of the daemon's commands; for the tools. Raises Refusal.

    With `start` false a daemon that does not run is `daemon.unreachable` and stays away.
    """
    from . import asking

    return asking.call(command, arguments, on_progress, start)


class Connection:
    """A connection to the daemon of this user; deadlines are points of `time.monotonic`."""

    __slots__ = ("_frames", "_reader", "_socket")

    def __init__(self, deadline: float) -> None:
        """Connect. Raises Unanswered, or Refusal `daemon.unsafe-socket`."""
        self._reader = protocol.FrameReader(protocol.REPLY_LIMIT)
        self._frames: "Iterator[Tuple[int, bytes]]" = iter(())
        absent: "Optional[Unanswered]" = None
        for address in locations.socket_paths(os.environ):
            self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            try:
                self._open(address, deadline)
                return
            except Unanswered as error:
                self._socket.close()
                if str(error) != "absent":
                    raise
                absent = error
            except BaseException:
                self._socket.close()
                raise
        raise absent or Unanswered("absent")

    def _open(self, address: str, deadline: float) -> None:
        directory = os.path.dirname(address)
        try:
            found = os.lstat(directory)
        except OSError:
            raise Unanswered("absent") from None
        # A directory, not a link to one, and no permission for anybody else.
        if found.st_mode & 0o170077 != 0o040000 or found.st_uid != os.geteuid():
            raise Refusal(
                "daemon.unsafe-socket",
                directory + " is not a private directory of this user",
                "remove it, or set XDG_RUNTIME_DIR to a directory of your own",
            )
        self._connect(address, deadline)
        # The stubs know only the subclass that the module `socket` makes of it.
        if protocol.peer_uid(self._socket) != os.geteuid():  # type: ignore[arg-type]
            raise Refusal("daemon.unsafe-socket", "the daemon behind %s is another user's" % directory)

    def send(self, frame: bytes, deadline: float) -> None:
        """Send a request. Raises Unanswered."""
        self._until(deadline)
        try:
            self._socket.sendall(frame)
        except OSError:
            raise Unanswered("dropped") from None

    def receive(self, deadline: float) -> "Tuple[int, bytes]":
        """Return kind and payload of the next frame. Raises Refusal; Unanswered, after "silent" try again."""
        while True:
            try:
                for frame in self._frames:
                    return frame
            except protocol.ProtocolError as error:
                raise Refusal(error.code, error.message, "restart the daemon: sprawlctl stop") from None
            self._until(deadline)
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except _socket.timeout:
                raise Unanswered("silent") from None
            except OSError:
                raise Unanswered("dropped") from None
            if not data:
                raise Unanswered("dropped")
            self._frames = self._reader.feed(data)

    def peer_pid(self) -> int:
        """Return the process that listens, as far as the system tells, or 0."""
        return protocol.peer_pid(self._socket)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close; idempotent."""
        self._socket.close()

    def _until(self, deadline: float) -> None:
        self._socket.settimeout(max(deadline - monotonic(), _FIRST_PAUSE_SECONDS))

    def _connect(self, address: str, deadline: float) -> None:
        self._until(deadline)
        descriptor = -1
        if len(os.fsencode(address)) > _LONGEST_ADDRESS_BYTES:
            descriptor, address = self._shorten(address)
        pause = _FIRST_PAUSE_SECONDS
        try:
            while True:
                try:
                    self._socket.connect(address)
                    return
                except (BlockingIOError, _socket.timeout):
                    # EAGAIN: the daemon's queue is full. It is busy, not absent.
                    if monotonic() + pause > deadline:
                        raise Unanswered("silent") from None
                sleep(pause)
                pause *= 2
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
                from . import asking

                raise asking.cannot_connect(error) from None
            raise Unanswered("absent") from None
        finally:
            if descriptor != -1:
                os.close(descriptor)

    @staticmethod
    def _shorten(address: str) -> "Tuple[int, str]":
        """Return an open directory and a path through it, which leads to `address` while that is open."""
        if not os.path.isdir("/proc/self/fd"):
            raise Refusal(
                "daemon.unreachable",
                "the path of the socket is too long for this system: " + address,
                "set XDG_RUNTIME_DIR to a shorter directory of your own",
            )
        directory, name = os.path.split(address)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return descriptor, "/proc/self/fd/%d/%s" % (descriptor, name)
