"""Passwords from the user's keyring, by its command: `keyring get SERVICE USER`.

1. It is asked only where the user's settings say so, and only for the index URLs of these settings: nothing
   that a project chose is ever an argument of a command, or learns whether there is a password.
2. The service is the index URL, then its host, as uv and pip have it. The user name has to be in the URL.
3. One question at a time, and the answer is kept for a while: a keyring may ask its owner to unlock it, and
   its owner may put a password into it, or another one.

The command runs in `/`, without input, and is found on absolute directories of PATH only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .urls import redact, without_credentials

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

__all__ = ["Keyring"]

_log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 60.0
"""Long enough for somebody to type the password of the keyring itself."""
KEPT_SECONDS: Final = 600.0
KEPT_WITHOUT_SECONDS: Final = 60.0
"""How long it is believed that there is a password, and that there is none."""
_LONGEST_BYTES: Final = 64 << 10


class Keyring:
    """Asks the command `keyring`, and remembers what it said."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: dict[tuple[str, str], tuple[str | None, float]] = {}
        """(index, user) -> password, and until when it is believed on the event loop's clock."""
        self._one_at_a_time = asyncio.Lock()

    async def password(self, index: str, user: str) -> str | None:
        """Return the password of `user` for an index of the user's settings; None where there is none."""
        async with self._one_at_a_time:
            key = (without_credentials(index), user)
            clock = asyncio.get_running_loop().time
            password, until = self._known.get(key, (None, 0.0))
            if until <= clock():
                password = await self._look_up(*key)
                kept = KEPT_SECONDS if password else KEPT_WITHOUT_SECONDS
                self._known[key] = password, clock() + kept
            return password

    async def _look_up(self, index: str, user: str) -> str | None:
        program = self._program()
        if program is None or not user or user.startswith("-"):
            return None
        for service in (index, urlsplit(index).netloc):
            password = await self._ask(program, service, user)
            if password:
                return password
        _log.info("keyring has no password for %s", redact(index))
        return None

    def _program(self) -> str | None:
        directories = self._environ.get("PATH", os.defpath).split(os.pathsep)
        program = shutil.which("keyring", path=os.pathsep.join(filter(os.path.isabs, directories)))
        if program is None:
            _log.warning("the settings ask for passwords from keyring, and there is no such command")
        return program

    async def _ask(self, program: str, service: str, user: str) -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                program, "get", service, user, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, cwd="/"
            )
        except OSError as error:
            _log.warning("keyring cannot be run: %s", error.strerror)
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await _answer(process)
        except (TimeoutError, ValueError):
            _log.warning("keyring gave no answer for %s", redact(service))
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return answer.rstrip("\r\n") or None


async def _answer(process: Process) -> str:
    assert process.stdout is not None
    content = await process.stdout.read(_LONGEST_BYTES)
    while more := await process.stdout.read(_LONGEST_BYTES - len(content) + 1):
        content += more
        if len(content) > _LONGEST_BYTES:
            raise ValueError("not a password")
    return content.decode() if await process.wait() == 0 else ""
