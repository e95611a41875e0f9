"""TFLite files, in LiteRT."""

import sys
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError
from keras_classics.export.tflite import operations_of, read_metadata, runtime
from keras_classics.image_preprocessing import CanvasPreprocessing
from tests.helpers.exports import Centred, arguments
from tests.helpers.networks import network


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return kc.lenet5(weights="digits")


@pytest.fixture(scope="module")
def common(digits) -> dict:
    return {
        "preprocessing": CanvasPreprocessing(),
        "labels": digits.class_names,
        "images": digits.test.images,
        "image_labels": digits.test.labels,
    }


@pytest.fixture(scope="module")
def inputs(digits) -> np.ndarray:
    return CanvasPreprocessing()(digits.test.images).numpy()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tflite"


def test_in_litert_alone(model, common, inputs, path):
    checked = export.tflite(model, path, **common)
    assert checked.agreement.max_difference < 1e-5
    counts, in_float = operations_of(path.read_bytes())
    assert counts == checked.details["operations"]
    assert counts["CONV_2D"] == 2
    assert counts["FULLY_CONNECTED"] == 3
    assert set(in_float) == set(counts)
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["shape"].tolist() == [1, 32, 32, 1]
    assert source["dtype"] == target["dtype"] == np.float32
    interpreter.set_tensor(source["index"], inputs[:1])
    interpreter.invoke()
    got = interpreter.get_tensor(target["index"])
    np.testing.assert_allclose(got, model(inputs[:1]), atol=1e-5)
    (name,) = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(name)
    assert set(runner(images=inputs[:1])) == {"probabilities"}


@pytest.mark.parametrize("quantize", ["float16", "dynamic", "int8", "int16x8"])
def test_quantized_weights_lose_little(quantize, model, common, digits, path):
    checked = export.tflite(
        model, path, quantize=quantize, calibration=digits.train.images, **common
    )
    assert checked.agreement.images == 360
    assert checked.agreement.same_prediction >= 0.99
    assert checked.agreement.accuracy >= checked.agreement.model_accuracy - 0.005
    assert path.stat().st_size < (150_000 if quantize == "float16" else 80_000)
    assert checked.details["calibration_images"] == (200 if quantize.startswith("int") else 0)
    if quantize.startswith("int"):
        assert checked.details["float_operations"] == []


def test_int8_in_and_out(model, common, digits, inputs, path):
    checked = export.tflite(
        model, path, quantize="int8", io="int8", calibration=digits.train.images, **common
    )
    assert checked.agreement.accuracy >= checked.agreement.model_accuracy - 0.005
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(checked.details["operations"])
    interpreter = Interpreter(str(path))
    for (tensor,) in (interpreter.get_input_details(), interpreter.get_output_details()):
        assert tensor["dtype"] == np.int8
    np.testing.assert_allclose(runtime(path)(inputs[:3]), model(inputs[:3]), atol=0.06)


@pytest.mark.parametrize("name", ["vgg11_lrn", "resnet20"])
@pytest.mark.parametrize("quantize", ["none", pytest.param("dynamic", marks=pytest.mark.slow)])
def test_any_batch(name, quantize, path):
    model = network(name)
    common = arguments(model)
    export.tflite(model, path, batch=None, quantize=quantize, **common)
    run = runtime(path)
    images = common["preprocessing"](
        np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), "uint8")
    ).numpy()
    together = run(images)
    np.testing.assert_allclose(run(images[:2]), together[:2], atol=1e-6)
    tolerance = 1e-4 if quantize == "none" else 0.2
    np.testing.assert_allclose(together, model(images), atol=tolerance)


