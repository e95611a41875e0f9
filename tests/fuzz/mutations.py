"""What disks, networks and editors do to a file: its bytes change, go missing, or are others."""

from collections.abc import Callable, Mapping

import numpy as np

# Bytes at both ends where formats keep what describes the rest; half of all changes are there.
ENDS = 4096

Mutation = Callable[[bytes, np.random.Generator], bytes]


def position(content: bytes, draw: np.random.Generator) -> int:
    """Draws a position in a file, half of them near one of its ends."""
    near = int(draw.integers(min(ENDS, len(content))))
    kind = draw.integers(4)
    if kind == 0:
        return near
    return len(content) - 1 - near if kind == 1 else int(draw.integers(len(content)))


def flip_bit(content: bytes, draw: np.random.Generator) -> bytes:
    changed = bytearray(content)
    changed[position(content, draw)] ^= 1 << int(draw.integers(8))
    return bytes(changed)


def flip_bytes(content: bytes, draw: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(int(draw.integers(1, 9))):
        changed[position(content, draw)] = int(draw.integers(256))
    return bytes(changed)


def truncate(content: bytes, draw: np.random.Generator) -> bytes:
    return content[: position(content, draw)]


def insert(content: bytes, draw: np.random.Generator) -> bytes:
    start = position(content, draw)
    return content[:start] + draw.bytes(int(draw.integers(1, 64))) + content[start:]


def cut_out(content: bytes, draw: np.random.Generator) -> bytes:
    start = position(content, draw)
    return content[:start] + content[start + int(draw.integers(1, 64)) :]


def zero(content: bytes, draw: np.random.Generator) -> bytes:
    start, count = position(content, draw), int(2 ** draw.uniform(0, 13))
    count = min(count, len(content) - start)
    return content[:start] + bytes(count) + content[start + count :]


def repeat(content: bytes, draw: np.random.Generator) -> bytes:
    start = position(content, draw)
    return content[: start + 64] + content[start:]


BYTES: Mapping[str, Mutation] = {
    "flip a bit": flip_bit,
    "flip bytes": flip_bytes,
    "truncate": truncate,
    "insert": insert,
    "cut out": cut_out,
    "zero": zero,
    "repeat": repeat,
    "empty": lambda content, draw: b"",
    "append": lambda content, draw: content + draw.bytes(int(draw.integers(1, 64))),
    "other bytes": lambda content, draw: draw.bytes(int(draw.integers(1, 2048))),
}


def drawn(mutations: Mapping[str, Mutation], content: bytes, seed: int) -> tuple[str, bytes]:
    """Returns the name of a mutation and what it makes of a file; kinds come in turn.

    Args:
        mutations: The mutations by name.
        content: The file; not empty.
        seed: The same seed gives the same bytes.
    """
    name = list(mutations)[seed % len(mutations)]
    return name, mutations[name](content, np.random.default_rng(seed))
