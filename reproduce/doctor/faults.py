"""The faults of the bench: each plants one mistake in a training that would work."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

import keras_classics as kc
from reproduce.doctor.trainings import (
    DEVIATION,
    MEAN,
    Training,
    compiled,
    lenet5,
    normalised,
    plain,
    pretrained,
    scaled,
    standardised,
    training,
)

Plant = Callable[[int], Training]


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        title: What is wrong, in words.
        found_by: Names of the findings that say so.
        plant: Returns a training with the fault, given a seed.
        follows: Names of findings that follow from the fault, and are not wrong either.
    """

    title: str
    found_by: tuple[str, ...]
    plant: Plant
    follows: tuple[str, ...] = ()


# Set and network by seed, so that no fault is tried on one of them alone.
SETTINGS = (
    ("digits", plain),
    ("fashion_mnist", normalised),
    ("generated", plain),
    ("digits", lenet5),
    ("fashion_mnist", plain),
)


def usual(seed: int, optimizer=None, **options) -> Training:
    """Returns a training that works, on another set and network for each seed."""
    data, network = SETTINGS[seed % len(SETTINGS)]
    return training(data, seed, network, optimizer, **options)


def _fed(change: Callable[[np.ndarray], np.ndarray]) -> Plant:
    """Feeds a trained network with images that are preprocessed otherwise than it learned."""

    def plant(seed: int) -> Training:
        trained = pretrained(seed)
        return dataclasses.replace(
            trained, x=change(trained.x), x_held_out=change(trained.x_held_out)
        )

    return plant


def raw(x: np.ndarray) -> np.ndarray:
    """Returns standardised images as they were, in 0..255."""
    return (x * DEVIATION + MEAN).astype("float32")


def rate_too_large(seed: int) -> Training:
    """Ten to a thousand times what the optimizer can take."""
    optimizer = keras.optimizers.SGD(20.0, momentum=0.9)
    return usual(seed, keras.optimizers.Adam(3.0) if seed % 2 else optimizer)


def rate_too_small(seed: int) -> Training:
    """A few thousandths of a rate that works."""
    optimizer = keras.optimizers.SGD(1e-5, momentum=0.9)
    return usual(seed, keras.optimizers.Adam(1e-6) if seed % 2 else optimizer)


def dead_relus(seed: int) -> Training:
    """Biases far below 0, as a step that was too large leaves them."""
    data = ("digits", "fashion_mnist", "generated")[seed % 3]
    built = training(data, seed, plain)
    layer = built.model.get_layer(f"conv{1 + seed % 3}")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias - 10.0 - seed])
    return built


def vanishing_start(seed: int) -> Training:
    """A deep network without normalisation whose first weights are far too small."""
    data = ("digits", "fashion_mnist", "generated")[seed % 3]

    def network(shape, classes, activation="softmax"):
        start = keras.initializers.RandomNormal(stddev=0.01 if seed % 2 else 0.005)
        return kc.vgg16_mini(input_shape=shape, classes=classes, kernel_initializer=start)

    return training(data, seed, network)


def labels_shuffled(seed: int) -> Training:
    """Labels in another order than their images."""
    built = usual(seed)
    return dataclasses.replace(built, y=np.random.default_rng(seed).permutation(built.y))


def class_missing(seed: int) -> Training:
    """No training image of a class that the images held out have."""
    built = usual(seed)
    kept = built.y != seed % (built.y.max() + 1)
    return dataclasses.replace(built, x=built.x[kept], y=built.y[kept])


def train_in_held_out(seed: int) -> Training:
    """A third of the images held out are training images."""
    built = usual(seed)
    x, y = built.x_held_out.copy(), built.y_held_out.copy()
    count = len(x) // 3
    x[:count], y[:count] = built.x[:count], built.y[:count]
    return dataclasses.replace(built, x_held_out=x, y_held_out=y)


def frozen(seed: int) -> Training:
    """Layers with new weights that do not train."""
    built = usual(seed)
    layers = [layer for layer in built.model.layers if hasattr(layer, "kernel")]
    for layer in layers if seed % 2 else layers[:-1]:
        layer.trainable = False
    compiled(built.model, keras.optimizers.Adam())
    return built


