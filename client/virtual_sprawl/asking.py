"""What is done to get a reply that does not come at once.

1. A daemon that is silent is answered for by the reply it left on disk last time, if that still is true;
   without one it has PATIENCE_SECONDS.
2. Where no daemon is, one is started. If the reply of last time still is true, nobody waits for it.
3. A daemon that goes away before it has answered (a restart, an upgrade) is asked again: RESOLVE changes
   nothing by being asked twice. A CALL is repeated only if it cannot have been started: `daemon.leaving` says
   that, too.
4. Credentials that uv's variables name are told to the daemon when an index refused it, and not before: the
   daemon may have been started by somebody who did not have them.
"""

import json
import os
from time import monotonic, sleep

from . import launch, locations, protocol, replies
from .connection import HELLO_SECONDS, Connection, Refusal, Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Optional, Tuple

    from .connection import OnProgress

    Reply = Tuple[int, bytes]

__all__ = ["Question", "call", "cannot_connect"]

# Longer than a loaded machine keeps a live daemon from its socket; shorter than a user's doubt.
PATIENCE_SECONDS = 10.0
# Between two frames of a daemon at work: its own limits on a stalled download are shorter.
IDLE_SECONDS = 300.0
# Commands that never are at work for long: a daemon that hangs must not hang who looks after it.
_SHORT = ("status", "stop")

# One may have been killed; the next one that dies will not live the third time either.
_DEATHS = 1

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05

# What a host that wants credentials makes of a request without them.
_UNAUTHORISED = ("index.unauthorized", "net.status")

_MEANING = {
    "absent": "no daemon listens on %s",
    "silent": "the daemon behind %s does not answer",
    "dropped": "the daemon behind %s ended before it had answered",
}


class Question:
    """A request and what may be done for a reply; `request` is the payload of a RESOLVE, None for a CALL."""

    def __init__(
        self,
        frame: bytes,
        request: "Optional[bytes]",
        on_progress: "Optional[OnProgress]" = None,
        may_start: bool = True,
        patience: "Optional[float]" = None,
    ) -> None:
        self._frame = frame
        self._request = request
        self._on_progress = on_progress
        self._may_start = may_start
        self._give_up = monotonic() + (PATIENCE_SECONDS if patience is None else patience)
        self._answer_by = self._give_up
        self._pause = _FIRST_PAUSE_SECONDS
        self._deaths = 0
        """Daemons that were started and ended without a word."""
        self._told = False

    def ask(self, error: "Optional[Unanswered]" = None, connection: "Optional[Connection]" = None) -> "Reply":
        """Return kind and payload of the reply. Raises Refusal.

        `error` is what became of a first try, `connection` the one that it was made on.
        """
        try:
            while True:
                if error is not None:
                    saved = self._recover(str(error), connection)
                    if saved is not None:
                        return protocol.PATH_SET, saved
                    # A daemon that is only silent has the request.
                    if connection is not None and str(error) != "silent":
                        connection.close()
                        connection = None
                try:
                    if connection is None:
                        connection = self._send()
                    return self.go_on(connection)
                except Unanswered as failure:
                    error = failure
        finally:
            if connection is not None:
                connection.close()

    def go_on(self, connection: Connection, frame: "Optional[Reply]" = None) -> "Reply":
        """Return the reply on a connection that has the request; `frame` is what it has sent already.

        Raises Refusal, or Unanswered where it may be asked again.
        """
        while True:
            try:
                kind, payload = frame or connection.receive(self._answer_by)
            except Unanswered as error:
                if self._request is None:
                    # Sent, and perhaps done: asked again it might be done twice.
                    raise _unreachable(str(error), connection) from None
                raise
            frame = None
            if kind == protocol.ERROR:
                refusal = _refusal(payload)
                if refusal.code == "daemon.leaving" or (
                    self._request is not None and (refusal.code == "daemon.stopping" or self._tell(refusal))
                ):
                    raise Unanswered("dropped")
                raise refusal
            if kind != protocol.PROGRESS:
                return kind, payload
            now = monotonic()
            self._answer_by, self._give_up = now + IDLE_SECONDS, now + PATIENCE_SECONDS
            if self._on_progress is not None:
                self._on_progress(protocol.decode_strings(payload))

    def _tell(self, refusal: Refusal) -> bool:
        """Give the daemon the credentials in the environment, once; tell whether to ask again."""
        variables = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("UV_INDEX_") and name.endswith(("_USERNAME", "_PASSWORD"))
        }
        if self._told or refusal.code not in _UNAUTHORISED or not variables:
            return False
        self._told = True
        try:
            changed: bool = call("credentials", {"variables": variables}, None, False)["changed"]
        except (Refusal, KeyError, TypeError):
            return False  # an older daemon
        return changed

    def _send(self) -> Connection:
        now = monotonic()
        connection = Connection(now + HELLO_SECONDS)
        try:
            connection.send(self._frame, self._give_up)
        except BaseException:
            connection.close()
            raise
        if self._request is not None:
            self._answer_by = now + HELLO_SECONDS
        return connection

    def _recover(self, reason: str, connection: "Optional[Connection]") -> "Optional[bytes]":
        """Do what helps against a missing reply; return the saved one if that is to be used."""
        saved = None
        if self._request is not None and reason != "dropped":
            saved = replies.saved_reply(locations.store_directory(os.environ), self._request)
        if saved is None and monotonic() >= self._give_up:
            raise _unreachable(reason, connection)
        if reason == "absent":
            self._start(wait=saved is None)
        if saved is None:
            self._answer_by = self._give_up
            sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return saved

    def _start(self, wait: bool) -> None:
        if not self._may_start:
            raise Refusal("daemon.unreachable", "no daemon is running")
        try:
            told = launch.start_daemon(os.environ, wait, self._python())
        except launch.NotStartedError as error:
            # With the saved reply at hand a daemon is only wanted for the next start.
            if wait:
                raise Refusal("daemon.unreachable", error.message, error.hint) from None
            return
        self._deaths += not told
        if self._deaths > _DEATHS:
            raise Refusal(
                "daemon.unreachable",
                "the daemon was started %d times and ended each time without a word" % self._deaths,
                "see " + locations.log_file(os.environ),
            )

    def _python(self) -> str:
        return protocol.decode_fields(self._request).get("python", "") if self._request else ""


