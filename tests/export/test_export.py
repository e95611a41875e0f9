"""Exports of every network, and the verification of exports."""

import copy
import functools
import json

import keras
import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError, VerificationError
from keras_classics.export import source, verify
from keras_classics.export.fold import fold_batch_norm
from keras_classics.export.source import Source, generated_images
from keras_classics.image_preprocessing import (
    CanvasPreprocessing,
    ImagePreprocessing,
)
from keras_classics.models.layers import AdaptiveAveragePooling2D, TowerConv2D
from tests.helpers.exports import arguments
from tests.helpers.networks import network, small

# With the family below and `adapted` they have all kinds of layers there are.
FAST = ("cuda_convnet", "lenet5_1998", "resnet20", "vgg16_first_bn")
# What the names of networks end in that have only more layers than others.
DEEP = ("101", "110", "152", "164", "1001", "1202")
FAMILIES = ["lenet5", "resnet20", "vgg16_mini", "alexnet"]


def networks() -> list:
    slow = pytest.mark.slow
    return [n if n in FAST else pytest.param(n, marks=slow) for n in kc.list_models()]


@pytest.fixture(autouse=True)
def short_timing(monkeypatch):
    monkeypatch.setattr(verify, "LATENCY_RUNS", 3)


def needs_xla(folder) -> bool:
    """Returns whether a SavedModel contains a part that XLA must compile."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    assert {"Conv2D", "MatMul"} <= {node.op for node in nodes}
    return any(node.op.startswith("Xla") for node in nodes) or any(
        holder.attr["_XlaMustCompile"].b for holder in (*nodes, *functions)
    )


@pytest.mark.parametrize("name", networks())
def test_every_network(name, tmp_path):
    model = network(name)
    manifest = export.export_model(model, tmp_path / "export", **arguments(model))
    assert set(manifest["exports"]) == {"saved_model", "model.tflite"}
    assert_exact(manifest["exports"].values())
    assert not needs_xla(tmp_path / "export" / "saved_model")


def adapted() -> keras.Model:
    """A network with the layers that only AlexNets have, without their 50 million weights."""
    image = keras.Input((20, 24, 3), name="image")
    x = keras.layers.Conv2D(4, 5, strides=2, activation="relu")(
        keras.layers.ZeroPadding2D(2)(image)
    )
    x = TowerConv2D(6, 3, padding="same", activation="relu")(x)
    x = AdaptiveAveragePooling2D((6, 6))(x)
    return keras.Model(image, keras.layers.Dense(7, "softmax")(keras.layers.Flatten()(x)))


def test_layers_that_only_alexnets_have(tmp_path):
    model = adapted()
    manifest = export.export_model(model, tmp_path / "export", **arguments(model))
    assert_exact(manifest["exports"].values())
    assert not needs_xla(tmp_path / "export" / "saved_model")


def kinds(model: keras.Model) -> set[tuple]:
    """Returns the kinds of layers in a network's export, without sizes."""
    found = set()
    for layer in fold_batch_norm(model).layers:
        config = layer.get_config()
        # As a string alone: "same" or "valid", and not a number of pixels.
        padding = config.get("padding") if isinstance(config.get("padding"), str) else None
        found.add((type(layer).__name__, str(config.get("activation")), padding))
    return found


@pytest.mark.slow
def test_the_fast_networks_have_every_kind_of_layer():
    fast = kinds(adapted()).union(*(kinds(small(name)) for name in (*FAST, FAMILIES[0])))
    for name in kc.list_models():
        if not name.endswith(DEEP):
            assert kinds(small(name)) <= fast, name


def assert_exact(exports) -> None:
    for content in exports:
        assert content["agreement"]["max_difference"] <= 1e-4
        assert content["agreement"]["same_prediction"] == 1
        assert content["latency"]["runs"] == 3
        assert 0 < content["latency"]["p50_ms"] <= content["latency"]["p95_ms"]


