"""The trainings of the bench: small networks and the data they learn."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

import keras_classics as kc
from keras_classics.diagnosis import Diagnosis, diagnose
from reproduce.doctor.images import Arrays, arrays

LOSS = "sparse_categorical_crossentropy"
BATCH = 32


@dataclass(frozen=True, eq=False)
class Training:
    """What `model.fit` would be called with, and for how many epochs.

    Attributes:
        name: Network and data, in words.
        model: The network, compiled.
        x: Training images as the network takes them.
        y: Their labels.
        x_held_out: Images held out.
        y_held_out: Their labels.
        epochs: Epochs of training before a diagnosis; 0 for one before training.
    """

    name: str
    model: keras.Model
    x: np.ndarray
    y: np.ndarray
    x_held_out: np.ndarray
    y_held_out: np.ndarray
    epochs: int = 0

    def diagnosed(self) -> Diagnosis:
        """Trains for the epochs, if any, and returns the diagnosis."""
        return self.trained(self.epochs)[1] if self.epochs else self._diagnose(None)

    def trained(self, epochs: int) -> tuple[float, Diagnosis]:
        """Trains, and returns the accuracy on images held out and the diagnosis."""
        history = self.model.fit(
            self.x,
            self.y,
            batch_size=BATCH,
            epochs=epochs,
            validation_data=(self.x_held_out, self.y_held_out),
            verbose=0,
        )
        return history.history["val_accuracy"][-1], self._diagnose(history)

    def _diagnose(self, history: keras.callbacks.History | None) -> Diagnosis:
        data = self.x, self.y, self.x_held_out, self.y_held_out
        return diagnose(self.model, data, history=history)


def plain(shape: tuple, classes: int, activation: Any = "softmax", **options: Any) -> keras.Model:
    """Three convolutions and a dense layer."""
    return _convolutions(shape, classes, activation, False, **options)


def normalised(shape: tuple, classes: int, activation: Any = "softmax", **options) -> keras.Model:
    """The same with a batch normalisation after each convolution."""
    return _convolutions(shape, classes, activation, True, **options)


def _convolutions(shape, classes, activation, norm, dropout=0.0, **options: Any) -> keras.Model:
    inputs = features = keras.Input(shape)
    for number, filters in enumerate((12, 24, 32), start=1):
        features = keras.layers.Conv2D(
            filters, 3, padding="same", use_bias=not norm, name=f"conv{number}", **options
        )(features)
        if norm:
            features = keras.layers.BatchNormalization(momentum=0.9, name=f"bn{number}")(features)
        features = keras.layers.ReLU(name=f"relu{number}")(features)
        features = keras.layers.MaxPooling2D(padding="same", name=f"pool{number}")(features)
    features = keras.layers.Flatten()(features)
    if dropout:
        features = keras.layers.Dropout(dropout)(features)
    outputs = keras.layers.Dense(classes, activation=activation, name="scores")(features)
    return keras.Model(inputs, outputs, name="normalised" if norm else "plain")


def lenet5(shape: tuple, classes: int, activation: Any = "softmax") -> keras.Model:
    """Today's LeNet-5 for images of this shape."""
    return kc.lenet5(input_shape=shape, classes=classes, classifier_activation=activation)


def resnet20(shape: tuple, classes: int, activation: Any = "softmax") -> keras.Model:
    """CIFAR's ResNet-20 for images of this shape."""
    return kc.resnet20(input_shape=shape, classes=classes, classifier_activation=activation)


def vgg_bn(shape: tuple, classes: int, activation: Any = "softmax") -> keras.Model:
    """The small VGG-16 with all normalisations."""
    return kc.vgg16_mini(
        input_shape=shape,
        classes=classes,
        classifier_activation=activation,
        batch_norm="all",
        kernel_initializer="he_fan_in",
    )


def scaled(images: np.ndarray) -> np.ndarray:
    """Returns uint8 images in 0..1."""
    return images.astype("float32") / 255


# What published weights are fed with: these statistics of ImageNet, in 0..255.
MEAN, DEVIATION = np.array([123.7, 116.3, 103.5]), np.array([58.4, 57.1, 57.4])


def standardised(images: np.ndarray) -> np.ndarray:
    """Returns uint8 RGB images minus the mean of ImageNet, divided by its deviation."""
    return ((images - MEAN) / DEVIATION).astype("float32")


