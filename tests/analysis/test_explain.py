"""Class maps and attributions of pixels: equal to what arithmetic says they are."""

import contextlib
import importlib.util
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import spearmanr

import keras_classics as kc
from keras_classics.analysis import explain
from keras_classics.errors import UserError
from tests.helpers import networks
from tests.helpers.explained import IMAGES, convolutions, explanations, network
from tests.helpers.golden import fill
from tests.helpers.images import random_images
from tests.helpers.programs import ROOT

NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture(scope="module", autouse=True)
def eager():
    """Runs each network without a graph, which takes longer to make than these run."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def graphs() -> Iterator[None]:
    """Where they run more often than that."""
    tf.config.run_functions_eagerly(False)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(True)


@pytest.fixture(scope="module")
def pooled() -> explain.Network:
    return explain.Network(network(), class_names=NAMES)


def scores_of(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What the softmax takes, from the model's own layers."""
    top = model.get_layer("top")
    before = keras.Model(model.input, top.input)(images).numpy()
    return before @ top.kernel.numpy() + top.bias.numpy()


def test_grad_cam_is_cam_with_a_pooled_linear_head(pooled):
    for target in range(4):
        cam = explain.cam(pooled, IMAGES, target)
        positions = cam.shape[1] * cam.shape[2]
        found = explain.grad_cam(pooled, IMAGES, target)
        np.testing.assert_allclose(found, np.maximum(cam, 0) / positions, atol=1e-5)
        np.testing.assert_allclose(
            explain.hires_cam(pooled, IMAGES, target), cam / positions, atol=1e-5
        )
        assert np.abs(cam).max() > 0.1


@pytest.mark.parametrize("head", ["pooled", "flattened"])
def test_hires_cam_sums_to_the_score_without_the_bias(head):
    model = network(head)
    maps = explain.hires_cam(model, IMAGES, [[0, 1, 2, 3]] * 3)
    bias = model.get_layer("top").bias.numpy()
    np.testing.assert_allclose(
        maps.sum(axis=(2, 3)) + bias, scores_of(model, IMAGES), rtol=1e-5, atol=1e-5
    )


def test_cam_has_the_score_as_its_mean(pooled):
    maps = explain.cam(pooled, IMAGES, top=4)
    labels = pooled.labels(IMAGES, top=4)
    bias = pooled.model.get_layer("top").bias.numpy()
    scores = np.take_along_axis(scores_of(pooled.model, IMAGES), labels, axis=1)
    np.testing.assert_allclose(maps.mean(axis=(2, 3)) + bias[labels], scores, atol=1e-5)


def test_integrated_gradients_sum_to_the_difference_of_the_scores(pooled):
    for baseline in (0.0, random_images(9, 8, 3)[::-1]):
        begin = np.broadcast_to(np.asarray(baseline, "float32"), IMAGES.shape)
        rises = pooled.scores(IMAGES) - pooled.scores(begin)
        labels = np.abs(rises).argmax(axis=1)
        found = explain.integrated_gradients(pooled, IMAGES, labels, steps=100, baseline=baseline)
        expected = rises[range(3), labels]
        np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), expected, rtol=0.01)


def backwards(model: keras.Model, image: np.ndarray, label: int, rule) -> np.ndarray:
    """Goes back through the small network with a flattened head, by NumPy's loops alone."""
    kernels = [model.get_layer(f"conv{number}").kernel.numpy() for number in "12"]
    biases = [model.get_layer(f"conv{number}").bias.numpy() for number in "12"]
    x, befores = image, []
    for kernel, bias in zip(kernels, biases, strict=True):
        rows, columns = x.shape[0] - 2, x.shape[1] - 2
        before = np.zeros((rows, columns, kernel.shape[-1])) + bias
        for i, j in np.ndindex(3, 3):
            before += x[i : i + rows, j : j + columns] @ kernel[i, j]
        befores.append(before)
        x = np.maximum(before, 0)
    gradient = model.get_layer("top").kernel.numpy()[:, label].reshape(x.shape)
    for kernel, before in zip(reversed(kernels), reversed(befores), strict=True):
        gradient = rule(before, gradient)
        rows, columns = gradient.shape[:2]
        below = np.zeros((rows + 2, columns + 2, kernel.shape[2]))
        for i, j in np.ndindex(3, 3):
            below[i : i + rows, j : j + columns] += gradient @ kernel[i, j].T
        gradient = below
    return gradient


RULES = {
    "gradient": lambda before, gradient: gradient * (before > 0),
    "guided_backpropagation": lambda before, gradient: np.maximum(gradient, 0) * (before > 0),
    "deconvolution": lambda before, gradient: np.maximum(gradient, 0),
}


