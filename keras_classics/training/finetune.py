"""Fine-tuning of known weights on your own images: first the new last layer, then all layers."""

import dataclasses
import os
from pathlib import Path

import keras

from keras_classics.data.augment import CropFlip
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import find_weights, list_weights, preprocessing
from keras_classics.models.registry import arguments_for_weights
from keras_classics.training.optimizer import Momentum
from keras_classics.training.recipe import Recipe
from keras_classics.training.schedules import Cosine
from keras_classics.weights.identify import read_metadata

# The pretrained weights are good already: they train at a tenth of the new layer's rate.
WHOLE_RATE = 0.1


def finetuning_recipes(
    model: str,
    weights: str,
    dataset: str,
    run_dir: str | os.PathLike,
    *,
    images: str | None = None,
    side: int | None = None,
    head_epochs: int = 5,
    epochs: int = 10,
    batch_size: int = 32,
    rate: float = 0.02,
    batch_norm: str = "frozen",
    seed: int = 0,
) -> tuple[Recipe, Recipe]:
    """Returns the two recipes of a fine-tuning: of the new last layer, then of the whole network.

    Train by one after the other: `train(recipe, run_dir / recipe.name)`. The network is built
    without its top, so the size of its images may differ from that of its training; global average
    pooling and a new dense layer follow.

    Args:
        model: Name of the network.
        weights: Name of known weights of it, or a file.
        dataset: See `data.load`; `folder:PATH` for your own images.
        run_dir: Folder of both runs; the second starts from the weights of the first.
        images: Known weights with the preprocessing that the weights of a file need, such as
            `"resnet50/imagenet_torchvision"`.
        side: Side of the images, by default that of the weights.
        head_epochs: Epochs in which only the new layer trains.
        epochs: Epochs in which all layers train.
        batch_size: Global batch size.
        rate: Learning rate of the new layer; that of the whole network is a tenth.
        batch_norm: `"frozen"` or `"train"`, see `models.transfer.freeze_backbone`.
        seed: Determines the initial weights and the order.

    Raises:
        UserError: If there are no such weights, or an argument is out of range.
    """
    kind, layer = _preprocessing(model, weights, images, side)
    sides = layer.compute_output_shape((None, None, None, 3))[1:]
    backbone = {"include_top": False, "pooling": "avg", "input_shape": sides}
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
        augmentation=CropFlip(padding=sides[0] // 16, fill=getattr(layer, "background", 0.0)),
        trainable="head",
        batch_norm=batch_norm,
        seed=seed,
    )
    decided = arguments_for_weights(model, {"weights": weights})
    whole = dataclasses.replace(
        head,
        name="whole",
        epochs=epochs,
        schedule=Cosine(rate=WHOLE_RATE * rate),
        model_arguments={**backbone, **{k: v for k, v in decided.items() if k != "weights"}},
        initial_weights=str(Path(run_dir) / "head" / "final.weights.h5"),
        trainable="all",
    )
    return head, whole


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
    if images is None and Path(weights).suffix:
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
