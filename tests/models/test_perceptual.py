"""Perceptual losses: against NumPy, in training, saved, and beside the package `lpips`."""

import json
import os

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import perceptual
from keras_classics.weights.assign import assign, values_for
from keras_classics.weights.formats import torchvision
from keras_classics.weights.stored import in_memory
from tests.helpers.parity import generated, import_torchvision

# torchvision's mean and deviation, of values 0..1.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images_of(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, shape).astype("float32")


@pytest.fixture(scope="module")
def loss() -> kc.PerceptualLoss:
    return kc.PerceptualLoss("vgg16_mini", {"block1_conv2": 2.0, "block2_conv2": 0.5}, None)


@pytest.fixture(scope="module")
def linear() -> list[np.ndarray]:
    return [images_of(channels, seed=channels) for channels in (64, 192, 384, 256, 256)]


@pytest.fixture(scope="module")
def lpips(linear) -> kc.LPIPS:
    return kc.LPIPS("alexnet_owt", None, linear, reduction=None)


def test_equals_the_papers_equation(loss):
    true, predicted = images_of(3, 20, 28, 3), images_of(3, 20, 28, 3, seed=1)
    network = loss._frozen.network
    expected = np.zeros(3)
    for weight, first, second in zip(
        (2.0, 0.5), network(2 * true - 1), network(2 * predicted - 1), strict=True
    ):
        difference = np.asarray(first, "float64") - np.asarray(second)
        sizes = np.prod(difference.shape[1:])
        expected += weight * (difference**2).sum(axis=(1, 2, 3)) / sizes
    np.testing.assert_allclose(loss.call(true, predicted), expected, rtol=1e-4)
    assert float(loss(true, predicted)) == pytest.approx(expected.mean(), rel=1e-4)
    assert float(loss(true, true)) == 0


def test_the_range_of_values_and_grey_images(loss):
    true, predicted = images_of(1, 16, 16, 1), images_of(1, 16, 16, 1, seed=1)
    plain = float(loss(true, predicted))
    colours = (np.repeat(each, 3, axis=-1) for each in (true, predicted))
    assert float(loss(*colours)) == pytest.approx(plain)
    layers = {"block1_conv2": 2.0, "block2_conv2": 0.5}
    wide = kc.PerceptualLoss("vgg16_mini", layers, None, value_range=(-1, 1))
    assert float(wide(2 * true - 1, 2 * predicted - 1)) == pytest.approx(plain, rel=1e-5)


def test_weights_of_the_package_and_their_preprocessing():
    loss = kc.PerceptualLoss("lenet5", ["c1"], "digits", value_range=(0, 255))
    model, prepare = kc.lenet5(weights="digits"), kc.preprocessing("lenet5/digits")
    true, predicted = (255 * images_of(2, 32, 32, 1, seed=seed) for seed in (0, 1))
    maps = keras.Model(model.input, model.get_layer("c1").output)
    first, second = (maps(prepare.normalize(images)) for images in (true, predicted))
    expected = np.mean(np.square(first - second), axis=(1, 2, 3))
    np.testing.assert_allclose(loss.call(true, predicted), expected, rtol=1e-4)


def test_random_weights_depend_on_the_seed_alone(loss):
    true, predicted = images_of(1, 16, 16, 3), images_of(1, 16, 16, 3, seed=1)
    keras.utils.set_random_seed(5)
    of_config = kc.PerceptualLoss.from_config(json.loads(json.dumps(loss.get_config())))
    assert float(of_config(true, predicted)) == float(loss(true, predicted))
    other = kc.PerceptualLoss("vgg16_mini", loss.layers, None, seed=1)
    assert float(other(true, predicted)) != pytest.approx(float(loss(true, predicted)), rel=1e-3)


def autoencoder() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
            keras.layers.Conv2DTranspose(1, 3, 2, padding="same", activation="sigmoid"),
        ]
    )


