"""ONNX files: what their graphs compute decides the network, whatever their tensors are called."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.export import fold_batch_norm
from keras_classics.export import onnx as export
from tests.helpers.golden import fill
from tests.helpers.weight_files import assert_refused

RESNET = {"input_shape": (32, 32, 3), "shortcut": "B"}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    network = kc.resnet20(**RESNET)
    fill(network)
    return network


@pytest.fixture(scope="module")
def content(model, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("onnx") / "a.onnx"
    export(model, path)
    return path.read_bytes()


def changed(content: bytes, change: Callable, path: Path) -> Path:
    """Writes a file whose graph was changed."""
    proto = onnx.load_from_string(content)
    change(proto.graph)
    path.write_bytes(proto.SerializeToString())
    return path


def weights(graph) -> dict:
    return {tensor.name: tensor for tensor in graph.initializer}


def nodes(graph, operator: str) -> list:
    return [node for node in graph.node if node.op_type == operator]


def unnamed(graph) -> None:
    """Numbers for the names of all nodes and tensors, as some exporters have them."""
    names: dict[str, str] = {}
    for node in graph.node:
        node.name = ""
        for values in (node.input, node.output):
            values[:] = [names.setdefault(n, f"{len(names)}") if n else n for n in values]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = names.setdefault(value.name, f"{len(names)}")


def with_constants(graph) -> None:
    """Weights as nodes instead of initialisers, one of them by way of an Identity."""
    for tensor in list(graph.initializer):
        node = onnx.helper.make_node("Constant", [], [f"{tensor.name} constant"], value=tensor)
        again = onnx.helper.make_node("Identity", [f"{tensor.name} constant"], [tensor.name])
        graph.node.insert(0, again)
        graph.node.insert(0, node)
    del graph.initializer[:]


def with_typed_lists(graph) -> None:
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.ClearField("raw_data")
            tensor.float_data.extend(values.ravel().tolist())


def with_bfloat16(graph) -> None:
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.data_type = onnx.TensorProto.BFLOAT16
            tensor.raw_data = (values.view("u4") >> 16).astype("u2").tobytes()


def as_matmul(graph) -> None:
    """A dense layer as torch's and TensorFlow's users write it: a product, then a sum."""
    (dense,) = nodes(graph, "Gemm")
    kernel = weights(graph)[dense.input[1]]
    turned = onnx.numpy_helper.to_array(kernel).T.copy()
    kernel.CopyFrom(onnx.numpy_helper.from_array(turned, kernel.name))
    place = list(graph.node).index(dense)
    transpose = onnx.helper.make_node("Transpose", [kernel.name], ["turned"], perm=(1, 0))
    product = onnx.helper.make_node("MatMul", [dense.input[0], "turned"], ["product"])
    total = onnx.helper.make_node("Add", [dense.input[2], "product"], [dense.output[0]])
    del graph.node[place]
    for node in (total, product, transpose):
        graph.node.insert(place, node)


def with_factors(graph) -> None:
    """Normalisations as what is left of them: a factor and a bias."""
    tensors = {name: onnx.numpy_helper.to_array(t) for name, t in weights(graph).items()}
    for norm in nodes(graph, "BatchNormalization"):
        gamma, beta, mean, variance = (tensors[name] for name in norm.input[1:])
        factor = gamma / np.sqrt(variance + onnx.helper.get_node_attr_value(norm, "epsilon"))
        for name, values in (("factor", factor), ("bias", beta - mean * factor)):
            tensor = onnx.numpy_helper.from_array(
                values.reshape(-1, 1, 1).astype("f4"), f"{norm.name} {name}"
            )
            graph.initializer.append(tensor)
        place = list(graph.node).index(norm)
        product = onnx.helper.make_node(
            "Mul", [norm.input[0], f"{norm.name} factor"], [f"{norm.name} product"]
        )
        total = onnx.helper.make_node(
            "Add", [f"{norm.name} product", f"{norm.name} bias"], [norm.output[0]]
        )
        del graph.node[place]
        graph.node.insert(place, total)
        graph.node.insert(place, product)


def assert_same_outputs(model: keras.Model, again: keras.Model, tolerance: float = 1e-5) -> None:
    image = np.random.default_rng(0).normal(size=(1, *model.input_shape[1:])).astype("f4")
    expected, found = (network(image, training=False).numpy() for network in (model, again))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(
    "change", [unnamed, with_constants, with_typed_lists, as_matmul, with_factors]
)
def test_ways_to_write_the_same(change, model, content, tmp_path):
    path = changed(content, change, tmp_path / "weights.bin")
    found = kc.identify(path)
    assert (found.network, dict(found.arguments)) == ("resnet20", {"shortcut": "B"})
    assert found.library == "ONNX"
    again = kc.resnet20(weights=path, **RESNET)
    if change is with_factors:
        assert_same_outputs(model, again)
        return
    for was, now in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("beside", [False, True])
def test_bfloat16(beside, model, content, tmp_path):
    path = changed(content, with_bfloat16, tmp_path / "a.onnx")
    if beside:
        outside(path.read_bytes(), path)
    again = kc.resnet20(weights=path, **RESNET)
    for was, now in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal((was.view("u4") & 0xFFFF0000).view("f4"), now)


@pytest.mark.parametrize(
    ("name", "arguments", "folded"),
    [
        ("lenet5", {}, False),
        ("lenet5_1998", {}, False),
        ("lenet5_1998", {"classes": 7, "input_shape": (40, 40, 1)}, False),
        ("lenet5_1998", {"include_top": False}, False),
        ("plain20", {}, True),
        pytest.param("resnet20", {"version": "v2", "shortcut": "B"}, False, marks=pytest.mark.slow),
        ("resnet20", {"version": "v2", "shortcut": "B"}, True),
        pytest.param("resnet20", {"include_top": False}, False, marks=pytest.mark.slow),
        ("resnet20", {"version": "v1.5", "bottleneck": True, "shortcut": "B"}, True),
        ("vgg16_mini", {"batch_norm": "all", "classes": 3}, False),
        ("vgg16_mini", {"batch_norm": "all", "batch_norm_after": "conv"}, True),
    ],
)
def test_a_graph_decides_the_network(name, arguments, folded, tmp_path):
    model = kc.get_model(name, classifier_activation=None, **arguments)
    fill(model)
    path = tmp_path / "a.onnx"
    export(fold_batch_norm(model) if folded else model, path)
    if name == "vgg16_mini" and folded:
        arguments = {}  # Nothing shows that it once normalised.
    found = kc.identify(path)
    assert (found.network, dict(found.arguments)) == (name, arguments)
    assert set(found.open) <= {"channels", "scale"}
    again = kc.get_model(name, weights=path, classifier_activation=None, **found.arguments)
    if found.arguments.get("include_top", True):
        assert_same_outputs(model, again)


def test_a_top_is_left_out(model, content, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    trunk = kc.resnet20(weights=path, include_top=False, shortcut="B")
    for layer in trunk.layers:
        for was, now in zip(
            model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(was, now)


def strided(graph) -> None:
    for attribute in nodes(graph, "Conv")[3].attribute:
        if attribute.name == "strides":
            attribute.ints[:] = [2, 2]


def leaky(graph) -> None:
    nodes(graph, "Relu")[4].op_type = "LeakyRelu"


def with_attention(graph) -> None:
    relu = nodes(graph, "Relu")[2]
    place = list(graph.node).index(relu)
    gate = onnx.helper.make_node("Sigmoid", [relu.input[0]], ["gate"])
    product = onnx.helper.make_node("Mul", [relu.input[0], "gate"], [relu.output[0]])
    del graph.node[place]
    graph.node.insert(place, product)
    graph.node.insert(place, gate)


def mean_instead(graph) -> None:
    (pool,) = nodes(graph, "GlobalAveragePool")
    pool.op_type = "GlobalMaxPool"


def quantized(graph) -> None:
    nodes(graph, "Relu")[0].op_type = "QuantizeLinear"


def dilated(graph) -> None:
    node = nodes(graph, "Conv")[5]
    kept = [a for a in node.attribute if a.name != "dilations"]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("dilations", (2, 2))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (strided, "stride"),
        (leaky, "LeakyRelu.*computes what no network here does"),
        (with_attention, "Mul.*computes what no network here does"),
        (mean_instead, "method max"),
        (quantized, "quantised"),
        (dilated, "dilation"),
    ],
)
def test_strangers_are_refused(change, message, model, content, tmp_path):
    path = changed(content, change, tmp_path / "a.onnx")
    assert_refused(model, path, message)
    if change is with_attention:
        with pytest.raises(UserError, match=f"none of the networks here.*{message}"):
            kc.identify(path)


# LeNet-5 of 1998, whose layers no other network has.


@pytest.fixture(scope="module")
def lenet() -> keras.Model:
    network = kc.lenet5_1998()
    fill(network)
    return network


@pytest.fixture(scope="module")
def lenet_content(lenet, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("onnx") / "a.onnx"
    export(lenet, path)
    return path.read_bytes()


def codes_first(graph) -> None:
    (difference,) = nodes(graph, "Sub")
    difference.input[:] = reversed(difference.input)


@pytest.mark.parametrize("change", [unnamed, with_constants, with_typed_lists, codes_first])
def test_lenet5_of_1998(change, lenet, lenet_content, tmp_path):
    path = changed(lenet_content, change, tmp_path / "a.onnx")
    assert kc.identify(path).network == "lenet5_1998"
    again = kc.lenet5_1998(weights=path)
    trunk = kc.lenet5_1998(weights=path, include_top=False)
    for network in (again, trunk):
        for layer in network.layers:
            ours = lenet.get_layer(layer.name).get_weights()
            for was, now in zip(ours, layer.get_weights(), strict=True):
                np.testing.assert_array_equal(was, now)


def one_value(layer: str, index: tuple[int, ...], value: float) -> Callable:
    """Sets a value of a layer's tensor."""

    def change(graph) -> None:
        tensor = weights(graph)[layer]
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[index] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    return change


