"""VGG: configurations A to E, with batch normalisation everywhere or after some convolutions.

Paper: K. Simonyan, A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image
Recognition, ICLR 2015 (arXiv 1409.1556), Table 1. Blocks of convolutions with stride 1 and ReLU,
2x2 max-pooling after each block, three dense layers; 224x224x3 images minus their mean colour.

The networks differ from the paper by
- the initial weights: He's, which train every depth from scratch. The paper starts the deep ones
  from a trained A, because its own (`kernel_initializer="vgg"`) do not train them;
- `vgg*_bn`, which normalise after every convolution, before its ReLU, as torchvision does;
- `vgg16_first_bn`, which normalises once, after the ReLU of the first convolution: what a blog
  reports to let a VGG leave the plateau at ln(classes);
- `vgg16_mini`, the narrow VGG-16 for 64x64 images of six classes of that report, with Glorot's
  initial weights, without dropout;
- `vgg9`, which is A without its fifth block, in no paper, in common use on 32x32 images.
"""

from typing import Unpack

import keras

from keras_classics.errors import UserError, unknown_name
from keras_classics.models.builder import CommonArguments, ModelBuilder
from keras_classics.models.initializers import kernel_initializer as initial
from keras_classics.models.layers import LocalResponseNormalization
from keras_classics.models.registry import Variant, register_variant
from keras_classics.models.replica_layers import BatchNormalization, Dropout

PAPER = (
    "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015"
)

# Table 1: sides of the kernels in each block; LRN is a response normalisation at that place.
LRN = 0
CONFIGS: dict[str, tuple[tuple[int, ...], ...]] = {
    "9": ((3,), (3,), (3, 3), (3, 3)),
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3, LRN), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
FILTERS = (64, 128, 256, 512, 512)
HIDDEN = (4096, 4096)