def test_trains_and_is_saved(loss, few_digits, tmp_path):
    scans = few_digits.train.images[:64].repeat(2, axis=1).repeat(2, axis=2) / 255.0
    model = autoencoder()
    model.compile(keras.optimizers.Adam(0.01), loss)
    frozen = loss._frozen.network.get_weights()
    losses = model.fit(scans, scans, batch_size=16, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    for found, stored in zip(loss._frozen.network.get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(found, stored)
    assert len(model.trainable_variables) == 4
    model.save(tmp_path / "model.keras")
    # The weights of the loss's network are not in the file.
    assert os.path.getsize(tmp_path / "model.keras") < 60_000
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == loss.get_config()
    found = loaded.evaluate(scans, scans, verbose=0)
    assert found == pytest.approx(model.evaluate(scans, scans, verbose=0), rel=1e-5)
    loaded.fit(scans, scans, batch_size=16, epochs=1, verbose=0)


# Images of ImageNet's preprocessing in BGR: the loss has a gradient with respect to them.
ELSEWHERE = """
import keras
import numpy as np
import keras_classics as kc
from keras_classics.image_preprocessing import ImagePreprocessing

keras.utils.set_random_seed(0)
layer = ImagePreprocessing(mean=(10.0, 20.0, 30.0), bgr=True)
loss = kc.PerceptualLoss("vgg16_mini", ["block1_conv1"], None, preprocessing=layer)
image = keras.Input((8, 8, 3))
model = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid")(image))
model.compile(keras.optimizers.Adam(0.02), loss)
images = np.random.default_rng(0).uniform(0, 1, (8, 8, 8, 3)).astype("float32")
losses = model.fit(images, images, epochs=15, verbose=0).history["loss"]
print(keras.backend.backend(), losses[-1] < losses[0], float(loss(images, 1 - images)))
"""


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("jax", marks=pytest.mark.slow),
        pytest.param("torch", marks=pytest.mark.torch),
    ],
)
def test_trains_on_other_backends(run_python, backend):
    layer = ImagePreprocessing(mean=(10.0, 20.0, 30.0), bgr=True)
    loss = kc.PerceptualLoss("vgg16_mini", ["block1_conv1"], None, preprocessing=layer)
    images = images_of(8, 8, 8, 3)
    done = run_python("-c", ELSEWHERE, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    name, learns, value = done.stdout.split()
    assert (name, learns) == (backend, "True")
    assert float(value) == pytest.approx(float(loss(images, 1 - images)), rel=1e-4)


def test_runs_in_float32_under_another_policy():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        loss = kc.PerceptualLoss("vgg16_mini", ["block1_conv1"], None)
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert loss._frozen.network.compute_dtype == "float32"
    assert loss.features(images_of(1, 8, 8, 3))[0].dtype == "float32"


def test_lpips_equals_the_papers_equation(lpips, linear):
    true, predicted = images_of(2, 40, 48, 3), images_of(2, 40, 48, 3, seed=1)
    normalized = [((images - MEAN) / DEVIATION) for images in (true, predicted)]
    expected = np.zeros(2)
    network = lpips._frozen.network
    for weights, first, second in zip(linear, *map(network, normalized), strict=True):
        first, second = (np.asarray(maps, "float64") for maps in (first, second))
        first, second = (
            maps / np.linalg.norm(maps, axis=-1, keepdims=True) for maps in (first, second)
        )
        expected += ((first - second) ** 2 @ weights).mean(axis=(1, 2))
    np.testing.assert_allclose(lpips(true, predicted), expected, rtol=1e-4)
    np.testing.assert_allclose(lpips(true, true), 0)
    assert [layer.shape for layer in lpips.linear] == [layer.shape for layer in linear]


def test_lpips_has_a_gradient_where_nothing_is_seen(linear):
    import tensorflow as tf

    loss = kc.LPIPS("alexnet_owt", None, linear)
    loss._frozen.network.set_weights([0 * w for w in loss._frozen.network.get_weights()])
    image = tf.Variable(images_of(1, 40, 40, 3))
    with tf.GradientTape() as tape:
        distance = loss(images_of(1, 40, 40, 3, seed=1), image)
    assert np.isfinite(tape.gradient(distance, image)).all()


def test_linear_weights_travel_with_the_file(lpips):
    config = json.loads(json.dumps(lpips.get_config()))
    true, predicted = images_of(1, 40, 40, 3), images_of(1, 40, 40, 3, seed=1)
    found = kc.LPIPS.from_config(config)(true, predicted)
    np.testing.assert_array_equal(found, lpips(true, predicted))


def test_mistakes_are_named_in_one_line(loss, tmp_path, monkeypatch):
    (tmp_path / "vgg.weights.h5").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for message, call in {
        "Unknown model 'vgg61'": lambda: kc.PerceptualLoss("vgg61", ["a"], None),
        "Only for vgg16 a layer is compared by default": lambda: kc.PerceptualLoss("vgg19"),
        "Unknown layer of vgg16_mini 'relu2_2'": lambda: kc.PerceptualLoss(
            "vgg16_mini", ["relu2_2"], None
        ),
        "Unknown weights 'vgg16_mini/digits'": lambda: kc.PerceptualLoss(
            "vgg16_mini", ["block1_conv1"], "digits"
        ),
        "does not say how images are normalised": lambda: kc.PerceptualLoss(
            "vgg16", weights=tmp_path / "vgg.weights.h5"
        ),
        "value_range must be (black, white)": lambda: kc.PerceptualLoss(
            "vgg16_mini", ["block1_conv1"], None, value_range=(1, 0)
        ),
        "compares images of shape (batch, height, width, 3). Received: (1, 8, 8)": lambda: loss(
            images_of(1, 8, 8), images_of(1, 8, 8)
        ),
        "Unknown network of LPIPS 'alexnet'. Did you mean alexnet_owt?": lambda: kc.LPIPS(
            "alexnet"
        ),
        "linear must have a weight for each channel": lambda: kc.LPIPS(
            "alexnet_owt", None, [[1.0]] * 5
        ),
        "pip install 'keras-classics[lpips]'": lambda: kc.LPIPS("alexnet_owt", None),
    }.items():
        with pytest.raises(UserError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_preprocessing_of_ones_own_is_saved_with_the_loss():
    layer = ImagePreprocessing(mean=(10.0, 20.0, 30.0), std=(2.0, 2.0, 2.0), bgr=True)
    loss = kc.PerceptualLoss("vgg16_mini", ["block1_conv1"], None, preprocessing=layer)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    true, predicted = images_of(1, 8, 8, 3), images_of(1, 8, 8, 3, seed=1)
    assert float(again(true, predicted)) == float(loss(true, predicted))
    plain = kc.PerceptualLoss("vgg16_mini", ["block1_conv1"], None)
    assert float(plain(true, predicted)) != pytest.approx(float(loss(true, predicted)), rel=1e-3)


@pytest.mark.torch
@pytest.mark.parametrize(("network", "name"), [("alexnet_owt", "alex"), ("vgg16", "vgg")])
def test_equals_the_package(network, name):
    torch = pytest.importorskip("torch")
    import_torchvision()
    lpips = pytest.importorskip("lpips")
    theirs = lpips.LPIPS(net=name, pnet_rand=True, verbose=False)
    ours = kc.LPIPS(network, None, reduction=None)
    slots = torchvision.slots(ours._frozen.network)
    tensors = {n: generated(n, slot.shape) for n, slot in slots.items()}
    assign(values_for(in_memory(tensors), slots), slots)
    state = theirs.net.state_dict()
    for key, tensor in state.items():
        # `slice2.3.weight` there is `features.3.weight` here.
        tensor.copy_(torch.from_numpy(tensors["features." + key.partition(".")[2]]))
    assert len(state) == len(tensors)
    assert sum(map(np.size, perceptual.linear_weights(network))) in (1152, 1472)
    for shape, noise in (((2, 64, 64, 3), 1.0), ((1, 97, 75, 3), 0.05)):
        true = images_of(*shape)
        predicted = np.clip(true + noise * (images_of(*shape, seed=1) - 0.5), 0, 1)
        with torch.no_grad():
            pair = [torch.from_numpy(i.transpose(0, 3, 1, 2)) for i in (true, predicted)]
            expected = theirs(*pair, normalize=True).numpy().ravel()
        found = np.asarray(ours(true, predicted))
        print(network, expected, np.abs(found - expected).max())
        assert (expected > 1e-4).all()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found, expected, rtol=1e-3)
