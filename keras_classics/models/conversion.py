"""Weights from one kind of file to another."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.files import refuse_existing
from keras_classics.models.registry import find_model, get_model
from keras_classics.weights import builder_arguments, hdf5, load_weights, torchvision

# By whose names and layouts a file has: how files of it end, and what writes one.
LIBRARIES: dict[str, tuple[tuple[str, ...], Callable[[keras.Model, Path], None]]] = {
    "keras": ((".weights.h5",), hdf5.write),
    "torchvision": ((".pth", ".safetensors"), torchvision.write),
}


def convert_weights(
    source: str | os.PathLike,
    model: str,
    target: str | os.PathLike,
    library: str = "keras",
    **arguments: Any,
) -> keras.Model:
    """Writes the weights of a file to another one, as this package or torchvision has them.

    There and back again gives the same bits.

    Args:
        source: File of weights, see `weights.identify.FORMATS`.
        model: Name of the network whose weights they are.
        target: File to write: `.weights.h5` for `"keras"`, `.pth` or `.safetensors` for
            `"torchvision"`.
        library: One of `LIBRARIES`.
        **arguments: What the network's builder takes, such as `classes`.

    Returns:
        The network with the weights.

    Raises:
        UserError: The file does not hold all of the network's weights and nothing else, there is a
            `target` already, or torchvision has no such network.
    """
    endings, write = LIBRARIES[library]
    target = Path(target)
    if not target.name.endswith(endings):
        raise UserError(
            f"A file for {library} must end in {' or '.join(endings)}. Received: {target}."
        )
    if library == "torchvision" and not find_model(model).torchvision:
        raise UserError(f"torchvision has no {model}, so nothing there would read its weights.")
    refuse_existing(target)
    arguments = builder_arguments(model, {**arguments, "weights": Path(source)})
    del arguments["weights"]
    network = get_model(model, **arguments)
    load_weights(network, source, strict=True)
    write(network, target)
    return network
