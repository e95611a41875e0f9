"""An ONNX graph under construction."""

from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops


class Graph:
    """An ONNX graph under construction. Its values are identified by their names.

    Args:
        library: The module `onnx`.
        proto: The graph to fill, a `GraphProto`.

    Attributes:
        proto: The graph, a `GraphProto`.
        layer: Name of the layer that is being written.
        flattened: The (height, width, channels) of each flattened map, by its value's name. Its
            elements have the order channels, height, width.
    """

    def __init__(self, library: ModuleType, proto: Any):
        self.proto = proto
        self.layer = ""
        self.flattened: dict[str, tuple[int, int, int]] = {}
        self._library = library
        self._names: Counter[str] = Counter()

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node to the current layer; returns its output."""
        return self._add(operator, inputs, self._unused(operator), attributes)

    def constant(self, name: str, values: Any, dtype: str = "float32") -> str:
        """Adds an initializer to the current layer; returns its name."""
        array = np.ascontiguousarray(ops.convert_to_numpy(values), dtype)
        # Filled in place: a tensor that is created first and then appended is in memory twice.
        tensor = self.proto.initializer.add()
        tensor.name = self._unused(name)
        tensor.dims.extend(array.shape)
        tensor.data_type = self._library.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.tobytes()
        return tensor.name

    def start(self, tensor: keras.KerasTensor) -> str:
        """Adds an input in Keras's layout; returns its value in ONNX's layout."""
        self.layer = tensor.name
        self.proto.input.append(self._value_info(tensor.name, tensor))
        if len(tensor.shape) != 4:
            return tensor.name
        return self.node("Transpose", tensor.name, perm=(0, 3, 1, 2))

    def end(self, name: str, tensor: keras.KerasTensor, value: str) -> None:
        """Adds an output in Keras's layout, from a value in ONNX's layout."""
        self.layer = name
        if len(tensor.shape) == 4:
            self._add("Transpose", [value], name, {"perm": (0, 2, 3, 1)})
        else:
            self._add("Identity", [self.in_order(value)], name, {})
        self.proto.output.append(self._value_info(name, tensor))

    def in_order(self, value: str) -> str:
        """Reorders a flattened map to height, width, channels; other values are unchanged."""
        if value not in self.flattened:
            return value
        height, width, channels = self.flattened[value]
        indices = np.arange(height * width * channels).reshape(channels, height, width)
        order = self.constant("order", indices.transpose(1, 2, 0).reshape(-1), "int64")
        return self.node("Gather", value, order, axis=1)

    def _unused(self, name: str) -> str:
        """Returns a unique name within the current layer."""
        name = f"{self.layer}/{name}"
        self._names[name] += 1
        return f"{name}_{self._names[name]}" if self._names[name] > 1 else name

    def _add(
        self, operator: str, inputs: Sequence[str], output: str, attributes: dict[str, Any]
    ) -> str:
        node = self._library.helper.make_node(operator, inputs, [output], output, **attributes)
        self.proto.node.append(node)
        return output

    def _value_info(self, name: str, tensor: keras.KerasTensor):
        """Returns the description of an input or output; its free axes get names."""
        axes = ("batch", "height", "width", "channels")
        shape = [side or f"{name}_{axis}" for side, axis in zip(tensor.shape, axes, strict=False)]
        # Values are float32 whatever the dtype policy; the pixels of an image may be uint8.
        types = self._library.TensorProto
        kind = types.UINT8 if tensor.dtype == "uint8" else types.FLOAT
        return self._library.helper.make_tensor_value_info(name, kind, ["batch", *shape[1:]])