@pytest.mark.parametrize(
    "name", [FAMILIES[0], *(pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES[1:])]
)
def test_every_format_of_a_family(name, tmp_path):
    model = network(name)
    calibration = generated_images(model.input_shape[1:])
    manifest = export.export_model(
        model,
        tmp_path / "export",
        calibration=calibration,
        formats=export.FORMATS,
        quantize=export.QUANTIZATIONS,
        **arguments(model),
    )
    exports = manifest["exports"]
    assert set(exports) == {
        "saved_model",
        "model.tflite",
        "model_float16.tflite",
        "model_dynamic.tflite",
        "model_int8.tflite",
        "model_int16x8.tflite",
        "model.onnx",
        "model_int8.onnx",
    }
    assert_exact(exports[name] for name in ("saved_model", "model.tflite", "model.onnx"))
    assert not needs_xla(tmp_path / "export" / "saved_model")
    assert exports["model_int8.tflite"]["calibration_images"] == len(calibration)
    assert exports["model.tflite"]["calibration_images"] == 0
    sizes = {n: sum(f["bytes"] for f in c["files"].values()) for n, c in exports.items()}
    assert sizes["model_float16.tflite"] < sizes["model.tflite"]
    floats = exports["model_int8.tflite"]["float_operations"]
    assert floats == (["LOCAL_RESPONSE_NORMALIZATION"] if name == "alexnet" else [])


@pytest.mark.slow
def test_mixed_precision_is_exported_in_float32(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network("resnet20")
    finally:
        keras.config.set_dtype_policy(before)
    weights = model.get_weights()
    export.export_model(model, tmp_path / "export", formats=export.FORMATS, **arguments(model))
    assert model.layers[1].compute_dtype == "bfloat16"
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_generated_images_are_smooth_and_different():
    images = generated_images((32, 32, 1))
    assert images.shape == (source.GENERATED_IMAGES, 32, 32, 1)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, generated_images((32, 32, 1)))
    assert (images.min(axis=(1, 2, 3)) == 0).all()
    assert (images.max(axis=(1, 2, 3)) == 255).all()
    values = images.astype("float64")
    assert np.abs(np.diff(values, axis=1)).mean() < 0.3 * values.std()
    assert values.std(axis=0).mean() > 30


# What is compared, and judged.


@pytest.fixture(scope="module")
def digits_source(few_digits) -> Source:
    """A network with 40 images, whose labels are its own predictions."""
    model, images = kc.lenet5(weights="digits"), few_digits.test.images
    labels = np.asarray(model(CanvasPreprocessing()(images))).argmax(axis=1)
    return Source(model, CanvasPreprocessing(), few_digits.class_names, images, labels)


def altered(held: Source, images: int, factor: float = 1.0):
    """A runtime that changes the class of the first images, and scales all values by a factor."""
    probabilities = held.expected * np.float32(factor)
    probabilities[:images] = np.roll(probabilities[:images], 1, axis=1)
    starts = iter(range(0, len(probabilities), source.BATCH))

    def run(batch: np.ndarray) -> np.ndarray:
        start = next(starts, 0)
        return probabilities[start : start + len(batch)]

    return run


def test_an_exact_export_passes(digits_source):
    checked = verify.check(digits_source, altered(digits_source, 0))
    assert checked.agreement == verify.Agreement(40, 0.0, 1.0, 1.0, 1.0)
    assert checked.bound == export.BOUNDS["none"]


@pytest.mark.parametrize(
    ("quantize", "images", "factor", "message"),
    [
        ("none", 0, 1.0002, "largest relative difference 0.0002 .allowed 0.0001"),
        ("none", 1, 1.0, "The export disagrees .* same prediction on 97.50 %"),
        ("float16", 0, 1.03, "The float16 export disagrees .* 0.03 .allowed 0.02"),
        ("dynamic", 2, 1.0, "accuracy 95.00 %, the model's 100.00 % .allowed loss 2.50 %"),
        ("int8", 2, 1.0, "same prediction on 95.00 % .at least 98 %., accuracy 95.00 %"),
        ("int8", 2, 1.0, "accuracy 95.00 %"),
        ("int16x8", 2, 1.0, "accuracy 95.00 %"),
        ("none", 0, np.nan, "difference nan"),
        ("int8", 0, np.nan, "difference nan .allowed finite"),
        ("int8", 0, np.inf, "disagrees with lenet5"),
    ],
)
def test_out_of_bounds_is_refused(digits_source, quantize, images, factor, message):
    with pytest.raises(VerificationError, match=message):
        verify.check(digits_source, altered(digits_source, images, factor), quantize=quantize)


