"""From a trained network to another: a new end and what of it all trains, or a deeper network."""

import keras

from keras_classics.errors import UserError, unknown_name
from keras_classics.models.builder import probabilities_of

BATCH_NORMS = ("frozen", "train", "synchronized")


def freeze_backbone(model: keras.Model, batch_norm: str = "frozen") -> None:
    """Lets the last layer that can train do so, and keeps all before it as it is.

    `unfreeze` takes it back. Compile the model after either.

    Args:
        model: A network; it is changed.
        batch_norm: `"frozen"`: normalisation goes by its stored statistics, which do not move;
            `"train"`: it goes by each batch's own, the stored ones move, and gamma and beta train;
            `"synchronized"`: the same, by the batch of all replicas.

    Raises:
        UserError: `batch_norm` is none of them.
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
        UserError: `batch_norm` is none of those.
    """
    _let_train(model, {layer.name for layer in model.layers}, batch_norm)


def _let_train(model: keras.Model, names: set[str], batch_norm: str) -> None:
    if batch_norm not in BATCH_NORMS:
        raise unknown_name("batch_norm", batch_norm, BATCH_NORMS)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = batch_norm != "frozen"
            layer.synchronized = batch_norm == "synchronized"
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
    return keras.Model(backbone.input, probabilities_of(scores), name=backbone.name)


def copy_first_and_last(
    source: keras.Model, model: keras.Model, first: int = 4, last: int = 3
) -> None:
    """Starts a network from a shallower one: its first convolutions and its last dense layers.

    Simonyan and Zisserman 2015, section 3.1, start B to E from A in this way. The paper does not
    say where A's layers go: its fourth convolution, 256 to 256, has one of 128 to 128 in its place
    in the others. Here each goes to the next layer of its own shape, in order; from A to B, C, D
    and E these are the layers of its own name.

    Args:
        source: The shallower network.
        model: The other; it is changed.
        first: Number of convolutions.
        last: Number of dense layers.

    Raises:
        UserError: A layer has no place; `model` is as it was.
    """
    convolutions, dense = keras.layers.Conv2D, keras.layers.Dense
    pairs = [
        *_paired(_of_kind(source, convolutions)[:first], _of_kind(model, convolutions), model.name),
        *_paired(_of_kind(source, dense)[-last:], _of_kind(model, dense), model.name),
    ]
    for layer, place in pairs:
        place.set_weights(layer.get_weights())


def _of_kind(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def _paired(
    layers: list[keras.layers.Layer], places: list[keras.layers.Layer], name: str
) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Each layer and the first place of its shape behind that of the layer before."""

    def shapes(layer: keras.layers.Layer) -> list[tuple]:
        return [tuple(weight.shape) for weight in layer.weights]

    left, pairs = iter(places), []
    for layer in layers:
        place = next((place for place in left if shapes(place) == shapes(layer)), None)
        if place is None:
            raise UserError(
                f"{name} has no layer left of the shape of {layer.name}, "
                f"{tuple(layer.kernel.shape)}."
            )
        pairs.append((layer, place))
    return pairs
