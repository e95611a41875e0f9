"""Outputs of other libraries' networks with weights that a generator makes from tensors' names.

`tests/golden/parity.json` holds, for each network of torchvision, timm and keras.applications that
has weights here, and for some of pytorchcv, a few of its outputs on one image. The tests give the
networks here the tensors of the same names and compare. So no other library is needed to run them;
only to make the file:

    pip install torch torchvision timm pytorchcv
    python -m tests.helpers.parity

That also compares all outputs, not only the stored ones, and prints how far apart they are. Where
torchvision's compiled operators do not fit the torch that is there, its networks, which do not use
them, are imported all the same.
"""

import json
import sys
import zlib
from math import prod
from pathlib import Path

import keras
import numpy as np

import keras_classics as kc
from keras_classics.weights.assign import assign, named_slots, values_for
from keras_classics.weights.formats import keras_applications, state_dicts, timm, torchvision
from keras_classics.weights.formats.state_dicts import Entry
from keras_classics.weights.stored import Tensors, in_memory
from reproduce.benchmark.baselines import import_torchvision
from tests.helpers import pytorchcv_names
from tests.helpers.stored_outputs import TOLERANCE, stored

PATH = Path(__file__).parents[1] / "golden" / "parity.json"

# Dense layers after the map fix the size; the others get sides that are odd and unequal.
FIXED, FREE, SMALL = (224, 224, 3), (97, 129, 3), (32, 32, 3)

VGG = ("vgg11", "vgg13", "vgg16", "vgg19")
RESNET = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
KERAS = {
    "VGG16": ("vgg16", {}),
    "VGG19": ("vgg19", {}),
    "ResNet50": ("resnet50", {}),
    "ResNet101": ("resnet101", {}),
    "ResNet152": ("resnet152", {}),
    "ResNet50V2": ("resnet50", {"version": "v2_keras"}),
    "ResNet101V2": ("resnet101", {"version": "v2_keras"}),
    "ResNet152V2": ("resnet152", {"version": "v2_keras"}),
}
TORCHVISION = {
    "alexnet": "alexnet_owt",
    **{name: name for vgg in VGG for name in (vgg, f"{vgg}_bn")},
    **{name: name for name in RESNET},
}
TIMM = {"vgg11.tv_in1k": "vgg11", "vgg16.tv_in1k": "vgg16", "resnet18.tv_in1k": "resnet18"}
PYTORCHCV = {
    "alexnetb": ("alexnet_owt", {}),
    "bn_vgg11b": ("vgg11_bn", {}),
    "resnet18": ("resnet18", {}),
    "resnet50": ("resnet50", {"version": "v1"}),
    "resnet50b": ("resnet50", {"version": "v1.5"}),
    "resnet20_cifar10": ("resnet20", {"shortcut": "B"}),
}

CASES = [
    *(f"torchvision/{name}" for name in TORCHVISION),
    *(f"timm/{name}" for name in TIMM),
    *(f"pytorchcv/{name}" for name in PYTORCHCV),
    *(f"keras/{name}{top}" for name in KERAS for top in ("", "/notop")),
]


