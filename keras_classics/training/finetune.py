"""From known weights to a network for one's own pictures: first its new end, then all of it."""

import dataclasses
import os
from pathlib import Path

import keras

from keras_classics.data.augment import CropFlip
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import find_weights, preprocessing
from keras_classics.training.optimizer import Momentum
from keras_classics.training.recipe import Recipe
from keras_classics.training.schedules import Cosine
from keras_classics.weights import builder_arguments

# Unfrozen, the weights are good already: they move a tenth as fast as the new end did.
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
    """Returns the two recipes of a fine-tuning: of the new end alone, then of the whole network.

    Carry out one after the other: `train(recipe, run_dir / recipe.name)`. The network is built
    without its top, so it takes images of another size than it was trained on; the mean over all
    positions and a new dense layer follow.

    Args:
        model: Name of the network.
        weights: Name of known weights of it, or a file.
        dataset: See `data.load`; `folder:PATH` for one's own pictures.
        run_dir: Folder of both runs; the second starts from the weights of the first.
        images: Known weights whose preprocessing a file's weights take, such as
            `"resnet50/imagenet_torchvision"`.
        side: Side of the images, by default that of the weights' own.
        head_epochs: Passes in which the new end alone trains.
        epochs: Passes in which all trains.
        batch_size: Images a step.
        rate: Learning rate of the new end; the whole network's is a tenth.
        batch_norm: `"frozen"` or `"train"`, see `models.transfer.freeze_backbone`.
        seed: Decides initial weights and the order.

    Raises:
        UserError: There are no such weights, or an argument is outside what it can be.
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
    decided = builder_arguments(model, {"weights": weights})
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


def _preprocessing(
    model: str, weights: str, images: str | None, side: int | None
) -> tuple[str, keras.layers.Layer]:
    """Kind and layer of the preprocessing that some weights take, at another size if asked."""
    if images is None and Path(weights).suffix:
        raise UserError(
            f"A file does not say which images its weights take. Received: weights={weights!r}. "
            f"Name known weights that take the same, such as images='{model}/imagenet'."
        )
    layer = preprocessing(images or find_weights(f"{model}/{weights}"))
    if not isinstance(layer, ImagePreprocessing):
        if side is not None:
            raise UserError(f"{model} with {weights} takes images of one size. Leave side out.")
        return "canvas", layer
    if side is not None:
        config = layer.get_config()
        config["resize"] = round(side * layer.short_side / layer.crop)
        layer = ImagePreprocessing(**{**config, "crop": side})
    return "image", layer