def without_square(graph) -> None:
    square = next(node for node in nodes(graph, "Mul") if node.input[0] == node.input[1])
    square.op_type = "Abs"
    del square.input[1]


def kept_axes(graph) -> None:
    del nodes(graph, "ReduceSum")[0].attribute[:]


def negated_early(graph) -> None:
    nodes(graph, "Tanh")[2].op_type = "Neg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_value("s2/kernel", (3, 0, 1, 0), 2.0), "'s2/Conv' weighs the values of a window"),
        (one_value("c3/kernel", (0, 5, 2, 2), 0.1), "'c3/Conv' connects maps that the table"),
        (one_value("c1/inner_scale", (0,), 0.5), "has factor 0.5, but the network's 'c1' has 0.66"),
        (one_value("f6/outer_scale", (0,), 1.0), "has factor 1.0, but the network's 'f6' has 1.71"),
        (one_value("distances/codes", (1, 2), np.nan), "'distances/codes' must be finite"),
        (without_square, "Abs.*computes what no network here does"),
        (kept_axes, "ReduceSum.*computes what no network here does"),
        (negated_early, "Neg.*computes what no network here does"),
    ],
)
def test_what_only_resembles_lenet5_of_1998(change, message, lenet, lenet_content, tmp_path):
    path = changed(lenet_content, change, tmp_path / "a.onnx")
    assert_refused(lenet, path, message)
    if "computes" in message or "'c1'" in message:
        with pytest.raises(UserError, match=f"nearest to lenet5_1998.*{message}"):
            kc.identify(path)


