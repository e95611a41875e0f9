"""The parts of a picture that a network is shown, whose answers are averaged.

    single       the middle
    ten          corners and middle of the middle square, and their mirror images: AlexNet, ResNet
    multi_crop   a grid of 5x5 and its mirror images at each of several sizes: VGG
    multi_scale  the middle at each of several sizes

The picture's short side becomes a scale; from that squares of the network's size are cut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_classics.errors import UserError, unknown_name
from keras_classics.image_preprocessing import ImagePreprocessing, scaled, with_channels

# The scales of VGG's Tables 4 and 5 for networks that were trained with jitter.
VGG_SCALES = (256, 384, 512)

Stacks = tuple[tf.Tensor, ...]


@dataclass(frozen=True)
class Layout:
    """Where views lie.

    Attributes:
        places: Of each view, the share of the free rows above it and of the free columns left of
            it.
        of_middle: Whether they lie in the middle square, or in the whole picture.
        flip: Whether each is shown mirrored too, unless one asks otherwise.
        scales: What the short side becomes, unless one asks otherwise; None: the preprocessing's.
    """

    places: tuple[tuple[float, float], ...]
    of_middle: bool = False
    flip: bool = False
    scales: tuple[int, ...] | None = None


_MIDDLE = (0.5, 0.5)
_GRID = tuple((row / 4, column / 4) for row in range(5) for column in range(5))

LAYOUTS = {
    "single": Layout((_MIDDLE,)),
    # Krizhevsky et al. 2012, section 4.1: of the central 256x256.
    "ten": Layout(((0, 0), (0, 1), (1, 0), (1, 1), _MIDDLE), of_middle=True, flip=True),
    # Simonyan and Zisserman 2015, section 3.2, say a regular grid of 5x5; of the whole picture is
    # our reading.
    "multi_crop": Layout(_GRID, flip=True, scales=VGG_SCALES),
    "multi_scale": Layout((_MIDDLE,), scales=VGG_SCALES),
}


def one_view(preprocess: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], Stacks]:
    """Returns what shows a network each image once, as its preprocessing makes it."""
    return lambda images: (preprocess(images)[:, tf.newaxis],)


def mirrored_too(images: tf.Tensor) -> tf.Tensor:
    """Puts the mirror images behind the views, along the axis of the views.

    Args:
        images: Shape (batch, views, height, width, channels).
    """
    return tf.concat([images, tf.reverse(images, [3])], axis=1)


def resizing(method: str, antialias: bool) -> str:
    """Says in words how pictures are scaled."""
    return f"{method} antialiased" if antialias else method


def scales_in_words(scales: Sequence[int]) -> str:
    """Says what the short side becomes: `scale 256`, or `scales 256 384`."""
    return f"scale{'s' * (len(scales) > 1)} {_words(scales)}"


class Views:
    """Squares of a picture, shown all at once.

    Prints as the protocol that a result is reported with.

    Args:
        kind: One of `LAYOUTS`.
        preprocessing: Normalises what is cut; its `crop` is the side of the squares. One that
            puts whole images on a canvas has the single view alone.
        scales: What the picture's short side becomes, one after the other; by default the layout's
            or the preprocessing's.
        flip: Whether each view is shown mirrored too; by default as the layout has it.
        method: How pictures are scaled, one that `tf.image.resize` knows.
        antialias: Whether shrinking looks at all pixels that it merges.

    Attributes:
        views: Number of views.

    Raises:
        UserError: The layout is unknown, does not go with the preprocessing, or a scale is smaller
            than a view.
    """

    def __init__(
        self,
        kind: str,
        preprocessing: keras.layers.Layer,
        *,
        scales: Sequence[int] | None = None,
        flip: bool | None = None,
        method: str = "bilinear",
        antialias: bool = True,
    ):
        if kind not in LAYOUTS:
            raise unknown_name("layout", kind, LAYOUTS)
        self.kind = kind
        self._layout = layout = LAYOUTS[kind]
        self._preprocessing = preprocessing
        self._flip = layout.flip if flip is None else flip
        self._method = method
        self._antialias = antialias
        self._cuts = isinstance(preprocessing, ImagePreprocessing)
        if not self._cuts and (kind != "single" or scales):
            raise UserError(
                f"The network takes whole images on a canvas, which have a single view. "
                f"Received: {kind}{', scales ' if scales else ''}{_words(scales or ())}. Take "
                "single, without scales."
            )
        self._scales = tuple(scales or layout.scales or ())
        if self._cuts:
            self._scales = self._scales or (preprocessing.short_side,)
            check_scales(self._scales, preprocessing.crop, "a view")
        if kind in ("single", "ten") and len(self._scales) > 1:
            raise UserError(
                f"{kind} has one scale. Received: {_words(self._scales)}. Take multi_scale or "
                "multi_crop."
            )
        self.views = len(layout.places) * max(1, len(self._scales)) * (1 + self._flip)

    def __call__(self, images: tf.Tensor) -> Stacks:
        """Cuts the views out of images of one size.

        Args:
            images: uint8, shape (batch, height, width, 1 or 3).

        Returns:
            What the network takes, float32, (batch, views, side, side, channels), in a tuple of
            one: scale after scale, at each of them the places in order, then their mirror images.
        """
        if not self._cuts:
            whole = self._preprocessing(images)[:, tf.newaxis]
            return (mirrored_too(whole) if self._flip else whole,)
        images = with_channels(images, 3)
        return (tf.concat([self._cut(images, scale) for scale in self._scales], axis=1),)

    def _cut(self, images: tf.Tensor, scale: int) -> tf.Tensor:
        crop = self._preprocessing.crop
        images = scaled(images, scale, self._method, self._antialias)
        if self._layout.of_middle:
            images = _square(images, scale)
        views = tf.stack([_square(images, crop, *place) for place in self._layout.places], axis=1)
        if self._flip:
            views = mirrored_too(views)
        return self._preprocessing.normalize(views)

    def network(self, model: keras.Model) -> keras.Model:
        """Returns the network that answers the views: the model itself.

        Raises:
            UserError: It takes images of another size.
        """
        sides = model.input_shape[1:3]
        taken = self._preprocessing.compute_output_shape((None, None, None, 3))[1:3]
        if any(side not in (None, cut) for side, cut in zip(sides, taken, strict=True)):
            raise UserError(
                f"{model.name} takes images of {sides[0]}x{sides[1]}; the views are "
                f"{taken[0]}x{taken[1]}. Build it with that input_shape."
            )
        return model

    def __str__(self) -> str:
        words = [self.kind] + ["flip"] * (self._flip and not self._layout.flip)
        words += ["no flip"] * (self._layout.flip and not self._flip)
        if self._cuts:
            words.append(scales_in_words(self._scales))
            words.append(f"crop {self._preprocessing.crop}")
            words.append(resizing(self._method, self._antialias))
        return ", ".join(words)


def check_scales(scales: Sequence[int], least: int, what: str) -> None:
    """Checks that no scale is smaller than it can be.

    Raises:
        UserError: One is.
    """
    if min(scales) < least:
        raise UserError(
            f"Scales must be at least {least}, the side of {what}. Received: {_words(scales)}."
        )


def _square(images: tf.Tensor, side: int, down: float = 0.5, right: float = 0.5) -> tf.Tensor:
    """The square of that side which has these shares of the free rows and columns before it."""
    free = tf.cast(tf.shape(images)[1:3] - side, tf.float32)
    # Halves go to the even side, as where the preprocessing cuts.
    top, left = tf.unstack(tf.cast(tf.round(free * [down, right]), tf.int32))
    return tf.image.crop_to_bounding_box(images, top, left, side, side)


def _words(scales: Sequence[int]) -> str:
    return " ".join(map(str, scales))
