"""Profile of a network: parameters, multiply-adds, receptive fields and strides."""

from dataclasses import dataclass
from math import prod
from typing import Any

import keras

from keras_classics.analysis.nested import flat, refuse_nested
from keras_classics.analysis.tables import aligned
from keras_classics.errors import UserError


@dataclass(frozen=True)
class Row:
    """The profile of one layer.

    Attributes:
        layer: Name of the layer.
        kind: Name of its class.
        output_shape: Shape of its output without the batch axis.
        params: Number of trainable parameters.
        macs: Multiply-adds for one image, of convolutions and dense layers, as the papers count.
        receptive_field: Side of the receptive field in pixels, pixels beyond the image included;
            None if it is the whole image.
        stride: Pixels between neighbouring positions; None if the receptive field is the whole
            image.
        counted: Whether it is one of the layers that the papers count from AlexNet's on: the
            convolutions and dense layers on the path from input to output that has most of them.
            Projections on shortcuts are not.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    receptive_field: int | None
    stride: int | None
    counted: bool


@dataclass(frozen=True)
class Profile:
    """The profiles of all layers of a network, in order. `str` returns a table."""

    name: str
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Number of trainable parameters."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def depth(self) -> int:
        """Number of counted layers: 50 for ResNet-50."""
        return sum(row.counted for row in self.rows)

    @property
    def dense_fraction_of_params(self) -> float:
        """Fraction of the parameters in dense layers, 0 to 1."""
        return sum(row.params for row in self.rows if _is_dense(row)) / self.params

    @property
    def convolution_fraction_of_macs(self) -> float:
        """Fraction of the multiply-adds in convolutions, 0 to 1."""
        return sum(row.macs for row in self.rows if not _is_dense(row)) / self.macs

    def __str__(self) -> str:
        header = (
            "layer",
            "kind",
            "output",
            "parameters",
            "multiply-adds",
            "receptive field",
            "stride",
        )
        total = ("total", "", "", f"{self.params:,}", f"{self.macs:,}", "", "")
        rows = [*map(_cells, self.rows), total]
        shares = (
            f"{self.dense_fraction_of_params:.1%} of the parameters are in dense layers, "
            f"{self.convolution_fraction_of_macs:.1%} of the multiply-adds in convolutions."
        )
        return "\n".join([self.name, "", aligned(header, rows, right=header[3:]), "", shares])


def profile(model: keras.Model) -> Profile:
    """Returns the profile of a functional model, layer by layer.

    Args:
        model: A network with a fixed input height and width. Nested functional networks are
            profiled by their layers.

    Raises:
        UserError: If the height or width is not fixed, or a layer is made of layers in code of its
            own.
    """
    model = flat(model)
    refuse_nested(model, "A profile")
    if None in model.input_shape[1:]:
        raise UserError(
            f"{model.name} must have a fixed input height and width for a profile. "
            f"Received: {model.input_shape[1:]}. Build it with an input_shape."
        )
    geometry = receptive_fields(model)
    counted = _counted_layers(model)
    rows = [
        Row(
            layer.name,
            type(layer).__name__,
            tuple(layer.output.shape[1:]),
            sum(prod(variable.shape) for variable in layer.trainable_variables),
            _macs(layer),
            *geometry[layer.name],
            layer.name in counted,
        )
        for layer in model.layers
    ]
    return Profile(model.name, tuple(rows))


def receptive_fields(model: keras.Model) -> dict[str, tuple[int | None, int | None]]:
    """Returns the receptive field and stride of each layer of a functional model, in pixels.

    Returns:
        (receptive field, stride) for each layer's name; (None, None) if the receptive field is the
        whole image.
    """
    seen: dict[str, tuple[int | None, int | None]] = {}
    by_tensor: dict[int, tuple[int | None, int | None]] = {}
    field: int | None
    stride: int | None
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            field, stride = 1, 1
        else:
            field, stride = max(by_tensor[id(tensor)] for tensor in _inputs(layer))
            field, stride = _through(layer, field, stride)
        by_tensor[id(layer.output)] = seen[layer.name] = (field, stride)
    return seen


def _counted_layers(model: keras.Model) -> set[str]:
    """Returns the names of the layers with kernels on the path that has most of them."""
    paths: dict[int, list[str]] = {}
    for layer in model.layers:
        path: list[str] = []
        if not isinstance(layer, keras.layers.InputLayer):
            path = max((paths[id(tensor)] for tensor in _inputs(layer)), key=len)
        paths[id(layer.output)] = [*path, layer.name] if hasattr(layer, "kernel") else path
    return set(max(paths.values(), key=len))


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _through(
    layer: keras.layers.Layer, field: int | None, stride: int | None
) -> tuple[int | None, int | None]:
    """Returns receptive field and stride after a layer, from those before it."""
    if field is None or stride is None or len(layer.output.shape) != 4:
        return None, None
    size, step = _window(layer)
    return field + (size - 1) * stride, stride * step


def _window(layer: keras.layers.Layer) -> tuple[int, int]:
    """Returns side and stride of a layer's window; 1 and 1 for a pointwise layer."""
    if isinstance(layer, keras.layers.AdaptiveAveragePooling2D):
        before, after = layer.input.shape[1], layer.output.shape[1]
        return -(-before // after), max(1, before // after)
    size = _side(getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", 1))
    dilation = _side(getattr(layer, "dilation_rate", 1))
    return (size - 1) * dilation + 1, _side(getattr(layer, "strides", 1))


def _side(size: Any) -> int:
    """Returns the height of a size, an integer or a tuple."""
    return size if isinstance(size, int) else size[0]


def _macs(layer: keras.layers.Layer) -> int:
    """Returns the multiply-adds of a layer: kernel entries times output positions."""
    if not hasattr(layer, "kernel"):
        return 0
    return prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)


def _is_dense(row: Row) -> bool:
    return row.macs > 0 and len(row.output_shape) == 1


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.layer,
        row.kind,
        "x".join(map(str, row.output_shape)),
        f"{row.params:,}" if row.params else "",
        f"{row.macs:,}" if row.macs else "",
        "all" if row.receptive_field is None else str(row.receptive_field),
        "" if row.stride is None else str(row.stride),
    )