@pytest.mark.parametrize(
    ("quantize", "images", "factor"),
    [("none", 0, 1.00005), ("float16", 0, 1.01), ("int8", 1, 1.5), ("int16x8", 1, 1.5)],
)
def test_within_bounds_passes(digits_source, quantize, images, factor):
    checked = verify.check(digits_source, altered(digits_source, images, factor), quantize=quantize)
    assert checked.agreement.accuracy == 1 - images / 40


def test_without_labels_8_bits_are_judged_by_their_predictions(digits_source):
    unlabelled = copy.copy(digits_source)
    unlabelled.image_labels = None
    agreement = verify.check(unlabelled, altered(unlabelled, 1), quantize="int8").agreement
    assert agreement.same_prediction == 0.975
    assert agreement.accuracy is None
    with pytest.raises(VerificationError, match="same prediction on 50.00 %"):
        verify.check(unlabelled, altered(unlabelled, 20), quantize="int8")


def test_a_prediction_is_the_same_where_the_model_is_undecided(digits_source):
    undecided = copy.copy(digits_source)
    undecided.expected = np.tile(np.float32([0.500004, 0.499996] + [0.0] * 8), (40, 1))
    swapped = undecided.expected[:, [1, 0, *range(2, 10)]]
    agreement = verify.check(undecided, lambda batch: swapped[: len(batch)]).agreement
    assert agreement.max_difference > 1e-5
    assert agreement.same_prediction == 1


def test_arguments_that_do_not_match(few_digits):
    model, labels, images = kc.lenet5(), few_digits.class_names, few_digits.test.images
    fit = CanvasPreprocessing()
    refused = {
        "needs 10 labels, one per class. Received: 2 labels": (model, fit, ["a", "b"]),
        "must end in one probability per class": (kc.lenet5(include_top=False), fit, labels),
        "must end in probabilities": (kc.lenet5(classifier_activation=None), fit, labels),
        "images must be uint8": (model, fit, labels, images / 255),
        "with count >= 1": (model, fit, labels, images[:0]),
        "one label for each of 40 images": (model, fit, labels, images, np.zeros(3)),
        "Received: images=None": (model, fit, labels, None, np.zeros(3)),
        "preprocessing for lenet5 must give images of shape .32, 32, 1.": (
            model,
            ImagePreprocessing(40, 36),
            labels,
        ),
    }
    for message, given in refused.items():
        with pytest.raises(UserError, match=message):
            Source(*given)


# The content before the export.


@pytest.mark.slow
def test_replacing(few_digits, tmp_path):
    model = kc.lenet5()
    given = {"preprocessing": CanvasPreprocessing(), "labels": few_digits.class_names}
    for name, write in {
        "folder": functools.partial(export.export_model, formats=["tflite"]),
        "saved": export.saved_model,
        "file.tflite": export.tflite,
    }.items():
        path = tmp_path / name
        write(model, path, **given)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UserError, match="already exists"):
            write(model, path, **given)
        write(model, path, overwrite=True, **given)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_replacement_keeps_the_old_export(few_digits, tmp_path):
    folder = tmp_path / "export"
    given = {"preprocessing": CanvasPreprocessing(), "labels": few_digits.class_names}
    export.export_model(kc.lenet5(), folder, formats=["tflite"], **given)
    with pytest.raises(UserError, match="must end in probabilities"):
        export.export_model(kc.lenet5(classifier_activation=None), folder, overwrite=True, **given)
    assert json.loads((folder / "manifest.json").read_text())["model"] == "lenet5"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
