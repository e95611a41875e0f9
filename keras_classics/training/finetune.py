"""Fine-tuning of known weights on your own images: first the new last layer, then all layers.

Length and batch size come from the number of training images, unless they are given. The rules and
rates were chosen on other data than they were tested on, see docs/finetuning.md.
"""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import keras

from keras_classics.data import ImageData, load
from keras_classics.data.augment import AffineDistortion, Augmentation, CropFlip
from keras_classics.data.names import is_multilabel
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import find_weights, list_weights, preprocessing
from keras_classics.models.registry import arguments_for_weights
from keras_classics.training.optimizer import Momentum
from keras_classics.training.recipe import MULTILABEL, Recipe
from keras_classics.training.schedules import Cosine, Warmup
from keras_classics.weights.identify import read_metadata
from keras_classics.weights.load import means_file
from keras_classics.weights.location import on_this_machine

# Names of the two recipes.
STAGES = ("head", "whole")
# Rate of the new last layer, and what it is divided by for all layers. Pretrained weights are good
# already and change little; networks of grey images, such as LeNet-5, are small and change more.
COLOUR = {"rate": 0.02, "divisor": 10}
GREY = {"rate": 0.05, "divisor": 2.5}
# At the rates of grey images, the gradient of a batch of 8 may be too large.
GREY_CLIP_NORM = 5.0
# Each stage takes as many epochs as large sets of images need, or more until it has enough steps.
HEAD_EPOCHS, HEAD_STEPS = 5, 100
EPOCHS, STEPS = 10, 240
# So many steps are better, if they take no more than so many epochs.
GOOD_STEPS, MOST_EPOCHS = 600, 30
# The largest batch with which an epoch has so many steps, or the smallest of these.
BATCH_SIZES = (8, 16, 32)
STEPS_PER_EPOCH = 24
# Part of the second stage in which the rate grows from 0: the gradients of the first steps are
# those of a new last layer.
WARMUP = 0.1


def finetuning_recipes(
    model: str,
    weights: str,
    dataset: str,
    run_dir: str | os.PathLike,
    *,
    data: ImageData | None = None,
    images: str | None = None,
    side: int | None = None,
    head_epochs: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    rate: float | None = None,
    rate_whole: float | None = None,
    batch_norm: str = "frozen",
    validation_share: float | None = None,
    class_names: tuple[str, ...] | None = None,
    seed: int = 0,
) -> tuple[Recipe, Recipe]:
    """Returns the two recipes of a fine-tuning: of the new last layer, then of the whole network.

    Train by one after the other: `train(recipe, run_dir / recipe.name, data=data)`. A network whose
    images may have another size than in its training is built without its top; global average
    pooling and a new dense layer follow. One of `CanvasPreprocessing`, which takes images of one
    size, keeps all layers but the last. Each epoch trains on all images: those that do not fill a
    batch begin the next epoch.

    Args:
        model: Name of the network.
        weights: Name of known weights of it, a file, or an address on the Hugging Face hub.
        dataset: See `data.load`; `folder:PATH` for your own images.
        run_dir: Folder of both runs; the second starts from the weights of the first.
        data: The data set, loaded. Its number of training images gives the defaults of length and
            batch size; if one of them is needed and `data` is None, it is loaded for that.
        images: Known weights with the preprocessing that the weights of a file need, such as
            `"resnet50/imagenet_torchvision"`.
        side: Side of the images, by default that of the weights.
        head_epochs: Epochs in which only the new layer trains; see `default_epochs`.
        epochs: Epochs in which all layers train; see `default_epochs`.
        batch_size: Global batch size; see `default_batch_size`.
        rate: Learning rate of the new layer in the first run, by default 0.02, or 0.05 for a
            network of grey images.
        rate_whole: Learning rate of the whole network in the second run, by default a tenth of
            `rate`, or 0.4 of it for a network of grey images.
        batch_norm: `"frozen"` or `"train"`, see `models.transfer.freeze_backbone`.
        validation_share: See `data.load`.
        class_names: See `data.load`.
        seed: Determines the initial weights and the order.

    Raises:
        UserError: If there are no such weights, or an argument is out of range.
    """
    weights = on_this_machine(weights)
    kind, layer = _preprocessing(model, weights, images, side)
    if None in (head_epochs, epochs, batch_size):
        data = data or load(
            dataset,
            resize=layer.resize,
            validation_share=validation_share,
            class_names=class_names,
        )
        count = len(data.train)
        batch_size = batch_size or default_batch_size(count)
        fitting = min(batch_size, count)
        head_epochs = head_epochs or default_epochs(count, fitting, "head")
        epochs = epochs or default_epochs(count, fitting, "whole")
    sides = layer.compute_output_shape((None, None, None, 3))[1:]
    grey = sides[-1] == 1
    backbone: dict[str, Any] = {"input_shape": sides}
    if isinstance(layer, ImagePreprocessing):
        backbone |= {"include_top": False, "pooling": "avg"}
    rates = GREY if grey else COLOUR
    rate = rates["rate"] if rate is None else rate
    rate_whole = rate / rates["divisor"] if rate_whole is None else rate_whole
    head = Recipe(
        name="head",
        model=model,
        dataset=dataset,
        epochs=head_epochs,
        batch_size=batch_size,
        optimizer=Momentum(momentum=0.9, weight_decay=0.0001),
        schedule=Cosine(rate=rate),
        model_arguments={**backbone, "weights": weights},
        preprocessing=kind,
        preprocessing_arguments={k: v for k, v in layer.get_config().items() if k != "name"},
        augmentation=_augmentation(layer, sides),
        loss=MULTILABEL if is_multilabel(dataset) else "cross_entropy",
        last_batch="carry",
        clip_norm=GREY_CLIP_NORM if grey else None,
        trainable="head",
        batch_norm=batch_norm,
        validation_share=validation_share,
        class_names=class_names,
        seed=seed,
    )
    decided = arguments_for_weights(model, {"weights": weights})
    others = {k: v for k, v in decided.items() if k not in ("weights", "classes")}
    whole = dataclasses.replace(
        head,
        name="whole",
        epochs=epochs,
        schedule=Warmup(Cosine(rate=rate_whole), epochs=WARMUP * epochs),
        model_arguments={**backbone, **others},
        initial_weights=str(Path(run_dir) / "head" / "final.weights.h5"),
        trainable="all",
    )
    return head, whole


