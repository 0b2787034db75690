"""How a file of the store gets to another place: shared with it (reflink, hard link), or copied.

1. A reflink shares the blocks of the disk until one of the two is written to: it is the user's own file, at
   the price of a link. Few file systems have it (btrfs, XFS, bcachefs), and only within themselves.
2. A hard link is the store's file under another name. It is read-only like that, but root's rights write
   through it into the store; so root gets none unless it asks for them.
3. What did not work once between two places is not tried again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from sprawld.errors import StoreError
from sprawld.store import files

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LINK_MODES", "NO_LINK", "LinkMode", "Placer"]

LinkMode = Literal["auto", "reflink", "hardlink", "copy", "own"]
"""`auto`: the first of reflink, hard link (not for root), copy that works. `own`: reflink, else copy: files
that may be written to. The others: that, or a refusal."""

LINK_MODES: Final[tuple[LinkMode, ...]] = ("auto", "reflink", "hardlink", "copy", "own")

NO_LINK: Final = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})

_NO_CLONE: Final = NO_LINK | {errno.EINVAL, errno.ENOTTY, errno.EBADF, errno.EISDIR, errno.ETXTBSY}
_FICLONE: Final = 0x40049409
"""linux/fs.h; shares all blocks of one open file with another."""
_COPY_BYTES: Final = 1 << 20


class Placer:
    """Puts files of the store elsewhere, in one way or the first of several that works."""

    def __init__(self, mode: LinkMode, *, umask: int = 0o022, place: str = "") -> None:
        """`umask` is that of the user who asks; the daemon's own is stricter. `place` is told in refusals."""
        self.counts: Counter[str] = Counter()
        """Way -> files put in that way."""
        self._mode = mode
        self.umask = umask
        self._place = place
        if mode == "auto":
            self._ways = ["reflink", "hardlink", "copy"]
            if os.geteuid() == 0:
                self._ways.remove("hardlink")
        else:
            self._ways = ["reflink", "copy"] if mode == "own" else [mode]

    def put(self, source: str, target: str, mode: int) -> None:
        """Put the file `source` at `target`, where nothing is yet; `mode` as in the manifest.

        FileExistsError when there is something; StoreError `view.link-impossible` when the one way that was
        asked for does not work here; OSError.
        """
        while self._ways:
            way = self._ways[0]
            if way == "hardlink":
                done = _link(source, target)
            else:
                done = self._write(source, target, mode, clone=way == "reflink")
            if done:
                self.counts[way] += 1
                return
            del self._ways[0]
        raise StoreError(
            "view.link-impossible",
            f"no file in {self._place or target} can be a {self._mode} of one in the store: "
            "the file systems do not allow it",
            hint="use --link-mode copy",
        )

    def create(self, target: str, content: Iterable[bytes], mode: int) -> None:
        """Write a file of the environment's own; FileExistsError when there is something."""
        mode &= ~self.umask
        descriptor = os.open(target, files.CREATE, mode)
        with open(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.writelines(content)

    def make_directories(self, path: str) -> None:
        """Make a directory and those above it, with the modes the user would give them."""
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for directory in reversed(missing):
            os.mkdir(directory)
            os.chmod(directory, 0o777 & ~self.umask)

    def _write(self, source: str, target: str, mode: int, *, clone: bool) -> bool:
        mode = (0o777 if mode & 0o111 else 0o666) & ~self.umask
        with open(source, "rb", buffering=0) as original:
            descriptor = os.open(target, files.CREATE, mode)
            with open(descriptor, "wb", buffering=0) as stream:
                os.fchmod(descriptor, mode)
                if not clone:
                    shutil.copyfileobj(original, stream, _COPY_BYTES)
                    return True
                if _clone(original.fileno(), descriptor):
                    return True
        os.unlink(target)
        return False


def _link(source: str, target: str) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        return False
    return True


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
        return False
    return True
