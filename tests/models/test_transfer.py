"""What of a network trains, and its new end."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models.transfer import copy_first_and_last, with_classifier
from tests.helpers.images import random_images

SMALL = {"input_shape": (32, 32, 3), "classes": 4}


def statistics(model: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for v in model.variables if v.name.startswith("moving")]


def trained(model: keras.Model) -> keras.Model:
    """Takes two steps, with losses that move everything that may move."""
    model.compile(keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy")
    model.fit(5 * random_images(8, 32, 32, 3), np.arange(8) % 4, batch_size=4, verbose=0)
    return model


@pytest.mark.parametrize("name", ["resnet20", "vgg16_mini", "lenet5", "lenet5_1998"])
def test_the_last_layer_trains_alone(name):
    model = kc.get_model(name, classes=4)
    kc.freeze_backbone(model)
    last = "f6" if name == "lenet5_1998" else "predictions"
    assert [v.path for v in model.trainable_variables] == [f"{last}/kernel", f"{last}/bias"]
    kc.unfreeze(model, batch_norm="train")
    assert len(model.trainable_variables) == len(kc.get_model(name, classes=4).trainable_variables)


def test_frozen_statistics_do_not_move():
    model = kc.resnet20(**SMALL)
    kc.freeze_backbone(model)
    before = model.get_weights()
    trained(model)
    changed = {
        variable.path
        for variable, was in zip(model.weights, before, strict=True)
        if not np.array_equal(variable, was)
    }
    assert changed == {"predictions/kernel", "predictions/bias"}


def test_frozen_statistics_do_not_move_after_unfreezing():
    """First the end trains, then the network is unfrozen, its normalisations are not."""
    model = kc.resnet20(**SMALL)
    kc.freeze_backbone(model)
    before = statistics(model)
    trained(model)
    kc.unfreeze(model)
    kernel = np.array(model.get_layer("conv1_conv").kernel)
    trained(model)
    assert not np.array_equal(model.get_layer("conv1_conv").kernel, kernel)
    for now, was in zip(statistics(model), before, strict=True):
        np.testing.assert_array_equal(now, was)


def test_normalisation_that_trains():
    model = kc.resnet20(**SMALL)
    kc.freeze_backbone(model, batch_norm="train")
    names = {v.path.split("/")[-1] for v in model.trainable_variables}
    assert names == {"gamma", "beta", "kernel", "bias"}
    before = statistics(model)
    kernel = np.array(model.get_layer("conv1_conv").kernel)
    trained(model)
    np.testing.assert_array_equal(model.get_layer("conv1_conv").kernel, kernel)
    assert not any(
        np.array_equal(now, was) for now, was in zip(statistics(model), before, strict=True)
    )


def test_a_frozen_network_normalises_by_its_stored_statistics():
    model = kc.resnet20(**SMALL)
    kc.freeze_backbone(model)
    images = tf.constant(random_images(4, 32, 32, 3))
    np.testing.assert_allclose(model(images, training=True), model(images), atol=1e-6)


def test_a_new_end():
    backbone = kc.vgg11(include_top=False, pooling="avg", input_shape=(48, 64, 3))
    model = with_classifier(backbone, 3)
    assert model.output_shape == (None, 3)
    assert model.name == "vgg11"
    assert [layer.name for layer in model.layers[-2:]] == ["predictions", "probabilities"]
    with pytest.raises(UserError, match="Build the network with pooling='avg'"):
        with_classifier(kc.resnet20(include_top=False), 3)


def test_wrong_batch_norm():
    with pytest.raises(UserError, match="Unknown batch_norm 'melted'"):
        kc.freeze_backbone(kc.resnet20(), batch_norm="melted")


def vgg(name: str, hidden=(16, 12)) -> keras.Model:
    arguments = {"filters": (4, 8, 16, 32, 32), "hidden": hidden, **SMALL}
    return kc.get_model(name, **arguments)


@pytest.mark.parametrize("name", ["vgg13", "vgg16_c", "vgg16", "vgg19"])
def test_a_deeper_network_starts_from_the_first_and_last_layers(name):
    """Simonyan and Zisserman 2015, section 3.1: A's first four convolutions, last three layers."""
    source, model = vgg("vgg11"), vgg(name)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    copy_first_and_last(source, model)
    taken = {"block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2"}
    taken |= {"fc1", "fc2", "predictions"}
    for layer in model.layers:
        expected = source.get_layer(layer.name).get_weights() if layer.name in taken else None
        for now, then in zip(layer.get_weights(), expected or before[layer.name], strict=True):
            np.testing.assert_array_equal(now, then)


def test_a_network_that_a_layer_does_not_fit_into_stays_as_it_was():
    source, model = vgg("vgg11"), vgg("vgg16", hidden=(16, 13))
    before = model.get_weights()
    with pytest.raises(UserError, match=r"vgg16 has no layer left of the shape of fc2, \(16, 12\)"):
        copy_first_and_last(source, model)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
