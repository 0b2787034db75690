"""Reads packs: the modules and the bytecode of one entry, for one interpreter, in one file of the store.

    0    8   magic and format: "VSPACK2\\n"
    8    4   the interpreter's magic number for bytecode
    12   4   flags: 0
    16   8   size of the whole file        } little-endian
    24   8   where the index starts        }
    32   8   checksum of the index
    40       marshalled code objects and tables; 32 bytes that are the daemon's; then the index, to the end

    index: marshal of (suffixes of the interpreter, table of site-packages)
    table: marshal of ({module name: place}, {name of a directory in it: table or (offset, size, checksum)})
    place: (form, offset, size, checksum)

A small table lies in that of the directory above, a large one elsewhere in the file: catalogues of thousands
of modules are opened to load five. `form` is what follows the name in the path: ".py", "/__init__.py",
another suffix, or nothing for a portion of a namespace. Size 0: no code here.

1. A pack is a cache. Whatever is wrong with it, it is as if there were none: the source is there.
2. marshal trusts its input. So the file must be this user's, closed to others, whole, and every part must
   have its checksum, before anything is decoded.
3. No descriptor is kept: programs close all that they do not know, and the number leads to another file then.
"""

import _imp
import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, Dict, List, Optional, Tuple, Union

    Place = Tuple[str, int, int, bytes]
    Node = Tuple[Dict[str, Place], Dict[str, Union[bytes, Tuple[int, int, bytes]]]]

__all__ = ["Pack", "open_pack", "tag"]

MAGIC = b"VSPACK2\n"
HEADER_BYTES = 40
CHECKSUM_KEY = 1

# Pieces up to this size, which most are, are read into memory that is used again: to have the system map
# fresh memory for each takes longer than the reading.
_BUFFER_BYTES = 128 << 10
_buffers: "List[memoryview]" = []
_preadv = getattr(os, "preadv", None)

_PACK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def tag(cache_tag: str, suffix: str) -> str:
    """Return the directory of an interpreter's packs; `suffix` is the first of its module suffixes.

    That of extension modules tells more than the cache tag: builds with and without the GIL share that one.
    """
    return suffix[1:-3] if suffix.endswith(".so") else cache_tag


def open_pack(path: str, suffixes: "List[str]") -> "Optional[Pack]":
    """Return the pack at `path`; None if there is none for an interpreter with these module suffixes."""
    if sys.flags.optimize:
        return None  # its code has the assertions and docstrings that -O leaves out
    try:
        return Pack(path, suffixes)
    except Exception:
        return None


class Pack:
    """One pack that was found good. Reading a part of it opens the file again."""

    __slots__ = ("_identity", "_nodes", "_path")

    def __init__(self, path: str, suffixes: "List[str]") -> None:
        self._path = path
        descriptor = os.open(path, _PACK_FLAGS)
        try:
            found = os.fstat(descriptor)
            # 0o100000: a regular file. `stat` is not imported for one number.
            if found.st_uid != os.geteuid() or found.st_mode & 0o170022 != 0o100000:
                raise PermissionError("a pack that others can write")
            self._identity = _identity(found)
            head = os.pread(descriptor, HEADER_BYTES, 0)
            size, start = int.from_bytes(head[16:24], "little"), int.from_bytes(head[24:32], "little")
            if head[:8] != MAGIC or head[8:12] != MAGIC_NUMBER or any(head[12:16]) or start < HEADER_BYTES:
                raise ValueError("another format, or of another interpreter")
            if size != found.st_size:
                raise ValueError("not whole")
            index = _checked(os.pread(descriptor, size - start, start), size - start, head[32:40])
        finally:
            os.close(descriptor)
        known, root = marshal.loads(index)
        if list(known) != suffixes:
            raise ValueError("of an interpreter that looks for other files")
        self._nodes: "Dict[str, Optional[Node]]" = {"": marshal.loads(root)}

    def table(self, directory: str) -> "Optional[Dict[str, Place]]":
        """Return module name -> place for a directory of the entry; None if it has no such directory.

        Raises nothing: a table that can no longer be had is as if there were none.
        """
        node = self._node(directory)
        return None if node is None else node[0]

    def code(self, place: "Place") -> "Optional[CodeType]":
        """Return the code at a place; None if it can no longer be had."""
        try:
            code: "CodeType" = self._load(place[1], place[2], place[3])
            return code
        except Exception:
            return None

    def _node(self, directory: str) -> "Optional[Node]":
        if directory not in self._nodes:
            above, _, name = directory.rpartition("/")
            parent = self._node(above)
            node = None
            found = None if parent is None else parent[1].get(name)
            if found is not None:
                try:
                    node = marshal.loads(found) if isinstance(found, bytes) else self._load(*found)
                except Exception:
                    pass
            self._nodes[directory] = node
        return self._nodes[directory]

    def _load(self, offset: int, size: int, checksum: bytes) -> "Any":
        """Return what is marshalled in a part of the file; ValueError, OSError."""
        try:
            buffer = _buffers.pop()
        except IndexError:  # the first time, or another thread has it
            buffer = memoryview(bytearray(_BUFFER_BYTES))
        try:
            return marshal.loads(_checked(self._read(offset, size, buffer), size, checksum))
        finally:
            _buffers.append(buffer)

    def _read(self, offset: int, size: int, buffer: memoryview) -> "Union[bytes, memoryview]":
        descriptor = os.open(self._path, _PACK_FLAGS)
        try:
            if _identity(os.fstat(descriptor)) != self._identity:
                raise FileNotFoundError("another pack has taken its place")
            if _preadv is None or size > _BUFFER_BYTES:
                return os.pread(descriptor, size, offset)
            piece = buffer[:size]
            return piece[: _preadv(descriptor, (piece,), offset)]
        finally:
            os.close(descriptor)


def _identity(found: os.stat_result) -> "Tuple[int, ...]":
    """Return what no other file has, and no change of owner or mode leaves as it was."""
    return found.st_dev, found.st_ino, found.st_size, found.st_uid, found.st_mode


def _checked(data: "Any", size: int, checksum: bytes) -> "Any":
    if len(data) != size or _imp.source_hash(CHECKSUM_KEY, data) != checksum:
        raise ValueError("damaged")
    return data
