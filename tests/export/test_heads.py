"""Networks that end in sigmoids, in logits, or in no numbers, and what serves them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics import export
from keras_classics.errors import UserError, VerificationError
from keras_classics.export.source import Source
from keras_classics.export.verify import check
from keras_classics.image_preprocessing import ImagePreprocessing

PREPROCESSING = ImagePreprocessing(resize=8, crop=8, mean=(128,) * 3, std=(64.0,) * 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 9, 9, 3), "uint8")


def network(outputs: int, activation: str | None, bias: float = 0.0) -> keras.Model:
    image = keras.Input((8, 8, 3))
    kernel = keras.initializers.RandomNormal(stddev=0.3, seed=0)
    end = keras.layers.Dense(
        outputs,
        activation=activation,
        kernel_initializer=kernel,
        bias_initializer=keras.initializers.Constant(bias),
    )
    return keras.Model(image, end(keras.layers.Flatten()(image)), name="head")


def source(outputs: int, activation: str | None, labels=None, **options) -> Source:
    model = network(outputs, activation, **options)
    names = [f"class {i}" for i in range(outputs)]
    return Source(model, PREPROCESSING, names, IMAGES, labels)


# Outputs, activation, and labels that fit.
HEADS = {
    "sigmoid": (1, "sigmoid", np.arange(40) % 2),
    "sigmoids": (3, "sigmoid", np.arange(120).reshape(40, 3) % 2),
    "softmax": (3, "softmax", np.arange(40) % 3),
}


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_the_prediction_of_each_head_is_judged(name, labelled):
    outputs, activation, labels = HEADS[name]
    given = source(outputs, activation, labels if labelled else None)
    right = lambda images: given.expected[: len(images)]  # noqa: E731
    parts = iter(np.split(given.expected, [32]))
    exact = check(given, lambda x: next(parts, given.expected[:1]), quantize="int8").agreement
    assert (exact.same_prediction, exact.max_difference) == (1.0, 0.0)
    if labelled:
        assert exact.accuracy == exact.model_accuracy
    # Every probability becomes its opposite.
    with pytest.raises(VerificationError, match="same prediction on"):
        check(given, lambda x: 1 - right(x), quantize="int8")


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8", "int16x8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_never_agree(quantize, value):
    given = source(3, "softmax")
    wrong = given.expected.copy()
    wrong[1, 2] = value
    with pytest.raises(VerificationError, match="allowed"):
        check(given, lambda x: wrong[: len(x)], quantize=quantize)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_with_weights_that_are_not_finite(value):
    for outputs, activation, _ in HEADS.values():
        model = network(outputs, activation)
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([kernel, np.full_like(bias, value)])
        if activation == "sigmoid" and value == np.inf:
            continue  # Whose probability is 1.
        with pytest.raises(UserError, match="must end in probabilities. Received: outputs"):
            Source(model, PREPROCESSING, ["name"] * outputs, IMAGES)


@pytest.mark.parametrize(("activation", "bias"), [(None, 0.0), (None, 99.0), ("relu", 1.0)])
def test_logits_are_no_probabilities(activation, bias):
    with pytest.raises(UserError, match="must end in probabilities"):
        source(3, activation, bias=bias)


def test_small_probabilities_of_a_sigmoid_agree(tmp_path):
    model = network(1, "sigmoid", bias=-9.0)
    export.onnx(model, tmp_path / "a.onnx")
    content = export.export_model(
        model,
        tmp_path / "out",
        preprocessing=PREPROCESSING,
        labels=["rare"],
        images=IMAGES,
        formats=["saved_model", "tflite", "onnx"],
    )
    for described in content["exports"].values():
        assert described["agreement"]["max_difference"] < 1e-5


WRONG_LABELS = [
    ("softmax", np.array([5, 6] * 20), "integers from 0 to 2. Received: int64 from 5 to 6"),
    ("softmax", np.full(40, -1), "integers from 0 to 2"),
    ("softmax", np.full(40, 0.5), "integers from 0 to 2. Received: float64"),
    ("softmax", np.eye(3, dtype=int)[np.arange(40) % 3], r"shape \(count,\)"),
    ("sigmoid", np.full(40, 2), "integers from 0 to 1"),
    ("sigmoids", np.full((40, 3), 2), "integers from 0 to 1"),
    ("sigmoids", np.zeros((40, 2), int), r"Received: \(40, 2\) for 3 outputs"),
    ("sigmoids", np.full(40, 3), "integers from 0 to 2"),
]


@pytest.mark.parametrize(("name", "labels", "message"), WRONG_LABELS)
def test_labels_that_no_output_has(name, labels, message):
    outputs, activation, _ = HEADS[name]
    with pytest.raises(UserError, match=message):
        source(outputs, activation, labels)


def test_a_class_each_for_several_sigmoids():
    labels = np.arange(40) % 3
    np.testing.assert_array_equal(source(3, "sigmoid", labels).image_labels, np.eye(3)[labels])


def pair() -> keras.Model:
    image, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    end = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(image + other))
    return keras.Model([image, other], [end, end], name="pair")


def vector() -> keras.Model:
    values = keras.Input((8,))
    return keras.Model(values, keras.layers.Dense(3, "softmax")(values), name="vector")


@pytest.mark.parametrize("model", [pair, vector, lambda: keras.Sequential(name="empty")])
def test_what_does_not_take_one_image(model, tmp_path):
    for write in (export.export_model, export.saved_model, export.tflite):
        with pytest.raises(UserError, match="must be a functional network with one input, images"):
            write(model(), tmp_path / "out", **served_arguments(PREPROCESSING))
    assert not list(tmp_path.iterdir())


class Unregistered(keras.layers.Layer):
    def call(self, images):
        return tf.image.resize(images, (8, 8))


SERVED = {
    "own": PREPROCESSING,
    "keras": keras.layers.Resizing(8, 8),
    "sequence": keras.Sequential(
        [keras.layers.Resizing(8, 8, crop_to_aspect_ratio=True), keras.layers.Rescaling(1 / 255)]
    ),
}
NOT_SERVED = {
    "rescaling": (keras.layers.Rescaling(1 / 255), "which gives shapes"),
    "size": (keras.layers.Resizing(7, 8), r"which gives shapes \(7, 8, 3\)"),
    "channels": (ImagePreprocessing(8, 9 - 2), "which gives shapes"),
    "failing": (keras.layers.CenterCrop(400, 400, data_format="channels_first"), "gives"),
}


def served_arguments(preprocessing) -> dict:
    images = IMAGES[:, :8, :8]
    return {"preprocessing": preprocessing, "labels": ["a", "b", "c"], "images": images}


@pytest.mark.parametrize("name", SERVED)
def test_a_preprocessing_that_is_served(name, tmp_path):
    out = tmp_path / "out"
    model = network(3, "softmax")
    export.export_model(model, out, formats=["tflite"], **served_arguments(SERVED[name]))
    config = json.loads((out / "manifest.json").read_text())["preprocessing"]
    assert config["layer"] == type(SERVED[name]).__name__
    files = [tf.io.encode_png(image).numpy() for image in (IMAGES[0], IMAGES[1, :5])]
    for path in (out, out / "model.keras"):
        exported = export.load_exported(path)
        np.testing.assert_allclose(
            exported.predict(files)[0],
            model(SERVED[name](IMAGES[:1].astype("float32")))[0],
            atol=1e-4,
        )
        assert exported.predict([]).shape == (0, 3)


@pytest.mark.parametrize("write", [export.export_model, export.saved_model])
@pytest.mark.parametrize("name", NOT_SERVED)
def test_a_preprocessing_that_cannot_be_served_is_refused(name, write, tmp_path):
    layer, message = NOT_SERVED[name]
    with pytest.raises(UserError, match=message) as error:
        write(network(3, "softmax"), tmp_path / "out", **served_arguments(layer))
    assert len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_preprocessing_that_a_manifest_cannot_name(tmp_path):
    """A SavedModel holds it; other exports would be without it."""
    given = served_arguments(Unregistered())
    with pytest.raises(UserError, match="Unknown preprocessing 'Unregistered'.* registered with"):
        export.export_model(network(3, "softmax"), tmp_path / "out", **given)
    assert not list(tmp_path.iterdir())
    export.saved_model(network(3, "softmax"), tmp_path / "out", **given)


def test_what_is_written_is_read_back(tmp_path, monkeypatch):
    def wrong(path, threads=None):
        return lambda images: np.full((len(images), 3), np.nan, "float32")

    monkeypatch.setitem(export.exported.RUNTIMES, ".tflite", wrong)
    with pytest.raises(VerificationError, match="model.tflite on image files disagrees"):
        export.export_model(
            network(3, "softmax"),
            tmp_path / "out",
            formats=["tflite"],
            **served_arguments(PREPROCESSING),
        )
    assert not list(tmp_path.iterdir())