@pytest.mark.parametrize("relu", ["fused", "layer", "activation", "operation"])
def test_goes_backwards_as_numpy_does(relu):
    model = network("flattened", relu=relu)
    outputs = model(IMAGES).numpy()
    found = {}
    for name, rule in RULES.items():
        found[name] = explain.METHODS[name](model, IMAGES, 1)
        for image, values in zip(IMAGES, found[name], strict=True):
            expected = backwards(model, image, 1, rule)
            np.testing.assert_allclose(values, expected, atol=1e-4 * np.abs(expected).max())
    assert not np.allclose(found["gradient"], found["guided_backpropagation"])
    # The model is as it was.
    np.testing.assert_array_equal(model(IMAGES).numpy(), outputs)
    names = [getattr(getattr(layer, "activation", None), "__name__", "") for layer in model.layers]
    assert ("relu" in names) == (relu in ("fused", "activation"))


ENDS = ["none", "fused", "softmax", "layer", "operation", "cast", "sigmoid", "fused sigmoid"]


@pytest.mark.parametrize("end", ENDS)
def test_the_score_is_what_the_softmax_takes(end):
    model = network(end=end)
    found = explain.Network(model)
    np.testing.assert_allclose(found.scores(IMAGES), scores_of(model, IMAGES), rtol=1e-5, atol=1e-5)
    expected = explain.hires_cam(network(end="none"), IMAGES, 3)
    np.testing.assert_allclose(explain.hires_cam(found, IMAGES, 3), expected, atol=1e-5)
    np.testing.assert_allclose(
        explain.cam(found, IMAGES, 3), expected * expected[0].size, rtol=1e-4, atol=1e-4
    )


def test_distances_are_scores_with_the_sign_turned():
    model = kc.lenet5_1998()
    images = networks.images(model, 2) / 128
    distances = kc.lenet5_1998(classifier_activation=None)
    distances.set_weights(model.get_weights())
    np.testing.assert_allclose(
        explain.Network(model).scores(images), -distances(images).numpy(), rtol=1e-5
    )


def nested(form: str) -> keras.Model:
    image = keras.Input((9, 8, 3), name="image")
    backbone = keras.Model(image, convolutions(image, "fused"), name="backbone")
    top = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4, "softmax", name="top")]
    if form == "sequential":
        model = keras.Sequential([backbone, *top])
    else:
        if form == "twice":
            backbone = keras.Sequential([keras.Input((9, 8, 3)), backbone], name="middle")
        outer = keras.Input((9, 8, 3))
        model = keras.Model(outer, top[1](top[0](backbone(outer))))
    fill(model)
    return model


@pytest.mark.parametrize("form", ["sequential", "called", "twice"])
def test_nested_networks_are_explained_by_their_layers(form):
    inner, plain = nested(form), network(relu="fused")
    plain.set_weights(inner.get_weights())
    nodes = [len(layer._inbound_nodes) for layer in inner.layers]
    for name in ("cam", "grad_cam", "guided_backpropagation"):
        method = explain.METHODS[name]
        np.testing.assert_allclose(method(inner, IMAGES), method(plain, IMAGES), atol=1e-5)
    first = explain.Network(inner, layer="conv1")
    assert explain.grad_cam(first, IMAGES).shape == (3, 7, 6)
    # No layer has been called for a copy of the network.
    assert [len(layer._inbound_nodes) for layer in inner.layers] == nodes


def test_augmentation_is_left_out():
    plain = network()
    layers = [keras.layers.RandomContrast(0.9, value_range=(-1, 2)), plain]
    model = keras.Sequential([keras.Input((9, 8, 3)), *layers])
    found, expected = (explain.gradient(one, IMAGES, 1) for one in (model, plain))
    np.testing.assert_array_equal(found, expected)


def test_follows_the_weights_of_its_network(pooled):
    model = network()
    found = explain.Network(model)
    before = explain.grad_cam(found, IMAGES, 0)
    model.get_layer("top").kernel.assign(-model.get_layer("top").kernel)
    after = explain.grad_cam(found, IMAGES, 0)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, explain.grad_cam(model, IMAGES, 0), atol=1e-6)


