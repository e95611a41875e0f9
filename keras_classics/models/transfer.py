"""From known weights to one's own: other files of them, a new end, and what of a network trains."""

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

BATCH_NORMS = ("frozen", "train")


def freeze_backbone(model: keras.Model, batch_norm: str = "frozen") -> None:
    """Lets the last layer that can train do so, and keeps all before it as it is.

    `unfreeze` takes it back. Compile the model after either.

    Args:
        model: A network; it is changed.
        batch_norm: `"frozen"`: normalisation goes by its stored statistics, which do not move;
            `"train"`: it goes by each batch's own, the stored ones move, and gamma and beta train.

    Raises:
        UserError: `batch_norm` is neither of the two.
    """
    unfreeze(model, batch_norm)
    *_, last = [layer for layer in model.layers if layer.trainable_weights]
    _let_train(model, {last.name}, batch_norm)


def unfreeze(model: keras.Model, batch_norm: str = "frozen") -> None:
    """Lets all layers train, after `freeze_backbone`.

    `model.trainable = True` does not do it under TensorFlow: it counts as set already.

    Args:
        model: A network; it is changed.
        batch_norm: See `freeze_backbone`.

    Raises:
        UserError: `batch_norm` is neither of the two.
    """
    _let_train(model, {layer.name for layer in model.layers}, batch_norm)


def _let_train(model: keras.Model, names: set[str], batch_norm: str) -> None:
    if batch_norm not in BATCH_NORMS:
        raise UserError(f"batch_norm must be 'frozen' or 'train'. Received: {batch_norm!r}.")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = batch_norm == "train"
        else:
            layer.trainable = layer.name in names


def with_classifier(backbone: keras.Model, classes: int) -> keras.Model:
    """Puts a new end, a dense layer and its softmax, on a network without top.

    Args:
        backbone: A network that was built with `include_top=False` and a `pooling`.
        classes: Number of classes.

    Raises:
        UserError: The network ends in a map.
    """
    if len(backbone.output.shape) != 2:
        raise UserError(
            "A classifier goes on pooled features. Received: an output of shape "
            f"{backbone.output.shape}. Build the network with pooling='avg'."
        )
    scores = keras.layers.Dense(classes, name="predictions")(backbone.output)
    end = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(scores)
    return keras.Model(backbone.input, end, name=backbone.name)


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
        source: File of weights, see `weights.load.FORMATS`.
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
    load_weights(network, source, whole=True)
    write(network, target)
    return network
