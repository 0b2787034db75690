"""Writes one file so that it appears whole: for what is put where other programs read it.

The name beside it that holds the content meanwhile has the process's number, so that two commands at once
do not write into one file.
"""

import os

__all__ = ["write_file"]


def write_file(path: str, content: bytes) -> None:
    """Let a file appear with its whole content, readable by everybody whatever the umask is; OSError."""
    staged = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(staged, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(staged, 0o644)
        os.replace(staged, path)
    except BaseException:
        if os.path.lexists(staged):
            os.unlink(staged)
        raise