def test_targets(pooled):
    best = np.argsort(-scores_of(pooled.model, IMAGES), axis=1)
    np.testing.assert_array_equal(pooled.labels(IMAGES), best[:, 0])
    np.testing.assert_array_equal(pooled.labels(IMAGES, top=3), best[:, :3])
    np.testing.assert_array_equal(pooled.labels(IMAGES, "cat"), [2, 2, 2])
    np.testing.assert_array_equal(pooled.labels(IMAGES, ["cat", 0, np.int64(3)]), [2, 0, 3])
    np.testing.assert_array_equal(pooled.labels(IMAGES, [["ant", 1]] * 3), [[0, 1]] * 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": 4}, r"0 to 3, or the name of a class. Received: 4\."),
        ({"targets": -1}, r"Received: -1\."),
        ({"targets": 1.5}, r"Received: 1.5\."),
        ({"targets": [None, 1, 2]}, r"Received: None\."),
        ({"targets": "cot"}, "Unknown class 'cot'. Did you mean cat"),
        ({"targets": [1, 2]}, "one for each of the 3 images. Received: 2"),
        ({"targets": [[1], [1, 2], [1]]}, "as many for each image"),
        ({"top": 5}, "top must be 1 to 4. Received: 5"),
        ({"top": 0}, "top must be 1 to 4. Received: 0"),
        ({"targets": 1, "top": 2}, "Give targets or top"),
    ],
)
def test_wrong_targets(pooled, arguments, message):
    with pytest.raises(UserError, match=message):
        explain.grad_cam(pooled, IMAGES, **arguments)


def test_names_that_say_no_class():
    with pytest.raises(UserError, match="only where class_names are given. Received: 'cat'"):
        explain.gradient(network(), IMAGES, "cat")
    with pytest.raises(UserError, match="of one class. Received: 'ant', which labels 0, 1 have"):
        explain.Network(network(), class_names=("ant", "ant", "b", "c")).label("ant")
    with pytest.raises(UserError, match="each of the 4 outputs of small. Received: 2 names"):
        explain.Network(network(), class_names=("ant", "bee"))


@pytest.mark.parametrize("name", explain.METHODS)
def test_every_method_explains_batches_and_several_classes(pooled, name):
    method = explain.METHODS[name]
    labels = pooled.labels(IMAGES, top=2)
    both = method(pooled, IMAGES, top=2)
    is_map = "cam" in name
    channels = () if is_map or name == "occlusion" else (3,)
    assert both.shape == (3, 2, *((5, 4) if is_map else (9, 8)), *channels)
    assert both.dtype == np.float32
    for column in (0, 1):
        np.testing.assert_allclose(
            method(pooled, IMAGES, labels[:, column]), both[:, column], atol=1e-5
        )
    alone = method(pooled, IMAGES[1:2], int(labels[1, 0]))
    np.testing.assert_allclose(alone[0], both[1, 0], atol=1e-5) if name != "smooth_grad" else None


def test_more_images_than_a_pass_takes(pooled):
    images = random_images(35, 9, 8, 3)
    maps = explain.layer_cam(pooled, images, 1)
    np.testing.assert_allclose(maps[33:], explain.layer_cam(pooled, images[33:], 1), atol=1e-5)


def test_any_size_that_the_network_takes():
    model = explain.Network(network(sides=(None, None)))
    for sides in ((9, 8), (12, 7)):
        images = random_images(2, *sides, 3)
        assert explain.grad_cam(model, images).shape == (2, sides[0] - 4, sides[1] - 4)
        assert explain.gradient(model, images).shape == images.shape


def test_outputs_that_are_no_classes():
    features = kc.resnet20(include_top=False, pooling="avg", input_shape=(16, 16, 3))
    maps = kc.resnet20(include_top=False, input_shape=(16, 16, 3))
    maps.set_weights(features.get_weights())
    images = random_images(2, 16, 16, 3)
    np.testing.assert_allclose(
        explain.hires_cam(features, images, 5), explain.hires_cam(maps, images, 5), atol=1e-6
    )
    np.testing.assert_allclose(
        explain.hires_cam(maps, images, 5).sum(axis=(1, 2)), features(images)[:, 5], rtol=1e-4
    )


def test_smooth_grad_is_the_mean_over_noise(pooled):
    options = {"samples": 40, "noise": 0.2}
    first = explain.smooth_grad(pooled, IMAGES, 1, **options)
    np.testing.assert_array_equal(first, explain.smooth_grad(pooled, IMAGES, 1, **options))
    assert not np.allclose(first, explain.smooth_grad(pooled, IMAGES, 1, seed=1, **options))
    without = explain.smooth_grad(pooled, IMAGES, 1, samples=2, noise=0.0)
    np.testing.assert_allclose(without, explain.gradient(pooled, IMAGES, 1), atol=1e-6)