def call(
    command: str, arguments: "Mapping[str, object]", on_progress: "Optional[OnProgress]", start: bool
) -> "Any":
    """Return the outcome of a command; see `connection.call`."""
    payload = protocol.encode_fields({"command": command, "arguments": json.dumps(arguments)})
    patience = PATIENCE_SECONDS if command in _SHORT else IDLE_SECONDS
    question = Question(protocol.encode_frame(protocol.CALL, payload), None, on_progress, start, patience)
    kind, payload = question.ask()
    try:
        if kind == protocol.RESULT:
            return json.loads(protocol.decode_strings(payload)[0])
    except (ValueError, IndexError, protocol.ProtocolError):
        pass
    raise Refusal("proto.malformed", "the daemon's reply makes no sense")


def cannot_connect(error: OSError) -> Refusal:
    """Return the refusal for a socket that is there and cannot be connected to."""
    path = locations.socket_path(os.environ)
    return Refusal("daemon.unreachable", "cannot connect to %s: %s" % (path, error.strerror or error))


def _unreachable(reason: str, connection: "Optional[Connection]" = None) -> Refusal:
    message = _MEANING[reason] % locations.socket_path(os.environ)
    hint = "see " + locations.log_file(os.environ)
    pid = connection.peer_pid() if connection is not None and reason == "silent" else 0
    if pid and _is_daemon(pid):
        message += " (process %d)" % pid
        hint = "kill %d, and run the command again; %s" % (pid, hint)
    return Refusal("daemon.unreachable", message, hint)


def _is_daemon(pid: int) -> bool:
    """Tell whether a process is a daemon: the peer of a service manager's socket is the manager."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return launch.PROGRAM.encode() in file.read(4096)
    except OSError:
        return False


def _refusal(payload: bytes) -> Refusal:
    try:
        strings = [string.decode("utf-8", "surrogateescape") for string in protocol.decode_strings(payload)]
        code, message, hint = strings[:3]
    except (ValueError, protocol.ProtocolError):
        return Refusal("proto.malformed", "the daemon refused, and its reason makes no sense")
    return Refusal(code, message, hint)
