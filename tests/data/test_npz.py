"""Images and labels in .npz files, and what is wrong with them."""

import io
import zipfile

import numpy as np
import pytest

from keras_classics.data import Split, importers, load, load_test
from keras_classics.data.formats import npz
from keras_classics.errors import UserError

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x_train": RANDOM.integers(0, 256, (20, 28, 28), "uint8"),
    "y_train": np.arange(20) % 10,
    "x_test": RANDOM.integers(0, 256, (6, 28, 28), "uint8"),
    "y_test": np.arange(6, dtype="uint8"),
}
NAMES = {"class_names": np.array(list("abcdefghij"))}
COLOUR = {"x_train": ARRAYS["x_train"].repeat(3).reshape(20, 28, 28, 3)}


def written(arrays: dict, save=np.savez_compressed) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@pytest.fixture
def load_arrays(tmp_path):
    def loaded(**changes):
        arrays = {name: a for name, a in (ARRAYS | changes).items() if a is not None}
        return load_bytes(tmp_path, written(arrays))

    return loaded


def load_bytes(folder, content: bytes):
    path = folder / "images.npz"
    path.write_bytes(content)
    return load(f"npz:{path}")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_as_keras_stores_them(save, tmp_path):
    data = load_bytes(tmp_path, written(ARRAYS, save))
    assert data.class_names == tuple("0123456789")
    for part, split in (("train", data.train), ("test", data.test)):
        assert isinstance(split, Split)
        assert split.labels.dtype == np.int32
        np.testing.assert_array_equal(split.images[..., 0], ARRAYS[f"x_{part}"])
        np.testing.assert_array_equal(split.labels, ARRAYS[f"y_{part}"])


def test_other_shapes_and_names(load_arrays):
    data = load_arrays(
        x_train=np.asfortranarray(COLOUR["x_train"]),
        y_train=ARRAYS["y_train"][:, np.newaxis].astype(">i2"),
        x_test=ARRAYS["x_test"][..., np.newaxis],
        **NAMES,
    )
    assert data.class_names == tuple("abcdefghij")
    np.testing.assert_array_equal(data.train.images, COLOUR["x_train"])
    np.testing.assert_array_equal(data.train.labels, ARRAYS["y_train"])
    assert data.test.images.shape == (6, 28, 28, 1)
    assert load_arrays(class_names=np.array(list("abcdefghij"), "S")).class_names[1] == "b"


