"""Pickles in CIFAR's archives: arrays are read, and nothing is executed."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from keras_classics.data.formats.cifar import CIFAR10_FORMATS
from keras_classics.data.formats.pickles import array_of, read_pickle
from keras_classics.data.formats.small_images import read_format
from keras_classics.errors import UserError
from tests.helpers import small_image_files as written

PARTS = {
    part: written.images_and_labels(count, 32, 10) for part, count in (("train", 10), ("test", 7))
}
LABELS = PARTS["test"]["label"].tolist()
FILES = written.cifar10_python(PARTS)
BATCH = "cifar-10-batches-py/test_batch"
TEST_BATCH = FILES[BATCH]


@pytest.mark.parametrize("protocol", range(1, 6))
def test_what_python_3_writes(protocol):
    array = np.arange(12, dtype="uint8").reshape(3, 4)
    content = {
        "data": array,
        "columns": np.asfortranarray(array),
        "large": array.astype(">i4"),
        "numbers": [np.int64(3), np.uint8(4)],
        "labels": [1, -2, 2**40],
        "text": ["a", "é", b"\xff", None, True, 0.5, (1, "b"), []],
    }
    found = read_pickle(pickle.dumps(content, protocol))
    assert found.keys() == content.keys()
    for name in ("data", "columns", "large", "numbers", "labels"):
        np.testing.assert_array_equal(array_of(found[name]), content[name])
    assert found["text"] == content["text"]


class Code:
    def __reduce__(self):
        return os.system, ("touch /tmp/code-in-a-pickle",)


def pickled_data(data: object, labels: object = 0) -> bytes:
    return written.python3_pickle({"data": data, "labels": labels})


# A pickle that overwrites a function that it got, and one that asks for 32 GB.
POISON = b"\x80\x02}(U\x04datac_codecs\nencode\n}(U\x0c__defaults__K\x01u\x86bU\x06labelsK\x01u."
LARGE_MEMO = b"\x80\x02K\x01r\xff\xff\xff\x7f."
LONG_STRING = b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc."
# A key of 200,000 tuples, each in the next, and lists likewise.
DEEP_KEY = b"\x80\x02}(K\x01" + b"\x85" * 200_000 + b"K\x01u."
DEEP_NAME = b"\x80\x04K\x01" + b"\x85" * 200_000 + b"\x8c\x01a\x93."
DEEP_LIST = b"\x80\x02}(U\x04data" + b"]" * 200_000 + b"a" * 199_999 + b"u."
DEEP_CALLS = b"\x80\x02K\x01q\0" + b"cnumpy\nndarray\nh\0\x85q\0R0" * 200_000 + b"}(h\0K\x01u."

BAD_BATCHES = {
    "code": (written.python3_pickle(Code()), "contains posix.system, which is not executed"),
    "code in a list": (pickled_data([Code()]), "contains posix.system, which is not executed"),
    "eval": (b"cbuiltins\neval\n(V1+1\ntR.", "contains builtins.eval, which is not executed"),
    "an object array": (pickled_data(np.array([None])), "must be a pickle of CIFAR"),
    "floats": (pickled_data(np.zeros((7, 3072))), "must be of whole numbers. Received: float64"),
    "a shape": (pickled_data(np.zeros((7, 3071), "u1")), "uint8 of shape (count, 3,072)"),
    "no labels": (pickled_data(np.zeros((7, 3072), "u1"), None), "must hold 'labels', a whole"),
    "few labels": (pickled_data(np.zeros((7, 3072), "u1"), [1]), "for each of its 7 images"),
    "text": (pickled_data(np.zeros((2, 3072), "u1"), ["a", "b"]), "must hold 'labels', a whole"),
    "a list": (written.python3_pickle([1]), "must be of a dictionary. Received: list"),
    "cut": (TEST_BATCH[:-100], "not an intact pickle"),
    "cut to nothing": (TEST_BATCH[:1], "not an intact pickle"),
    "no pickle": (b"\x89HDF\r\n", "not an intact pickle"),
    "a poisoned function": (POISON, "not an intact pickle"),
    "a large memo": (LARGE_MEMO, "must be of a dictionary. Received: int"),
    "a long string": (LONG_STRING, "not an intact pickle"),
    "a deep key": (DEEP_KEY, "its keys must be strings"),
    "a deep name": (DEEP_NAME, "a name is no string"),
    "a deep list": (DEEP_LIST, "must hold 'data'"),
    "deep calls": (DEEP_CALLS, "the operation POP"),
    "a persistent object": (b"\x80\x02Pname\n.", "the operation PERSID"),
    "a class's attribute": (b"\x80\x04\x8c\x05numpy\x8c\x09dtype.mro\x93.", "contains numpy.dtype"),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
def test_pickles_that_are_refused(case, tmp_path):
    content, message = BAD_BATCHES[case]
    path = tmp_path / "archive.tar"
    path.write_bytes(written.tar(FILES | {BATCH: content}))
    with pytest.raises(UserError) as failure:
        read_format(path, CIFAR10_FORMATS)
    assert message in str(failure.value)
    assert f"{path}, {BATCH}" in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1
    assert not Path("/tmp/code-in-a-pickle").exists()
    # Later pickles are read as before.
    assert read_pickle(TEST_BATCH)[b"labels"] == LABELS
