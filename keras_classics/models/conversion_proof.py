"""Proof of a conversion: the library that a file belongs to computes the same outputs.

The other library reads the file itself, or the tensors as they are in it, and builds its own
network. Both networks get the same generated image. What is not installed is not compared, and the
proof says so.
"""

import importlib.metadata
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError, one_line, require, short_reason
from keras_classics.models.registry import find_model
from keras_classics.weights.formats import checkpoints, contents, hdf5, torchvision
from keras_classics.weights.formats.onnx_files import read_graph
from keras_classics.weights.location import locate

# Largest difference between outputs, as a fraction of the largest output.
TOLERANCE = 1e-4

# Sides of the image for networks that take any.
SIDE = 224

# What computes the outputs of another library from an image as Keras has it, and the network here
# whose outputs they must equal.
Sides = tuple[Callable[[np.ndarray], np.ndarray], keras.Model]


@dataclass(frozen=True)
class Comparison:
    """The outputs of a file in its own library beside those of the network here.

    Attributes:
        library: The library and its version, or its name if nothing was compared.
        difference: Largest difference, as a fraction of the largest output; None if nothing was
            compared.
        reason: Why nothing was compared, or "".
    """

    library: str
    difference: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.difference is None:
            return f"not compared with {self.library}: {self.reason}"
        return f"outputs equal those of {self.library} within {self.difference:.1e} of their scale"


class _NotComparedError(Exception):
    """A library is missing or has no such network; its message is the reason."""


def compare(network: keras.Model, model: str, file: str | os.PathLike) -> Comparison | None:
    """Compares a network's outputs with those of the library that a file belongs to.

    Args:
        network: The network with the file's weights.
        model: Its name.
        file: The file, with a part after a `#` or without.

    Returns:
        The comparison; None if the file is this package's own.

    Raises:
        UserError: The outputs differ by more than the `TOLERANCE`.
    """
    path, part = locate(file) or (Path(file), "")
    kind = contents.kind_of(path)
    if kind in (contents.TORCH, contents.SAFETENSORS, contents.INDEX):
        library, package, theirs = "torchvision", "torchvision", _torchvision
    elif kind == contents.ONNX:
        library, package, theirs = "ONNX Runtime", "onnxruntime", _onnxruntime
    elif kind == contents.HDF5 and not hdf5.written_here(path) and not part and _known(model):
        library, package, theirs = "keras.applications", "keras", _keras_applications
    elif kind == contents.CAFFE:
        return Comparison("Caffe", reason="Caffe is missing")
    else:
        return None
    image = _image(network)
    try:
        outputs, ours = theirs(network, model, path, part)
        expected = outputs(image)
    except _NotComparedError as error:
        return Comparison(library, reason=str(error))
    found = keras.ops.convert_to_numpy(ours(image, training=False))
    if found.shape != expected.shape:
        return Comparison(library, reason=f"its outputs have the shape {expected.shape}")
    named = f"{library} {importlib.metadata.version(package)}"
    difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
    if not difference <= TOLERANCE:
        raise UserError(
            f"The outputs for {file} must equal those of {named} within {TOLERANCE:g} of their "
            f"scale. Received: a difference of {difference:.2g}, so {model} computes something "
            "else there. Give the version, or the file, that belongs to it."
        )
    return Comparison(named, difference)


def _image(network: keras.Model) -> np.ndarray:
    sides = [side or SIDE for side in network.input_shape[1:3]]
    shape = (1, *sides, network.input_shape[3])
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _scores(network: keras.Model) -> keras.Model:
    """Returns the network up to the scores before softmax, or without a top the network."""
    if not _classifier(network):
        return network
    return keras.Model(network.input, network.get_layer("predictions").output)


def _classifier(network: keras.Model) -> Any:
    return next((layer for layer in network.layers if layer.name == "predictions"), None)


def _module(name: str, extra: str, package: str = "") -> Any:
    try:
        return require(name, extra)
    except UserError as error:
        raise _NotComparedError(f"{package or name} is missing") from error
    except Exception as error:  # Compiled for another version of torch, for example.
        reason = f"{package or name} cannot be imported ({short_reason(error)})"
        raise _NotComparedError(one_line(reason)) from error


