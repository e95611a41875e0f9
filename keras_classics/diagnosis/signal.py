"""What reaches each layer: one pass forward and back, layer by layer, in the mode of training."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.nested import all_layers, is_nested
from keras_classics.diagnosis.graph import activation_of, unchanged

# Layers that change numbers by chance in training. Their noise is no signal.
NOISE = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)
# Activations that do not change any more beyond this size.
SATURATED = {"tanh": (-0.99, 0.99), "sigmoid": (0.01, 0.99)}


@dataclass(frozen=True)
class LayerSignal:
    """What a layer did in one pass over a sample.

    Attributes:
        layer: The layer.
        before: Root mean square of the differences between the images, in its input.
        after: The same in its output.
        kernel: Root mean square of the kernel, or None without one.
        gradient: Root mean square of the gradient of the loss in the kernel, or None.
        dead: Of a layer with ReLU, the share of units that are 0 for all images at all positions;
            else None.
        saturated: Of a layer with tanh or sigmoid, the share of its outputs at the ends; else None.
        finite: Whether its outputs are finite.
    """

    layer: keras.layers.Layer
    before: float
    after: float
    kernel: float | None
    gradient: float | None
    dead: float | None
    saturated: float | None
    finite: bool


@dataclass(frozen=True)
class Signals:
    """One pass forward and back.

    Attributes:
        layers: In the order in which they ran; a layer that ran twice counts with its first call.
        loss: The mean loss.
        outputs: The network's outputs.
    """

    layers: tuple[LayerSignal, ...]
    loss: float
    outputs: np.ndarray

    @property
    def weighted(self) -> list[LayerSignal]:
        """The layers with a kernel."""
        return [entry for entry in self.layers if entry.kernel is not None]


def measure(graph: keras.Model, loss: Callable, inputs: np.ndarray, targets: np.ndarray) -> Signals:
    """Passes a sample through a network and its loss back, as in training but without dropout.

    Args:
        graph: The network, with one input and one output.
        loss: Its loss.
        inputs: The sample as the network takes it.
        targets: Its labels as the loss takes them.
    """
    layers = [layer for layer in all_layers(graph) if not is_nested(layer)]
    calls: dict[int, tuple[tf.Tensor, tf.Tensor]] = {}
    with unchanged(graph), tf.GradientTape() as tape:
        with _recorded(layers, calls):
            outputs = graph(tf.constant(inputs), training=True)
        mean_loss = tf.reduce_mean(tf.cast(loss(targets, outputs), tf.float32))
    by_id = {id(layer): layer for layer in layers}
    ran = [by_id[key] for key in calls]
    kernels = [getattr(layer, "kernel", None) for layer in ran]
    sources = [kernel.value for kernel in kernels if kernel is not None]
    gradients = iter(tape.gradient(mean_loss, sources))
    return Signals(
        tuple(
            _signal(layer, *calls[id(layer)], None if kernel is None else next(gradients))
            for layer, kernel in zip(ran, kernels, strict=True)
        ),
        float(mean_loss),
        outputs.numpy(),
    )


def outputs_of_layers(
    graph: keras.Model, inputs: np.ndarray, training: bool
) -> list[tuple[keras.layers.Layer, tf.Tensor]]:
    """Returns the layers of a network and their outputs, in the order in which they run."""
    layers = [layer for layer in all_layers(graph) if not is_nested(layer)]
    calls: dict[int, tuple] = {}
    with _recorded(layers, calls):
        graph(tf.constant(inputs), training=training)
    by_id = {id(layer): layer for layer in layers}
    return [(by_id[key], outputs) for key, (_, outputs) in calls.items()]


class _ReachedError(Exception):
    """Ends a pass at a layer."""


def inputs_of_first(graph: keras.Model, layer: Any, inputs: np.ndarray) -> np.ndarray:
    """Returns the inputs of a layer, in a network that runs in inference up to it."""
    reached: list[tf.Tensor] = []

    def call(values, **_):
        reached.append(values)
        raise _ReachedError

    layer.call = call
    try:
        graph(tf.constant(inputs), training=False)
    except Exception:
        # Keras may raise another type in its place.
        if not reached:
            raise
    finally:
        vars(layer).pop("call", None)
    return reached[0].numpy()


@contextlib.contextmanager
def _recorded(layers: list[Any], calls: dict[int, tuple]) -> Iterator[None]:
    """Keeps the input and output of each layer's first call, and runs dropout as in inference."""

    def call(layer: keras.layers.Layer, original: Callable, *inputs, **options):
        if isinstance(layer, NOISE):
            options["training"] = False
        outputs = original(*inputs, **options)
        if inputs and tf.is_tensor(inputs[0]) and tf.is_tensor(outputs):
            calls.setdefault(id(layer), (inputs[0], outputs))
        return outputs

    try:
        for layer in layers:
            layer.call = functools.partial(call, layer, layer.call)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _signal(
    layer: keras.layers.Layer, inputs: tf.Tensor, outputs: tf.Tensor, gradient: tf.Tensor | None
) -> LayerSignal:
    before, after = (tf.cast(values, tf.float32).numpy() for values in (inputs, outputs))
    activation, kernel = activation_of(layer), getattr(layer, "kernel", None)
    dead, saturated = None, None
    if activation == "relu":
        dead = float((after <= 0).all(tuple(range(after.ndim - 1))).mean())
    if activation in SATURATED:
        low, high = SATURATED[activation]
        saturated = float(((after < low) | (after > high)).mean())
    return LayerSignal(
        layer,
        spread(before),
        spread(after),
        None if kernel is None else root_mean_square(keras.ops.convert_to_numpy(kernel)),
        None if gradient is None else root_mean_square(tf.convert_to_tensor(gradient).numpy()),
        dead,
        saturated,
        bool(np.isfinite(after).all()),
    )


def root_mean_square(values: np.ndarray) -> float:
    """Returns the root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype="float64"))))


def spread(values: np.ndarray) -> float:
    """Returns the root mean square of the differences to the mean over the images."""
    return root_mean_square(values - values.mean(0, dtype="float64"))
