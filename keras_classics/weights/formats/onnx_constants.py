"""The tensors of an ONNX graph by the names under which its nodes take them."""

from keras_classics.weights.formats.onnx_files import Graph, Node, Tensor

# Operators whose result is made of shapes alone, and what follows them.
SHAPES = {"Shape", "Size", "ConstantOfShape", "Range"}


def constants_of(graph: Graph) -> dict[str, tuple[Tensor | None, bool]]:
    """Returns the tensors by the names under which nodes take them, and whether transposed.

    What is computed from shapes alone is None.
    """
    constants: dict[str, tuple[Tensor | None, bool]] = {
        name: (tensor, False) for name, tensor in graph.tensors.items()
    }
    for node in graph.nodes:
        given = [name for name in node.inputs if name]
        if node.operator in SHAPES or all(name in constants for name in given):
            tensor, turned = constants.get(given[0], (None, False)) if given else (None, False)
            value = node.settings.get("value")
            if node.operator == "Constant":
                tensor = value if isinstance(value, Tensor) else _integer(node)
            elif node.operator == "Transpose" and tensor is not None and len(tensor.shape) == 2:
                turned = not turned
            elif node.operator not in ("Identity", "Cast"):
                tensor = None
            constants |= dict.fromkeys(node.outputs, (tensor, turned))
    return constants


def _integer(node: Node) -> Tensor | None:
    """Returns the integers that a node Constant has as such."""
    found = node.settings.get("value_ints", node.settings.get("value_int"))
    if found is None:
        return None
    values = tuple(found) if isinstance(found, list) else (found,)
    return Tensor(node.name, (len(values),), "int64", integers=values)
