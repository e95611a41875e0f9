"""Feature maps of networks at several resolutions."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from tests.helpers.images import random_images

LEVELS = {
    "lenet5": {0: "c1", 1: "c3", 2: "s4"},
    "lenet5_1998": {0: "c1", 1: "c3", 2: "s4"},
    "alexnet": {2: "norm1", 3: "norm2", 4: "conv5", 5: "pool5"},
    "caffenet": {2: "conv1", 3: "conv2", 4: "conv5", 5: "pool5"},
    "vgg16": {i: f"block{i + 1}_conv{3 if i > 1 else 2}" for i in range(5)} | {5: "block5_pool"},
    "resnet50": {
        1: "conv1_relu",
        2: "conv2_block3_out",
        3: "conv3_block4_out",
        4: "conv4_block6_out",
        5: "conv5_block3_out",
    },
    "plain18": {
        1: "conv1_relu",
        2: "conv2_block2_out",
        3: "conv3_block2_out",
        4: "conv4_block2_out",
        5: "conv5_block2_out",
    },
    "resnet20": {0: "conv2_block3_out", 1: "conv3_block3_out", 2: "conv4_block3_out"},
    "resnet164": {0: "conv3_block1_preact_relu", 1: "conv4_block1_preact_relu", 2: "post_relu"},
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "resnet164" else n for n in LEVELS]
)
def test_levels(name):
    model = kc.get_model(name, include_top=False)
    features = kc.feature_extractor(model)
    images = random_images(2, 96, 96, model.input_shape[-1])
    maps = features(images)
    assert list(maps) == [f"level_{level}" for level in LEVELS[name]]
    for level, layer in LEVELS[name].items():
        found = maps[f"level_{level}"]
        part = keras.Model(model.input, model.get_layer(layer).output)
        np.testing.assert_array_equal(found, part(images))
        # Without padding some positions at the border are lost.
        assert 96 // 2**level - 6 <= found.shape[1] <= 96 // 2**level


def test_levels_asked_for():
    model = kc.vgg11(include_top=False)
    maps = kc.feature_extractor(model, [4, 2])(random_images(1, 32, 32, 3))
    assert set(maps) == {"level_2", "level_4"}
    with pytest.raises(UserError, match="vgg11 has the levels 0, 1, 2, 3, 4, 5. Received: 6"):
        kc.feature_extractor(model, [6])


def test_shares_its_weights_with_the_network():
    model = kc.resnet20(include_top=False)
    features = kc.feature_extractor(model, [2])
    assert features.get_layer("conv1_conv") is model.get_layer("conv1_conv")


def test_saves_and_loads(tmp_path):
    features = kc.feature_extractor(kc.resnet20(include_top=False), [0, 2])
    features.save(tmp_path / "features.keras")
    images = random_images(1, 16, 16, 3)
    loaded = keras.models.load_model(tmp_path / "features.keras")(images)
    for name, value in features(images).items():
        np.testing.assert_array_equal(loaded[name], value)
