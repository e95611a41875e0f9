"""Named tensors into a small model: each exactly once, or none."""

import keras
import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.weights.assign import (
    Slot,
    assign,
    extract,
    named_slots,
    values_for,
    weights_of,
)
from keras_classics.weights.stored import in_memory


@pytest.fixture
def model() -> keras.Model:
    image = keras.Input((3,), name="image")
    x = keras.layers.Dense(2, name="fc1")(image)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(image, keras.layers.BatchNormalization(name="bn")(x))


def tensors_for(model: keras.Model) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        name: draw.normal(size=slot.shape).astype("float32")
        for name, slot in named_slots(model).items()
    }


def test_slots_are_named_by_layer_and_variable(model):
    assert {name: slot.shape for name, slot in named_slots(model).items()} == {
        "fc1/kernel": (3, 2),
        "fc1/bias": (2,),
        "bn/gamma": (2,),
        "bn/beta": (2,),
        "bn/moving_mean": (2,),
        "bn/moving_variance": (2,),
    }
    # A dropout's seed is no weight.
    assert len(model.get_layer("dropout").variables) == 1
    assert weights_of(model.get_layer("dropout")) == []


def test_all_are_assigned_and_extracted_again(model):
    tensors = tensors_for(model)
    assign(values_for(in_memory(tensors), named_slots(model)), named_slots(model))
    np.testing.assert_array_equal(model.get_layer("fc1").kernel, tensors["fc1/kernel"])
    found = extract(named_slots(model))
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_a_slot_converts_both_ways(model):
    slots = {"w": Slot(model.get_layer("fc1").kernel, (2, 3), np.transpose, np.transpose)}
    tensor = np.arange(6, dtype="float32").reshape(2, 3)
    assign(values_for(in_memory({"w": tensor}), slots), slots)
    np.testing.assert_array_equal(model.get_layer("fc1").kernel, tensor.T)
    found = extract(slots)["w"]
    np.testing.assert_array_equal(found, tensor)
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn/beta": None}, "^it lacks the tensor 'bn/beta'$"),
        ({"fc2/bias": np.zeros(2, "float32")}, "^the network has no tensor 'fc2/bias'$"),
        (
            {"bn/beta": None, "bn/bias": np.zeros(2, "float32")},
            "^it lacks the tensor 'bn/beta', and the network has no 'bn/bias'$",
        ),
        ({"bn/beta": np.zeros(3, "float32")}, r"'bn/beta' has the shape \(3,\), .* has \(2,\)$"),
        ({"bn/beta": np.zeros(2, "int32")}, "'bn/beta' is of type int32, not floating-point$"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(model, change, message):
    tensors = {k: v for k, v in {**tensors_for(model), **change}.items() if v is not None}
    with pytest.raises(UserError, match=message):
        values_for(in_memory(tensors), named_slots(model))
