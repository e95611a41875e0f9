"""Transfer learning: which layers train, a new classifier, and a deeper network's first weights."""

from collections.abc import Container, Sequence

import keras

from keras_classics.analysis.nested import all_layers, is_nested
from keras_classics.errors import UserError, unknown_name
from keras_classics.models.builder import probabilities_of
from keras_classics.models.replica_layers import BatchNormalization

BATCH_NORMS = ("frozen", "train", "synchronized")


def freeze_backbone(model: keras.Model, batch_norm: str = "frozen") -> None:
    """Makes only the last trainable layer trainable and freezes all layers before it.

    Layers of nested networks count like all others. `unfreeze` undoes it. Compile the model after
    either.

    Args:
        model: A network; it is changed.
        batch_norm: `"frozen"`: normalisation uses the stored statistics and does not change them;
            `"train"`: it uses the batch's statistics, updates the stored ones, and trains gamma and
            beta; `"synchronized"`: the same, with the statistics of the batch of all replicas.

    Raises:
        UserError: `batch_norm` is none of these, or no layer can train.
    """
    unfreeze(model, batch_norm)
    able = [layer for layer in _single_layers(model) if layer.trainable_weights]
    able = [layer for layer in able if not _is_batch_norm(layer)]
    if not able:
        raise UserError(
            f"A network needs a layer that can train. Received: {model.name}, which has none."
        )
    _let_train(model, able[-1:], batch_norm)


def unfreeze(model: keras.Model, batch_norm: str = "frozen") -> None:
    """Makes all layers trainable, those of nested networks too, after `freeze_backbone`.

    `model.trainable = True` has no effect under TensorFlow, where it counts as set already.

    Args:
        model: A network; it is changed.
        batch_norm: See `freeze_backbone`.

    Raises:
        UserError: `batch_norm` is none of these.
    """
    _let_train(model, _single_layers(model), batch_norm)


def group_batch_norm(model: keras.Model, group: int | None) -> None:
    """Lets all batch normalisations take their statistics over groups of images in training.

    Args:
        model: A network; it is changed.
        group: See `replica_layers.BatchNormalization`.
    """
    for layer in all_layers(model):
        if isinstance(layer, BatchNormalization):
            layer.group = group


def _let_train(model: keras.Model, trained: Container[keras.layers.Layer], batch_norm: str) -> None:
    if batch_norm not in BATCH_NORMS:
        raise unknown_name("batch_norm", batch_norm, BATCH_NORMS)
    # A nested network that was frozen as a whole would hide that its layers train. Setting it sets
    # its layers too, which follow it here.
    model.trainable = True
    for layer in all_layers(model):
        if _is_batch_norm(layer):
            layer.trainable = batch_norm != "frozen"
            layer.synchronized = batch_norm == "synchronized"
        else:
            layer.trainable = is_nested(layer) or layer in trained


def _single_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in all_layers(model) if not is_nested(layer)]


def _is_batch_norm(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def with_classifier(
    backbone: keras.Model, classes: int, activation: str = "softmax"
) -> keras.Model:
    """Adds a new classifier, a dense layer and its activation, to a network without top.

    Args:
        backbone: A network that was built with `include_top=False` and a `pooling`.
        classes: Number of classes.
        activation: `"softmax"`, or `"sigmoid"` for images with several labels.

    Raises:
        UserError: The network ends in a feature map.
    """
    if len(backbone.output.shape) != 2:
        raise UserError(
            "A classifier takes pooled features. Received: an output of shape "
            f"{backbone.output.shape}. Build the network with pooling='avg'."
        )
    scores = keras.layers.Dense(classes, name="predictions")(backbone.output)
    return keras.Model(backbone.input, probabilities_of(scores, activation), name=backbone.name)


def with_classes(model: keras.Model, labels: Sequence[int]) -> keras.Model:
    """Returns a copy of a network that answers with some of its classes alone.

    Its probabilities are those of the network on the condition that it is one of these classes.

    Args:
        model: A network that ends in a dense layer and its softmax.
        labels: Labels of the classes, in the order of their new labels 0, 1, ...

    Raises:
        UserError: If it does not end in such a layer.
    """
    last = [layer for layer in model.layers if layer.weights][-1]
    if not isinstance(last, keras.layers.Dense) or last.units != model.output_shape[-1]:
        raise UserError(
            f"Only a network that ends in a dense layer can answer with some of its classes. "
            f"Received: {model.name}, whose last layer is {type(last).__name__}."
        )

    def copied(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        return type(layer).from_config(
            {**config, "units": len(labels)} if layer is last else config
        )

    copy = keras.models.clone_model(model, clone_function=copied)
    for old, new in zip(model.layers, copy.layers, strict=True):
        values = old.get_weights()
        new.set_weights([value[..., labels] for value in values] if old is last else values)
    return copy


def copy_first_and_last(
    source: keras.Model, model: keras.Model, first: int = 4, last: int = 3
) -> None:
    """Initialises a network from the first convolutions and last dense layers of a shallower one.

    Simonyan and Zisserman 2015, section 3.1, start B to E from A in this way. The paper does not
    say which layers take A's weights: A's fourth convolution is 256 to 256, and the fourth of the
    others is 128 to 128. Here each layer goes, in order, to the next one of its own shape; from A
    to B, C, D and E these are the layers of the same name.

    Args:
        source: The shallower network.
        model: The deeper network; it is changed.
        first: Number of convolutions.
        last: Number of dense layers.

    Raises:
        UserError: No layer of `model` has the shape of one of these; `model` is unchanged.
    """
    convolutions, dense = keras.layers.Conv2D, keras.layers.Dense
    pairs = [
        *_paired(_of_kind(source, convolutions)[:first], _of_kind(model, convolutions), model.name),
        *_paired(_of_kind(source, dense)[-last:], _of_kind(model, dense), model.name),
    ]
    for layer, place in pairs:
        place.set_weights(layer.get_weights())


def _of_kind(model: keras.Model, kind: type[keras.layers.Layer]) -> list[keras.layers.Layer]:
    return [layer for layer in all_layers(model) if isinstance(layer, kind)]


def _paired(
    layers: list[keras.layers.Layer], places: list[keras.layers.Layer], name: str
) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Pairs each layer with the first place of its shape after the previous layer's place."""

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
