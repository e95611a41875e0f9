"""Fine-tuning: the new end alone, then all of the network."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.data import ImageData, Split
from keras_classics.errors import UserError
from keras_classics.training import finetuning_recipes, train
from keras_classics.training.finetune import fitting_batch
from keras_classics.weights import hdf5

RESNET = ("resnet20", "fashion_mnist", "folder:pictures")


@pytest.fixture(scope="module")
def pictures(digits) -> ImageData:
    """Three digits as pictures of their own size and in colour."""

    def chosen(split: Split, count: int) -> Split:
        places = np.concatenate([np.flatnonzero(split.labels == c)[:count] for c in range(3)])
        images = tf.image.grayscale_to_rgb(tf.constant(split.images[places])).numpy()
        return Split(images.repeat(3, 1).repeat(3, 2), split.labels[places])

    return ImageData(
        "folder:pictures", chosen(digits.train, 32), chosen(digits.test, 10), ("0", "1", "2")
    )


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("finetune")
    recipes = finetuning_recipes(*RESNET, run_dir, head_epochs=2, epochs=6, batch_size=16)
    return run_dir, [train(r, run_dir / r.name, data=pictures) for r in recipes]


def weights_of_run(run_dir, name) -> dict[str, np.ndarray]:
    path = run_dir / name / "final.weights.h5"
    with hdf5.opened(path, kc.resnet20(classes=3)) as tensors:
        return {name: tensor.read() for name, tensor in tensors.items()}


def test_the_end_trains_first_and_all_of_it_then(finished):
    run_dir, (head, whole) = finished
    start = {
        f"{layer.name}/{v.name}": np.array(v)
        for layer in kc.resnet20(weights="fashion_mnist").layers
        for v in layer.weights
    }
    after_head, after_whole = (weights_of_run(run_dir, name) for name in ("head", "whole"))
    assert after_head.keys() == start.keys()
    for name, was in start.items():
        if not name.startswith("predictions/"):
            np.testing.assert_array_equal(after_head[name], was)
            moved = not np.array_equal(after_whole[name], was)
            # Normalisations are frozen in both.
            assert moved == name.endswith("_conv/kernel"), name
    assert whole["metrics"]["test_accuracy"] > max(0.8, head["metrics"]["test_accuracy"])
    assert (head["recipe"], whole["recipe"]) == ("head", "whole")
    assert whole["class_names"] == ["0", "1", "2"]


def test_the_same_again_is_not_done_again(finished, pictures):
    run_dir, results = finished
    recipes = finetuning_recipes(*RESNET, run_dir, head_epochs=2, epochs=6, batch_size=16)
    for recipe, result in zip(recipes, results, strict=True):
        assert train(recipe, run_dir / recipe.name, data=pictures) == result
        content = json.loads((run_dir / recipe.name / "recipe.json").read_text())
        assert content["trainable"] == ("head" if recipe.name == "head" else "all")


def test_recipes_of_known_weights():
    head, whole = finetuning_recipes(
        "resnet50", "imagenet_torchvision", "folder:x", "run", side=112, batch_norm="train"
    )
    layer = head.make_preprocessing()
    assert (layer.short_side, layer.crop) == (128, 112)
    assert layer.mean == kc.preprocessing("resnet50/imagenet_torchvision").mean
    assert head.model_arguments["weights"] == "imagenet_torchvision"
    assert head.model_arguments["input_shape"] == (112, 112, 3)
    # Its weights are those of the first run by then, and its stride still is theirs.
    assert "weights" not in whole.model_arguments
    assert whole.model_arguments["version"] == "v1.5"
    assert whole.initial_weights == "run/head/final.weights.h5"
    assert (head.batch_norm, whole.batch_norm) == ("train", "train")
    json.dumps([head.to_json(), whole.to_json()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet18", "imagnet"), "Unknown weights 'resnet18/imagnet'"),
        (("resnet18", "my.pth"), "This file does not say which preprocessing its weights need"),
        (("resnet20", "fashion_mnist", 64), "takes images of one size. Received: side=64. Leave"),
    ],
)
def test_what_is_wrong(arguments, message):
    model, weights, *side = arguments
    with pytest.raises(UserError, match=message):
        finetuning_recipes(model, weights, "digits", "run", **({"side": side[0]} if side else {}))


def test_a_file_that_a_run_wrote_says_its_preprocessing(finished):
    weights = finished[0] / "whole" / "final.weights.h5"
    head, whole = finetuning_recipes("resnet20", str(weights), "digits", "run")
    first = kc.preprocessing("resnet20/fashion_mnist").get_config()
    assert head.preprocessing == "canvas"
    assert dict(head.preprocessing_arguments) == {k: v for k, v in first.items() if k != "name"}
    assert "weights" not in whole.model_arguments


def test_a_file_with_the_images_of_known_weights(tmp_path):
    path = str(tmp_path / "my.weights.h5")
    kc.resnet20().save_weights(path)
    head, _ = finetuning_recipes(
        "resnet20", path, "digits", "run", images="vgg11/imagenet_torchvision", side=64
    )
    assert head.model_arguments["weights"] == path
    assert head.preprocessing_arguments["crop"] == 64


@pytest.mark.parametrize(
    ("images", "replicas", "changes", "batch_size"),
    [
        (100, 1, {}, 32),
        (32, 1, {}, 32),
        (20, 1, {}, 20),
        (20, 3, {}, 18),
        (100, 1, {"limit_train": 9}, 9),
        (40, 1, {"validation": 10}, 30),
        (20, 2, {"gradient_accumulation_steps": 4}, 16),
        # Not even one for each replica: training says so.
        (2, 3, {}, 32),
    ],
)
def test_a_batch_is_not_larger_than_the_images_are_many(images, replicas, changes, batch_size):
    recipe, _ = finetuning_recipes("resnet20", "fashion_mnist", "digits", "run")
    recipe = dataclasses.replace(recipe, **changes)
    assert fitting_batch(recipe, images, replicas) == dataclasses.replace(
        recipe, batch_size=batch_size
    )


def test_one_class_is_refused(pictures, tmp_path):
    recipe, _ = finetuning_recipes("resnet20", "fashion_mnist", "digits", "run", batch_size=4)
    with pytest.raises(UserError, match="at least two classes. Received: folder:pictures with 1."):
        train(recipe, tmp_path, data=pictures.of_classes([1]))
    assert not (tmp_path / "recipe.json").exists()
