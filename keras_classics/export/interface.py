"""What exports take and return, in words and in numbers, for programs without this package.

`manifest.json` states it, and so do ONNX and TFLite files themselves. From an image file to the
input of an export: convert the image to grey or RGB (`channel_order`), resize it (`resize`),
reverse the channels for BGR, and compute `pixel * scale + offset` for each channel.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_classics.analysis.nested import flat
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing

# What an export takes or returns, JSON-serialisable.
Block = dict[str, Any]

# Kinds of drawings.
LIGHT_ON_DARK, DARK_ON_LIGHT = "light on dark", "dark on light"
# Mean difference of channels, above which images have colours.
COLOURED = 4.0
# Largest value that counts as dark; part of the edges that must be it; fraction of such images.
DARK = 24
FREE = 0.1
PLAIN = 0.8
GREY = "grey = 0.2989 R + 0.587 G + 0.114 B"


@dataclass(frozen=True)
class Normalization:
    """The step from pixels to values: `pixel * scale + offset`.

    Attributes:
        scale: One number per channel, in the channel order of the network.
        offset: One number per channel, or an image of them, (height, width, channels).
        bgr: Whether the network takes BGR images.
    """

    scale: np.ndarray
    offset: np.ndarray
    bgr: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of pixels from 0 to 255."""
        ends = self.offset, self.offset + 255 * self.scale
        return float(np.min(ends)), float(np.max(ends))

    def __call__(self, pixels: Any) -> Any:
        """Returns the values of uint8 pixels, grey or RGB, as float32."""
        values = ops.cast(pixels, "float32")
        if self.bgr:
            values = values[..., ::-1]
        return values * self.scale.astype("float32") + self.offset.astype("float32")


def normalization(layer: keras.layers.Layer) -> Normalization | None:
    """Returns what a preprocessing layer does with the values of pixels; None if it is unknown."""
    if type(layer) is CanvasPreprocessing:
        scale = (layer.foreground - layer.background) / 255
        return Normalization(
            np.full(layer.channels, scale), np.full(layer.channels, float(layer.background))
        )
    if type(layer) is ImagePreprocessing:
        scale = 1 / np.asarray(layer.std, "float64")
        return Normalization(scale, -np.asarray(layer.mean, "float64") * scale, layer.bgr)
    return None


def rounded_pixels(layer: keras.layers.Layer, images: np.ndarray) -> np.ndarray:
    """Returns images at the size that a network takes, with whole numbers as values.

    Args:
        layer: A layer with a known `normalization`.
        images: uint8, shape (batch, height, width, 1 or 3).

    Returns:
        uint8, grey or RGB, shape (batch, height, width, channels).
    """
    pixels = layer.resize(images)
    border = getattr(layer, "border", 0)
    pixels = tf.pad(pixels, [[0, 0], [border] * 2, [border] * 2, [0, 0]])
    return tf.cast(tf.round(pixels), tf.uint8).numpy()


class PixelValues(keras.layers.Layer):
    """Normalises uint8 pixels in an export that takes these.

    Args:
        step: What it computes.
    """

    def __init__(self, step: Normalization, **kwargs: Any):
        super().__init__(trainable=False, dtype="float32", autocast=False, **kwargs)
        self.step = step

    def call(self, pixels: Any) -> Any:
        return self.step(pixels)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "step": self.step}


def takes_pixels(
    network: keras.Model, step: Normalization, shape: tuple[int, int, int]
) -> keras.Model:
    """Returns a network that takes uint8 pixels, grey or RGB, and normalises them itself."""
    image = keras.Input(shape, dtype="uint8", name="image")
    return flat(keras.Model(image, network(PixelValues(step)(image)), name=network.name))


def known_normalization(layer: keras.layers.Layer) -> Normalization:
    """Returns what a preprocessing layer does with the values of pixels.

    Raises:
        UserError: If it is unknown.
    """
    step = normalization(layer)
    if step is None:
        raise UserError(
            "uint8 inputs need CanvasPreprocessing or ImagePreprocessing, whose normalisation an "
            f"export can contain. Received: {type(layer).__name__}. Use one of them, or float32 "
            "inputs."
        )
    return step


def input_block(layer: keras.layers.Layer, shape: tuple[int, ...], name: str) -> Block:
    """Returns what a network takes: the block `input` of a manifest.

    Args:
        layer: Its preprocessing.
        shape: Height, width and channels.
        name: Name of its input.
    """
    return {
        "name": name,
        "dtype": "float32",
        "layout": "NHWC",
        "shape": [None, *shape],
        **_values(layer, shape[-1]),
        "resize": _resize(layer),
    }


def pixel_block(channels: int) -> Block:
    """Returns how the input of an export differs that takes uint8 pixels."""
    return {
        "dtype": "uint8",
        "channel_order": "grey" if channels == 1 else "RGB",
        "value": "value = pixel, a whole number from 0 to 255",
        "range": [0, 255],
        "scale": [1.0] * channels,
        "offset": [0.0] * channels,
    }