def _torchvision(network: keras.Model, model: str, path: Path, part: str) -> Sides:
    """Returns torchvision's network with the tensors of a file of torch."""
    torch = _module("torch", "torch")
    models = _module("torchvision.models", "torch", "torchvision")
    name = find_model(model).torchvision.split(",")[0]
    if not name or network.input_shape[3] != 3:
        raise _NotComparedError(f"torchvision has no {network.name} for such images")
    scores = _classifier(network)
    # Initial weights are not needed, and those of a VGG take seconds.
    bare = {"init_weights": False} if name.startswith("vgg") else {}
    classes = scores.units if scores else 1
    theirs = getattr(models, name)(weights=None, num_classes=classes, **bare)
    with checkpoints.opened(path, network, part) as content:
        wanted = torchvision.slots(network).keys() & content.tensors.keys()
        state = {n: torch.from_numpy(content.tensors[n].read().copy()).float() for n in wanted}
    left_out = () if scores else ("fc.", "classifier.")
    names = {name for name in theirs.state_dict() if not name.endswith("num_batches_tracked")}
    names = {name for name in names if not name.startswith(left_out)}
    if differing := sorted(names ^ state.keys()):
        raise _NotComparedError(f"only one of the two has a tensor {differing[0]!r}")
    try:
        theirs.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise _NotComparedError("torchvision's network has layers of other shapes") from error
    theirs.eval()
    if not scores:
        theirs = _trunk(torch, theirs)

    def outputs(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found = theirs(torch.from_numpy(image.transpose(0, 3, 1, 2))).numpy()
        if scores:
            return found
        if len(network.output_shape) == 4:
            return found.transpose(0, 2, 3, 1)
        largest = isinstance(network.layers[-1], keras.layers.GlobalMaxPooling2D)
        return found.max((2, 3)) if largest else found.mean((2, 3))

    return outputs, _scores(network)


def _trunk(torch: Any, network: Any) -> Any:
    """Returns torchvision's network without its top."""
    if hasattr(network, "features"):
        return network.features
    return torch.nn.Sequential(*list(network.children())[:-2])


def _onnxruntime(network: keras.Model, model: str, path: Path, part: str) -> Sides:
    """Returns the graph of an ONNX file in ONNX Runtime."""
    runtime = _module("onnxruntime", "export")
    try:
        session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _NotComparedError(f"it does not load there ({short_reason(error)})") from error
    (given, *others), outputs = session.get_inputs(), session.get_outputs()
    if others or given.type != "tensor(float)" or len(given.shape) != 4:
        raise _NotComparedError("its graph does not take one image of float32")
    channels_first = given.shape[1] == network.input_shape[3]
    ours = network if _answers_probabilities(path, outputs[0].name) else _scores(network)

    def answers(image: np.ndarray) -> np.ndarray:
        image = image.transpose(0, 3, 1, 2) if channels_first else image
        try:
            (found,) = session.run([outputs[0].name], {given.name: image})
        except Exception as error:  # Its graph may be of one size of images.
            raise _NotComparedError(f"it does not run there ({short_reason(error)})") from error
        maps = channels_first and found.ndim == 4
        return found.transpose(0, 2, 3, 1) if maps else found

    return answers, ours


def _answers_probabilities(path: Path, output: str) -> bool:
    nodes = {name: node for node in read_graph(path).nodes for name in node.outputs}
    while output in nodes and nodes[output].operator in ("Identity", "Cast"):
        output = nodes[output].inputs[0]
    return output in nodes and nodes[output].operator == "Softmax"


def _known(model: str) -> str:
    """Returns what keras.applications calls a network, or ""."""
    return find_model(model).keras_applications


def _keras_applications(network: keras.Model, model: str, path: Path, part: str) -> Sides:
    """Returns the network of keras.applications with the weights of its own file."""
    version = any(layer.name == "post_bn" for layer in network.layers)
    name = re.split(r"\W", _known(model))[0] + ("V2" if version else "")
    if not hasattr(keras.applications, name):
        raise _NotComparedError(f"it has no {name}")
    scores = _classifier(network)
    top = {"classes": scores.units, "classifier_activation": None} if scores else {}
    theirs = getattr(keras.applications, name)(
        weights=None, include_top=bool(scores), input_shape=network.input_shape[1:], **top
    )
    try:
        theirs.load_weights(path)
    except Exception as error:  # Whatever Keras raises for another network's file.
        raise _NotComparedError(f"it does not load there ({short_reason(error)})") from error
    answers = lambda image: keras.ops.convert_to_numpy(theirs(image, training=False))  # noqa: E731
    return answers, _scores(network)
