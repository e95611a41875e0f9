"""Evaluation protocols with several crops ("views") per image, whose probabilities are averaged.

    single       the centre crop
    ten          corners and centre of the central square, and their mirror images: AlexNet, ResNet
    multi_crop   a 5x5 grid and its mirror images at each of several scales: VGG
    multi_scale  the centre crop at each of several scales

An image is resized until its short side equals the scale; then squares of the network's input size
are cropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_classics.errors import UserError, unknown_name
from keras_classics.image_preprocessing import ImagePreprocessing, scaled, with_channels

# The scales of VGG's Tables 4 and 5 for networks trained with scale jitter.
VGG_SCALES = (256, 384, 512)

# Largest scale: an image of that height and width takes 200 MB.
MOST_SCALE = 4096

# A tensor (batch, views, height, width, channels) for each size of the views.
Stacks = tuple[tf.Tensor, ...]


@dataclass(frozen=True)
class Layout:
    """Positions of the views in an image.

    Attributes:
        positions: For each view, the fraction of the free rows that lie above it, and of the free
            columns to its left.
        central_square: Whether the views lie in the central square or in the whole image.
        flip: Default of whether to add mirror images.
        scales: Default lengths of the short side; None for that of the preprocessing.
    """

    positions: tuple[tuple[float, float], ...]
    central_square: bool = False
    flip: bool = False
    scales: tuple[int, ...] | None = None


_CENTRE = (0.5, 0.5)
_GRID = tuple((row / 4, column / 4) for row in range(5) for column in range(5))

LAYOUTS = {
    "single": Layout((_CENTRE,)),
    # Krizhevsky et al. 2012, section 4.1: in the central 256x256. He et al. 2015, section 3.4, name
    # "the standard 10-crop testing" and cite them; that theirs lie there too is our reading.
    "ten": Layout(((0, 0), (0, 1), (1, 0), (1, 1), _CENTRE), central_square=True, flip=True),
    # Simonyan and Zisserman 2015, section 3.2: a regular 5x5 grid; our reading is that it covers
    # the whole image.
    "multi_crop": Layout(_GRID, flip=True, scales=VGG_SCALES),
    "multi_scale": Layout((_CENTRE,), scales=VGG_SCALES),
}


def one_view(preprocess: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], Stacks]:
    """Returns a protocol with one view per image, from a preprocessing function."""
    return lambda images: (preprocess(images)[:, tf.newaxis],)


def with_flips(images: tf.Tensor) -> tf.Tensor:
    """Appends the mirror images of the views, along the views axis.

    Args:
        images: Shape (batch, views, height, width, channels).
    """
    return tf.concat([images, tf.reverse(images, [3])], axis=1)


def describe_resizing(method: str, antialias: bool) -> str:
    """Returns the interpolation in words: `bilinear antialiased`."""
    return f"{method} antialiased" if antialias else method


def describe_scales(scales: Sequence[int]) -> str:
    """Returns the scales in words: `scale 256`, or `scales 256 384`."""
    return f"scale{'s' * (len(scales) > 1)} {_words(scales)}"


class Views:
    """An evaluation protocol: square crops of an image, evaluated together.

    `str` returns the protocol as results report it.

    Args:
        kind: One of `LAYOUTS`.
        preprocessing: Normalises the crops; its `crop` is their side. `CanvasPreprocessing`
            supports only `"single"`.
        scales: Lengths of the image's short side; by default those of the layout or that of the
            preprocessing.
        flip: Whether to add the mirror image of each view; by default as the layout does.
        method: Interpolation method of `tf.image.resize`; by default that of the preprocessing.
        antialias: Whether to antialias when shrinking.

    Attributes:
        views: Number of views per image.

    Raises:
        UserError: If the layout is unknown or does not match the preprocessing, or a scale is
            smaller than a view.
    """

    def __init__(
        self,
        kind: str,
        preprocessing: keras.layers.Layer,
        *,
        scales: Sequence[int] | None = None,
        flip: bool | None = None,
        method: str | None = None,
        antialias: bool = True,
    ):
        if kind not in LAYOUTS:
            raise unknown_name("layout", kind, LAYOUTS)
        self.kind = kind
        self._layout = layout = LAYOUTS[kind]
        self._preprocessing = preprocessing
        self._flip = layout.flip if flip is None else flip
        self._method = method or getattr(preprocessing, "interpolation", "bilinear")
        self._antialias = antialias
        self._crops = isinstance(preprocessing, ImagePreprocessing)
        if not self._crops and (kind != "single" or scales):
            raise UserError(
                "Networks with CanvasPreprocessing support only the protocol single, without "
                f"scales. Received: {kind}{', scales ' if scales else ''}{_words(scales or ())}. "
                "Use single."
            )
        self._scales = tuple(scales or layout.scales or ())
        if self._crops:
            self._scales = self._scales or (preprocessing.short_side,)
            check_scales(self._scales, preprocessing.crop, "a view")
        if kind in ("single", "ten") and len(self._scales) > 1:
            raise UserError(
                f"{kind} takes one scale. Received: {_words(self._scales)}. Use multi_scale or "
                "multi_crop."
            )
        self.views = len(layout.positions) * max(1, len(self._scales)) * (1 + self._flip)

    def __call__(self, images: tf.Tensor) -> Stacks:
        """Crops and normalises the views of images of one size.

        Args:
            images: uint8, shape (batch, height, width, 1 or 3).

        Returns:
            A tuple of one tensor, float32, shape (batch, views, side, side, channels). The views
            are in the order of the scales; at each scale the positions come first, then their
            mirror images.
        """
        if not self._crops:
            stack = self._preprocessing(images)[:, tf.newaxis]
            return (with_flips(stack) if self._flip else stack,)
        images = with_channels(images, 3)
        return (tf.concat([self._crop(images, scale) for scale in self._scales], axis=1),)

    def _crop(self, images: tf.Tensor, scale: int) -> tf.Tensor:
        crop = self._preprocessing.crop
        images = scaled(images, scale, self._method, self._antialias)
        if self._layout.central_square:
            images = _square(images, scale)
        views = [_square(images, crop, *position) for position in self._layout.positions]
        stack = tf.stack(views, axis=1)
        if self._flip:
            stack = with_flips(stack)
        return self._preprocessing.normalize(stack)

    def network(self, model: keras.Model) -> keras.Model:
        """Returns the network that evaluates the views: the model itself.

        Raises:
            UserError: If its input has another size than the views.
        """
        sides = model.input_shape[1:3]
        size = self._preprocessing.compute_output_shape((None, None, None, 3))[1:3]
        if any(side not in (None, given) for side, given in zip(sides, size, strict=True)):
            raise UserError(
                f"The views must have the input size of {model.name}, {sides[0]}x{sides[1]}. "
                f"Received: {size[0]}x{size[1]}. Use a network with that input size."
            )
        return model

    def __str__(self) -> str:
        words = [self.kind] + ["flip"] * (self._flip and not self._layout.flip)
        words += ["no flip"] * (self._layout.flip and not self._flip)
        if self._crops:
            words.append(describe_scales(self._scales))
            words.append(f"crop {self._preprocessing.crop}")
            words.append(describe_resizing(self._method, self._antialias))
        return ", ".join(words)


def check_scales(scales: Sequence[int], least: int, what: str) -> None:
    """Checks that no scale is smaller than `least`, and none larger than `MOST_SCALE`.

    Args:
        scales: Lengths of the short side.
        least: The smallest length allowed.
        what: What that length is the side of, for the message.

    Raises:
        UserError: If a scale is smaller or larger.
    """
    if min(scales) < least:
        raise UserError(
            f"Scales must be at least {least}, the side of {what}. Received: {_words(scales)}."
        )
    if max(scales) > MOST_SCALE:
        raise UserError(f"Scales must be at most {MOST_SCALE}. Received: {_words(scales)}.")


def _square(images: tf.Tensor, side: int, down: float = 0.5, right: float = 0.5) -> tf.Tensor:
    """Crops a square, with these fractions of the free rows and columns before it."""
    free = tf.cast(tf.shape(images)[1:3] - side, tf.float32)
    # Rounds half to even, as the preprocessing's crop does.
    top, left = tf.unstack(tf.cast(tf.round(free * [down, right]), tf.int32))
    return tf.image.crop_to_bounding_box(images, top, left, side, side)


def _words(scales: Sequence[int]) -> str:
    return " ".join(map(str, scales))