def _values(layer: keras.layers.Layer, channels: int) -> Block:
    """Returns channel order, range and formula of values."""
    step = normalization(layer)
    order = "grey" if channels == 1 else "BGR" if step is not None and step.bgr else "RGB"
    if step is None:
        words = f"as {type(layer).__name__} computes it, see preprocessing"
        return {"channel_order": order, "value": words, "range": None, "scale": None}
    return {
        "channel_order": order,
        **({"grey": GREY} if order == "grey" else {}),
        "value": _formula(layer, step),
        "range": [_short(end) for end in step.range],
        "scale": step.scale.tolist(),
        "offset": step.offset.tolist(),
    }


def _formula(layer: keras.layers.Layer, step: Normalization) -> str:
    if isinstance(layer, CanvasPreprocessing):
        span = _short(layer.foreground - layer.background)
        return f"value = {_short(layer.background)} + pixel/255*{span}"
    if step.offset.ndim == 3:
        return "value = (pixel - mean image) / std, which is pixel * scale + offset"
    mean, std = ([_short(x) for x in numbers] for numbers in (layer.mean, layer.std))
    return f"value = (pixel - {mean}) / {std}, channels in the order {'BGR' if step.bgr else 'RGB'}"


def _resize(layer: keras.layers.Layer) -> Block | None:
    """Returns how images are brought to one size."""
    if type(layer) is CanvasPreprocessing:
        size, box = layer.size, layer.size - 2 * layer.border
        return {
            "words": f"fit inside {box}x{box} with the aspect ratio kept, centred in {size}x{size} "
            "on pixel 0; an odd margin is larger at the right and the bottom",
            "rule": "fit",
            "box": [box, box],
            "size": [size, size],
            "background": 0,
            **_resampler("bilinear"),
        }
    if type(layer) is ImagePreprocessing:
        return {
            "words": f"the short side becomes {layer.short_side} (the long side is rounded down), "
            f"then the central {layer.crop}x{layer.crop} is cropped",
            "rule": "crop",
            "short_side": layer.short_side,
            "size": [layer.crop, layer.crop],
            **_resampler(layer.interpolation),
        }
    return None


def _resampler(method: str) -> Block:
    """Returns how pixels are resampled, as Pillow and torchvision do by the same names."""
    return {"method": method, "antialias": True}


def output_block(labels: list[str], exclusive: bool, activation: str | None, name: str) -> Block:
    """Returns what a network returns: the block `output` of a manifest.

    Args:
        labels: Name of each output.
        exclusive: Whether they are the probabilities of exclusive classes.
        activation: Name of the last activation.
        name: Name of the output.
    """
    words = "probabilities of exclusive classes, which add up to 1"
    if not exclusive:
        words = "for each label the probability that it applies"
    return {
        "name": name,
        "dtype": "float32",
        "shape": [None, len(labels)],
        "values": words,
        "activation": activation,
        "range": [0, 1],
        "labels": labels,
    }


def differences(block: Block, network: Block) -> Block:
    """Returns how a file's input or output differs from the network's, and its main properties."""
    return {
        key: value
        for key, value in block.items()
        if key in ("name", "dtype", "shape") or value != network.get(key)
    }


def drawings(images: np.ndarray) -> str | None:
    """Returns whether images are drawings, and of which kind.

    Drawings are grey, and most have a plain background, which strokes may cover at the edges of the
    image but not nearly all along them.

    Args:
        images: uint8, shape (count, height, width, 1 or 3).

    Returns:
        `LIGHT_ON_DARK`, `DARK_ON_LIGHT`, or None for other images.
    """
    images = images.astype("int16")
    if (images.max(axis=-1) - images.min(axis=-1)).mean() > COLOURED:
        return None
    edges = [_edges(_without_bars(image)) for image in images.mean(axis=-1)]
    # Both pairs of edges must be partly dark, or light.
    dark = [max(np.quantile(pair, FREE) for pair in pairs) <= DARK for pairs in edges]
    light = [min(np.quantile(pair, 1 - FREE) for pair in pairs) >= 255 - DARK for pairs in edges]
    if np.mean(dark) >= PLAIN:
        return LIGHT_ON_DARK
    return DARK_ON_LIGHT if np.mean(light) >= PLAIN else None


def _edges(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values at top and bottom, and those at left and right."""
    return grey[[0, -1]].ravel(), grey[:, [0, -1]].ravel()


def _without_bars(grey: np.ndarray) -> np.ndarray:
    """Removes black bars on two sides, with which an image that is not square is centred."""
    top, left = (_bar(grey.any(axis=axis)) for axis in (1, 0))
    if top and not left:
        return grey[top : len(grey) - top]
    if left and not top:
        return grey[:, left : grey.shape[1] - left]
    return grey


def _bar(filled: np.ndarray) -> int:
    """Returns how many lines are empty at the beginning and at the end alike."""
    lines = np.flatnonzero(filled)
    return int(min(lines[0], len(filled) - 1 - lines[-1])) if len(lines) else 0


def _short(number: float) -> float:
    """Returns a number without the noise of float64, such as 1.275 for 1.175 + 0.1."""
    return float(f"{number:.7g}")
