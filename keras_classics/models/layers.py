"""Layers that only these papers have."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

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
    """Sum over 2x2 windows, times one trainable coefficient a map, plus one trainable bias a map.

    LeCun et al. 1998, section II-B, layers S2 and S4. Windows do not overlap; an odd last row or
    column is left out.

    Args:
        activation: Function on the result.
        coefficient_initializer: Initial coefficients.
        bias_initializer: Initial biases.

    Shapes: (batch, height, width, maps) to (batch, height // 2, width // 2, maps).
    """

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

    LeCun et al. 1998, Table I. Only connected taps are weights: the kernel has shape
    (size, size, links), in the order of the table read row by row, so a missing connection costs
    no parameter and stays zero whatever the optimiser does. Stride 1, no padding.

    Args:
        table: One row an input map and one column an output map; 1 where they are connected.
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
    """Squared Euclidean distances of the input to fixed codes, one a class; the nearest wins.

    LeCun et al. 1998, section II-B, output layer: y_i = sum_j (x_j - w_ij)^2.

    Args:
        codes: One code a class, all of the input's length. They are stored with the model and
            never trained.

    Shapes: (batch, length) to (batch, classes); values are 0 or more.
    """

    def __init__(self, codes: Sequence[Sequence[float]], **kwargs):
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
