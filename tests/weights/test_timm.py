"""timm's dense layers under torchvision's names."""

import numpy as np

from keras_classics.weights.formats.timm import as_torchvision
from keras_classics.weights.stored import in_memory


def test_names_and_shapes_of_the_dense_layers():
    draw = np.random.default_rng(0)
    tensors = {
        "features.0.weight": draw.normal(size=(2, 3, 3, 3)),
        "pre_logits.fc1.weight": draw.normal(size=(4, 2, 7, 7)),
        "pre_logits.fc1.bias": draw.normal(size=4),
        "pre_logits.fc2.weight": draw.normal(size=(5, 4, 1, 1)),
        "head.fc.weight": draw.normal(size=(6, 5)),
        "head.fc.bias": draw.normal(size=6),
        "counter": draw.normal(size=1),
    }
    found = as_torchvision(in_memory(tensors))
    assert {name: tensor.shape for name, tensor in found.items()} == {
        "features.0.weight": (2, 3, 3, 3),
        "classifier.0.weight": (4, 98),
        "classifier.0.bias": (4,),
        "classifier.3.weight": (5, 4),
        "classifier.6.weight": (6, 5),
        "classifier.6.bias": (6,),
        "counter": (1,),
    }
    # Row by row, as torch flattens.
    flat = tensors["pre_logits.fc1.weight"].reshape(4, -1)
    np.testing.assert_array_equal(found["classifier.0.weight"].read(), flat)
