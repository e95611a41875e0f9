"""Layers of these papers that Keras does not have."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_classics.backend import tf
from keras_classics.errors import UserError


@keras.saving.register_keras_serializable("keras_classics")
def scaled_tanh(x):
    """1.7159 tanh(2x / 3), which maps +-1 to +-1 (LeCun et al. 1998, Appendix A)."""
    return 1.7159 * ops.tanh(2.0 / 3.0 * x)


@keras.saving.register_keras_serializable("keras_classics")
def softmin(x):
    """Softmax of -x over the last axis: probabilities from distances."""
    return ops.softmax(-x, axis=-1)


@keras.saving.register_keras_serializable("keras_classics")
class TrainableSubsampling(keras.layers.Layer):
    """Sum over 2x2 windows, times a trainable coefficient per map, plus a trainable bias per map.

    LeCun et al. 1998, section II-B, layers S2 and S4. Windows do not overlap; an odd last row or
    column is left out.

    Args:
        activation: Function on the result.
        coefficient_initializer: Initial coefficients.
        bias_initializer: Initial biases.

    Shapes: (batch, height, width, maps) to (batch, height // 2, width // 2, maps).
    """

    pool_size = (2, 2)
    strides = (2, 2)

    def __init__(
        self,
        activation=None,
        coefficient_initializer="ones",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.coefficient_initializer = keras.initializers.get(coefficient_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape):
        maps = (input_shape[-1],)
        self.coefficient = self.add_weight(
            name="coefficient", shape=maps, initializer=self.coefficient_initializer
        )
        self.bias = self.add_weight(name="bias", shape=maps, initializer=self.bias_initializer)

    def call(self, inputs):
        window_sum = 4.0 * ops.average_pool(inputs, 2, 2, padding="valid")
        return self.activation(window_sum * self.coefficient + self.bias)

    def compute_output_shape(self, input_shape):
        batch, height, width, maps = input_shape
        halves = (None if side is None else side // 2 for side in (height, width))
        return (batch, *halves, maps)

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "coefficient_initializer": keras.initializers.serialize(self.coefficient_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


@keras.saving.register_keras_serializable("keras_classics")
class TableConv2D(keras.layers.Layer):
    """Convolution in which each output map sees only the input maps that a table connects it to.

    LeCun et al. 1998, Table I. Only connections are weights: the kernel has shape
    (size, size, links), in the order of the table read row by row, so a missing connection has no
    parameter and stays zero in training. Stride 1, no padding.

    Args:
        table: A row per input map and a column per output map; 1 where they are connected.
        kernel_size: Side of the square kernel.
        activation: Function on the result.
        kernel_initializer: Initial taps.
        bias_initializer: Initial biases.

    Shapes: (batch, height, width, rows) to (batch, height - size + 1, width - size + 1, columns).

    Raises:
        UserError: The table is not a grid of 0 and 1, an output map has no connection, or the
            input has another number of maps than the table has rows.
    """

    def __init__(
        self,
        table: Sequence[Sequence[int]],
        kernel_size: int,
        activation=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.table = np.array(table, dtype="int32")
        if self.table.ndim != 2 or not np.isin(self.table, (0, 1)).all():
            raise UserError(f"table must be a grid of 0 and 1. Received: {table}.")
        if not self.table.any(axis=0).all():
            raise UserError(f"Each column of table must hold a 1. Received: {table}.")
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        # Row l of this matrix holds a 1 at the place of link l in the table read row by row: a
        # product with it spreads the taps into a dense kernel, which is faster than a scatter.
        self._spread = np.eye(self.table.size, dtype="float32")[self.table.reshape(-1) == 1]

    def build(self, input_shape):
        rows, columns = self.table.shape
        if input_shape[-1] != rows:
            raise UserError(
                f"{self.name} has a table for {rows} input maps. Received: {input_shape[-1]} maps."
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, len(self._spread)),
            initializer=self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(columns,), initializer=self.bias_initializer
        )

    def dense_kernel(self, taps):
        """Spreads taps of shape (size, size, links) to (size, size, rows, columns)."""
        size, links = self.kernel_size, len(self._spread)
        spread = ops.convert_to_tensor(self._spread, dtype=taps.dtype)
        dense = ops.matmul(ops.reshape(taps, (size * size, links)), spread)
        return ops.reshape(dense, (size, size, *self.table.shape))

    def call(self, inputs):
        kernel = self.dense_kernel(ops.convert_to_tensor(self.kernel))
        return self.activation(ops.conv(inputs, kernel, padding="valid") + self.bias)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        sides = (None if side is None else side - self.kernel_size + 1 for side in (height, width))
        return (batch, *sides, self.table.shape[1])

    def get_config(self):
        return {
            **super().get_config(),
            "table": self.table.tolist(),
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


@keras.saving.register_keras_serializable("keras_classics")
class EuclideanRBF(keras.layers.Layer):
    """Squared Euclidean distances of the input to fixed codes, one per class; the nearest wins.

    LeCun et al. 1998, section II-B, output layer: y_i = sum_j (x_j - w_ij)^2.

    Args:
        codes: One code per class, each of the input's length. They are stored with the model and
            not trained.

    Shapes: (batch, length) to (batch, classes); values are 0 or more.
    """

    def __init__(self, codes: Sequence[Sequence[float]] | np.ndarray, **kwargs):
        super().__init__(**kwargs)
        self._codes = np.array(codes, dtype="float32")

    def build(self, input_shape):
        if self._codes.ndim != 2 or self._codes.shape[1] != input_shape[-1]:
            raise UserError(
                f"codes must have shape (classes, {input_shape[-1]}), one row a class. "
                f"Received: {self._codes.shape}."
            )
        self.codes = self.add_weight(
            name="codes",
            shape=self._codes.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(self._codes, dtype=dtype),
            trainable=False,
        )

    def call(self, inputs):
        difference = ops.expand_dims(inputs, 1) - self.codes
        return ops.sum(ops.square(difference), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self._codes))

    def get_config(self):
        return {**super().get_config(), "codes": self._codes.tolist()}


@keras.saving.register_keras_serializable("keras_classics")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by (k + alpha * sum of squares over n adjacent maps) ** beta.

    Krizhevsky et al. 2012, section 3.3. The constants differ in meaning between the paper and the
    programs: the original code, Caffe and PyTorch divide alpha by n; the paper's formula and
    TensorFlow's operation do not. For inputs near 1 the layer is nearly a constant factor; it is
    meant for activations of images in 0..255.

    Args:
        n: Number of adjacent maps, odd; fewer at the first and the last maps.
        k: Additive constant.
        alpha: Factor of the sum of squares.
        beta: Exponent.
        divide_alpha_by_n: Whether the factor is alpha / n, the mean over the window.

    Shapes: (batch, height, width, maps) to the same. Computes in float32 at least.

    Raises:
        UserError: n is even or not positive.
    """

    def __init__(
        self,
        n: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        divide_alpha_by_n: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if n < 1 or n % 2 == 0:
            raise UserError(f"n must be an odd number of maps. Received: {n}.")
        self.n = n
        self.k = k
        self.alpha = alpha
        self.beta = beta
        self.divide_alpha_by_n = divide_alpha_by_n

    def call(self, inputs):
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        factor = self.alpha / self.n if self.divide_alpha_by_n else self.alpha
        if tf is not None and x.dtype == tf.float32:
            x = tf.nn.local_response_normalization(x, self.n // 2, self.k, factor, self.beta)
        else:
            x = x * (self.k + factor * self._windows(ops.square(x))) ** -self.beta
        return ops.cast(x, self.compute_dtype)

    def _windows(self, x):
        """Sums of n adjacent maps, zeros beyond the first and the last."""
        maps, reach = x.shape[-1], self.n // 2
        padded = ops.pad(x, [(0, 0), (0, 0), (0, 0), (reach, reach)])
        return sum(padded[..., i : i + maps] for i in range(self.n))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "n": self.n,
            "k": self.k,
            "alpha": self.alpha,
            "beta": self.beta,
            "divide_alpha_by_n": self.divide_alpha_by_n,
        }


@keras.saving.register_keras_serializable("keras_classics")
class TowerConv2D(keras.layers.Conv2D):
    """Convolution in towers: each computes a part of the output maps from a part of the input maps.

    Krizhevsky et al. 2012, Figure 2, where each tower has its own GPU. It has the same function and
    variables as `keras.layers.Conv2D` with `groups`. Under TensorFlow it runs as one plain
    convolution per tower, because Keras runs `groups` through XLA there: that trains several times
    slower on a CPU, and cannot be served or converted without XLA.

    Args:
        filters: Output maps of all towers together.
        kernel_size: As in `keras.layers.Conv2D`.
        groups: Number of towers.
        **kwargs: Arguments of `keras.layers.Conv2D`.

    Shapes: those of `keras.layers.Conv2D`.
    """

    def __init__(self, filters, kernel_size, groups=2, **kwargs):
        super().__init__(filters, kernel_size, groups=groups, **kwargs)

    def convolution_op(self, inputs, kernel):
        if tf is None:
            return super().convolution_op(inputs, kernel)
        convolve = super().convolution_op
        inputs, kernels = (tf.split(tensor, self.groups, -1) for tensor in (inputs, kernel))
        return tf.concat([convolve(i, k) for i, k in zip(inputs, kernels, strict=True)], -1)


@keras.saving.register_keras_serializable("keras_classics")
class IdentityShortcut(keras.layers.Layer):
    """Shortcut of option A: every `strides`-th position, and zeros in the additional maps.

    He et al. 2015, section 3.3. It has no parameters.

    Args:
        filters: Output maps, as many as the input's or more.
        strides: Step between the positions that are kept, from the first.

    Shapes: (batch, height, width, maps) to (batch, ceil(height / strides), ceil(width / strides),
    filters).
    """

    def __init__(self, filters: int, strides: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides

    def call(self, inputs):
        # The mean over a window of one is the value itself: TensorFlow's slices with steps, and
        # their gradients, run on one core, and took a tenth of ResNet-20's training.
        x = ops.average_pool(inputs, 1, self.strides)
        return ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, self.filters - inputs.shape[-1])])

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        kept = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (batch, *kept, self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


@keras.saving.register_keras_serializable("keras_classics")
class FlattenWindows(keras.layers.Layer):
    """Flattens each window of a map, as `Flatten` flattens a whole map of the window's size.

    With a dense layer after it, this is a convolution with that window. As one large matrix product
    it is three times as fast on a CPU as the convolution, which reorders its kernel for each image.

    Args:
        window: Height and width of the window.

    Shapes: (batch, height, width, channels) to (batch, rows, columns, window's height * width *
    channels), one position for each place of the window. Needs TensorFlow.
    """

    def __init__(self, window: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.window = tuple(window)

    def call(self, inputs):
        sizes = [1, *self.window, 1]
        return tf.image.extract_patches(inputs, sizes, [1] * 4, [1] * 4, "VALID")

    def compute_output_shape(self, input_shape):
        positions = [
            None if side is None else side - size + 1
            for side, size in zip(input_shape[1:3], self.window, strict=True)
        ]
        return (input_shape[0], *positions, self.window[0] * self.window[1] * input_shape[3])

    def get_config(self):
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable("keras_classics")
class AdaptiveAveragePooling2D(keras.layers.AdaptiveAveragePooling2D):
    """Mean over windows that cover a map of any size, also a map smaller than the result.

    As PyTorch's: window i of n on a side of s positions goes from floor(i * s / n) to
    ceil((i + 1) * s / n). Keras's own layer refuses a map that is smaller than its result.

    Args:
        output_size: Side of the result, or its (height, width).

    Shapes: (batch, height, width, maps), height and width known, to (batch, *output_size, maps).
    """

    def call(self, inputs):
        for axis, size in zip((1, 2), self.output_size, strict=True):
            side = inputs.shape[axis]
            if side != size:
                windows = ops.convert_to_tensor(mean_windows(side, size), dtype=inputs.dtype)
                inputs = ops.moveaxis(ops.tensordot(inputs, windows, [[axis], [0]]), -1, axis)
        return inputs


def mean_windows(side: int, size: int) -> np.ndarray:
    """Returns a (side, size) matrix; a product with it takes the means over the windows."""
    windows = np.zeros((side, size))
    for i in range(size):
        first, last = i * side // size, -(-(i + 1) * side // size)
        windows[first:last, i] = 1 / (last - first)
    return windows
