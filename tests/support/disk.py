"""An ext4 file system in a file, that can lose power: what was not written to it by then is lost."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

__all__ = ["Disk", "NoDisk"]

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
WITHOUT_LOG_FLUSH = 2
IMAGE_BYTES = 48 << 20


class NoDisk(Exception):  # noqa: N818 - no error
    """This machine or user cannot mount an image; the text says what is missing."""


class Disk:
    """The file system, mounted at `path` between `mount` and `unmount`."""

    def __init__(self, directory: Path, size: int = IMAGE_BYTES) -> None:
        if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
            raise NoDisk("needs root and mkfs.ext4")
        self.image = directory / "image"
        self.path = directory / "disk"
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(size)
        self.format()

    def format(self) -> None:
        """Make the file system anew."""
        command = ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,nodiscard", str(self.image)]
        subprocess.run(command, check=True, capture_output=True)

    def mount(self) -> None:
        """Mount it; NoDisk where that is not possible."""
        command = ["mount", "-o", "loop", str(self.image), str(self.path)]
        outcome = subprocess.run(command, capture_output=True, text=True)
        if outcome.returncode:
            raise NoDisk(f"cannot mount an image: {outcome.stderr.strip()[:100]}")

    def unmount(self) -> None:
        """Unmount it, in order."""
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True)

    def renew(self) -> None:
        """Begin with an empty file system, mounted."""
        self.unmount()
        self.format()
        self.mount()

    def cut_power(self) -> None:
        """Stop the file system without writing its log, and mount what is left."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(descriptor)
        self.unmount()
        self.mount()
