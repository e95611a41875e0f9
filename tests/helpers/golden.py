"""Outputs of the networks with weights that a generator makes from the layers' names.

A stored output (`tests/golden/zoo.json`) pins the whole function of a network: names, order,
padding, normalisation. Run as a program, it prints the outputs of the networks that it is given, so
that another backend of Keras can be asked; it imports no TensorFlow itself.

    KERAS_BACKEND=jax python -m tests.helpers.golden resnet20 alexnet
"""

import json
import sys
import zlib
from math import prod
from pathlib import Path

import keras
import numpy as np

import keras_classics as kc
from keras_classics.models import find_model
from keras_classics.models.builder import scores_and_probabilities

PATH = Path(__file__).parents[1] / "golden" / "zoo.json"


def second_shape(name: str) -> tuple[int, int, int]:
    """A size that is not the network's own, as small as its shape allows to be seen in."""
    entry = find_model(name)
    height, width, channels = entry.input_shape
    side = max(entry.smallest_input, 24)
    return (side, side + 8, channels) if (side, side) != (height, width) else (40, 36, channels)


def assert_near(found: list[float], stored: list[float]) -> None:
    """Holds outputs to stored ones, within float32's rounding along a deep network."""
    np.testing.assert_allclose(found, stored, rtol=0, atol=1e-4 * np.abs(stored).max())


def written(stored: dict[str, list[float]]) -> str:
    """The text of the file of stored outputs, a network a line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(stored[name])}" for name in sorted(stored)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def outputs(model: keras.Model) -> list[float]:
    """The first scores of a network on one image, after giving it weights by name."""
    fill(model)
    image = np.random.default_rng(0).uniform(-128, 128, (1, *model.input_shape[1:]))
    scores, _ = scores_and_probabilities(model).predict(image.astype("float32"), verbose=0)
    return [float(f"{score:.7g}") for score in scores[0, :5]]


def fill(model: keras.Model) -> None:
    """Gives every variable values drawn from the name of its layer and its own."""
    for layer in model.layers:
        for variable in layer.variables:
            if variable.name not in ("codes", "seed_generator_state"):
                variable.assign(_values(f"{layer.name}/{variable.name}", variable.shape))


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    match name.split("/")[-1]:
        case "kernel":
            # He's deviation keeps the scale from layer to layer.
            values = generator.normal(0, (2 / prod(shape[:-1])) ** 0.5, shape)
        case "gamma":
            # Below 1, so that hundreds of residual units do not overflow.
            values = generator.uniform(0.5, 0.8, shape)
        case "moving_variance":
            values = generator.uniform(0.8, 1.2, shape)
        case _:
            values = generator.normal(0, 0.1, shape)
    return values.astype("float32")


if __name__ == "__main__":
    models = {name: kc.get_model(name, input_shape=second_shape(name)) for name in sys.argv[1:]}
    print(json.dumps({name: outputs(model) for name, model in models.items()}))
