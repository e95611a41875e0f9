"""Class maps equal those of the package grad-cam, of torchvision's networks with the same weights.

pip install torch
pip install --no-deps torchvision grad-cam ttach opencv-python-headless
pytest -m torch
"""

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.analysis import explain
from tests.helpers import parity

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

THEIRS = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "eigen_cam": "EigenCAM",
}

# Network here and there; the layer's names.
LAYERS = {
    "resnet18, last": ("resnet18", "resnet18", "conv5_block2_out", "layer4.1"),
    "resnet18, middle": ("resnet18", "resnet18", "conv4_block2_out", "layer3.1"),
    "alexnet, last": ("alexnet_owt", "alexnet", "conv5", "features.11"),
}


@pytest.fixture(scope="module")
def packages():
    models = parity.import_torchvision()
    return models, pytest.importorskip("pytorch_grad_cam")


@pytest.fixture(scope="module", params=LAYERS)
def pair(request, packages, tmp_path_factory):
    """A network here and there with the same weights, and its layer."""
    models, _ = packages
    ours, name, layer, module = LAYERS[request.param]
    torch.manual_seed(0)
    network = getattr(models, name)(weights=None).eval()
    for tensor_name, tensor in network.state_dict().items():
        if tensor.ndim:
            values = parity.generated(tensor_name, tuple(tensor.shape))
            # The package adds 1e-6 to the divisors of Grad-CAM++: gradients must be larger.
            large = 1e3 if tensor_name.startswith(("fc.", "classifier.6.")) else 1.0
            tensor.copy_(torch.from_numpy(large * values))
    path = tmp_path_factory.mktemp("weights") / "same.pth"
    torch.save(network.state_dict(), path)
    model = kc.get_model(ours, weights=path, input_shape=(224, 224, 3))
    return explain.Network(model, layer=layer), network, network.get_submodule(module)


@pytest.mark.parametrize("method", THEIRS)
def test_maps_are_those_of_grad_cam(packages, pair, method):
    known, network, module = pair
    images = np.concatenate([parity.image((224, 224, 3)), parity.image((224, 224, 3))[:, ::-1]])
    labels = np.array([3, 7])
    found = explain.METHODS[method](known, images, labels)
    expected = theirs(packages[1], THEIRS[method], network, module, images, labels)
    if method not in ("hires_cam", "eigen_cam"):
        expected = np.maximum(expected, 0)
    assert found.shape == expected.shape
    for one, other in zip(found, expected, strict=True):
        assert one.any()
        correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        # The sign of a principal component is nobody's.
        assert (abs(correlation) if method == "eigen_cam" else correlation) > 0.999


def theirs(package, name, network, module, images, labels) -> np.ndarray:
    """The package's maps, before it scales them to the image."""
    targets = [package.utils.model_targets.ClassifierOutputTarget(int(label)) for label in labels]
    maps = []
    with getattr(package, name)(model=network, target_layers=[module]) as method:
        make = method.get_cam_image

        def keep(*arguments, **options):
            maps.append(make(*arguments, **options))
            return maps[-1]

        method.get_cam_image = keep
        method(input_tensor=torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), targets=targets)
    return np.asarray(maps[0])