def test_occlusion_of_a_linear_network():
    image = keras.Input((6, 7, 1))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    fill(model)
    pixels = random_images(1, 6, 7, 1)
    parts = pixels[0, ..., 0] * model.layers[-1].kernel.numpy()[:, 1].reshape(6, 7)
    found = explain.occlusion(model, pixels, 1, window=1)
    np.testing.assert_allclose(found[0], parts, atol=1e-5)
    # Windows at rows 0, 2, 4 and columns 0, 2, 4, 5: the pixel in the corner is in one of them.
    wide = explain.occlusion(model, pixels, 1, window=2, stride=2)
    np.testing.assert_allclose(wide[0, 0, 0], parts[:2, :2].sum(), atol=1e-5)
    np.testing.assert_allclose(
        wide[0, 0, 5], (parts[:2, 4:6].sum() + parts[:2, 5:7].sum()) / 2, atol=1e-5
    )
    with pytest.raises(UserError, match="window must be 1 to 6 and stride 1 to window"):
        explain.occlusion(model, pixels, 1, window=3, stride=4)


def test_score_cam_weighs_channels_by_what_they_leave_of_the_image(pooled):
    maps = pooled.maps(IMAGES[:1])[0]
    weights = []
    for channel in np.moveaxis(maps, -1, 0):
        mask = keras.ops.image.resize(channel[None, ..., None], (9, 8)).numpy()
        mask = (mask - mask.min()) / np.ptp(mask) if np.ptp(mask) else 0 * mask
        weights.append(pooled.scores(IMAGES[:1] * mask)[0, 2])
    weights = np.exp(weights) / np.exp(weights).sum()
    expected = np.maximum(maps @ weights, 0)
    np.testing.assert_allclose(explain.score_cam(pooled, IMAGES[:1], 2)[0], expected, atol=1e-5)


def test_eigen_cam_is_the_projection_that_varies_most(pooled):
    maps = pooled.maps(IMAGES)
    found = explain.eigen_cam(pooled, IMAGES)
    for values, one in zip(maps, found, strict=True):
        columns = values.reshape(-1, values.shape[-1])
        largest = np.linalg.eigvalsh(np.cov(columns.T, bias=True))[-1]
        np.testing.assert_allclose(one.var(), largest, rtol=1e-4)
        assert np.corrcoef(one.ravel(), columns.sum(axis=1))[0, 1] > 0


def test_networks_that_cannot_be_explained():
    image = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(image)
    dense = keras.layers.Dense(3, activation="tanh")(flat)
    perceptron = keras.Model(image, dense, name="perceptron")
    images = random_images(1, 4, 4, 3)
    with pytest.raises(UserError, match="perceptron, which has none. Use gradient"):
        explain.grad_cam(perceptron, images)
    with pytest.raises(UserError, match="need a network with ReLUs. Received: perceptron"):
        explain.deconvolution(perceptron, images)
    assert explain.gradient(perceptron, images).shape == images.shape
    with pytest.raises(UserError, match="must have one output. Received: two with 2"):
        explain.Network(keras.Model(image, [flat, dense], name="two"))
    pair = [image, keras.Input((4, 4, 3))]
    pair_model = keras.Model(pair, keras.layers.Add()(pair), name="pair")
    with pytest.raises(UserError, match="one input. Received: pair with 2"):
        explain.Network(pair_model)
    with pytest.raises(UserError, match="must be functional, or sequential with an Input"):
        explain.Network(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(UserError, match=r"takes images of shape .'count', 4, 4, 3.. Received"):
        explain.gradient(perceptron, images[0])
    with pytest.raises(UserError, match="batch, height, width, channels"):
        explain.Network(keras.Model(flat, keras.layers.Dense(2)(flat)))


def test_layers_without_a_map_of_their_own():
    model = network()
    with pytest.raises(UserError, match="Unknown layer of small 'conv3'. Did you mean conv"):
        explain.Network(model, layer="conv3")
    with pytest.raises(UserError, match=r"'top' with .None, 4.. The last .* is relu2"):
        explain.Network(model, layer="top")
    image = keras.Input((4, 4, 3))
    shared = keras.layers.Conv2D(3, 1, name="shared")
    twice = keras.Model(image, shared(shared(image)), name="twice")
    with pytest.raises(UserError, match="'shared', which twice uses 2 times"):
        explain.grad_cam(twice, random_images(1, 4, 4, 3))


@pytest.mark.parametrize("name", ["flattened", "two layers"])
def test_cam_needs_its_head(name):
    model = network("flattened" if name == "flattened" else "pooled")
    if name == "two layers":
        top = keras.layers.Dense(2)(keras.layers.ReLU()(model.output))
        model = keras.Model(model.input, top, name="small")
    with pytest.raises(UserError, match="one dense layer. Received: small.*Use Grad-CAM"):
        explain.cam(model, IMAGES)
    with pytest.raises(UserError, match="with the map of 'conv1'"):
        explain.cam(explain.Network(network(), layer="conv1"), IMAGES)


# The others build and run for seconds each.
QUICK = ("lenet5", "lenet5_1998", "resnet20", "vgg16_mini")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in kc.list_models()]
)
def test_every_network_of_the_zoo(name):
    model = networks.network(name)
    found = explain.Network(model)
    images = networks.images(model, 2)
    labels = found.labels(images)
    probabilities = model(images).numpy()
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=1))
    maps = explain.layer_cam(found, images)
    assert maps.ndim == 3
    assert np.isfinite(maps).all()
    values = explain.gradient(found, images)
    assert values.shape == images.shape
    assert np.abs(values).max() > 0


