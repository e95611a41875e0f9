"""Fine-tuning: the new end alone, then all of the network."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.data import ImageData, Split
from keras_classics.data.augment import AffineDistortion, CropFlip
from keras_classics.errors import UserError
from keras_classics.training import finetuning_recipes, train
from keras_classics.training.finetune import default_batch_size, fitting_batch
from keras_classics.training.schedules import Cosine, Warmup
from keras_classics.training.warnings import FEW_STEPS
from keras_classics.weights.formats import hdf5

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
    recipes = finetuning_recipes(*RESNET, run_dir, head_epochs=2, epochs=4, batch_size=16)
    return run_dir, [train(r, run_dir / r.name, data=pictures) for r in recipes]


def weights_of_run(run_dir, name) -> dict[str, np.ndarray]:
    path = run_dir / name / "final.weights.h5"
    with hdf5.opened(path, kc.resnet20(classes=3)) as content:
        return {name: tensor.read() for name, tensor in content.tensors.items()}


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
    recipes = finetuning_recipes(*RESNET, run_dir, head_epochs=2, epochs=4, batch_size=16)
    for recipe, result in zip(recipes, results, strict=True):
        assert train(recipe, run_dir / recipe.name, data=pictures) == result
        content = json.loads((run_dir / recipe.name / "recipe.json").read_text())
        assert content["trainable"] == ("head" if recipe.name == "head" else "all")


def test_recipes_of_known_weights():
    lengths = {"batch_size": 32, "head_epochs": 5, "epochs": 10}
    head, whole = finetuning_recipes(
        *("resnet50", "imagenet_torchvision", "folder:x", "run"),
        **{"side": 112, "batch_norm": "train", **lengths},
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
    # Colour images are mirrored, grey ones are not.
    assert head.augmentation == CropFlip(padding=7)
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
    recipe, _ = finetuning_recipes("resnet20", "fashion_mnist", "digits", "run", batch_size=32)
    recipe = dataclasses.replace(recipe, **changes)
    assert fitting_batch(recipe, images, replicas) == dataclasses.replace(
        recipe, batch_size=batch_size
    )


def of_size(images: int, classes: int = 2) -> ImageData:
    """Blank images, a few of each class."""
    split = Split(np.zeros((images, 8, 8, 1), "uint8"), np.arange(images, dtype="int32") % classes)
    return ImageData("folder:x", split, split, tuple(map(str, range(classes))))


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs"),
    [
        (2, 2, (100, 240)),
        (7, 7, (100, 240)),
        (20, 8, (40, 96)),
        (60, 8, (14, 32)),
        (90, 8, (9, 30)),
        (300, 8, (5, 16)),
        (1500, 32, (5, 13)),
        (60_000, 32, (5, 10)),
    ],
)
def test_length_and_batches_come_from_the_number_of_images(images, batch_size, epochs):
    recipes = finetuning_recipes(*RESNET, "run", data=of_size(images))
    assert tuple(recipe.epochs for recipe in recipes) == epochs
    assert [recipe.batch_size for recipe in recipes] == [batch_size] * 2
    # Nothing is left out, and no default is warned about.
    assert [recipe.last_batch for recipe in recipes] == ["carry"] * 2
    assert recipes[1].epochs * images / batch_size >= FEW_STEPS


def test_what_is_given_wins():
    given = {"batch_size": 20, "head_epochs": 1, "epochs": 2, "rate": 0.3, "rate_whole": 0.2}
    head, whole = finetuning_recipes(*RESNET, "run", data=of_size(90), **given)
    assert [(r.batch_size, r.epochs) for r in (head, whole)] == [(20, 1), (20, 2)]
    assert head.schedule == Cosine(rate=0.3)
    assert whole.schedule == Warmup(Cosine(rate=0.2), epochs=0.2)
    grey, _ = finetuning_recipes("lenet5", "digits", "folder:x", "run", data=of_size(90))
    assert grey.augmentation == AffineDistortion(shift=2)
    assert (grey.clip_norm, head.clip_norm) == (5, None)
    # A length follows the batch size that is given.
    _, whole = finetuning_recipes(*RESNET, "run", data=of_size(90), batch_size=30)
    assert whole.epochs == 80


@pytest.mark.parametrize(
    ("images", "replicas", "batch_size"),
    [(90, 1, 8), (384, 1, 16), (768, 1, 32), (90, 3, 9), (400, 64, 64), (5, 2, 4), (1, 2, 2)],
)
def test_replicas_share_the_default_batch(images, replicas, batch_size):
    assert default_batch_size(images, replicas) == batch_size


def test_one_class_is_refused(pictures, tmp_path):
    recipe, _ = finetuning_recipes("resnet20", "fashion_mnist", "digits", "run", batch_size=4)
    with pytest.raises(UserError, match="at least two classes. Received: folder:pictures with 1."):
        train(recipe, tmp_path, data=pictures.of_classes([1]))
    assert not (tmp_path / "recipe.json").exists()
