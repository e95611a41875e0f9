"""Mutations of files of Caffe: right in protobuf's wire format, with contents that are wrong."""

from collections.abc import Callable, Iterator

import numpy as np

from tests.fuzz.mutations import BYTES, Mutation
from tests.helpers.caffe_files import blob_of, field_of, varint

# A field of a message: its number, and its value as it is encoded, with the tag before it.
Field = tuple[int, bytes]


def fields(content: bytes) -> Iterator[Field]:
    """Splits a message that is right."""
    position = 0
    while position < len(content):
        start = position
        key, position = _varint(content, position)
        if key & 7 == 2:
            length, position = _varint(content, position)
            position += length
        elif key & 7 == 0:
            _, position = _varint(content, position)
        else:
            position += 4 if key & 7 == 5 else 8
        yield key >> 3, content[start:position]


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (content[position] & 127) << shift
        position, shift = position + 1, shift + 7
        if content[position - 1] < 128:
            return value, position


def inner(field: bytes) -> bytes:
    """The message that is the value of an encoded field."""
    _, position = _varint(field, 0)
    _, position = _varint(field, position)
    return field[position:]


Change = Callable[[list[Field], np.random.Generator], bytes]


def in_layer(change: Change) -> Mutation:
    """A mutation of the fields of one layer with weights."""

    def mutate(content: bytes, draw: np.random.Generator) -> bytes:
        layers = list(fields(content))
        weighted = [
            i
            for i, (number, field) in enumerate(layers)
            if number == 100 and any(n == 7 for n, _ in fields(inner(field)))
        ]
        chosen = weighted[draw.integers(len(weighted))]
        changed = change(list(fields(inner(layers[chosen][1]))), draw)
        layers[chosen] = (100, field_of(100, changed))
        return b"".join(field for _, field in layers)

    return mutate


def in_blob(change: Change) -> Mutation:
    """A mutation of the fields of one blob of a layer."""

    def mutate(layer: list[Field], draw: np.random.Generator) -> bytes:
        blobs = [i for i, (number, _) in enumerate(layer) if number == 7]
        chosen = blobs[draw.integers(len(blobs))]
        changed = change(list(fields(inner(layer[chosen][1]))), draw)
        layer[chosen] = (7, field_of(7, changed))
        return joined(layer)

    return in_layer(mutate)


def joined(message: list[Field]) -> bytes:
    return b"".join(field for _, field in message)


def replaced(number: int, *values: bytes) -> Change:
    """Puts other fields in the place of those of a number."""
    return lambda message, draw: joined([f for f in message if f[0] != number]) + b"".join(values)


def _values(change: Callable[[np.ndarray, np.random.Generator], None]) -> Change:
    def mutate(blob: list[Field], draw: np.random.Generator) -> bytes:
        values = np.frombuffer(inner(dict(blob)[5]), "<f4").copy()
        change(values, draw)
        return replaced(5, field_of(5, values.tobytes()))(blob, draw)

    return mutate


def _one(value: float) -> Mutation:
    def change(values: np.ndarray, draw: np.random.Generator) -> None:
        values[draw.integers(len(values))] = value

    return in_blob(_values(change))


def _unpacked(blob: list[Field], draw: np.random.Generator) -> bytes:
    values = np.frombuffer(inner(dict(blob)[5]), "<f4")
    # The last shape counts.
    return blob_of(values, form="unpacked") + dict(blob)[7]


def _dims(*dims: int) -> Change:
    return replaced(7, field_of(7, field_of(1, b"".join(map(varint, dims)))))


def _repeated(message: list[Field], draw: np.random.Generator) -> bytes:
    return joined(message) + message[draw.integers(len(message))][1]


def _shuffled(message: list[Field], draw: np.random.Generator) -> bytes:
    return joined([message[i] for i in draw.permutation(len(message))])


CAFFE = {
    "NaN": _one(np.nan),
    "infinite": _one(-np.inf),
    "largest": _one(3.4e38),
    "zeros": in_blob(_values(lambda values, draw: values.fill(0))),
    "no values": in_blob(replaced(5)),
    "values twice": in_blob(lambda b, draw: joined(b) + dict(b)[5]),
    "doubles": in_blob(lambda b, draw: joined(b) + field_of(8, bytes(8))),
    "a part of a value": in_blob(replaced(5, field_of(5, bytes(7)))),
    "values of another kind": in_blob(replaced(5, field_of(5, 7))),
    "values of 64 bits": in_blob(replaced(5, varint(5 << 3 | 1) + bytes(8))),
    "each with its tag": in_blob(_unpacked),
    "a tag alone": in_blob(lambda b, draw: joined(b) + b"\x2d"),
    "no shape": in_blob(replaced(7)),
    "no axes": in_blob(_dims()),
    "a huge shape": in_blob(_dims(1 << 40, 1 << 40)),
    "a zero": in_blob(_dims(0, 1 << 62)),
    "many axes": in_blob(_dims(*[1] * 100)),
    "a flat shape": in_blob(_dims(4)),
    "a shape that is a number": in_blob(replaced(7, field_of(7, 3))),
    "a shape of floats": in_blob(replaced(7, field_of(7, field_of(1, 2.0)))),
    "no name": in_layer(replaced(1)),
    "another name": in_layer(replaced(1, field_of(1, "a\nb"))),
    "no text": in_layer(replaced(1, field_of(1, b"\xff\xfe"))),
    "a long name": in_layer(replaced(1, field_of(1, "x" * 10**6))),
    "no type": in_layer(replaced(2)),
    "another type": in_layer(replaced(2, field_of(2, "Deconvolution"))),
    "a type that is a number": in_layer(replaced(2, field_of(2, 4))),
    "no bottom": in_layer(replaced(3)),
    "no top": in_layer(replaced(4)),
    "no blobs": in_layer(replaced(7)),
    "a field twice": in_layer(_repeated),
    "fields in another order": in_layer(_shuffled),
    "settings that are a number": in_layer(lambda x, draw: joined(x) + field_of(106, 4)),
    "settings of floats": in_layer(
        lambda x, draw: joined(x) + field_of(106, field_of(6, float("nan")))
    ),
    "two strides": in_layer(
        lambda x, draw: joined(x) + field_of(106, field_of(6, varint(1) + varint(2)))
    ),
    "a group": in_layer(lambda x, draw: joined(x) + varint(3 << 3 | 3)),
    "many fields": lambda content, draw: content + field_of(3, "x") * 600_000,
    **{
        f"{name} in a layer": in_layer(lambda x, d, m=m: m(joined(x), d))
        for name, m in BYTES.items()
    },
}
