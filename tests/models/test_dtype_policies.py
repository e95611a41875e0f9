"""Networks in other precisions than float32, the weights included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics import export
from keras_classics.evaluation import recompute_batch_norm
from keras_classics.export.onnx import runtime
from keras_classics.models import preprocess_input, preprocessing
from tests.helpers import networks
from tests.helpers.exports import arguments

POLICIES = ("bfloat16", "float16", "float64")

# One for each layer that these networks have beyond Keras's.
QUICK = ("lenet5_1998", "vgg11_lrn", "vgg16_first_bn", "resnet20")


@pytest.fixture(params=POLICIES)
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def every_network() -> list:
    slow = pytest.mark.slow
    return [n if n in QUICK else pytest.param(n, marks=slow) for n in kc.list_models()]


@pytest.mark.parametrize("name", every_network())
def test_builds_predicts_and_fits(name, policy):
    model = networks.small(name)
    images = networks.images(model, 2) / 128
    outputs = model(images)
    assert outputs.dtype == "float32" or model.name == "lenet5_1998"
    assert np.isfinite(outputs).all()
    np.testing.assert_allclose(np.sum(outputs, axis=1), 1, rtol=1e-3)
    for layer in model.layers:
        if layer.name != "probabilities":
            assert layer.compute_dtype == policy
    # One step at a time, because compiling takes much longer than two images.
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(images, np.array([0, 1]), verbose=0)
    assert all(np.isfinite(np.asarray(v, "float32")).all() for v in model.trainable_variables)


def test_statistics_are_recomputed(policy):
    model = networks.small("vgg16_first_bn")
    recompute_batch_norm(model, [networks.images(model, 4) / 128])
    (norm,) = (x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    assert np.asarray(norm.moving_variance, "float32").min() > 0
    assert np.isfinite(np.asarray(norm.moving_variance, "float32")).all()


@pytest.mark.parametrize(
    "write", [export.saved_model, pytest.param(export.tflite, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("policy", ["bfloat16"], indirect=True)
def test_exports_compute_in_float32(write, policy, tmp_path):
    model = networks.small("vgg16_first_bn", input_shape=(32, 32, 3))
    checked = write(model, tmp_path / "out", **arguments(model))
    assert checked.agreement.max_difference < 1e-4


def test_onnx_computes_in_float32(policy, tmp_path):
    model = networks.small("vgg16_first_bn", input_shape=(32, 32, 3))
    export.onnx(model, tmp_path / "a.onnx")
    images = networks.images(model, 2) / 128
    run = runtime(tmp_path / "a.onnx")
    exact = {"bfloat16": 0.02, "float16": 0.002, "float64": 1e-5}[policy]
    networks.assert_near(run(images), model(images), exact)


def test_preprocessing_stays_in_float32(policy):
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 50, 3), "uint8")
    for layer in (preprocessing("vgg16/imagenet"), preprocessing("lenet5/digits")):
        assert layer(images).dtype == tf.float32
    assert preprocess_input(images.astype("float32"), model="vgg16").dtype == "float32"