def test_the_test_split_alone(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(written(ARRAYS))
    split, names = load_test(f"npz:{path}")
    assert (len(split), len(names)) == (6, 10)
    path.write_bytes(written({name: a for name, a in ARRAYS.items() if "test" in name}))
    split, names = load_test(f"npz:{path}")
    assert (len(split), len(names)) == (6, 6)
    with pytest.raises(UserError, match="it has no x_train. Its arrays: x_test, y_test"):
        load(f"npz:{path}")


REFUSED = {
    "only train": ({"x_test": None, "y_test": None}, "it has no x_test. Its arrays: x_train"),
    "floats": ({"x_train": ARRAYS["x_train"] / 255}, r"float64. Values from 0 to 1 become it by"),
    "wide": ({"x_train": ARRAYS["x_train"].astype("int32")}, "store it by x.astype"),
    "bits": ({"x_train": ARRAYS["x_train"] > 9}, "Multiply it by 255"),
    "objects": ({"x_train": np.array([None, 1])}, "objects of Python, which are not read"),
    "object labels": ({"y_train": np.array([1, "a"], object)}, "objects of Python"),
    "flat": ({"x_train": ARRAYS["x_train"].reshape(20, -1)}, r"Received: \(20, 784\)"),
    "channels first": (
        {"x_train": COLOUR["x_train"].transpose(0, 3, 1, 2)},
        r"with 1 or 3 channels at its end. Received: \(20, 3, 28, 28\)",
    ),
    "four channels": ({"x_train": np.zeros((20, 9, 9, 4), "u1")}, "with 1 or 3 channels"),
    "one-hot": ({"y_train": np.eye(10, dtype="int64")[ARRAYS["y_train"]]}, "of the shape"),
    "float labels": ({"y_train": ARRAYS["y_train"] / 1}, "must be whole numbers"),
    "few labels": ({"y_train": np.arange(19)}, "x_train has 20 images, but y_train 19"),
    "negative": ({"y_train": ARRAYS["y_train"] - 1}, "from 0 to 65,535. Received: -1"),
    "huge": ({"y_test": np.full(6, 2**64 - 1, "uint64")}, "Received: 18446744073709551615"),
    "few names": ({"class_names": np.array(["a", "b"])}, "a name for each of 10 classes"),
    "numbers as names": ({"class_names": np.arange(10)}, "must be strings"),
    "no images": ({"x_test": np.zeros((0, 28, 28), "u1"), "y_test": np.zeros(0, int)}, "is empty"),
    "one class": ({"y_train": np.zeros(20, int), "y_test": np.zeros(6, int)}, "two classes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_that_are_refused(case, load_arrays):
    changes, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as failure:
        load_arrays(**changes)
    assert len(str(failure.value).splitlines()) == 1


def test_files_that_are_refused(tmp_path):
    for content in (b"", b"PK", b"<html>", written(ARRAYS)[:-900], np.ones(3).tobytes()):
        with pytest.raises(UserError, match="cannot be read: ") as failure:
            load_bytes(tmp_path, content)
        assert len(str(failure.value).splitlines()) == 1
    with pytest.raises(UserError, match="is not a file"):
        load(f"npz:{tmp_path / 'none.npz'}")
    path = tmp_path / "images.npz"
    with pytest.raises(UserError, match="has no image files to decode crops from"):
        load(f"npz:{path}", encoded=True)
    with pytest.raises(UserError, match="validation_share is for images without parts"):
        load(f"npz:{path}", validation_share=0.5)
    with pytest.raises(UserError, match="Unknown dataset|has no 'npz_exif"):
        load(f"npz_exif:{path}")


def head(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        # Heads that say more than there is, and files that hold more than their heads say.
        ((2**40, 28, 28), 10**6, "says 862,017,116,176,384 bytes of values and has 1,000,000"),
        ((3, 28, 28), 10**7, "says 2,352 bytes of values and has 10,000,000"),
        ((-1, -1, 10**6), 10**6, "cannot be read"),
        ((10**4, 10, 100), 10**7, "must have at most 1,000,000 bytes"),
    ],
)
def test_bombs_take_no_memory(shape, size, message, tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MEMORY_LIMIT", 10**6)
    packed = io.BytesIO(written({n: a for n, a in ARRAYS.items() if n != "x_train"}))
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", head(shape) + bytes(size))
    monkeypatch.setattr(np, "frombuffer", lambda *_: pytest.fail("read"))
    if shape[0] < 0:
        monkeypatch.undo()
    with pytest.raises(UserError, match=message):
        load_bytes(tmp_path, packed.getvalue())


def test_prepare_from_npz(tmp_path):
    path = tmp_path / "mnist.npz"
    path.write_bytes(written(ARRAYS))
    importers.prepare("mnist", path, str(tmp_path / "tfds"))
    split, _ = load_test("mnist", str(tmp_path / "tfds"), encoded=True)
    assert [(split.image(i)[..., 0] == ARRAYS["x_test"][i]).all() for i in range(6)] == [True] * 6


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("cifar10", "must hold images of"),
        ("fashion_mnist", "The classes of fashion_mnist are T-shirt/top"),
        ("cifar100", "must hold images of"),
        ("emnist/letters", "must have 37 different names"),
    ],
)
def test_npz_of_another_set(tmp_path, dataset, message):
    path = tmp_path / "a.npz"
    path.write_bytes(written(ARRAYS | NAMES))
    with pytest.raises(UserError, match=message):
        importers.prepare(dataset, path, str(tmp_path / "tfds"))
    assert not (tmp_path / "tfds").exists()