# Files beside it.


def outside(content: bytes, path: Path, location: str = "a.onnx.data") -> Path:
    """Writes a file that has its tensors in another one, as torch's exporter does."""
    proto = onnx.load_from_string(content)
    onnx.external_data_helper.convert_model_to_external_data(
        proto, location="a.onnx.data", size_threshold=100
    )
    onnx.save(proto, path)
    if location != "a.onnx.data":
        proto = onnx.load(path, load_external_data=False)
        for tensor in proto.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        path.write_bytes(proto.SerializeToString())
    return path


def test_values_beside_the_file(model, content, tmp_path):
    path = outside(content, tmp_path / "a.onnx")
    assert path.stat().st_size < 50_000
    again = kc.resnet20(weights=path, **RESNET)
    for was, now in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    data = tmp_path / "a.onnx.data"
    data.write_bytes(data.read_bytes()[:-4])
    assert_refused(model, path, "ends before the tensor")
    data.unlink()
    assert kc.identify(path).network == "resnet20"  # It needs no values.
    assert_refused(model, path, "is missing beside it")
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret").write_bytes(bytes(10_000_000))
    data.symlink_to(other / "secret")
    assert_refused(model, path, "leads out of the folder")


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/b", "..\\secret", ""])
def test_values_elsewhere_are_refused(location, model, content, tmp_path):
    path = outside(content, tmp_path / "a.onnx", location)
    assert_refused(model, path, "must name files beside it|is missing")


def wrong_length(graph) -> None:
    tensor = graph.initializer[0]
    tensor.raw_data = tensor.raw_data[:-4]


def huge(graph) -> None:
    graph.initializer[0].dims[0] = 1 << 40


def negative(graph) -> None:
    graph.initializer[0].dims[0] = -1


@pytest.mark.parametrize("change", [wrong_length, huge, negative])
def test_sizes_come_before_values(change, model, content, tmp_path):
    path = changed(content, change, tmp_path / "a.onnx")
    assert_refused(model, path, "not an intact ONNX file")


@pytest.mark.parametrize("length", [1, 100, 5_000])
def test_a_file_that_is_cut(length, model, content, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(content[:length])
    assert_refused(model, path, "not an intact ONNX file")