def compiled(model: keras.Model, optimizer: keras.optimizers.Optimizer, loss=LOSS) -> keras.Model:
    """Returns a network that is compiled."""
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def training(
    data: str,
    seed: int,
    network: Callable[..., keras.Model],
    optimizer: keras.optimizers.Optimizer | None = None,
    *,
    loss: Any = LOSS,
    preprocess: Callable[[np.ndarray], np.ndarray] = scaled,
    epochs: int = 0,
    **options: Any,
) -> Training:
    """Returns the training of a network on a set of images.

    Args:
        data: See `images.arrays`.
        seed: Determines the images and the initial weights.
        network: Builds it from the shape of an image, the classes and `options`.
        optimizer: Adam by default.
        loss: The loss.
        preprocess: From uint8 to what the network takes.
        epochs: Epochs before the diagnosis.
        **options: Arguments of `network`.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    images = padded(arrays(data, seed), network)
    model = network(images.x.shape[1:], images.classes, **options)
    compiled(model, optimizer or keras.optimizers.Adam(), loss)
    return Training(
        f"{model.name}, {data}",
        model,
        preprocess(images.x),
        images.y,
        preprocess(images.x_held_out),
        images.y_held_out,
        epochs,
    )


def padded(images: Arrays, network: Callable) -> Arrays:
    """Returns images of a size that a network takes: 32x32 for those of the zoo."""
    if network in (plain, normalised):
        return images
    side = images.x.shape[1]
    repeat, rest = 32 // side, 32 % side

    def enlarged(x: np.ndarray) -> np.ndarray:
        x = x.repeat(repeat, axis=1).repeat(repeat, axis=2)
        return np.pad(
            x, ((0, 0), (rest // 2, rest - rest // 2), (rest // 2, rest - rest // 2), (0, 0))
        )

    return dataclasses.replace(images, x=enlarged(images.x), x_held_out=enlarged(images.x_held_out))


@functools.lru_cache(maxsize=1)
def pretrained(seed: int) -> Training:
    """Returns a network that has learned generated colour images, standardised as ImageNet's."""
    network = vgg_bn if seed % 2 else normalised
    built = training("generated", seed, network, preprocess=standardised, epochs=0)
    built.model.fit(built.x, built.y, batch_size=BATCH, epochs=6, verbose=0)
    return built


@dataclass(frozen=True)
class Healthy:
    """A training that works.

    Attributes:
        data: See `images.arrays`.
        network: Builds the network.
        optimizer: Makes the optimizer.
        epochs: Epochs until it has learned.
        options: Arguments of `network`.
    """

    data: str
    network: Callable[..., keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    epochs: int = 10
    options: dict[str, Any] = field(default_factory=dict)

    def start(self, seed: int) -> Training:
        """Returns the training before its first epoch."""
        return training(self.data, seed, self.network, self.optimizer(), **self.options)


def _sgd(rate: float, momentum: float = 0.9) -> Callable[[], keras.optimizers.Optimizer]:
    return lambda: keras.optimizers.SGD(rate, momentum=momentum)


def _adam(rate: float = 1e-3) -> Callable[[], keras.optimizers.Optimizer]:
    return lambda: keras.optimizers.Adam(rate)


def _rmsprop() -> keras.optimizers.Optimizer:
    return keras.optimizers.RMSprop(1e-3)


HE = {"kernel_initializer": "he_normal"}

HEALTHY = (
    Healthy("digits", plain, _adam(), options=HE),
    Healthy("digits", plain, _sgd(0.05)),
    Healthy("digits", normalised, _adam()),
    Healthy("digits", normalised, _sgd(0.02)),
    Healthy("digits", lenet5, _adam(2e-3)),
    Healthy("digits", lenet5, _sgd(0.1), 10),
    Healthy("digits", vgg_bn, _adam(), 20),
    Healthy("fashion_mnist", plain, _adam()),
    Healthy("fashion_mnist", plain, _rmsprop, options={"dropout": 0.3}),
    Healthy("fashion_mnist", normalised, lambda: keras.optimizers.AdamW(1e-3)),
    Healthy("fashion_mnist", normalised, _sgd(0.02), options={"dropout": 0.5}),
    Healthy("fashion_mnist", lenet5, _adam(2e-3)),
    Healthy("fashion_mnist", lenet5, lambda: keras.optimizers.Nadam(1e-3)),
    Healthy("fashion_mnist", resnet20, _sgd(0.05), 12),
    Healthy("generated", plain, _adam(), 10, HE),
    Healthy("generated", normalised, _adam()),
    Healthy("generated", normalised, _sgd(0.02), options={"dropout": 0.3}),
    Healthy("generated", normalised, _rmsprop),
    Healthy("generated", resnet20, _adam(), 12),
    Healthy("generated", plain, lambda: keras.optimizers.AdamW(2e-3), 10, options={"dropout": 0.2}),
)
