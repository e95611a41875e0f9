"""Converts files of weights from one format to another."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.files import refuse_existing
from keras_classics.models.registry import arguments_for_weights, find_model, get_model
from keras_classics.weights import hdf5, load_weights, torchvision
from keras_classics.weights.identify import read_metadata
from keras_classics.weights.location import on_this_machine
from keras_classics.weights.metadata import FileMetadata, metadata_of

# By the library whose names and layouts a file has: its endings, and the function that writes it.
LIBRARIES: dict[
    str, tuple[tuple[str, ...], Callable[[keras.Model, Path, FileMetadata | None], None]]
] = {
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
    """Writes the weights of a file to another file, in the format of this package or torchvision.

    Converting there and back gives the same bits.

    Args:
        source: File of weights, see `weights.contents`, or an address on the Hugging Face hub.
        model: Name of the network that the weights belong to.
        target: File to write: `.weights.h5` for `"keras"`, `.pth` or `.safetensors` for
            `"torchvision"`.
        library: One of `LIBRARIES`.
        **arguments: Arguments of the network's builder, such as `classes`.

    Returns:
        The network with the weights.

    Raises:
        UserError: The file does not hold exactly the network's weights, `target` exists, or
            torchvision has no such network.
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
    source = Path(on_this_machine(os.fspath(source)))
    arguments = arguments_for_weights(model, {**arguments, "weights": source})
    del arguments["weights"]
    network = get_model(model, **arguments)
    load_weights(network, source, strict=True)
    said = read_metadata(source) or FileMetadata({})
    metadata = metadata_of(network, arguments, said.make_preprocessing(), said.class_names)
    write(network, target, metadata)
    return network
