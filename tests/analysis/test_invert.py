"""Images that networks make: activations, features, Gram matrices and style, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.analysis import invert
from keras_classics.analysis.layer_outputs import before_activation, layer_outputs
from keras_classics.analysis.pixels import blurred
from keras_classics.errors import NonFiniteLossError, UserError
from tests.helpers.golden import fill


def images_of(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


@pytest.fixture(scope="module")
def vgg() -> keras.Model:
    model = kc.vgg16_mini(input_shape=(32, 32, 3))
    fill(model)
    return model


@pytest.fixture(scope="module")
def lenet() -> keras.Model:
    return kc.lenet5(weights="digits")


@pytest.fixture(scope="module")
def to_lenet() -> keras.layers.Layer:
    return kc.preprocessing("lenet5/digits")


@pytest.fixture
def kept(vgg):
    """Holds the network to its weights, bit by bit."""
    before = vgg.get_weights()
    yield
    for found, stored in zip(vgg.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, stored)


def test_classes_want_more_than_any_training_image_has(lenet, to_lenet, digits):
    before = lenet.get_weights()
    wanted = invert.maximize(
        lenet, range(10), preprocessing=to_lenet, prior=invert.NO_PRIOR, steps=60
    )
    scores = before_activation(lenet).predict(to_lenet(digits.train.images), verbose=0)
    found = before_activation(lenet)(to_lenet.normalize(wanted.images)).numpy()
    assert (np.diag(found) > scores.max(axis=0)).all()
    np.testing.assert_allclose(wanted.history["activation"][-1], np.diag(found), rtol=1e-5)
    assert wanted.images.shape == (10, 32, 32, 1)
    assert wanted.rounded.dtype == np.uint8
    assert wanted.images.min() >= 0
    assert wanted.images.max() <= 255
    for kept, stored in zip(lenet.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, stored)


def test_regularisers_do_what_they_are_for(lenet, to_lenet):
    def wanted(**options) -> np.ndarray:
        return invert.maximize(lenet, 3, preprocessing=to_lenet, steps=24, **options).images / 127.5

    def variation(images: np.ndarray) -> float:
        return float(invert.total_variation(tf.constant(images), 2.0)[0])

    free = wanted(prior=invert.NO_PRIOR)
    small = wanted(prior=invert.Prior(norm=20.0, p=2))
    assert np.abs(small - 1).mean() < 0.5 * np.abs(free - 1).mean()
    for smoother in (
        {"prior": invert.Prior(variation=20.0)},
        {"prior": invert.NO_PRIOR, "blur": 1.0},
        {"prior": invert.NO_PRIOR, "scales": 2},
    ):
        assert variation(wanted(**smoother)) < 0.7 * variation(free), smoother


def test_the_seed_decides(lenet, to_lenet):
    def wanted(seed: int) -> np.ndarray:
        options = {"jitter": 2, "blur": 0.5, "steps": 4, "seed": seed}
        return invert.maximize(lenet, [1, 2], preprocessing=to_lenet, **options).images

    first = wanted(0)
    np.testing.assert_array_equal(first, wanted(0))
    assert np.abs(first - wanted(1)).max() > 1


def test_units_and_channels_of_a_hidden_layer(vgg, kept):
    seen = []
    wanted = invert.maximize(
        vgg,
        [0, 1],
        "block3_conv1",
        position=(4, 3),
        steps=20,
        prior=invert.NO_PRIOR,
        on_step=lambda step, terms: seen.append((step, terms["activation"])),
    )
    changed = np.abs(wanted.images - wanted.images.mean(axis=(1, 2), keepdims=True)).max(axis=-1)
    far = changed[:, :, 28:]
    # The unit sees 22 pixels around column 14; further ones keep their noise.
    assert far.max() < 60 < changed[:, 10:20, 8:20].max()
    assert [step for step, _ in seen] == list(range(1, 21))
    assert seen[-1][1] > seen[0][1]
    maps = before_activation(vgg, "block3_conv1")(wanted.images).numpy()
    found = [maps[0, 4, 3, 0], maps[1, 4, 3, 1]]
    np.testing.assert_allclose(found, wanted.history["activation"][-1], rtol=1e-4)
    means = invert.maximize(vgg, 2, "block3_conv1", steps=2, input_shape=(16, 24, 3))
    maps = layer_outputs(
        before_activation(vgg, "block3_conv1"),
        ["block3_conv1_before_activation"],
        input_shape=(16, 24, 3),
    )(means.images)
    np.testing.assert_allclose(maps[..., 2].numpy().mean(), means.history["activation"][-1], 1e-4)


def test_without_the_activation_function():
    image = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(image)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", name="top")(hidden))
    x = np.float32([[1, -2, 3], [0, 1, -1]])
    kernel, bias = model.get_layer("hidden").get_weights()
    np.testing.assert_allclose(before_activation(model, "hidden")(x), x @ kernel + bias, rtol=1e-5)
    scores = before_activation(model)(x).numpy()
    np.testing.assert_allclose(tf.nn.softmax(scores), model(x), rtol=1e-5)
    assert np.abs(scores.sum(axis=1) - 1).min() > 1e-3
    assert model.get_layer("top").activation is keras.activations.softmax
    # The nearest code has the greatest score.
    nearest = kc.lenet5_1998()
    digits = images_of(2, 32, 32, 1) / 255
    found = before_activation(nearest)(digits).numpy()
    assert (found < 0).all()
    np.testing.assert_array_equal(found.argmax(axis=1), nearest(digits).numpy().argmax(axis=1))


def test_nested_networks(vgg):
    nested = keras.Sequential([keras.Input((32, 32, 3)), vgg, keras.layers.Dense(2)])
    wanted = invert.maximize(nested, 1, "block1_conv2", steps=1, seed=3)
    alone = invert.maximize(vgg, 1, "block1_conv2", steps=1, seed=3)
    np.testing.assert_allclose(wanted.images, alone.images, atol=1e-3)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_linear_layer_keeps_the_image(optimizer):
    image = keras.Input((6, 6, 3))
    mixed = keras.layers.Conv2D(3, 1, name="mixed")(image)
    model = keras.Model(image, mixed)
    # A rotation: it is invertible, and no direction is harder than another.
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    model.get_layer("mixed").set_weights([rotation[None, None], np.ones(3)])
    original = images_of(2, 6, 6, 3)
    found = invert.reconstruct(
        model,
        original.astype("uint8"),
        "mixed",
        preprocessing=lambda pixels: pixels / 127.5 - 1,
        prior=invert.NO_PRIOR,
        optimizer=optimizer,
        steps=60 if optimizer == "lbfgs" else 300,
    )
    assert np.abs(found.images - original.astype("uint8")).max() < 0.5
    assert found.history["features"][-1].max() < 1e-5 * found.history["features"][0].min()


def test_shallow_features_keep_more_than_deep_ones(vgg, kept):
    original = tf.image.resize(images_of(1, 8, 8, 3), (32, 32)).numpy()

    def error(layer: str) -> float:
        found = invert.reconstruct(vgg, original, layer, steps=30, prior=invert.NO_PRIOR)
        assert found.history["features"][-1] < found.history["features"][0]
        return float(np.abs(found.images - original).mean())

    assert error("block1_conv1") < 0.5 * error("block5_conv3")


def test_priors_equal_numpy():
    pixels = images_of(2, 5, 4, 3)
    x = pixels / 127.5 - 1
    down = np.diff(x, axis=1, append=x[:, -1:])
    right = np.diff(x, axis=2, append=x[:, :, -1:])
    for beta in (1.0, 2.0):
        expected = ((down**2 + right**2) ** (beta / 2)).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(invert.total_variation(x, beta), expected, rtol=1e-4)
    terms = invert._penalties(tf.constant(pixels), invert.Prior(0.5, 6, 2.0, 2))
    np.testing.assert_allclose(terms["norm"], 0.5 * (x**6).mean(axis=(1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(terms["variation"], 2 * expected, rtol=1e-4)


def test_blur_equals_numpy():
    image = images_of(1, 9, 7, 2)
    weights = np.exp(-0.5 * (np.arange(-3, 4) / 0.8) ** 2)
    expected = image.astype("float64")
    for axis in (1, 2):
        padded = np.pad(
            expected, [(0, 0), *[(3 * (a == axis),) * 2 for a in (1, 2)], (0, 0)], "symmetric"
        )
        windows = np.lib.stride_tricks.sliding_window_view(padded, 7, axis)
        expected = windows @ (weights / weights.sum())
    np.testing.assert_allclose(blurred(tf.constant(image), 0.8), expected, rtol=1e-4)


def test_gram_matrices_equal_numpy():
    maps = images_of(2, 3, 4, 5)
    for found, each in zip(invert.gram_matrix(tf.constant(maps)).numpy(), maps, strict=True):
        flat = each.reshape(12, 5)
        np.testing.assert_allclose(found, flat.T @ flat / 12, rtol=1e-5)
    # Equations 3 and 4 of the paper, with sums over the 12 positions.
    first, second = (m.reshape(12, 5).T @ m.reshape(12, 5) for m in maps.astype("float64"))
    expected = ((first - second) ** 2).sum() / (4 * 5**2 * 12**2)
    grams = invert.gram_matrix(tf.constant(maps))
    np.testing.assert_allclose(invert.style_distance(grams[:1], grams[1:])[0], expected, rtol=1e-4)


def test_average_pooling_equals_a_network_built_by_hand(vgg, kept):
    image = keras.Input((32, 32, 3))
    x = image
    layers = vgg.layers[1 : vgg.layers.index(vgg.get_layer("block4_conv1")) + 1]
    for layer in layers:
        if isinstance(layer, keras.layers.MaxPooling2D):
            x = keras.layers.AveragePooling2D(2)(x)
        else:
            copy = layer.__class__.from_config(layer.get_config())
            x = copy(x)
            copy.set_weights(layer.get_weights())
    photos = images_of(2, 32, 32, 3)
    by_hand = keras.Model(image, x)(photos)
    averaging = layer_outputs(vgg, ["block4_conv1"], average_pooling=True)
    np.testing.assert_allclose(averaging(photos), by_hand, rtol=1e-4, atol=1e-4)
    largest = layer_outputs(vgg, ["block4_conv1"])(photos)
    assert np.abs(largest - by_hand).max() > 1
    kernel = averaging.get_layer("block1_conv1").kernel
    assert kernel is vgg.get_layer("block1_conv1").kernel
    # The network itself still has its maximum pooling, and its own graph.
    found = keras.Model(vgg.input, vgg.get_layer("block4_conv1").output)(photos)
    np.testing.assert_array_equal(found, largest)
    assert keras.models.clone_model(vgg).count_params() == vgg.count_params()


def test_average_pooling_of_overlapping_windows():
    model = kc.alexnet_owt(input_shape=(64, 64, 3), include_top=False)
    averaging = layer_outputs(model, ["conv1", "pool1"], average_pooling=True)
    conv1, pool1 = averaging(images_of(1, 64, 64, 3))
    expected = tf.nn.avg_pool2d(conv1, 3, 2, "VALID")
    np.testing.assert_allclose(pool1, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "adam"}, {"start": "noise", "average_pooling": False, "content_weight": 1}],
)
def test_style_transfer_lowers_its_losses(vgg, kept, options):
    content, style = images_of(48, 40, 3), 255 * (images_of(32, 36, 3) > 200)
    found = invert.transfer_style(vgg, content, style, steps=15, rate=8.0, **options)
    assert found.images.shape == (1, 48, 40, 3)
    history = found.history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["style"][-1] < history["style"][0]
    if "start" in options:
        assert history["content"][-1] < history["content"][0]
    else:
        # The start has the content itself.
        assert history["content"][0] == pytest.approx(0, abs=1e-6 * history["content"][-1].item())
    weight = options.get("content_weight", 1e-3)
    total = weight * history["content"] + history["style"]
    np.testing.assert_allclose(history["loss"], total, rtol=1e-4)


def test_the_style_of_an_image_is_its_own(vgg):
    image = images_of(32, 32, 3)
    own, darker = (
        invert.transfer_style(vgg, image, style, steps=1).history["loss"][0]
        for style in (image, image / 2)
    )
    # Zero with some kernels, and with others the square of float32's rounding.
    assert own <= np.finfo("float32").eps ** 2 * darker


def mistakes(vgg, lenet) -> dict:
    photo = images_of(32, 32, 3)
    free = kc.vgg16_mini(include_top=False, input_shape=(None, None, 3))
    return {
        "Unknown layer of vgg16_mini 'block1'.": lambda: invert.reconstruct(vgg, photo, "block1"),
        "Units are numbered 0 to 5. Received: 6.": lambda: invert.maximize(vgg, 6),
        "Units are numbered 0 to 5. Received: -1.": lambda: invert.maximize(vgg, [0, -1]),
        "position must lie in the map": lambda: invert.maximize(
            vgg, 0, "block1_conv1", position=(32, 0)
        ),
        "which a dense layer has not": lambda: invert.maximize(vgg, 0, position=(0, 0)),
        "Use input_shape=(224, 224, 3).": lambda: invert.maximize(free, 0),
        "Images have values 0..255. Received: -0.99": lambda: invert.reconstruct(
            vgg, photo / 127.5 - 1, "block1_conv1"
        ),
        "Images have values 0..255. Received: nan": lambda: invert.reconstruct(
            vgg, photo * np.nan, "block1_conv1"
        ),
        "Images have the shape": lambda: invert.reconstruct(vgg, photo[0], "block1_conv1"),
        "takes images of (32, 32, 3). Received: (16, 16, 3)": lambda: invert.reconstruct(
            vgg, photo[:16, :16], "fc1"
        ),
        "takes images of (32, 32, 3). Received: (32, 32, 1)": lambda: invert.reconstruct(
            vgg, photo[..., :1], "block1_conv1"
        ),
        "optimizer must be": lambda: invert.reconstruct(vgg, photo, "fc1", optimizer="sgd"),
        "start must be": lambda: invert.transfer_style(vgg, photo, photo, start="style"),
        "style must be one image. Received: 2.": lambda: invert.transfer_style(
            vgg, photo, np.stack([photo] * 2)
        ),
        "Unknown layer of lenet5 'block4_conv2'.": lambda: invert.transfer_style(
            lenet, photo[..., :1], photo[..., :1]
        ),
    }


def test_mistakes_are_named_in_one_line(vgg, lenet):
    for message, call in mistakes(vgg, lenet).items():
        with pytest.raises(UserError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_images_that_resizing_rounded():
    image = np.full((2, 2, 3), 255.00002, "float32")
    assert invert.checked_images(image).max() == 255


def test_a_loss_that_is_no_number(lenet):
    with pytest.raises(NonFiniteLossError, match="not finite after 0 steps"):
        invert.maximize(lenet, 0, preprocessing=lambda pixels: pixels * np.inf, steps=2)


def test_another_backend_is_refused(monkeypatch, lenet):
    monkeypatch.setattr(invert, "tf", None)
    with pytest.raises(UserError, match="maximize needs TensorFlow"):
        invert.maximize(lenet, 0)
