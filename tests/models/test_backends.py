"""The same builders under Keras's other backends: the same names, the same numbers."""

import importlib.util
import json

import numpy as np
import pytest

import keras_classics as kc
from tests.helpers import golden

# One of each family, layer and version that a backend could compute differently.
NAMES = ("lenet5_1998", "alexnet", "resnet20")
MORE = (
    "lenet5",
    "alexnet_owt",
    "alexnet_slim",
    "caffenet",
    "vgg11_lrn",
    "vgg16_c",
    "vgg16_first_bn",
    "vgg19_bn",
)
MORE += ("resnet50", "resnet164")


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("names", [NAMES, pytest.param(MORE, marks=pytest.mark.slow)])
def test_same_outputs(run_python, backend, names):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = run_python("-m", "tests.helpers.golden", *names, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    stored = json.loads(golden.PATH.read_text())
    assert set(found) == set(names)
    for name in names:
        golden.assert_near(found[name], stored[name])


WEIGHTS = """
import sys
import numpy as np
import keras_classics as kc

images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
x = kc.preprocess_input(images, model="resnet20", weights="fashion_mnist")
print(kc.resnet20(weights="fashion_mnist").predict(x, verbose=0).tolist())
try:
    kc.preprocessing("resnet20/fashion_mnist").resize(images)
except ValueError as error:
    print(error)
assert "tensorflow" not in sys.modules
"""


def test_weights_without_tensorflow(run_python):
    pytest.importorskip("jax")
    done = run_python("-c", WEIGHTS, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    found, message = done.stdout.strip().splitlines()
    assert "Resizing images needs TensorFlow. Received: KERAS_BACKEND=jax" in message
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    x = kc.preprocess_input(images, model="resnet20", weights="fashion_mnist")
    expected = kc.resnet20(weights="fashion_mnist").predict(x, verbose=0)
    np.testing.assert_allclose(json.loads(found), expected, atol=1e-5)