def vgg(
    variant: Variant[str],
    *,
    stacked: bool = True,
    batch_norm: str | tuple[str, ...] | None = None,
    batch_norm_after: str = "conv",
    filters: tuple[int, ...] = FILTERS,
    hidden: tuple[int, ...] = HIDDEN,
    dropout: float = 0.5,
    kernel_initializer: str | keras.initializers.Initializer = "he_fan_in",
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """Builds a VGG.

    The dense layers are sized from the image.

    Args:
        variant: The network; its configuration is a key of `CONFIGS`.
        stacked: Whether blocks are stacks of small convolutions, as in the table. If not, each
            block is one convolution of the same receptive field: two of 3x3 become one of 5x5,
            three one of 7x7 (sections 2.3 and 4.1, where B so changed has 7 points more error).
        batch_norm: Where batch normalisation follows: `"all"` convolutions, the `"first"`, a tuple
            of their names such as `("block1_conv1", "block2_conv1")`, or None.
        batch_norm_after: `"conv"`, between a convolution and its ReLU, or `"activation"`.
        filters: Filters of each block.
        hidden: Units of the dense layers before the last.
        dropout: Fraction of each of them that is dropped in training.
        kernel_initializer: A name in `initializers.INITIALIZERS`, such as `"vgg"` or
            `"vgg_torchvision"`, or a Keras initializer.
        **common: See `CommonArguments`.

    Returns:
        A model from float images minus their mean to probabilities of shape (batch, classes).

    Raises:
        UserError: An argument is outside its range.
    """
    net = ModelBuilder(variant, **common)
    blocks = CONFIGS[variant.config]
    if not stacked:
        blocks = tuple(map(as_one, blocks))
    if len(filters) < len(blocks):
        raise UserError(f"{net.name} takes filters for {len(blocks)} blocks. Received: {filters}.")
    if batch_norm_after not in ("conv", "activation"):
        raise UserError(
            f"batch_norm_after must be 'conv' or 'activation'. Received: {batch_norm_after!r}."
        )
    normalized = _normalized_layers(blocks, batch_norm)
    x = net.image
    for number, kernels in enumerate(blocks, 1):
        for layer, kernel in _convolutions(number, kernels):
            after = batch_norm_after if layer in normalized else None
            options = {"padding": "same", "kernel_initializer": initial(kernel_initializer, layer)}
            x = _convolve(x, filters[number - 1], kernel, layer, after, options)
        if LRN in kernels:
            x = LocalResponseNormalization(name=f"block{number}_lrn")(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
    if not net.include_top:
        return net.model(net.pool(x))

    x = net.flatten(x)
    for number, units in enumerate(hidden, 1):
        start = initial(kernel_initializer, f"fc{number}")
        x = keras.layers.Dense(
            units, activation="relu", kernel_initializer=start, name=f"fc{number}"
        )(x)
        x = Dropout(dropout, name=f"dropout{number}")(x)
    return net.model(net.classify(x, initial(kernel_initializer, "predictions")))


def as_one(kernels: tuple[int, ...]) -> tuple[int, ...]:
    """Merges a block's kernels into one of their receptive field; an LRN stays where it is."""
    norms = tuple(side for side in kernels if side == LRN)
    return (1 + sum(side - 1 for side in kernels if side != LRN), *norms)


def _convolutions(number: int, kernels: tuple[int, ...]) -> list[tuple[str, int]]:
    """Returns names and kernel sides of the convolutions of a block."""
    sides = [side for side in kernels if side != LRN]
    return [(f"block{number}_conv{i}", side) for i, side in enumerate(sides, 1)]


def _normalized_layers(blocks, batch_norm: str | tuple[str, ...] | None) -> set[str]:
    """Returns the names of the convolutions that batch normalisation follows."""
    names = [
        name
        for number, kernels in enumerate(blocks, 1)
        for name, _ in _convolutions(number, kernels)
    ]
    if batch_norm is None:
        return set()
    if batch_norm == "all":
        return set(names)
    if batch_norm == "first":
        return {names[0]}
    if isinstance(batch_norm, str):
        raise unknown_name("batch_norm", batch_norm, ["all", "first"])
    for name in batch_norm:
        if name not in names:
            raise unknown_name("convolution in batch_norm", name, names)
    return set(batch_norm)


def _convolve(x, filters: int, kernel: int, name: str, batch_norm_after: str | None, options):
    activation = None if batch_norm_after == "conv" else "relu"
    x = keras.layers.Conv2D(filters, kernel, activation=activation, name=name, **options)(x)
    if batch_norm_after:
        x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    if batch_norm_after == "conv":
        x = keras.layers.Activation("relu", name=f"{name}_relu")(x)
    return x


def vgg_variant(
    name: str,
    config: str,
    summary: str,
    *,
    side: int = 224,
    classes: int = 1000,
    torchvision: str = "",
    keras_applications: str = "",
) -> Variant[str]:
    """Returns a VGG of a configuration in `CONFIGS`, to be given to `vgg`.

    Raises:
        UserError: There is no such configuration.
    """
    if config not in CONFIGS:
        raise unknown_name("configuration", config, CONFIGS)
    return Variant(
        name=name,
        config=config,
        summary=summary,
        paper=PAPER,
        input_shape=(side, side, 3),
        smallest_input=2 ** len(CONFIGS[config]),
        classes=classes,
        torchvision=torchvision,
        keras_applications=keras_applications,
    )


vgg11 = register_variant(
    vgg, vgg_variant("vgg11", "A", "VGG-11: configuration A.", torchvision="vgg11")
)
vgg11_lrn = register_variant(
    vgg,
    vgg_variant("vgg11_lrn", "A-LRN", "VGG-11 with response normalisation after its first layer."),
)
vgg13 = register_variant(
    vgg, vgg_variant("vgg13", "B", "VGG-13: configuration B.", torchvision="vgg13")
)
vgg16_c = register_variant(
    vgg, vgg_variant("vgg16_c", "C", "VGG-16: C, 1x1 convolutions at the end of blocks 3 to 5.")
)
vgg16 = register_variant(
    vgg,
    vgg_variant(
        "vgg16",
        "D",
        "VGG-16: configuration D.",
        torchvision="vgg16",
        keras_applications="VGG16, which has no dropout",
    ),
)
vgg19 = register_variant(
    vgg,
    vgg_variant(
        "vgg19",
        "E",
        "VGG-19: configuration E.",
        torchvision="vgg19",
        keras_applications="VGG19, which has no dropout",
    ),
)

vgg11_bn = register_variant(
    vgg,
    vgg_variant("vgg11_bn", "A", "VGG-11 with batch normalisation.", torchvision="vgg11_bn"),
    batch_norm="all",
)
vgg13_bn = register_variant(
    vgg,
    vgg_variant("vgg13_bn", "B", "VGG-13 with batch normalisation.", torchvision="vgg13_bn"),
    batch_norm="all",
)
vgg16_bn = register_variant(
    vgg,
    vgg_variant("vgg16_bn", "D", "VGG-16 with batch normalisation.", torchvision="vgg16_bn"),
    batch_norm="all",
)
vgg19_bn = register_variant(
    vgg,
    vgg_variant("vgg19_bn", "E", "VGG-19 with batch normalisation.", torchvision="vgg19_bn"),
    batch_norm="all",
)
vgg16_first_bn = register_variant(
    vgg,
    vgg_variant(
        "vgg16_first_bn",
        "D",
        "VGG-16 with batch normalisation only after the ReLU of its first convolution.",
    ),
    batch_norm="first",
    batch_norm_after="activation",
)

vgg9 = register_variant(
    vgg,
    vgg_variant(
        "vgg9",
        "9",
        "VGG-9: configuration A without its fifth block, for 32x32 images; in no paper.",
        side=32,
        classes=10,
    ),
)
vgg16_mini = register_variant(
    vgg,
    vgg_variant(
        "vgg16_mini",
        "D",
        "The narrow VGG-16 for 64x64 images of six classes, on which the fix was found.",
        side=64,
        classes=6,
    ),
    batch_norm_after="activation",
    filters=(4, 8, 16, 32, 32),
    hidden=(256, 256),
    dropout=0.0,
    kernel_initializer="glorot_uniform",
)
