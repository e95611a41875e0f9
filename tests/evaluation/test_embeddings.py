"""Features of images: which, in which order, and what becomes of images that cannot be read."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.data import FileSplit, Split, load
from keras_classics.errors import UserError
from keras_classics.evaluation import compiled, embed, feature_network
from keras_classics.evaluation.embeddings import weights_digest
from tests.helpers.folders import write_image


@pytest.mark.parametrize(
    ("model", "channels"),
    [("lenet5", 84), ("lenet5_1998", 84), ("resnet20", 64), ("vgg16_mini", 256)],
)
def test_features(model, channels):
    network = getattr(kc, model)()
    images = np.random.default_rng(0).normal(size=(2, *network.input_shape[1:])).astype("float32")
    last = [layer for layer in network.layers if layer.weights][-1]
    pooled = feature_network(network)(images).numpy()
    expected = keras.Model(network.input, last.input)(images).numpy()
    np.testing.assert_array_equal(pooled, expected)
    assert pooled.shape == (2, channels)
    maps = kc.feature_extractor(network)(images)
    for level in ("2", "level_2"):
        features = feature_network(network, level)(images).numpy()
        means = maps["level_2"].numpy().mean((1, 2))
        # The mean of a large map with both signs comes near 0, where the order of the sum shows.
        np.testing.assert_allclose(features, means, rtol=1e-5, atol=1e-6 * np.abs(means).max())
    for wrong in ("7", "levels", "-1", "²", ""):
        with pytest.raises(UserError, match="has the levels|is a number, such as 3, or pool"):
            feature_network(network, wrong)


@pytest.fixture(scope="module")
def lenet5():
    return feature_network(kc.lenet5(weights="digits"))


@pytest.fixture(scope="module")
def preprocessing():
    return kc.preprocessing("lenet5/digits")


def test_images_in_memory(lenet5, preprocessing, few_digits):
    found = list(embed(compiled(lenet5), preprocessing, few_digits.test, batch_size=16))
    assert [one.number for one in found] == list(range(40))
    np.testing.assert_array_equal([one.label for one in found], few_digits.test.labels)
    expected = lenet5(preprocessing(few_digits.test.images)).numpy()
    np.testing.assert_allclose([one.features for one in found], expected, atol=1e-5)


@pytest.mark.parametrize("bad", [(), (3, 4, 9), tuple(range(10))])
def test_images_that_cannot_be_read_have_a_fault_in_their_place(
    lenet5, preprocessing, tmp_path, bad
):
    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for number, path in enumerate(paths):
        write_image(path, height=8 + number, width=8)
        if number in bad:
            path.write_bytes(path.read_bytes()[:40])
    if 4 in bad:
        paths[4].unlink()
    split = FileSplit(np.array(paths, object), np.arange(10, dtype="int32"))
    found = list(embed(compiled(lenet5), preprocessing, split, batch_size=4))
    assert [one.number for one in found] == list(range(10))
    for number, one in enumerate(found):
        assert (one.features is None) == bool(one.fault) == (number in bad)
        if number in bad:
            expected = "(No such file or directory)" if number == 4 and 4 in bad else "cut short"
            assert expected in one.fault
        else:
            assert one.label == number
            alone = lenet5(preprocessing(split.image(number)[np.newaxis])).numpy()[0]
            np.testing.assert_allclose(one.features, alone, atol=1e-5)


def test_the_forms_of_a_data_set_have_the_same_features(lenet5, preprocessing, tmp_path):
    for part, count in (("train", 6), ("test", 4)):
        for number in range(count):
            write_image(tmp_path / "images" / part / "ab"[number % 2] / f"{number}.png")
    data = load(f"folder:{tmp_path / 'images'}", encoded=True)
    table = tmp_path / "list.csv"
    lines = [
        f"{path},{name},{part}"
        for part, split in (("train", data.train), ("test", data.test))
        for path, name in zip(split.paths, np.array(["a", "b"])[split.labels], strict=True)
    ]
    table.write_text("\n".join(["path,label,split", *lines]) + "\n")
    other = load(f"list:{table}", encoded=True)
    arrays = Split(np.stack([data.train.image(i) for i in range(6)]), data.train.labels)
    values = [
        np.array([one.features for one in embed(compiled(lenet5), preprocessing, split)])
        for split in (data.train, other.train, arrays)
    ]
    np.testing.assert_allclose(values[1], values[0], atol=1e-5)
    np.testing.assert_allclose(values[2], values[0], atol=1e-5)


def test_features_that_are_not_finite_are_refused(preprocessing, few_digits):
    network = kc.lenet5(weights="digits")
    kernel, bias = network.layers[1].get_weights()
    network.layers[1].set_weights([kernel, bias * np.nan])
    with pytest.raises(UserError, match=r"Features must be finite numbers\. Received: nan for"):
        list(embed(compiled(feature_network(network)), preprocessing, few_digits.test))


def test_a_digest_tells_weights_apart(lenet5):
    assert weights_digest(lenet5) == weights_digest(feature_network(kc.lenet5(weights="digits")))
    assert weights_digest(lenet5) != weights_digest(feature_network(kc.lenet5()))
    assert len(weights_digest(lenet5)) == 16
