"""torch's own files, in both of its formats: what loads, and what is refused by name."""

import argparse
import dataclasses
import json
import pathlib
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights import load_weights
from keras_classics.weights.assign import extract
from keras_classics.weights.download import MIRROR
from keras_classics.weights.formats import torchvision
from keras_classics.weights.formats.torch_files import is_torch_file
from tests.helpers import forked, old_torch_files
from tests.helpers.checkpoint_forms import FORMS, TRUNKS, lightning, prefixed
from tests.helpers.golden import fill
from tests.helpers.weight_files import assert_refused

pytestmark = pytest.mark.torch

NARROW = {"input_shape": (32, 32, 3), "classes": 3, "filters": (2, 2, 3, 3, 3), "hidden": (4, 5)}
WEIGHT = "features.3.weight"


@pytest.fixture(scope="module")
def torch() -> Any:
    torch = pytest.importorskip("torch")
    # A forked process would wait for the threads that it does not have.
    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="module")
def source() -> keras.Model:
    source = kc.vgg11(**NARROW)
    fill(source)
    return source


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return kc.vgg11(**NARROW)


@pytest.fixture(params=["zip", "legacy"])
def save(request, torch, source, tmp_path) -> Callable:
    """Saves the source with one tensor changed; returns the path."""

    def save(change: Callable[[Any, Any], Any], content: Callable = dict) -> Path:
        tensors = {k: torch.from_numpy(a) for k, a in extract(torchvision.slots(source)).items()}
        tensors[WEIGHT] = change(torch, tensors[WEIGHT])
        path = tmp_path / "a.pth"
        is_zip = request.param == "zip"
        torch.save(content(tensors), path, _use_new_zipfile_serialization=is_zip)
        return path

    return save


@pytest.mark.parametrize(
    "change",
    [
        lambda torch, tensor: tensor.requires_grad_(),
        lambda torch, tensor: torch.nn.Parameter(tensor),
        lambda torch, tensor: tensor.conj(),
        lambda torch, tensor: torch.imag(torch.complex(tensor, -tensor).conj()),
        lambda torch, tensor: tensor.double(),
        lambda torch, tensor: torch.stack([tensor, -tensor], 1)[:, 0],
        lambda torch, tensor: tensor.to(memory_format=torch.channels_last),
    ],
    ids=["gradient", "parameter", "conjugate", "negative", "double", "strided", "channels last"],
)
def test_what_has_the_same_values_loads(model, source, save, change):
    path = save(change)
    load_weights(model, path)
    for found, value in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(found, value)


def test_half_precision_loads(model, source, save):
    load_weights(model, save(lambda torch, tensor: tensor.bfloat16()))
    np.testing.assert_allclose(model.get_weights()[2], source.get_weights()[2], rtol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda torch, tensor: tensor.to("meta"), "has no values"),
        (lambda torch, tensor: tensor.to_sparse(), "must be dense"),
        (lambda torch, tensor: tensor.reshape(3, -1).to_sparse_csr(), "must be dense"),
        (lambda torch, tensor: torch.complex(tensor, tensor).conj(), "of type complex64, not fl"),
        (lambda torch, tensor: tensor.int(), "of type int32, not floating-point"),
        (lambda torch, t: torch.quantize_per_tensor(t, 0.1, 0, torch.quint8), "of type quint8"),
        (lambda torch, tensor: tensor * np.nan, "must be finite"),
        (lambda torch, tensor: tensor.double() + 1e300, "must be finite"),
        (lambda torch, tensor: torch.zeros(1).expand(4 * 10**8), "has the shape"),
        (lambda torch, tensor: 5, "must be a tensor. Received: int"),
    ],
)
def test_what_is_refused_by_name(model, save, change, message):
    assert_refused(model, save(change), f"'{WEIGHT}' .*{message}")


def test_kinds_that_only_the_zip_format_has(torch, model, source, tmp_path):
    tensors = {k: torch.from_numpy(a) for k, a in extract(torchvision.slots(source)).items()}
    path = tmp_path / "a.pth"
    one = tensors[WEIGHT]
    for tensor, message in (
        (torch.nested.nested_tensor([one[0], one[1]]), "must be dense"),
        (one.to(torch.float8_e4m3fn), "is of type float8_e4m3fn, not float16, bfloat16"),
    ):
        torch.save({**tensors, WEIGHT: tensor}, path)
        assert_refused(model, path, f"'{WEIGHT}' {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda tensors: list(tensors.values()), "not a state_dict"),
        (lambda tensors: {"epoch": 5}, "not a state_dict"),
        (lambda tensors: {**tensors, 5: tensors[WEIGHT]}, "no tensor '5'"),
        (lambda tensors: {**tensors, "a\nb": tensors[WEIGHT]}, r"no tensor 'a\\nb'"),
        (lambda tensors: {**tensors, "x": ["a"] * 10**6}, "list of tensors must have at most"),
    ],
)
def test_what_is_no_mapping_to_tensors(model, save, content, message):
    assert_refused(model, save(lambda torch, tensor: tensor, content), message)