def default_batch_size(images: int, replicas: int = 1) -> int:
    """Returns the batch size of a fine-tuning: 8, 16 or 32, the larger the more images.

    Args:
        images: Number of training images. No batch is larger.
        replicas: Number of devices, which share a batch; the batch size is a multiple of it.
    """
    fitting = [size for size in BATCH_SIZES if STEPS_PER_EPOCH * size <= images]
    size = max(fitting, default=BATCH_SIZES[0])
    size = min(math.ceil(size / replicas), max(1, images // replicas))
    return size * replicas


def default_epochs(images: int, batch_size: int, stage: str) -> int:
    """Returns the epochs of a stage of a fine-tuning: the more, the fewer images there are.

    Args:
        images: Number of training images.
        batch_size: Global batch size.
        stage: `"head"`: only the new layer trains; `"whole"`: all layers train.
    """

    def epochs_of(steps: int) -> int:
        return math.ceil(steps * batch_size / images)

    if stage == "head":
        return max(HEAD_EPOCHS, epochs_of(HEAD_STEPS))
    return max(EPOCHS, epochs_of(STEPS), min(MOST_EPOCHS, epochs_of(GOOD_STEPS)))


def _augmentation(layer: keras.layers.Layer, sides: tuple[int, int, int]) -> Augmentation:
    """Shifts and mirrors colour images; distorts grey ones, such as digits, which have a side."""
    shift, fill = sides[0] // 16, getattr(layer, "background", 0.0)
    if sides[-1] == 1:
        return AffineDistortion(shift=shift, fill=fill)
    return CropFlip(padding=shift, fill=fill)


def fitting_batch(recipe: Recipe, images: int, replicas: int = 1) -> Recipe:
    """Returns a recipe whose batch is at most as large as its training images are many.

    Args:
        recipe: The recipe.
        images: Number of training images of its data set.
        replicas: Number of devices, each of which takes an equal share of a batch.
    """
    images = min(images, recipe.limit_train or images) - recipe.validation
    shares = replicas * recipe.gradient_accumulation_steps
    fitting = images // shares * shares
    if fitting < 1 or recipe.batch_size <= images:
        return recipe
    return dataclasses.replace(recipe, batch_size=fitting)


def _preprocessing(
    model: str, weights: str, images: str | None, side: int | None
) -> tuple[str, keras.layers.Layer]:
    """Returns kind and layer of the preprocessing of some weights, at another size if given."""
    if images is None and (Path(weights).suffix or means_file(model, weights)):
        said = read_metadata(Path(weights))
        layer = said and said.make_preprocessing()
        if layer is None:
            raise UserError(
                "This file does not say which preprocessing its weights need. Received: "
                f"weights={weights!r}. Name known weights that need the same, such as "
                f"images='{(list_weights(f'{model}/*') or list_weights())[0]}'."
            )
    else:
        layer = preprocessing(images or find_weights(f"{model}/{weights}"))
    if not isinstance(layer, ImagePreprocessing):
        if side is not None:
            raise UserError(
                f"{model} with {weights} takes images of one size. Received: side={side}. Leave "
                "it out."
            )
        return "canvas", layer
    if side is not None:
        config = layer.get_config()
        config["resize"] = round(side * layer.short_side / layer.crop)
        layer = ImagePreprocessing(**{**config, "crop": side})
    return "image", layer
