"""A linear probe and nearest neighbours, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_classics as kc
from keras_classics.data import load
from keras_classics.errors import UserError
from keras_classics.evaluation import (
    compiled,
    embed,
    feature_network,
    held_out_images,
    linear_probe,
    most_similar,
    nearest_neighbours,
    neighbours,
    probe,
)

FIT = (linear_probe, nearest_neighbours)


@pytest.fixture(scope="module")
def features():
    """Features and labels of the digits, training and test images, and which are held out."""
    network = feature_network(kc.lenet5(weights="fashion_mnist"))
    data, preprocessing = load("digits"), kc.preprocessing("lenet5/fashion_mnist")
    parts = {}
    for part, split in (("train", data.train), ("test", data.test)):
        rows = list(embed(compiled(network), preprocessing, split))
        parts[part] = (np.array([row.features for row in rows]), split.labels)
    held = held_out_images([f"digits/train/{i}" for i in range(len(data.train))])
    return parts["train"], parts["test"], held


@pytest.mark.slow
def test_a_linear_probe_is_that_of_scikit_learn(features):
    (train, labels), (test, of_test), held = features
    found = linear_probe(train, labels, held)
    errors = {}
    for strength in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        model.fit(train[~held].astype("float64"), labels[~held])
        errors[strength] = 1 - model.score(train[held].astype("float64"), labels[held])
    assert found.held_out_errors == pytest.approx(errors, abs=1e-12)
    # Of equals, the strongest penalty.
    strength = min(errors, key=lambda c: (round(errors[c], 9), c))
    assert found.strength == strength
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    model.fit(train.astype("float64"), labels)
    expected = model.predict(test.astype("float64"))
    np.testing.assert_array_equal(found.predict(test), expected)
    assert found.predict(test).dtype == np.int32
    # Far from chance, by a network of clothes.
    assert (expected != of_test).mean() < 0.15


def test_nearest_neighbours_are_those_of_scikit_learn(features):
    (train, labels), (test, of_test), held = features
    found = nearest_neighbours(train, labels, held)
    assert (found.predict(test) != of_test).mean() < 0.15

    def of_sklearn(k):
        return KNeighborsClassifier(
            k, metric="cosine", weights=lambda distances: np.exp((1 - distances) / 0.07)
        )

    errors = {
        k: 1 - of_sklearn(k).fit(train[~held], labels[~held]).score(train[held], labels[held])
        for k in (1, 2, 5, 10, 20, 50, 100, 200)
    }
    assert found.held_out_errors == pytest.approx(errors, abs=1e-12)
    assert found.k == min(errors, key=lambda k: (round(errors[k], 9), k))
    expected = of_sklearn(found.k).fit(train, labels).predict(test)
    np.testing.assert_array_equal(found.predict(test), expected)


def test_the_most_similar_images(features, monkeypatch):
    (train, _), (test, _), _ = features
    monkeypatch.setattr(neighbours, "ROWS", 100)
    rows, similarities = most_similar(train, test[:50], 7)
    model = NearestNeighbors(n_neighbors=7, metric="cosine").fit(train)
    distances, expected = model.kneighbors(test[:50])
    np.testing.assert_allclose(similarities, 1 - distances, atol=1e-5)
    assert (rows == expected).mean() > 0.99
    rows, similarities = most_similar(train[:3], train[1:2], 10)
    assert (rows[0, 0], rows.shape) == (1, (1, 3))
    assert similarities[0, 0] == pytest.approx(1, abs=1e-6)
    # The first of equals; what has no direction is like nothing.
    rows, similarities = most_similar(np.array([[0.0, 0], [1, 1], [1, 1]]), np.ones((1, 2)), 3)
    assert rows.tolist() == [[1, 2, 0]]
    np.testing.assert_allclose(similarities, [[1, 1, 0]], atol=1e-6)


def two_classes(count=20, classes=2):
    labels = np.arange(count) % classes
    features = np.random.default_rng(0).normal(size=(count, 3)) + 4 * labels[:, np.newaxis]
    return features.astype("float32"), labels, np.arange(count) % 5 == 0


@pytest.mark.parametrize("fit", FIT)
def test_two_classes(fit):
    features, labels, held = two_classes()
    found = fit(features, labels * 7 + 3, held)
    np.testing.assert_array_equal(found.predict(features), labels * 7 + 3)


@pytest.mark.parametrize("fit", FIT)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, h: (x, y * 0, h), "training images of two classes. Received: 20 of 1"),
        (lambda x, y, h: (x[:0], y[:0], h[:0]), "of two classes. Received: 0 of 0"),
        (lambda x, y, h: (x * np.nan, y, h), "Features must be finite numbers. Received: nan"),
        (lambda x, y, h: (x, y, h & False), "Received: 0 of 20 held out"),
        (lambda x, y, h: (x, y, h | True), "Received: 20 of 20 held out"),
        (lambda x, y, h: (x, y[:-1], h), "each image one label. Received: shapes (20, 3), (19,)"),
        (lambda x, y, h: (x, np.eye(2)[y], h), "each image one label. Received"),
        (lambda x, y, h: (x[:, 0], y, h), "Features must have the shape (images, channels)"),
    ],
)
def test_what_cannot_be_trained_on(fit, change, message):
    with pytest.raises(UserError) as error:
        fit(*change(*two_classes()))
    assert message in str(error.value)


@pytest.mark.parametrize("fit", FIT)
def test_what_cannot_be_predicted(fit):
    found = fit(*two_classes())
    with pytest.raises(UserError, match="Features must be finite"):
        found.predict(np.full((2, 3), np.inf))
    with pytest.raises(UserError, match=r"shape \(images, "):
        found.predict(np.zeros((2, 4)))


def test_more_neighbours_than_images():
    features, labels, held = two_classes(8)
    assert set(nearest_neighbours(features, labels, held).held_out_errors) == {1, 2, 5}
    with pytest.raises(UserError, match=r"k must be 1 to 6.*Received: 50, 100"):
        nearest_neighbours(features, labels, held, counts=(50, 100))


def test_a_probe_that_has_not_converged_says_so(monkeypatch, caplog):
    monkeypatch.setattr(probe, "STEPS", 1)
    linear_probe(*two_classes())
    assert "has not converged in 1 steps" in caplog.text


def test_held_out_images_do_not_depend_on_where_the_images_are():
    names = [f"/a/b/train/cat/{i}.jpg" for i in range(2000)]
    held = held_out_images(names)
    assert 0.17 < held.mean() < 0.23
    np.testing.assert_array_equal(held, held_out_images([name[4:] for name in names]))
    np.testing.assert_array_equal(held[:100], held_out_images(names[:100]))