def test_a_stride_of_zero_takes_no_memory(model, save):
    def large(torch, tensor):
        return torch.zeros(1, dtype=torch.bfloat16).expand(5 * 10**8)

    path = save(large)

    def load():
        assert_refused(model, path, "has the shape")
        yield None

    outcome = forked.run(load)
    assert not outcome.ended
    assert outcome.yielded[0][1] < 100_000_000


def test_checksums_of_the_members(torch, model, source, tmp_path):
    path = tmp_path / "a.pth"
    torchvision.write(source, path)
    content = bytearray(path.read_bytes())
    value = extract(torchvision.slots(source))[WEIGHT].tobytes()
    content[content.index(value) + 10] ^= 1
    path.write_bytes(content)
    assert_refused(model, path, "Bad CRC-32 for file '.*/data/")


def test_a_file_that_was_saved_without_checksums(torch, model, source, tmp_path):
    path = tmp_path / "a.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torchvision.write(source, path)
    finally:
        torch.serialization.set_crc32_options(True)
    load_weights(model, path)


def test_a_member_that_unpacks_to_too_much(torch, model, source, tmp_path):
    whole, path = tmp_path / "whole.pth", tmp_path / "a.pth"
    torchvision.write(source, whole)
    with (
        zipfile.ZipFile(whole) as archive,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in archive.namelist():
            packed.writestr(name, archive.read(name) + bytes(10**8 if "/data/1" in name else 0))
    assert_refused(model, path, "must unpack to at most")


def test_values_that_are_missing_in_the_first_format(torch, model, source, tmp_path):
    path = tmp_path / "a.pth"
    tensors = {k: torch.from_numpy(a) for k, a in extract(torchvision.slots(source)).items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    load_weights(model, shutil.copy(path, tmp_path / "b.pth"))
    path.write_bytes(path.read_bytes()[:-8])
    assert_refused(model, path, "not an intact torch file")
    path.write_bytes(path.read_bytes() + bytes(16))
    assert_refused(model, path, "not an intact torch file")


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    resnet = kc.resnet20(shortcut="B")
    fill(resnet)
    return resnet


@pytest.fixture(scope="module")
def other() -> keras.Model:
    return kc.resnet20(shortcut="B")


@pytest.fixture(scope="module")
def state(torch, resnet) -> dict[str, Any]:
    tensors = {k: torch.from_numpy(a) for k, a in extract(torchvision.slots(resnet)).items()}
    return {**tensors, "bn1.num_batches_tracked": torch.tensor(7)}


def assert_equal(model: keras.Model, source: keras.Model) -> None:
    for found, value in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("form", FORMS)
def test_checkpoints_of_programs(torch, form, resnet, other, state, tmp_path):
    copies = {name: -tensor for name, tensor in state.items()}
    for is_zip, name in ((True, "a.pth.tar"), (False, "A.CKPT")):
        path = tmp_path / name
        torch.save(FORMS[form](state, copies), path, _use_new_zipfile_serialization=is_zip)
        for variable in other.weights:
            variable.assign(0 * variable)
        load_weights(other, path)
        assert_equal(other, resnet)


@pytest.mark.parametrize("form", TRUNKS)
def test_published_trunks(torch, form, resnet, state, tmp_path):
    headless = kc.resnet20(shortcut="B", include_top=False)
    copies = {name: -tensor for name, tensor in state.items()}
    path = tmp_path / "a.pth"
    torch.save(TRUNKS[form](state, copies), path)
    load_weights(headless, path)
    for found, value in zip(headless.get_weights(), resnet.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(found, value)


def old_checkpoint(state: dict[str, Any]) -> dict[str, Any]:
    """What Places365's program saves. Torch 0.2 counted no batches."""
    arrays = {n: np.array(t) for n, t in state.items() if not n.endswith("num_batches_tracked")}
    tensors = OrderedDict(prefixed(arrays, "module."))
    return {"epoch": 90, "state_dict": tensors, "best_prec1": 54.7, "arch": "resnet20"}


def test_a_file_of_torch_0_2_and_python_2(torch, resnet, other, state, tmp_path):
    path = tmp_path / "a.pth.tar"
    old_torch_files.save(torch, old_checkpoint(state), path)
    load_weights(other, path)
    assert_equal(other, resnet)


@pytest.fixture
def records(torch, tmp_path, monkeypatch) -> Callable:
    """Puts the file of a known network in Keras's cache; returns its path."""

    def put(name: str, save: Callable[[Path], Any]) -> Path:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        path = tmp_path / "models" / kc.find_weights(name).file.name
        path.parent.mkdir(exist_ok=True)
        save(path)
        return path

    monkeypatch.setenv(MIRROR, "http://127.0.0.1:9")
    return put


def test_known_files_without_a_hash(torch, records):
    small = {"input_shape": (32, 32, 3)}
    source = kc.resnet18(classes=365, **small)
    fill(source)
    state = extract(torchvision.slots(source))
    content = old_checkpoint(state)
    path = records("resnet18/places365", lambda p: old_torch_files.save(torch, content, p))
    assert_equal(kc.resnet18(weights="places365", **small), source)
    # A file that is not whole is downloaded again, here in vain.
    whole = path.read_bytes()
    for damaged in (whole[:-8], whole[:1000], b"<html>no</html>", whole + bytes(8)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="resnet18_places365.pth.tar cannot be downloaded"):
            kc.resnet18(weights="places365", **small)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_file_with_objects_may_be_whole(torch, is_zip, tmp_path):
    """What to do about its objects is told when it is loaded."""
    path = tmp_path / "a.pth"
    content = {"a": torch.ones(9), "args": argparse.Namespace()}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    assert is_torch_file(path)
    path.write_bytes(path.read_bytes()[:-300])
    assert not is_torch_file(path)


def test_shards_of_torch(torch, resnet, other, state, tmp_path):
    names = list(state)
    shards = {f"pytorch_model-{i}.bin": names[i::3] for i in range(3)}
    for shard, part in shards.items():
        torch.save({name: state[name] for name in part}, tmp_path / shard)
    places = {name: shard for shard, part in shards.items() for name in part}
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    load_weights(other, index)
    assert_equal(other, resnet)


@dataclasses.dataclass
class Settings:
    """A class of a program, of which a checkpoint has an object."""

    rate: float = 0.1


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda torch, state: {"state_dict": state, "args": argparse.Namespace(lr=0.1)},
            r"add_safe_globals\(\[argparse.Namespace\]\), or save only its state_dict\(\)",
        ),
        (
            lambda torch, state: {"state_dict": state, "best": np.float64(71.5)},
            r"objects of numpy.*add_safe_globals\(\[numpy",
        ),
        (
            lambda torch, state: lightning(state, "model.") | {"dir": pathlib.PurePosixPath("a")},
            r"add_safe_globals\(\[pathlib.PurePosixPath\]\)",
        ),
        (
            lambda torch, state: {"state_dict": state, "settings": Settings()},
            r"objects besides tensors.*Settings\). Save only the state_dict\(\)",
        ),
        (
            lambda torch, state: torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)),
            r"a whole model .*Sequential.* save its weights: torch.save\(.*\.state_dict\(\)",
        ),
        (
            lambda torch, state: {"model": torch.nn.Linear(2, 3), "epoch": 5},
            r"a whole model .*Linear",
        ),
        (lambda torch, state: {"epoch": 5}, "it is not a state_dict"),
        (lambda torch, state: 5, "it is not a state_dict.* Received: int"),
    ],
    ids=["Namespace", "scalar", "path", "class", "model", "model inside", "no tensor", "number"],
)
def test_checkpoints_that_are_refused(torch, make, message, is_zip, other, state, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(make(torch, state), path, _use_new_zipfile_serialization=is_zip)
    assert_refused(other, path, message)


def test_what_the_user_allowed_loads(torch, resnet, other, state, tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=0.1)}, path)
    with torch.serialization.safe_globals([argparse.Namespace]):
        load_weights(other, path)
    assert_equal(other, resnet)


def test_torchscript(torch, other, tmp_path):
    path = tmp_path / "a.pt"
    torch.jit.trace(torch.nn.Linear(2, 3), torch.zeros(1, 2)).save(path)
    assert_refused(other, path, r"a TorchScript archive.*torch.jit.load\(FILE\).state_dict\(\)")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_checkpoint_in_another_type(torch, dtype, resnet, other, state, tmp_path):
    path = tmp_path / "a.pth"
    named = {f"module.{n}": t.to(getattr(torch, dtype)) for n, t in state.items()}
    torch.save({"model": named}, path)
    load_weights(other, path)
    for found, value in zip(other.get_weights(), resnet.get_weights(), strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-2, atol=1e-6)


def test_tensors_that_share_their_values(torch, resnet, other, state, tmp_path):
    whole = torch.cat([tensor.reshape(-1).float() for tensor in state.values()])
    parts = whole.split([tensor.numel() for tensor in state.values()])
    views = {n: part.reshape(state[n].shape) for n, part in zip(state, parts, strict=True)}
    path = tmp_path / "a.pth"
    torch.save({"model": views, "ema_model": views, "all": whole}, path)
    load_weights(other, path)
    assert_equal(other, resnet)