def generated(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values for a tensor, drawn from its name; the deviations keep outputs at a moderate scale."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.replace("/", ".").split(".")[-1]
    if len(shape) > 1:
        # Of all other axes together, in either layout, the units' is the first or the last one.
        units = shape[-1] if kind == "kernel" else shape[0]
        return _uniform(random, shape, (6 / (prod(shape) / units)) ** 0.5)
    if kind in ("weight", "gamma"):
        return 0.65 + _uniform(random, shape, 0.15)
    if kind in ("running_var", "moving_variance"):
        return 1.0 + _uniform(random, shape, 0.2)
    return _uniform(random, shape, 0.2)


def _uniform(random: np.random.Generator, shape: tuple[int, ...], bound: float) -> np.ndarray:
    values = random.random(shape, dtype="float32")
    values *= 2 * bound
    values -= bound
    return values


def image(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, (1, *shape)).astype("float32")


def ours(case: str) -> np.ndarray:
    """Outputs of a network here, with the tensors of a case; scores, or features without top."""
    library, name, *without_top = case.split("/")
    if library in ("keras", "pytorchcv"):
        entry, arguments = (KERAS if library == "keras" else PYTORCHCV)[name]
    else:
        entry = (TIMM if library == "timm" else TORCHVISION)[name]
        arguments = torchvision.builder_arguments(entry)
    shape = FREE if entry.startswith("resnet") or without_top else FIXED
    if library == "pytorchcv":
        shape = SMALL if name.endswith("cifar10") else FIXED  # Its last pooling has a fixed size.
    if without_top:
        arguments = {**arguments, "include_top": False, "pooling": "avg"}
    # Zeros, because they are replaced and random numbers take their time.
    model = kc.get_model(
        entry,
        input_shape=shape,
        classifier_activation=None,
        kernel_initializer="zeros",
        **arguments,
    )
    if library == "keras":
        slots = named_slots(model)
        tensors = keras_applications.folded(_keras_tensors(model, name), model)
    else:
        slots = torchvision.slots(model)
        shapes = {n: slot.shape for n, slot in slots.items()}
        if library == "timm":
            tensors = timm.as_torchvision(_timm_tensors(shapes))
        elif library == "pytorchcv":
            tensors = _pytorchcv_tensors(shapes, small=shape == SMALL)
        else:
            tensors = in_memory({n: generated(n, shape) for n, shape in shapes.items()})
    assign(values_for(tensors, slots), slots)
    return keras.ops.convert_to_numpy(model(image(shape), training=False))[0]


def _keras_tensors(model: keras.Model, name: str) -> Tensors:
    tensors = {n: generated(n, slot.shape) for n, slot in named_slots(model).items()}
    if name in ("ResNet50", "ResNet101", "ResNet152"):
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                bias = f"{layer.name}/bias"
                tensors[bias] = generated(bias, (layer.filters,))
    return in_memory(tensors)


def _timm_tensors(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """Tensors as timm names and shapes them, for torchvision's names and shapes."""
    back = {there: here for here, there in timm.MODULES.items()}
    tensors = {}
    for name, shape in shapes.items():
        module, _, variable = name.rpartition(".")
        if module == "classifier.0" and variable == "weight":
            shape = (shape[0], shape[1] // 49, 7, 7)
        if module == "classifier.3" and variable == "weight":
            shape = (*shape, 1, 1)
        there = f"{back.get(module, module)}.{variable}"
        tensors[there] = generated(there, shape)
    return in_memory(tensors)


def _pytorchcv_tensors(shapes: dict[str, tuple[int, ...]], small: bool) -> Tensors:
    """Tensors as pytorchcv names them, found under these names."""
    there = pytorchcv_names.named(shapes, small)
    own = {name: generated(name, shape) for name, shape in there.items()}
    entries = {name: Entry(a.shape, "", lambda: None) for name, a in own.items()}
    found = state_dicts.select(entries, shapes)
    return in_memory({name: own[was] for name, was in found.names.items()})


def theirs(case: str) -> np.ndarray:
    """Outputs of another library's network with generated weights."""
    library, name, *without_top = case.split("/")
    if library == "keras":
        shape = FREE if name.startswith("ResNet") or without_top else FIXED
        top = {"include_top": False, "pooling": "avg"} if without_top else {}
        network = getattr(keras.applications, name)(
            weights=None, classifier_activation=None, input_shape=shape, **top
        )
        for layer in network.layers:
            for variable in layer.weights:
                values = generated(f"{layer.name}/{variable.name}", tuple(variable.shape))
                variable.assign(values)
        return keras.ops.convert_to_numpy(network(image(shape), training=False))[0]

    import torch

    models = import_torchvision()
    if library == "timm":
        import timm as real_timm

        network = real_timm.create_model(name, pretrained=False).eval()
    elif library == "pytorchcv":
        from pytorchcv.model_provider import get_model

        network = get_model(name).eval()
    else:
        network = getattr(models, name)(weights=None).eval()
    shape = FREE if name.startswith("resnet") and library != "pytorchcv" else FIXED
    shape = SMALL if name.endswith("cifar10") else shape
    state = network.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(generated(name, tuple(tensor.shape))))
    with torch.no_grad():
        images = np.ascontiguousarray(image(shape).transpose(0, 3, 1, 2))
        return network(torch.from_numpy(images)).numpy()[0]


def main() -> None:
    """Runs all networks of all libraries, compares, and writes the file."""
    goldens = {}
    for case in sys.argv[1:] or CASES:
        real, here = theirs(case), ours(case)
        distance = np.abs(real - here).max() / np.abs(real).max()
        print(f"{case:<28} {distance:.1e} of {np.abs(real).max():.3g}")
        assert distance <= TOLERANCE, case
        assert real.argmax() == here.argmax(), case
        goldens[case] = stored(real)
        keras.backend.clear_session()
    if not sys.argv[1:]:
        lines = ",\n".join(f"  {json.dumps(c)}: {json.dumps(g)}" for c, g in goldens.items())
        PATH.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
