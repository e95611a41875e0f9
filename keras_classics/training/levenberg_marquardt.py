"""Diagonal curvature of the loss by backpropagation, as in LeCun et al. 1998, Appendix C.

Beside the gradient the paper propagates a second number: for the weighted sum a_i of unit i, its
output f(a_i), and the weights u_ki to the units k of the next layer,

    a_i'' = f'(a_i)^2 sum_k u_ki^2 a_k''

This drops the off-diagonal terms and those with f'' (Gauss-Newton), so it is never negative. A
parameter shared by connections (i, j) gets the sum of a_i'' x_j^2 over them.
"""

import keras
from keras import ops

from keras_classics.analysis.nested import refuse_nested
from keras_classics.backend import tf
from keras_classics.errors import UserError
from keras_classics.models.layers import EuclideanRBF, TableConv2D, TrainableSubsampling

WEIGHTED = (keras.layers.Conv2D, keras.layers.Dense, TableConv2D, TrainableSubsampling)


def diagonal_curvature(
    model: keras.Model, loss: keras.losses.Loss, images: "tf.Tensor", labels: "tf.Tensor"
) -> "list[tf.Tensor]":
    """Estimates the second derivative of the loss with respect to each parameter.

    Args:
        model: A chain of layers like `lenet5_1998`, ending in distances to codes.
        loss: Loss on those distances.
        images: The model's inputs, shape (samples, ...).
        labels: Integers, shape (samples,).

    Returns:
        One tensor for each of `model.trainable_variables`, of its shape: not negative, the average
        over the samples.

    Raises:
        UserError: If the model has a layer for which the rule above is not implemented.
    """
    refuse_nested(model, "The diagonal Levenberg-Marquardt method")
    signals, sums = _forward(model, images)
    output = model.get_layer("distances")
    curvature = _output_curvature(output, loss, signals["distances"], labels)
    of_parameter = {}
    for layer in reversed(model.layers[1 : model.layers.index(output)]):
        if layer.name in sums:
            slope = _slope(layer.activation, sums[layer.name])
            curvature, parameters = _backward(layer, signals[layer.name], slope**2 * curvature)
            of_parameter.update(parameters)
        else:
            curvature = tf.reshape(curvature, tf.shape(signals[layer.name]))
    samples = tf.cast(tf.shape(images)[0], tf.float32)
    return [of_parameter[v.path] / samples for v in model.trainable_variables]


def _forward(model, images):
    """Returns the input of each layer, and the weighted sums of those with weights."""
    signals, sums = {}, {}
    x = images
    for layer in model.layers[1:]:
        signals[layer.name] = x
        if isinstance(layer, EuclideanRBF):
            return signals, sums
        if layer.weights:
            sums[layer.name] = _weighted_sum(layer, x, *_taps_and_bias(layer))
        x = layer(x)
    raise UserError(
        f"The diagonal Levenberg-Marquardt method needs a network that ends in distances to codes, "
        f"such as lenet5_1998. Received: {model.name}."
    )


def _taps_and_bias(layer):
    if not isinstance(layer, WEIGHTED):
        raise UserError(
            f"The diagonal Levenberg-Marquardt method has no rule for layer {layer.name} "
            f"({type(layer).__name__})."
        )
    return [tf.convert_to_tensor(variable.value) for variable in layer.weights]


def _weighted_sum(layer, x, taps, bias):
    """The part of a layer before its activation, linear in `x` and in (`taps`, `bias`)."""
    if isinstance(layer, keras.layers.Conv2D):
        return ops.conv(x, taps, layer.strides, layer.padding) + bias
    if isinstance(layer, TableConv2D):
        return ops.conv(x, layer.dense_kernel(taps), padding="valid") + bias
    if isinstance(layer, keras.layers.Dense):
        return ops.matmul(x, taps) + bias
    return 4.0 * ops.average_pool(x, 2, 2, padding="valid") * taps + bias


def _output_curvature(output, loss, x, labels):
    """Diagonal of the second derivative of the loss with respect to the output layer's input."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            total = tf.reduce_sum(loss.call(labels, output(x)))
        slope = inner.gradient(total, x)
    curvature = tf.linalg.diag_part(outer.batch_jacobian(slope, x))
    # It is not negative, but rounding may make it so.
    return tf.maximum(curvature, 0.0)


def _slope(activation, sums):
    with tf.GradientTape() as tape:
        tape.watch(sums)
        total = tf.reduce_sum(activation(sums))
    return tape.gradient(total, sums)


def _backward(layer, x, curvature):
    """Propagates the curvature of a layer's sums to its input and, over all samples, its weights.

    The weighted sum is linear in both: squaring one and differentiating with respect to the other
    gives the squared weights and signals of the rule.
    """
    taps, bias = _taps_and_bias(layer)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, taps, bias])
        by_input = _weighted_sum(layer, x, taps**2, bias)
        by_weights = _weighted_sum(layer, x**2, taps, bias)
    to_input = tape.gradient(by_input, x, output_gradients=curvature)
    to_weights = tape.gradient(by_weights, [taps, bias], output_gradients=curvature)
    return to_input, dict(zip((v.path for v in layer.weights), to_weights, strict=True))
