"""The same builders under Keras's other backends: the same names, the same numbers."""

import importlib.util
import json

import pytest

from tests.models import golden

# One of each family, layer and version that a backend could compute differently.
NAMES = ("lenet5_1998", "alexnet", "alexnet_owt", "vgg11_lrn", "vgg16_first_bn", "resnet20")
MORE = ("lenet5", "alexnet_slim", "caffenet", "vgg16_c", "vgg19_bn", "resnet50", "resnet164")


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("names", [NAMES, pytest.param(MORE, marks=pytest.mark.slow)])
def test_same_outputs(run_python, backend, names):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = run_python("-m", "tests.models.golden", *names, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    stored = json.loads(golden.PATH.read_text())
    assert set(found) == set(names)
    for name in names:
        golden.assert_near(found[name], stored[name])
