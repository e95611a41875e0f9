"""What a network costs and sees: parameters, multiply-adds, receptive fields, strides."""

from dataclasses import dataclass
from math import prod

import keras

from keras_classics.errors import UserError


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        layer: Its name.
        kind: Its class.
        output_shape: Without the batch.
        params: Trainable parameters.
        macs: Multiply-adds for one image, of convolutions and dense layers, as the papers count.
        receptive_field: Side of the square of pixels that one position sees, pixels beyond the
            image included; None where it sees all of the image.
        stride: Pixels between neighbouring positions; None likewise.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    receptive_field: int | None
    stride: int | None


@dataclass(frozen=True)
class Profile:
    """All layers of a network, in order; prints as a table."""

    name: str
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def dense_share_of_params(self) -> float:
        """Share of the parameters that dense layers hold, 0 to 1."""
        return sum(row.params for row in self.rows if _is_dense(row)) / self.params

    @property
    def convolution_share_of_macs(self) -> float:
        """Share of the multiply-adds that convolutions do, 0 to 1."""
        return sum(row.macs for row in self.rows if not _is_dense(row)) / self.macs

    def __str__(self) -> str:
        header = ("layer", "kind", "output", "parameters", "multiply-adds", "sees", "stride")
        cells = [header, *(_cells(row) for row in self.rows)]
        cells.append(("total", "", "", f"{self.params:,}", f"{self.macs:,}", "", ""))
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 3 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        shares = (
            f"{self.dense_share_of_params:.1%} of the parameters are in dense layers, "
            f"{self.convolution_share_of_macs:.1%} of the multiply-adds in convolutions."
        )
        return "\n".join([self.name, "", *lines, "", shares])


def profile(model: keras.Model) -> Profile:
    """Describes a functional model layer by layer.

    Args:
        model: A network whose image has a known height and width.

    Raises:
        UserError: The size of the image is not known.
    """
    if None in model.input_shape[1:]:
        raise UserError(
            f"{model.name} must have an image of known height and width to be described. "
            f"Received: {model.input_shape[1:]}. Build it with an input_shape."
        )
    geometry = receptive_fields(model)
    rows = [
        Row(
            layer.name,
            type(layer).__name__,
            tuple(layer.output.shape[1:]),
            sum(prod(variable.shape) for variable in layer.trainable_variables),
            _macs(layer),
            *geometry[layer.name],
        )
        for layer in model.layers
    ]
    return Profile(model.name, tuple(rows))


def receptive_fields(model: keras.Model) -> dict[str, tuple[int | None, int | None]]:
    """Receptive field and stride of each layer of a functional model, in pixels of its image.

    Returns:
        (receptive field, stride) by the layer's name; (None, None) where a layer sees all.
    """
    seen: dict[str, tuple[int | None, int | None]] = {}
    by_tensor: dict[int, tuple[int | None, int | None]] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            field, stride = 1, 1
        else:
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            field, stride = max(by_tensor[id(tensor)] for tensor in inputs)
            field, stride = _through(layer, field, stride)
        by_tensor[id(layer.output)] = seen[layer.name] = (field, stride)
    return seen


def _through(layer: keras.layers.Layer, field: int | None, stride: int | None):
    """Receptive field and stride behind a layer, from those before it."""
    if field is None or len(layer.output.shape) != 4:
        return None, None
    size, step = _window(layer)
    return field + (size - 1) * stride, stride * step


def _window(layer: keras.layers.Layer) -> tuple[int, int]:
    """Side and stride of a layer's window; 1 and 1 where each position stands for itself."""
    if isinstance(layer, keras.layers.AdaptiveAveragePooling2D):
        before, after = layer.input.shape[1], layer.output.shape[1]
        return -(-before // after), max(1, before // after)
    size = _side(getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", 1))
    dilation = _side(getattr(layer, "dilation_rate", 1))
    return (size - 1) * dilation + 1, _side(getattr(layer, "strides", 1))


def _side(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def _macs(layer: keras.layers.Layer) -> int:
    """Every entry of a kernel multiplies once for each position of the output."""
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
