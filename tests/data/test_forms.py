"""One image path: the same images in every form are one split and train to the same bits."""

import json
import os

import numpy as np
import pytest

from keras_classics.data import load
from keras_classics.data.augment import CropFlip
from keras_classics.data.random_crops import ScaleJitter
from keras_classics.image_preprocessing import CanvasPreprocessing
from keras_classics.training import Momentum, Recipe, train
from keras_classics.training.schedules import Constant
from reproduce.harness.data_forms import write_forms
from reproduce.harness.synthetic_images import generate
from tests.helpers.splits import contents


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """Names of a data set of 36 images in all forms, and the folder that holds them."""
    root = tmp_path_factory.mktemp("forms")
    classes = generate(root / "generated", 3, 12, 1, size=(40, 30)) / "train"
    return write_forms(classes, root), root


def test_all_forms_hold_the_same_images_in_the_same_order(forms):
    names, root = forms
    resize = CanvasPreprocessing(channels=3).resize
    folder = load(names["folder"], encoded=True)
    in_memory = load(names["folder"], resize=resize)
    assert len(names) == 8
    for form, name in names.items():
        data = load(name, str(root), encoded=True)
        assert data.class_names == folder.class_names, form
        assert contents(data.train) == contents(folder.train), form
        assert contents(data.test) == contents(folder.test), form
        # Each kind of split once.
        if form in ("tar", "parquet", "TensorFlow Datasets"):
            decoded = load(name, str(root), resize)
            np.testing.assert_array_equal(decoded.train.images, in_memory.train.images)
            np.testing.assert_array_equal(decoded.test.labels, in_memory.test.labels)


@pytest.mark.slow
@pytest.mark.parametrize("encoded", [True, False])
def test_all_forms_train_to_the_same_bits(forms, tmp_path, encoded):
    names, root = forms
    recipe = {
        "model": "resnet20",
        "batch_size": 8,
        "epochs": 2,
        "optimizer": Momentum(momentum=0.9),
        "schedule": Constant(0.05),
    }
    if encoded:
        sizes = {"resize": 40, "crop": 32}
        recipe |= {"augmentation": ScaleJitter(32, 48, size=32), "preprocessing": "image"}
        recipe |= {"preprocessing_arguments": sizes}
    else:
        recipe |= {"augmentation": CropFlip(padding=4), "preprocessing_arguments": {"channels": 3}}
    outcomes = {}
    for form, name in names.items():
        run = tmp_path / form
        train(Recipe(name="forms", dataset=name, **recipe), run, data_dir=str(root))
        outcomes[form] = json.loads((run / "result.json").read_text())["outcome_sha256"]
    assert len(outcomes) == 8
    assert len(set(outcomes.values())) == 1, outcomes
    assert os.path.getsize(tmp_path / "tar" / "final.weights.h5") > 10**6