def test_a_network_with_response_normalization_keeps_it_in_float(path, tmp_path):
    model = network("vgg11_lrn")
    calibration = np.random.default_rng(0).integers(0, 256, (8, 40, 40, 3), "uint8")
    for quantize in ("int8", "int16x8"):
        checked = export.tflite(
            model,
            tmp_path / f"{quantize}.tflite",
            quantize=quantize,
            calibration=calibration,
            **arguments(model),
        )
        assert checked.details["float_operations"] == ["LOCAL_RESPONSE_NORMALIZATION"]
        assert checked.details["operations"]["CONV_2D"] == 8


def test_the_same_network_makes_the_same_file(model, common, path, tmp_path):
    for name in ("one.tflite", "other.tflite"):
        export.tflite(model, tmp_path / name, **common)
    assert (tmp_path / "one.tflite").read_bytes() == (tmp_path / "other.tflite").read_bytes()


def test_metadata(model, common, path):
    export.tflite(model, path, **common)
    metadata = read_metadata(path)
    assert metadata["labels"] == list("0123456789")
    assert metadata["preprocessing"]["layer"] == "CanvasPreprocessing"
    assert metadata["preprocessing"]["foreground"] == 1.175
    assert metadata["input"]["value"] == "value = -0.1 + pixel/255*1.275"
    assert metadata["input"]["shape"] == [1, 32, 32, 1]
    assert metadata["output"]["labels"] == list("0123456789")
    # As any unzip sees it.
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["labels.txt", "metadata.json"]
        assert archive.testzip() is None


def test_a_truncated_file(model, common, path):
    export.tflite(model, path, **common)
    content = path.read_bytes()
    for share in (0.0, 0.1, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        for read in (runtime, read_metadata):
            with pytest.raises(UserError, match="model.tflite must be an intact file that export"):
                read(path)


def test_other_files(path, tmp_path):
    with pytest.raises(UserError, match="No such file"):
        runtime(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "")
    with pytest.raises(UserError, match="labels.txt"):
        runtime(path)


def test_wrong_arguments(model, common, digits, path, tmp_path):
    refused = {
        "Unknown quantization 'int7'. Did you mean int8": {"quantize": "int7"},
        "io must be 'float32'.*io='int8' for quantize='none'": {"io": "int8"},
        "batch must be 1, or None for any size. Received: 4": {"batch": 4},
        "needs calibration images": {"quantize": "int8"},
        "calibration must be uint8": {"quantize": "int8", "calibration": np.zeros((2, 8, 8, 1))},
    }
    for message, wrong in refused.items():
        with pytest.raises(UserError, match=message):
            export.tflite(model, path, **common, **wrong)
    assert not list(tmp_path.iterdir())


def test_an_operation_without_an_integer_form(few_digits, path, tmp_path):
    model = kc.lenet5_1998()
    common = {
        "preprocessing": CanvasPreprocessing(),
        "labels": few_digits.class_names,
        "calibration": few_digits.train.images,
    }
    with pytest.raises(UserError) as said:
        export.tflite(model, path, quantize="int16x8", **common)
    (line,) = str(said.value).splitlines()
    assert line.startswith(
        "TFLite has no built-in operation for a layer of lenet5_1998 with quantize='int16x8'"
    )
    assert "SQUARED_DIFFERENCE" in line
    assert line.endswith(" Use one of none, float16, dynamic, int8.")
    assert not list(tmp_path.iterdir())


class Sorted(keras.layers.Layer):
    """Computes an operation that TFLite lacks."""

    def call(self, inputs):
        return keras.ops.erfinv(inputs)


def test_an_operation_that_is_not_built_in(path, tmp_path):
    image = keras.Input((8, 8, 1), name="image")
    flat = keras.layers.Flatten()(Sorted()(image))
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(flat), name="odd")
    with pytest.raises(
        UserError, match="no built-in operation for a layer of odd with quantize='none'"
    ):
        export.tflite(model, path, preprocessing=Centred((8, 8, 1), 0.5), labels=["a", "b", "c"])
    assert not list(tmp_path.iterdir())


def test_without_the_extra(model, common, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match=r"pip install 'keras-classics\[export\]'"):
        export.tflite(model, path, **common)
