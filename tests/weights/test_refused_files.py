"""Files of weights that refer to others, unpack to too much, or hold what is no finite number."""

import os
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights import assign, load_weights
from keras_classics.weights.assign import is_finite, named_slots, values_for
from keras_classics.weights.formats import hdf5
from keras_classics.weights.identify import read_metadata
from keras_classics.weights.stored import in_memory
from tests.fuzz import weight_mutations
from tests.helpers import forked
from tests.helpers.golden import fill
from tests.helpers.weight_files import assert_refused, write

HDF5_FORMS = (".weights.h5", ".h5", ".keras")
FORMS = (*HDF5_FORMS, ".safetensors")
NARROW = {"input_shape": (32, 32, 3), "classes": 3, "filters": (2, 2, 3, 3, 3), "hidden": (4, 5)}
SPARE = 100_000_000


@pytest.fixture(scope="module")
def model() -> keras.Model:
    model = kc.vgg11(**NARROW)
    fill(model)
    return model


@pytest.fixture(scope="module")
def contents(model, tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return {form: write(model, folder / f"a{form}").read_bytes() for form in FORMS}


@pytest.fixture(scope="module", autouse=True)
def secret():
    with weight_mutations.secret(10**4):
        yield


def mutated(contents, form: str, kind: str, path: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    mutation = weight_mutations.HDF5[kind]
    if form == ".keras":
        mutation = weight_mutations.in_weights(mutation)
    path.write_bytes(mutation(contents[form], draw))
    return path


@pytest.mark.parametrize("form", HDF5_FORMS)
@pytest.mark.parametrize(
    "kind", ["external", "virtual", "external link", "soft link", "soft link to a group"]
)
def test_what_leads_out_of_a_file_is_refused_as_by_keras(model, contents, form, kind, tmp_path):
    path = mutated(contents, form, kind, tmp_path / f"a{form}")
    # Keras reads a file of Keras 2 in the order of a model with the same layers.
    with pytest.raises(ValueError, match="Not allowed: H5 file with"):
        kc.vgg11(**NARROW).load_weights(path)
    assert_refused(model, path, "must not (be in another file|be virtual|contain links)")


@pytest.mark.parametrize("form", HDF5_FORMS)
@pytest.mark.parametrize("kind", ["float16", "big-endian"])
def test_what_keras_loads_loads(model, contents, form, kind, tmp_path):
    path = mutated(contents, form, kind, tmp_path / f"a{form}")
    kc.vgg11(**NARROW).load_weights(path)
    load_weights(model, path)


def test_the_lists_of_names_are_read_with_the_same_care(contents, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(contents[".h5"])
    with h5py.File(path, "r+") as file:
        file["model_weights"] = h5py.ExternalLink(weight_mutations.SECRET, "/")
    with pytest.raises(UserError, match="must not contain links"):
        hdf5.layer_names(path)


@pytest.mark.parametrize(
    ("index", "size"),
    [(0, 0), (0, 8), (0, 1 << 40), (1, 1 << 40), (1, (1 << 64) - 16), (1, (1 << 64) - 32)],
)
def test_a_heap_in_which_hdf5_would_not_end(model, contents, index, size, tmp_path):
    path = tmp_path / "a.h5"
    content = bytearray(contents[".h5"])
    start = content.index(b"GCOL") + 16
    (length,) = struct.unpack_from("<Q", content, start + 8)
    assert length < 64
    struct.pack_into("<HxxxxxxQ", content, start, index, size)
    path.write_bytes(content)
    for load in (lambda: load_weights(model, path), lambda: hdf5.layer_names(path)):
        with pytest.raises(UserError, match="a heap of its texts is damaged|truncated|not an int"):
            load()


def test_metadata_is_read_with_the_same_care(tmp_path):
    path = tmp_path / "a.weights.h5"
    hdf5.write(kc.lenet5(), path)
    with h5py.File(path, "r+") as file:
        del file["keras_classics"]
        external = [(weight_mutations.SECRET, 0, 100)]
        file.create_dataset("keras_classics", (100,), "uint8", external=external)
    with pytest.raises(UserError, match="must not be in another file"):
        read_metadata(path)


@pytest.mark.parametrize("form", HDF5_FORMS)
@pytest.mark.parametrize("kind", ["NaN", "infinite", "too large"])
def test_a_tensor_that_is_not_finite_is_named(model, contents, form, kind, tmp_path):
    path = mutated(contents, form, kind, tmp_path / f"a{form}", seed=1)
    assert_refused(model, path, "its tensor '.*' must be finite. Received: values that are NaN")


@pytest.mark.parametrize(
    ("dtype", "value", "policy", "finite"),
    [
        ("float64", 1e300, "float32", False),
        ("float32", 1e5, "float16", False),
        ("float32", 3.4e38, "bfloat16", False),
        ("float32", 6e4, "float16", True),
        ("float64", 3e38, "bfloat16", True),
        ("bfloat16", np.nan, "float32", False),
    ],
)
def test_values_are_checked_in_the_type_of_the_variable(dtype, value, policy, finite):
    layer = keras.layers.Dense(2, name="a", dtype=policy)
    image = keras.Input((3,))
    slots = named_slots(keras.Model(image, layer(image)))
    kernel = np.zeros((3, 2), dtype)
    kernel[2, 1] = value
    tensors = in_memory({"a/kernel": kernel, "a/bias": np.zeros(2, "float32")})
    if finite:
        assert values_for(tensors, slots)["a/kernel"].dtype == policy
        return
    with pytest.raises(UserError, match=f"^its tensor 'a/kernel' must be finite.* for {policy}$"):
        values_for(tensors, slots)


def test_every_value_is_checked(monkeypatch):
    monkeypatch.setattr(assign, "CHUNK", 7)
    array = np.zeros((5, 6), "float32")
    assert is_finite(array)
    assert is_finite(array[:0])
    for index in np.ndindex(array.shape):
        changed = array.copy()
        changed[index] = np.inf
        assert not is_finite(changed)
        assert not is_finite(changed.T)
        assert not is_finite(np.broadcast_to(changed, (2, 5, 6)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_other_floating_point_types(model, contents, form, dtype, tmp_path):
    path = tmp_path / f"a{form}"
    path.write_bytes(contents[form])
    half = {v.path: v.numpy().astype(dtype).astype("float32") for v in model.weights}
    if form == ".safetensors":
        save_file({name: array.astype(dtype) for name, array in load_file(path).items()}, path)
    elif dtype == "bfloat16" and form == ".h5":
        pytest.skip("Keras 1 and 2 had no bfloat16")
    else:
        change = weight_mutations.every(dtype)
        if form == ".keras":
            change = weight_mutations.in_weights(change)
        path.write_bytes(change(contents[form], np.random.default_rng(0)))
    target = kc.vgg11(**NARROW)
    load_weights(target, path)
    for found, expected in zip(target.weights, half.values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_eight_bits_are_too_few(model, contents, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(contents[".safetensors"])
    tensors = load_file(path)
    tensors["features.0.bias"] = tensors["features.0.bias"].astype(ml_dtypes.float8_e4m3fn)
    save_file(tensors, path)
    assert_refused(model, path, r"'features.0.bias' is of type F8_E4M3, not float16, bfloat16, fl")


def growth(model: keras.Model, path: Path) -> int:
    """Returns by how much a refused file lets the memory of a process grow."""

    def load():
        with pytest.raises(UserError):
            load_weights(model, path)
        yield None

    outcome = forked.run(load)
    assert not outcome.ended
    return outcome.yielded[0][1]


@pytest.mark.parametrize("form", HDF5_FORMS)
@pytest.mark.parametrize("kind", ["huge", "large chunks", "unpacks"])
def test_sizes_come_before_values(model, contents, form, kind, tmp_path):
    path = mutated(contents, form, kind, tmp_path / f"a{form}")
    assert growth(model, path) < SPARE
    assert_refused(model, path, "has the shape|is in chunks of|unpacks to more")


def test_a_tensor_that_no_variable_needs_is_not_read(model, contents, tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_bytes(contents[".weights.h5"])
    with h5py.File(path, "r+") as file:
        options = {"chunks": (10**6,), "compression": "gzip", "fillvalue": 1.0}
        file.create_dataset("layers/conv2d_70/vars/0", (10**9,), "float32", **options)
    assert growth(model, path) < SPARE


def test_an_archive_that_unpacks_to_too_much(model, contents, tmp_path):
    path = tmp_path / "a.keras"
    path.write_bytes(weight_mutations.ZIP["inflated"](contents[".keras"], None))
    assert path.stat().st_size < 1_000_000
    assert growth(model, path) < SPARE
    assert_refused(model, path, r"must unpack to at most 5\d,\d{3},\d{3} bytes")


def test_a_configuration_that_is_too_long(model, contents, tmp_path):
    def change(found, draw):
        found["config.json"] = b"[" + b"[]," * (3 * 10**6) + b"[]]"

    path = tmp_path / "a.keras"
    path.write_bytes(weight_mutations.members(change)(contents[".keras"], None))
    assert growth(model, path) < SPARE
    assert_refused(model, path, "its configuration must have at most 6,000,000 bytes")


def test_an_archive_with_too_many_members(model, contents, tmp_path):
    path = tmp_path / "a.keras"
    path.write_bytes(weight_mutations.ZIP["many members"](contents[".keras"], None))
    assert growth(model, path) < SPARE
    assert_refused(model, path, r"a list of members of [4-9],\d{3},\d{3} bytes")


@pytest.mark.parametrize(
    ("compression", "error"),
    [
        (zipfile.ZIP_STORED, zipfile.BadZipFile),
        (zipfile.ZIP_DEFLATED, zlib.error),
        (zipfile.ZIP_BZIP2, OSError),
        (zipfile.ZIP_LZMA, Exception),
    ],
)
def test_whatever_unpacking_raises_is_one_line(model, contents, compression, error, tmp_path):
    path = tmp_path / "a.keras"
    pack = weight_mutations.members(lambda found, draw: None, compression=compression)
    content = bytearray(pack(contents[".keras"], None))
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("model.weights.h5").header_offset + 100
    content[start : start + 50] = bytes(50)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive, pytest.raises(error):
        archive.read("model.weights.h5")
    assert_refused(model, path, r"it is not an intact \.keras archive \(.+\)")


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder,
        lambda folder: folder / "none.weights.h5",
        lambda folder: "a\0b.weights.h5",
        lambda folder: "a\nb.weights.h5",
        lambda folder: "~nobody_has_this_name/a.weights.h5",
        lambda folder: "a" * 5000 + ".weights.h5",
        lambda folder: "\udcff.weights.h5",
        lambda folder: b"a.weights.h5",
        lambda folder: 5,
        lambda folder: os.mkfifo(folder / "fifo.weights.h5") or folder / "fifo.weights.h5",
        lambda folder: os.symlink("l.h5", folder / "l.h5") or folder / "l.h5",
        lambda folder: (folder / "folder.keras").mkdir() or folder / "folder.keras",
    ],
)
def test_a_path_that_is_no_file(model, make, tmp_path):
    weights = make(tmp_path)
    for load in (lambda: load_weights(model, weights), lambda: kc.lenet5(weights=weights)):
        with pytest.raises(UserError, match="must name an existing file|has no weights") as refusal:
            load()
        assert str(refusal.value).isprintable()


def test_the_home_folder_is_expanded(model, contents, tmp_path, monkeypatch):
    (tmp_path / "a.weights.h5").write_bytes(contents[".weights.h5"])
    monkeypatch.setenv("HOME", str(tmp_path))
    load_weights(model, "~/a.weights.h5")


def test_a_line_for_a_name_of_two(model, tmp_path):
    path = tmp_path / "a\nb\x1b.weights.h5"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match=r"a\\nb\\x1b.weights.h5 cannot be loaded") as refusal:
        load_weights(model, path)
    assert str(refusal.value).isprintable()
