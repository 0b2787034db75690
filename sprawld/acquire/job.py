"""The words between the daemon and an unpacking worker: a job, and its result, one line of JSON each.

A job is answered by one result, in order. Both sides are of one release, so there is no version in it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Final

from sprawld.errors import SprawlError, StoreError, error_from_code
from sprawld.store.manifest import ManifestSummary

__all__ = ["MAX_LINE_BYTES", "UnpackJob", "failure_line", "read_result", "success_line"]

MAX_LINE_BYTES: Final = 32 << 20
"""A result holds a manifest's summary, whose largest part is the list of top-level names."""

_PATHS: Final = ("wheel", "destination")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackJob:
    """One wheel to unpack; the arguments of `unpack_wheel`."""

    wheel: str
    """Absolute path of a file whose bytes were checked against `digest`."""
    destination: str
    """Absolute path of an empty staging directory."""
    filename: str
    """The wheel's own name, which is not that of the staged file."""
    digest: str
    boot_id: str
    size: int
    """Bytes of the wheel: the order of waiting jobs."""
    allow_bad_record: bool = False
    alone: bool = False
    """No other wheel is under way: if this one is large, a helper may have the second processor."""

    def to_line(self) -> bytes:
        """Return the line that is written to a worker, which reads paths as UTF-8 whatever the locale is."""
        words = {name: getattr(self, name) for name in self.__slots__}
        for name in _PATHS:
            words[name] = os.fsencode(words[name]).decode("utf-8", "surrogateescape")
        return json.dumps(words).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> UnpackJob:
        """Read what `to_line` wrote."""
        return cls(**json.loads(line))


def success_line(summary: ManifestSummary) -> bytes:
    """Return the result of a job that went well."""
    return b'{"ok":' + summary.to_json().encode() + b"}\n"


def failure_line(error: SprawlError) -> bytes:
    """Return the result of a job that was refused."""
    result = {"code": error.code, "message": error.message, "hint": error.hint}
    return json.dumps(result).encode() + b"\n"


def read_result(line: bytes) -> ManifestSummary | SprawlError:
    """Return the summary or the error of a result; ValueError for a line that is neither."""
    if not line.endswith(b"\n"):
        raise ValueError("the line is not whole")
    result = json.loads(line)
    try:
        if "ok" in result:
            return ManifestSummary.from_values(result["ok"], "the worker's answer")
        return error_from_code(result["code"], result["message"], result["hint"])
    except (KeyError, TypeError, StoreError) as error:
        raise ValueError("the line is no result") from error
