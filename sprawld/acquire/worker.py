"""The unpacking worker: `python -I -m sprawld.acquire.worker`, one job per line in, one result per line out.

It ends when its standard input does, so it never outlives the daemon by more than the job in hand. Nothing it
unpacks is ever executed or imported.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback

from sprawld.errors import RequestError, SprawlError
from sprawld.store import failpoints

from . import sharing
from .job import UnpackJob, failure_line, success_line
from .unpack import unpack_wheel

__all__ = ["main"]

UMASK = 0o022
"""Files and directories of an entry carry the modes of the manifest, whatever the daemon's umask is."""


def main() -> None:
    """Serve jobs until the end of standard input."""
    os.umask(UMASK)
    if sys.argv[1:]:
        failpoints.enable(sys.argv[1])
    # A job makes ten thousands of tuples and no cycles worth looking for; counting does the rest.
    gc.disable()
    # Results have a descriptor of their own: whatever a library may print goes to the log.
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with results:
        for line in sys.stdin.buffer:
            try:
                results.write(_answer(line))
            except BrokenPipeError:
                return


def _answer(line: bytes) -> bytes:
    try:
        job = UnpackJob.from_line(line)
        summary = unpack_wheel(
            job.wheel,
            job.destination,
            filename=job.filename,
            digest=job.digest,
            boot_id=job.boot_id,
            allow_bad_record=job.allow_bad_record,
            share_from=sharing.cost_to_share() if job.alone else None,
        )
    except SprawlError as error:
        return failure_line(error)
    except Exception as error:
        # A bug; the worker lives on, and the daemon tells the client.
        traceback.print_exc()
        return failure_line(RequestError("daemon.internal", f"unpacking failed: {type(error).__name__}"))
    return success_line(summary)


if __name__ == "__main__":
    main()
