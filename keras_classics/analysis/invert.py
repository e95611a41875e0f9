"""Images made by a network: what a unit wants, what features keep of an image, and style transfer.

Papers: K. Simonyan, A. Vedaldi, A. Zisserman, Deep Inside Convolutional Networks, 2014 (the image
that a class wants). J. Yosinski et al., Understanding Neural Networks Through Deep Visualization,
2015 (the same with blur). A. Mahendran, A. Vedaldi, Understanding Deep Image Representations by
Inverting Them, 2015 (images from features). L. Gatys, A. Ecker, M. Bethge, Image Style Transfer
Using Convolutional Neural Networks, 2016. All optimise the pixels; the network does not change.

Here they differ from the papers by
- the optimiser: Adam, or L-BFGS within the bounds of pixels. Only Gatys et al. use L-BFGS; the
  others use gradient descent;
- the scale of the penalties, which are means over the pixels (see `Prior`); the papers' sums depend
  on the size of the image, so their weights are other numbers;
- Yosinski et al. also set pixels of small norm or small contribution to zero;
- Gatys et al. rescale VGG-19 until the mean activation of each filter over images is 1, and blend
  from white noise; here the weights stay as they are, and the content is the default start.

Pixels are 0..255, as in files. Needs TensorFlow.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_classics.analysis.layer_outputs import before_activation, layer_outputs
from keras_classics.analysis.pixels import (
    Inversion,
    OnStep,
    by_adam,
    check_optimizer,
    noise,
    optimized,
)
from keras_classics.backend import needs_tensorflow, tf
from keras_classics.errors import UserError

# Gatys et al. 2016, section 3 and Figure 3: layers of VGG-19.
CONTENT_LAYERS = ("block4_conv2",)
STYLE_LAYERS = tuple(f"block{number}_conv1" for number in range(1, 6))

# Images that were resized may be further out than 0..255 by that.
ROUNDING = 0.5

# Keeps the gradient of a difference finite at zero, and a division by the norm of silent features.
TINY = 1e-12


@dataclass(frozen=True)
class Prior:
    """Penalties for images that do not look like photographs. Pixels count as -1..1 here.

    Attributes:
        norm: Weight of the mean of the pixels' absolute values to the power p.
        p: Exponent. 2 is the decay of Simonyan et al. 2014; 6 punishes only extremes (Mahendran and
            Vedaldi 2015, equation 3).
        variation: Weight of the total variation, the mean over positions of the squared gradient to
            the power of beta / 2 (the same paper, section 3.2).
        beta: Exponent of the variation. 1 allows sharp edges, 2 smooths them.
    """

    norm: float = 0.0
    p: float = 2.0
    variation: float = 0.0
    beta: float = 2.0


NO_PRIOR = Prior()
SIMONYAN_2014 = Prior(norm=1.0, p=2.0)
MAHENDRAN_2015 = Prior(norm=0.1, p=6.0, variation=1.0, beta=2.0)


def maximize(
    model: keras.Model,
    units: int | Sequence[int],
    layer: str | None = None,
    *,
    position: tuple[int, int] | None = None,
    preprocessing: Callable | None = None,
    input_shape: tuple[int, int, int] | None = None,
    prior: Prior = MAHENDRAN_2015,
    jitter: int = 0,
    blur: float = 0.0,
    blur_every: int = 4,
    scales: int = 1,
    steps: int = 200,
    rate: float = 4.0,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Inversion:
    """Returns the images that classes, units or channels want: their activation is maximal.

    The activation counts before the layer's activation function, divided by the root mean square of
    the layer's at the start, from which the penalties are subtracted.

    Args:
        model: A network. Its weights do not change.
        units: Number of a class, unit or channel, or several: one image each.
        layer: Name of the layer; by default the last one, whose units are the classes.
        position: Row and column of the unit in the channel's map; the mean of the map if None.
        preprocessing: From images 0..255 to the network's input: a layer of `kc.preprocessing`, of
            which only `normalize` is used, or a function of tensors; None if the network takes
            0..255.
        input_shape: Shape of the images; needed if the network takes any size.
        prior: Penalties.
        jitter: Most pixels by which the image is shifted at random before each step (Mordvintsev et
            al. 2015, Inceptionism).
        blur: Standard deviation in pixels of a Gaussian filter (Yosinski et al. 2015, section 3.2).
        blur_every: Steps after which the image is blurred.
        scales: Number of sizes: the image is optimised at 1 / 2 ** (scales - 1) of its size first,
            enlarged for the network, and at its own size last.
        steps: Steps of Adam, all sizes together.
        rate: Learning rate, in values of pixels.
        seed: Seed of the noise at the start and of the jitter.
        on_step: Called after each step with its number and the mean of each term.

    Returns:
        One image per unit. The history has the terms `activation`, `norm`, `variation` and `loss`.

    Raises:
        UserError: If there is no such layer or unit, or Keras runs on another backend.
        NonFiniteLossError: If the loss is no longer a number.
    """
    if tf is None:
        raise needs_tensorflow("maximize needs")
    units = np.atleast_1d(np.asarray(units, "int32"))
    network = before_activation(model, layer)
    shape = tuple(input_shape or network.input_shape[1:])
    if None in shape:
        raise UserError(
            f"{model.name} takes images of any size. Received: input_shape={input_shape}. "
            f"Use input_shape=(224, 224, {shape[-1]})."
        )
    if shape != tuple(network.input_shape[1:]):
        last = network.outputs[0]._keras_history.operation.name
        network = layer_outputs(network, [last], input_shape=shape)
    _check_units(network, units, position, shape)
    features = _features(network, preprocessing)
    generator = np.random.default_rng(seed)
    start = noise(generator, (len(units), *shape))
    scale = tf.sqrt(tf.reduce_mean(tf.square(features(start)[0]))) + TINY

    def objective(pixels: "tf.Tensor") -> tuple["tf.Tensor", dict[str, "tf.Tensor"]]:
        activation = _of_units(features(pixels)[0], units, position)
        penalties = _penalties(pixels, prior)
        return sum(penalties.values()) - activation / scale, {"activation": activation, **penalties}

    return by_adam(
        objective,
        start,
        steps,
        rate,
        on_step,
        scales=scales,
        jitter=functools.partial(generator.integers, -jitter, jitter + 1, 2) if jitter else None,
        blur=blur,
        blur_every=blur_every,
    )


def reconstruct(
    model: keras.Model,
    images: np.ndarray,
    layer: str,
    *,
    preprocessing: Callable | None = None,
    prior: Prior = MAHENDRAN_2015,
    optimizer: str = "lbfgs",
    steps: int = 200,
    rate: float = 4.0,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Inversion:
    """Returns images that have the same features as others (Mahendran and Vedaldi 2015).

    Starts from noise, and minimises the squared distance of the features, divided by the squared
    norm of the images' features (the paper's equations 1 and 2), plus the penalties.

    Args:
        model: A network. Its weights do not change.
        images: Values 0..255, shape (batch, height, width, channels), or one image.
        layer: Name of the layer with the features.
        preprocessing: See `maximize`.
        prior: Penalties. The deeper the layer, the more the result depends on them.
        optimizer: `"lbfgs"`, for which the extra `train` is needed, or `"adam"`.
        steps: Most steps. L-BFGS ends earlier where it finds no better image.
        rate: Learning rate of Adam, in values of pixels.
        seed: Seed of the noise at the start.
        on_step: Called after each step with its number and the mean of each term.

    Returns:
        As many images. The history has the terms `features`, `norm`, `variation` and `loss`.

    Raises:
        UserError: If there is no such layer, it does not take such images, or Keras runs on another
            backend.
        NonFiniteLossError: If the loss is no longer a number.
    """
    if tf is None:
        raise needs_tensorflow("reconstruct needs")
    check_optimizer(optimizer)
    images = checked_images(images)
    network = layer_outputs(model, [layer], input_shape=images.shape[1:])
    features = _features(network, preprocessing)
    wanted = features(images)[0]
    size = _sum(tf.square(wanted)) + TINY

    def objective(pixels: "tf.Tensor") -> tuple["tf.Tensor", dict[str, "tf.Tensor"]]:
        distance = _sum(tf.square(features(pixels)[0] - wanted)) / size
        penalties = _penalties(pixels, prior)
        return distance + sum(penalties.values()), {"features": distance, **penalties}

    start = noise(np.random.default_rng(seed), images.shape)
    return optimized(optimizer, objective, start, steps, rate, on_step)


def transfer_style(
    model: keras.Model,
    content: np.ndarray,
    style: np.ndarray,
    *,
    preprocessing: Callable | None = None,
    content_layers: Sequence[str] = CONTENT_LAYERS,
    style_layers: Sequence[str] = STYLE_LAYERS,
    content_weight: float = 1e-3,
    style_weight: float = 1.0,
    prior: Prior = NO_PRIOR,
    average_pooling: bool = True,
    optimizer: str = "lbfgs",
    start: str = "content",
    steps: int = 200,
    rate: float = 4.0,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Inversion:
    """Returns an image with the content of one image and the style of another (Gatys et al. 2016).

    Args:
        model: The paper's network is `kc.vgg19`. Its weights do not change.
        content: Image, values 0..255, shape (height, width, channels).
        style: Image of the same channels; it may have another size.
        preprocessing: See `maximize`.
        content_layers: Layers whose maps the image shall share with `content`.
        style_layers: Layers whose Gram matrices it shall share with `style`, with equal weights.
        content_weight: The paper's alpha.
        style_weight: The paper's beta. Its figures have ratios of alpha to beta of 5e-4 to 8e-3.
        prior: Penalties; the paper has none.
        average_pooling: Whether average pooling takes the place of maximum pooling, as in the
            paper's figures.
        optimizer: `"lbfgs"` as in the paper, for which the extra `train` is needed, or `"adam"`.
        start: `"content"` or `"noise"`.
        steps: Most steps. L-BFGS ends earlier where it finds no better image.
        rate: Learning rate of Adam, in values of pixels.
        seed: Seed of the noise.
        on_step: Called after each step with its number and the value of each term.

    Returns:
        One image. The history has the terms `content`, `style`, `norm`, `variation` and `loss`, the
        first two as the paper's equations 1 and 5 have them, without weights.

    Raises:
        UserError: If there is no such layer, it does not take such images, or Keras runs on another
            backend.
        NonFiniteLossError: If the loss is no longer a number.
    """
    if tf is None:
        raise needs_tensorflow("transfer_style needs")
    check_optimizer(optimizer)
    if start not in ("content", "noise"):
        raise UserError(f"start must be 'content' or 'noise'. Received: {start!r}.")
    content, style = _one_image(content, "content"), _one_image(style, "style")

    def maps_of(layers: Sequence[str], shape: tuple[int, ...]) -> Callable:
        network = layer_outputs(
            model, layers, input_shape=shape[1:], average_pooling=average_pooling
        )
        return _features(network, preprocessing)

    wanted_maps = maps_of(content_layers, content.shape)(content)
    wanted_grams = [gram_matrix(maps) for maps in maps_of(style_layers, style.shape)(style)]
    features = maps_of([*content_layers, *style_layers], content.shape)

    def objective(pixels: "tf.Tensor") -> tuple["tf.Tensor", dict[str, "tf.Tensor"]]:
        maps = features(pixels)
        distances = [
            _sum(tf.square(found - wanted)) / 2
            for found, wanted in zip(maps, wanted_maps, strict=False)
        ]
        styles = [
            style_distance(gram_matrix(found), wanted)
            for found, wanted in zip(maps[len(distances) :], wanted_grams, strict=True)
        ]
        terms = {"content": tf.add_n(distances), "style": tf.add_n(styles) / len(styles)}
        penalties = _penalties(pixels, prior)
        loss = content_weight * terms["content"] + style_weight * terms["style"]
        return loss + sum(penalties.values()), {**terms, **penalties}

    generator = np.random.default_rng(seed)
    image = content if start == "content" else noise(generator, content.shape)
    return optimized(optimizer, objective, image, steps, rate, on_step)


def gram_matrix(maps: Any) -> Any:
    """Returns the products of each two channels, averaged over the positions.

    Gatys et al. 2016, equation 3, has the sum. The mean lets images of different sizes be compared;
    `style_distance` makes up for it.

    Args:
        maps: Feature maps of shape (batch, height, width, channels).

    Returns:
        Shape (batch, channels, channels).
    """
    _, height, width, channels = maps.shape
    flat = keras.ops.reshape(maps, (-1, height * width, channels))
    return keras.ops.matmul(keras.ops.swapaxes(flat, 1, 2), flat) / (height * width)


def style_distance(found: Any, wanted: Any) -> Any:
    """Returns the distance of Gram matrices for each image (Gatys et al. 2016, equation 4)."""
    squares = keras.ops.square(found - wanted)
    return keras.ops.sum(squares, axis=(1, 2)) / (4 * found.shape[-1] ** 2)


def checked_images(images: np.ndarray) -> np.ndarray:
    """Returns images as float32 of shape (batch, height, width, channels).

    Raises:
        UserError: If they have another shape, or values outside 0..255.
    """
    array = np.asarray(images, "float32")
    if array.ndim not in (3, 4) or not array.size:
        raise UserError(
            "Images have the shape (height, width, channels), or with a batch before it. "
            f"Received: {array.shape}."
        )
    low, high = array.min(), array.max()
    if not (low >= -ROUNDING and high <= 255 + ROUNDING):
        raise UserError(
            f"Images have values 0..255. Received: {low:g}..{high:g}. Give them without "
            "preprocessing, and preprocessing=... beside them."
        )
    array = np.clip(array, 0, 255)
    return array if array.ndim == 4 else array[None]


def _one_image(image: np.ndarray, name: str) -> np.ndarray:
    batch = checked_images(image)
    if len(batch) != 1:
        raise UserError(f"{name} must be one image. Received: {len(batch)}.")
    return batch


def _features(network: keras.Model, preprocessing: Callable | None) -> Callable:
    """Returns a function from pixels 0..255 to the network's list of outputs, in float32."""
    normalize = getattr(preprocessing, "normalize", preprocessing)

    def features(pixels: Any) -> list:
        pixels = tf.convert_to_tensor(pixels)
        inputs = pixels if normalize is None else normalize(pixels)
        outputs = network(inputs, training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return [tf.cast(output, tf.float32) for output in outputs]

    return features


def _sum(values: "tf.Tensor") -> "tf.Tensor":
    """Returns the sum for each image."""
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


def _penalties(pixels: "tf.Tensor", prior: Prior) -> dict[str, "tf.Tensor"]:
    """Returns the weighted penalties for each image."""
    values = pixels / 127.5 - 1
    terms = {}
    if prior.norm:
        terms["norm"] = prior.norm * tf.reduce_mean(tf.abs(values) ** prior.p, axis=(1, 2, 3))
    if prior.variation:
        terms["variation"] = prior.variation * total_variation(values, prior.beta)
    return terms


def total_variation(values: "tf.Tensor", beta: float = 2.0) -> "tf.Tensor":
    """Returns the total variation for each image (Mahendran and Vedaldi 2015, section 3.2).

    Args:
        values: Shape (batch, height, width, channels).
        beta: Exponent.

    Returns:
        The mean over positions and channels, shape (batch,).
    """
    # Behind the last row and column the image goes on as it ends.
    down = tf.pad(values[:, 1:] - values[:, :-1], [[0, 0], [0, 1], [0, 0], [0, 0]])
    right = tf.pad(values[:, :, 1:] - values[:, :, :-1], [[0, 0], [0, 0], [0, 1], [0, 0]])
    squares = down**2 + right**2
    return tf.reduce_mean(squares if beta == 2 else (squares + TINY) ** (beta / 2), axis=(1, 2, 3))


def _check_units(
    network: keras.Model, units: np.ndarray, position: tuple[int, int] | None, shape: tuple
) -> None:
    count = network.output_shape[-1]
    for unit in units:
        if not 0 <= unit < count:
            raise UserError(f"Units are numbered 0 to {count - 1}. Received: {unit}.")
    if position is None:
        return
    # The size of a map of the network's any-sized images is not known before.
    sides = keras.ops.shape(network(np.zeros((1, *shape), "float32")))[1:-1]
    if len(sides) != 2 or not all(0 <= p < s for p, s in zip(position, sides, strict=True)):
        raise UserError(
            f"position must lie in the map, {sides or 'which a dense layer has not'}. "
            f"Received: {position}."
        )


def _of_units(
    outputs: "tf.Tensor", units: np.ndarray, position: tuple[int, int] | None
) -> "tf.Tensor":
    """Returns the activation of the unit of each image, shape (batch,)."""
    if outputs.shape.rank == 4:
        if position is None:
            outputs = tf.reduce_mean(outputs, axis=(1, 2))
        else:
            outputs = outputs[:, position[0], position[1]]
    return tf.gather(outputs, units, axis=1, batch_dims=1)
