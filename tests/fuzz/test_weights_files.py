"""Damaged and hostile files of weights: one line, or all tensors and finite; and little memory."""

import collections
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.export import onnx as export_onnx
from keras_classics.weights import load_weights
from keras_classics.weights.assign import extract
from keras_classics.weights.formats import hdf5, torchvision
from tests.fuzz import caffe_mutations, mutations, weight_mutations
from tests.helpers import caffe_files, forked
from tests.helpers.caffe_files import CASES
from tests.helpers.checkpoint_forms import FORMS as FORMS_OF_PROGRAMS
from tests.helpers.golden import fill
from tests.helpers.weight_files import object_names, write, write_tensorflow

NARROW = {"input_shape": (32, 32, 3), "classes": 3, "filters": (2, 2, 3, 3, 3), "hidden": (4, 5)}
KERAS = {"lenet5": {}, "resnet20": {}, "vgg16_mini": {}}
ONNX = {**KERAS, "lenet5_1998": {}}
TORCH = {"vgg11": NARROW, "vgg13": NARROW, "vgg11_bn": NARROW}

CAFFE = {name: own for name, own, _, _ in (CASES["narrow vgg16"], CASES["narrow vgg11_bn"])}
CAFFE = {name: {**own, "input_shape": (64, 64, 3)} for name, own in CAFFE.items()}

# What loading may take beyond the file and twice the model.
ALLOWANCE = 100_000_000

# Before a file is loaded, all variables have this value, which no file has.
MARK = -7.25

HDF5 = {**mutations.BYTES, **weight_mutations.HDF5}
ZIP = {**mutations.BYTES, **weight_mutations.ZIP}
IN_ARCHIVE = {k: weight_mutations.in_weights(m) for k, m in weight_mutations.HDF5.items()}
SAFETENSORS = {**mutations.BYTES, **weight_mutations.SAFETENSORS}


# By the end of a file's name: the networks, and the mutations.
FORMS = {
    ".weights.h5": (KERAS, HDF5),
    ".h5": (KERAS, HDF5),
    ".keras": (KERAS, ZIP | IN_ARCHIVE),
    ".safetensors": (TORCH, SAFETENSORS),
    ".zip.pth": (TORCH, ZIP),
    ".legacy.pth": (TORCH, mutations.BYTES),
    ".pth.tar": (TORCH, ZIP),
    ".index": (KERAS, mutations.BYTES),
    ".onnx": (ONNX, mutations.BYTES),
    ".caffemodel": (CAFFE, {**mutations.BYTES, **caffe_mutations.CAFFE}),
}


@dataclasses.dataclass
class Target:
    """A network, and a whole file of its weights."""

    model: keras.Model
    content: bytes
    path: Path

    def load(self, content: bytes) -> str | None:
        """Loads a file; returns the line of the refusal, or None. Asserts what always holds."""
        self.path.write_bytes(content)
        for variable in self.model.weights:
            variable.assign(np.full(variable.shape, MARK))
        try:
            load_weights(self.model, self.path)
            refused = None
        except UserError as error:
            refused = str(error)
            assert refused.isprintable(), refused
        for variable in self.model.weights:
            values = variable.numpy()
            if refused is not None:
                assert (values == MARK).all(), f"a part was loaded before: {refused}"
            else:
                assert np.isfinite(values).all(), f"{variable.path} is not finite"
                assert (values != MARK).any(), f"{variable.path} was not loaded"
        return refused


def write_torch(model: keras.Model, path: Path) -> None:
    torch = pytest.importorskip("torch")
    # A forked process would wait for the threads that it does not have.
    torch.set_num_threads(1)
    tensors = {k: torch.from_numpy(a) for k, a in extract(torchvision.slots(model)).items()}
    content = (
        FORMS_OF_PROGRAMS["examples/imagenet"](tensors, {}) if path.suffix == ".tar" else tensors
    )
    torch.save(content, path, _use_new_zipfile_serialization=".legacy" not in path.name)


@functools.cache
def network(name: str) -> keras.Model:
    model = kc.get_model(name, **{**ONNX, **TORCH, **CAFFE}[name])
    fill(model)
    return model


def targets(ending: str, folder: Path) -> Iterator[Target]:
    for name in FORMS[ending][0]:
        model = network(name)
        path = folder / f"{name}{ending}"
        if ".pth" in ending:
            write_torch(model, path)
        elif ending == ".index":
            write_tensorflow(object_names(model), path.with_suffix(""))
        elif ending == ".caffemodel":
            caffe_files.write(path, CASES[f"narrow {name}"][2])
        elif ending == ".onnx":
            export_onnx(model, path)
        elif (name, ending) == ("lenet5", ".weights.h5"):
            hdf5.write(model, path)
        else:
            write(model, path)
        yield Target(model, path.read_bytes(), path)


@pytest.fixture(scope="module", autouse=True)
def secret():
    with weight_mutations.secret(10**6):
        yield


@pytest.mark.parametrize("count", [12, pytest.param(1300, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "ending",
    [pytest.param(e, marks=[pytest.mark.torch] * (".pth" in e)) for e in FORMS],
)
def test_damaged_files(ending, count, tmp_path):
    kinds = FORMS[ending][1]
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for number, target in enumerate(targets(ending, tmp_path)):
        assert target.load(target.content) is None
        size = sum(variable.numpy().nbytes for variable in target.model.weights)
        pending = list(range(number, count, len(FORMS[ending][0])))
        while pending:
            part = pending[:100]

            def work(part=part, target=target) -> Iterator[tuple[str, str, int]]:
                for seed in part:
                    # Kinds come in turn, whatever the number of networks.
                    kind, content = mutations.drawn(kinds, target.content, seed * 7919 % 10**6)
                    yield kind, "", len(content)
                    refused = target.load(content)
                    yield kind, "refused" if refused else "loaded", len(content)

            outcome = forked.run(work)
            where = (
                f"{target.path.name}, seed {part[len(outcome.yielded) // 2]}"
                if outcome.ended
                else ""
            )
            assert not outcome.ended, f"{where}: {outcome.yielded[-1:]} {outcome.ended}"
            for (kind, result, length), growth in outcome.yielded:
                if result:
                    assert growth < length + 2 * size + ALLOWANCE, (target.path.name, kind, growth)
                    counts[kind, result] += 1
            pending = pending[100:]
    assert sum(counts.values()) == count
    print(*(f"{n:>6} {kind}: {result}" for (kind, result), n in sorted(counts.items())), sep="\n")
