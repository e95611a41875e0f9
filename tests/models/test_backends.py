"""Keras's other backends, without TensorFlow: the same networks, weights, recipes and numbers."""

import importlib.util
import json

import numpy as np
import pytest

import keras_classics as kc
from tests.helpers import golden

# One of each family, layer and version that a backend could compute differently.
NAMES = ("lenet5_1998", "cuda_convnet", "vgg16_mini", "resnet20")
MORE = (
    "lenet5",
    "alexnet",
    "alexnet_owt",
    "alexnet_slim",
    "caffenet",
    "vgg11_lrn",
    "vgg16_c",
    "vgg16_first_bn",
    "vgg19_bn",
)
MORE += ("resnet50", "resnet164")

# As if TensorFlow were not installed.
NO_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
"""

GOLDEN = """
import runpy
runpy.run_module("tests.helpers.golden", run_name="__main__")
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("names", [NAMES, pytest.param(MORE, marks=pytest.mark.slow)])
def test_same_outputs(run_python, backend, names):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = run_python("-c", NO_TENSORFLOW + GOLDEN, *names, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    stored = json.loads(golden.PATH.read_text())
    assert set(found) == set(names)
    for name in names:
        golden.assert_near(found[name], stored[name])


WEIGHTS = """
import numpy as np
import keras_classics as kc

images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
x = kc.preprocess_input(images, model="resnet20", weights="fashion_mnist")
print(kc.resnet20(weights="fashion_mnist").predict(x, verbose=0).tolist())
try:
    kc.preprocessing("resnet20/fashion_mnist").resize(images)
except ValueError as error:
    print(error)
"""

# Besides the networks and their weights.
PARTS = """
import keras_classics as kc
from keras_classics.analysis import features, plots, profile, signals
from keras_classics.environment import current_environment

assert profile.profile(kc.resnet20()).macs == profile.profile(kc.plain20()).macs
assert current_environment()["device"].startswith("CPU")
paper = kc.training.recipes.RESNET_CIFAR10_PAPER
assert kc.training.Recipe.from_json(paper.to_json()) == paper
assert not hasattr(kc.training, "Trainer")
for use in (lambda: kc.training.train, lambda: kc.data.load):
    try:
        use()
    except ValueError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def printed(run_python) -> list[str]:
    """The two lines of what weights do without TensorFlow, and the two of recipes."""
    pytest.importorskip("jax")
    done = run_python("-c", NO_TENSORFLOW + WEIGHTS + PARTS, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_weights_without_tensorflow(printed):
    found, message = printed[:2]
    assert "Resizing images needs TensorFlow. Received: KERAS_BACKEND=jax" in message
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    x = kc.preprocess_input(images, model="resnet20", weights="fashion_mnist")
    expected = kc.resnet20(weights="fashion_mnist").predict(x, verbose=0)
    np.testing.assert_allclose(json.loads(found), expected, atol=1e-5)


def test_recipes_without_tensorflow(printed):
    for name, line in zip(("training.train", "data.load"), printed[2:], strict=True):
        assert line == (
            f"keras_classics.{name} needs TensorFlow. Received: KERAS_BACKEND=jax. "
            "Use KERAS_BACKEND=tensorflow."
        )