@keras.saving.register_keras_serializable("bench")
class AlwaysTraining(keras.layers.BatchNormalization):
    """A batch normalisation that uses the batch in inference too, as one does by training=True."""

    def call(self, inputs, training=None, mask=None):
        """Normalises by the batch."""
        return super().call(inputs, training=True)


def batch_norm_mode(seed: int) -> Training:
    """Normalisations that always use the batch, never do, or whose statistics lag behind."""
    data = ("digits", "fashion_mnist", "generated")[seed % 3]
    if seed % 3 == 0:
        built = training(data, seed, normalised)
        inputs = built.model.inputs[0]

        def call(layer, *arguments, **options):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer = AlwaysTraining.from_config(layer.get_config())
            return layer(*arguments, **options)

        model = keras.models.clone_model(built.model, input_tensors=inputs, call_function=call)
        return dataclasses.replace(built, model=compiled(model, keras.optimizers.Adam()))
    built = training(data, seed, normalised, epochs=0 if seed % 3 == 1 else 5)
    for layer in built.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            if seed % 3 == 1:
                layer.trainable = False
            else:
                layer.momentum = 0.999
    compiled(built.model, keras.optimizers.Adam())
    return built


def nan_in_data(seed: int) -> Training:
    """One training image with NaN in one pixel, in a training that has run for an epoch."""
    built = usual(seed, epochs=seed % 2)
    x = built.x.copy()
    x[np.random.default_rng(seed).integers(len(x)), 2, 2] = np.nan
    return dataclasses.replace(built, x=x)


def softmax_twice(seed: int) -> Training:
    """A softmax layer after a dense layer that has one already."""
    built = usual(seed)
    outputs = keras.layers.Softmax(name="probabilities_again")(built.model.outputs[0])
    model = keras.Model(built.model.inputs[0], outputs)
    return dataclasses.replace(built, model=compiled(model, keras.optimizers.Adam()))


def from_logits_twice(seed: int) -> Training:
    """A loss that applies the softmax to probabilities."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return usual(seed, loss=loss)


FAULTS: Mapping[str, Fault] = {
    "range": Fault(
        "images in 0..1 for weights of standardised ones",
        ("wrong_preprocessing", "input_range"),
        _fed(lambda x: scaled(raw(x))),
    ),
    "mean": Fault(
        "mean not subtracted, images in 0..255",
        ("wrong_preprocessing", "input_range"),
        _fed(raw),
    ),
    "twice": Fault(
        "standardised twice", ("wrong_preprocessing", "input_range"), _fed(standardised)
    ),
    "bgr": Fault("BGR for RGB", ("channel_order",), _fed(lambda x: x[..., ::-1])),
    "rate_too_large": Fault("rate too large", ("rate_too_large",), rate_too_large),
    "rate_too_small": Fault("rate too small", ("rate_too_small",), rate_too_small),
    "dead_relus": Fault("dead ReLUs", ("dead_relus",), dead_relus, ("vanishing_signal",)),
    "vanishing_start": Fault("vanishing start", ("vanishing_signal",), vanishing_start),
    "labels_shuffled": Fault("labels shuffled", ("labels_shuffled",), labels_shuffled),
    "class_missing": Fault("a class missing in training", ("class_missing",), class_missing),
    "train_in_held_out": Fault(
        "training images among those held out", ("validation_in_train",), train_in_held_out
    ),
    "frozen": Fault("layers frozen by mistake", ("frozen_layers",), frozen),
    "batch_norm_mode": Fault(
        "BatchNormalization in the wrong mode",
        ("batch_norm_mode", "batch_norm_statistics", "batch_norm_momentum"),
        batch_norm_mode,
    ),
    "nan_in_data": Fault("NaN in data", ("not_finite_data",), nan_in_data, ("not_finite",)),
    "softmax_twice": Fault("softmax twice", ("softmax_twice",), softmax_twice),
    "from_logits_twice": Fault(
        "from_logits for probabilities", ("from_logits_twice",), from_logits_twice
    ),
}
