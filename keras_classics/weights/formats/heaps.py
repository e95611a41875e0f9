"""HDF5's heaps of texts, checked before HDF5 reads them.

A text of any length, such as a name that Keras stores, is an object in a heap. HDF5 walks through
the objects by the sizes that stand before them, and does not end where a damaged size is 0.
"""

import functools
import mmap
import os
import struct

from keras_classics.errors import UserError

FILE, HEAP = b"\x89HDF\r\n\x1a\n", b"GCOL\1\0\0\0"

# Bytes of HDF5's addresses and sizes; in the superblock their place depends on its version.
ADDRESS_BYTES = b"\x08\x08"
HEADER = 16


def check_heaps(path: str) -> None:
    """Raises a `UserError` if one of a file's heaps is damaged."""
    status = os.stat(path)
    _check(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _check(path: str, size: int, modified: int) -> None:
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        place = 13 if content[8] < 2 else 9
        if content[: len(FILE)] != FILE or content[place : place + 2] != ADDRESS_BYTES:
            raise UserError("it is not an intact HDF5 file (its superblock is damaged)")
        start = content.find(HEAP)
        while start >= 0:
            _check_heap(content, start)
            start = content.find(HEAP, start + len(HEAP))


def _check_heap(content: mmap.mmap, start: int) -> None:
    (size,) = struct.unpack_from("<Q", content, start + 8)
    position, end = start + HEADER, start + size
    while position + HEADER <= end:
        index, length = struct.unpack_from("<HxxxxxxQ", content, position)
        # The size of free space, which has the index 0, includes its header.
        taken = HEADER + (length + 7) // 8 * 8 if index else length
        if not HEADER <= taken <= end - position:
            raise UserError("it is not an intact HDF5 file (a heap of its texts is damaged)")
        position += taken