# Maps that change little with weights drawn anew: guided backpropagation, as Adebayo et al. 2018
# found; and maps that weigh all channels positively or by no class, which follow the outlines of
# what stands on an empty background. Deconvolution fails in magnitude alone.
FAIL = {"guided_backpropagation", "grad_cam_plus_plus", "layer_cam", "score_cam", "eigen_cam"}

TRAINED = {"lenet5": "digits", "resnet20": "fashion_mnist"}


@pytest.fixture(scope="module", params=["lenet5", pytest.param("resnet20", marks=pytest.mark.slow)])
def trained(request, digits) -> tuple[str, explain.Network, np.ndarray]:
    """A trained network, and images that it knows."""
    name, weights = request.param, TRAINED[request.param]
    raw = np.stack([digits.test.image(number) for number in range(12)])
    if weights == "fashion_mnist":
        with np.load(ROOT / "tests" / "golden" / "fashion_mnist_sample.npz") as sample:
            raw = sample["images"][:12]
    images = np.asarray(kc.preprocessing(f"{name}/{weights}")(raw))
    return name, explain.Network(kc.get_model(name, weights=weights)), images


def test_integrated_gradients_of_trained_networks(trained):
    name, known, images = trained
    images = images[:4]
    # The gradient of the deeper network jumps more often on the way.
    steps = {"lenet5": 200, "resnet20": 1000}[name]
    found = explain.integrated_gradients(known, images, steps=steps).sum(axis=(1, 2, 3))
    rises = known.scores(images) - known.scores(np.zeros_like(images))
    np.testing.assert_allclose(found, rises[range(4), known.labels(images)], rtol=0.01)


def maps_by_method(network: explain.Network, images: np.ndarray, labels) -> dict[str, np.ndarray]:
    """Maps by every method that knows the network's layers."""
    found = {}
    for method, attribute in explain.METHODS.items():
        try:
            found[method] = attribute(network, images, labels)
        except UserError:
            assert network.model.name == "lenet5"
            assert method in ("cam", "guided_backpropagation", "deconvolution")
    return found


@graphs()
def test_maps_depend_on_the_weights(trained):
    """The sanity check of Adebayo et al. 2018: all weights are drawn anew, five times."""
    name, known, images = trained
    images = images[:6]
    labels = known.labels(images)
    # One network, so that its graphs are traced once.
    network = explain.Network(kc.get_model(name, weights=TRAINED[name]))
    trained_maps = maps_by_method(network, images, labels)
    correlations = {method: [] for method in trained_maps}
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        network.model.set_weights(kc.get_model(name, classes=10).get_weights())
        for method, maps in maps_by_method(network, images, labels).items():
            correlations[method] += [
                spearmanr(one.ravel(), other.ravel()).statistic
                for one, other in zip(trained_maps[method], maps, strict=True)
                # A map may be zero everywhere.
                if one.any() and other.any()
            ]
    assert all(len(found) > 15 for found in correlations.values())
    correlations = {method: np.mean(found) for method, found in correlations.items()}
    failed = {method for method, correlation in correlations.items() if correlation > 0.2}
    assert failed == (FAIL if name == "resnet20" else set()), correlations


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(run_python, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    path = tmp_path / "found.npz"
    done = run_python("-m", "tests.helpers.explained", str(path), KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    with np.load(path) as found:
        for name, expected in explanations().items():
            tolerance = 1e-4 * np.abs(expected).max()
            np.testing.assert_allclose(found[name], expected, atol=tolerance, err_msg=name)


def test_a_graph_gives_the_same(pooled):
    for name in ("grad_cam", "deconvolution"):
        expected = explain.METHODS[name](pooled, IMAGES, 1)
        with graphs():
            found = explain.METHODS[name](explain.Network(pooled.model), IMAGES, 1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
