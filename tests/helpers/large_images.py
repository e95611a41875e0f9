"""Image files of few bytes and many pixels."""

import struct
import zlib

from tests.helpers.image_files import PHOTO, encoded


def large(kind: str, height: int, width: int) -> bytes:
    """Returns a JPEG, PNG, GIF or BMP file; only PNG holds all pixels that its header names."""
    if kind == "PNG":
        return large_png(height, width)
    content = encoded(PHOTO, kind)
    sides = {"JPEG": ">HH", "GIF": "<HH", "BMP": "<ii"}[kind]
    # BMP and GIF name the width first. A GIF has the size of its canvas too, which no decoder uses.
    order = (lambda pair: pair) if kind == "JPEG" else (lambda pair: pair[::-1])
    place = content.rfind(struct.pack(sides, *order((90, 120))), 0, 1000)
    named = struct.pack(sides, *order((height, width)))
    return content[:place] + named + content[place + len(named) :]


def large_png(height: int, width: int) -> bytes:
    """Returns a PNG of one colour, of one bit a pixel."""
    row = bytes(1 + -(-width // 8))
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum
