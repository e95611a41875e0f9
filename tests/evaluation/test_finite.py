"""What is not a finite number gives no result, whichever way it comes."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_classics.data import FileSplit, Split
from keras_classics.errors import UserError
from keras_classics.evaluation import (
    Dense,
    Evaluation,
    Evaluator,
    Predictions,
    Views,
    average,
    mcnemar,
    one_view,
    recompute_batch_norm,
)
from keras_classics.evaluation.finite import NonFiniteOutputError
from keras_classics.evaluation.statistics import mean_difference, wilson
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models.builder import probabilities_of
from tests.helpers.folders import folder_of_images

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LAYER = ImagePreprocessing(resize=10, crop=8)
NOT_FINITE = (np.nan, np.inf, -np.inf)


def network(bias: float) -> keras.Model:
    """A network of one dense layer, with this value in the last bias."""
    image = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, probabilities_of(scores), name="tiny")
    model.layers[-2].bias.assign([0.0, 0.0, bias])
    return model


def images(values: list[int]) -> Split:
    """An image of one value for each."""
    pixels = np.broadcast_to(np.uint8(values)[:, None, None, None], (len(values), 12, 10, 3))
    return Split(pixels.copy(), np.zeros(len(values), "int32"))


PROTOCOLS = {
    "one view": lambda: (one_view(LAYER), lambda model: model),
    "ten": lambda: (views := Views("ten", LAYER), views.network),
    "dense": lambda: (views := Dense(LAYER), views.network),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_network_with_nan_in_its_last_bias_is_no_result(protocol):
    views, network_of = PROTOCOLS[protocol]()
    evaluator = Evaluator(network_of(network(np.nan)), LOSS, images([1, 2, 3]), views)
    with pytest.raises(UserError) as raised:
        evaluator()
    assert str(raised.value) == (
        "Probabilities must be finite numbers. Received: nan for image 0, the first of 3 such "
        "images of 3. Check the network's weights and its dtype policy."
    )


def test_the_first_image_is_named(tmp_path):
    model = network(0.0)
    # Only bright images overflow.
    model.layers[-2].kernel.assign(np.full((3, 3), 3e38) * [[1, -1, 1]])
    evaluator = Evaluator(model, LOSS, images([0, 0, 255, 0]), one_view(LAYER))
    with pytest.raises(UserError, match="for image 2, the first of 1 such images of 4"):
        evaluator()
    with pytest.raises(UserError, match="at least one image. Received: none"):
        Evaluator(model, LOSS, images([]), one_view(LAYER))()
    folder_of_images(tmp_path)
    paths = np.array(sorted(str(path) for path in tmp_path.glob("validation/*/*")))
    split = FileSplit(paths, np.zeros(len(paths), "int32"))
    with pytest.raises(UserError) as raised:
        Evaluator(network(np.inf), LOSS, split, one_view(LAYER), batch_size=1)()
    assert f"for image 0 ({paths[0]}), the first of {len(paths)}" in str(raised.value)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_no_object_of_results_holds_one(value):
    probabilities, losses = np.float32([[0.5, 0.5], [value, 0.5]]), np.float32([0.1, 0.2])
    labels = np.int32([0, 1])
    with pytest.raises(NonFiniteOutputError, match=f"Received: {value} for image 1, the first"):
        Evaluation(probabilities, losses, labels)
    with pytest.raises(NonFiniteOutputError, match="Losses must be finite"):
        Evaluation(np.float32([[0.5, 0.5]]), np.float32([value]), np.int32([0]))
    with pytest.raises(NonFiniteOutputError, match=f"Received: {value} for image 1, the first"):
        Predictions(probabilities, labels, "digits", "12", ("0", "1"), "single", "net")
    with pytest.raises(UserError, match="Statistics need finite numbers"):
        mcnemar([True, value], [True, False])
    with pytest.raises(UserError, match="Statistics need finite numbers"):
        mean_difference([0.1, value], [0.2, 0.3])
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        wilson(1, 2, value)
    with pytest.raises(UserError, match="An interval needs"):
        wilson(value, 2)


def test_a_file_of_predictions_with_one_is_refused(tmp_path):
    good = Predictions(
        np.float32([[0.5, 0.5]]), np.int32([0]), "digits", "12", ("0", "1"), "single", "net"
    )
    arrays = dataclasses.asdict(good) | {"probabilities": np.float32([[0.5, np.nan]])}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UserError, match=r"bad.npz contains no valid predictions: Probabilities"):
        Predictions.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "none.npz", **arrays | {k: arrays[k][:0] for k in arrays if k in LONG})
    with pytest.raises(UserError, match="at least one image"):
        Predictions.load(tmp_path / "none.npz")


LONG = ("probabilities", "labels")


@pytest.mark.parametrize("weights", [(1, np.nan), (np.inf, 1), (np.inf, -np.inf), (1e308, 1e308)])
def test_weights_of_an_ensemble_are_finite(weights):
    member = Evaluation(np.float32([[0.5, 0.5]]), np.float32([0.7]), np.int32([0]))
    with pytest.raises(UserError, match="finite numbers, none negative and not all 0"):
        average([member, member], weights)


@pytest.mark.parametrize("value", NOT_FINITE[:2])
def test_statistics_that_are_not_finite_leave_the_network_as_it_was(value):
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.BatchNormalization()(image))
    batch = np.ones((2, 4, 4, 3), "float32")
    batch[1, 0, 0, 0] = value
    with pytest.raises(UserError, match="Statistics must be finite numbers"):
        recompute_batch_norm(model, [batch])
    np.testing.assert_array_equal(model.layers[1].moving_mean, np.zeros(3))
