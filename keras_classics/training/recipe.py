"""A recipe: the complete description of a training run."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics import files
from keras_classics.data.augment import Augmentation
from keras_classics.data.random_crops import RANDOM_CROPS
from keras_classics.errors import UserError, unknown_name
from keras_classics.image_preprocessing import PREPROCESSINGS
from keras_classics.models import find_model
from keras_classics.models.losses import (
    BinaryCrossEntropy,
    CodeDistance,
    DiscriminativeMAP,
    SmoothedCrossEntropy,
)
from keras_classics.models.transfer import BATCH_NORMS
from keras_classics.training import typed_json
from keras_classics.training.class_weights import check_class_weights
from keras_classics.training.optimizer import Optimizer
from keras_classics.training.schedules import Plateau, Schedule

# The loss of images with several labels.
MULTILABEL = "binary_cross_entropy"

# Losses on a network's output before its `probabilities`.
LOSSES = {
    MULTILABEL: BinaryCrossEntropy,
    "cross_entropy": SmoothedCrossEntropy,
    "code_distance": CodeDistance,
    "discriminative_map": DiscriminativeMAP,
}

# Means of the training images that preprocessing may subtract.
MEANS = ("per_pixel", "per_channel")

# Smallest and largest value of fields. Products of two counts fit into 64 bits; Keras takes seeds
# of 32 bits.
MOST = 2**31 - 1
RANGES = {
    "epochs": (1, MOST),
    "steps": (1, MOST),
    "batch_size": (1, MOST),
    "gradient_accumulation_steps": (1, MOST),
    "batch_norm_group": (1, MOST),
    "exact_batch_norm": (1, MOST),
    "validation": (0, MOST),
    "limit_train": (1, MOST),
    "limit_test": (1, MOST),
    "seed": (0, 2**32 - 1),
}

# Fields that recipes did not have at first, and their values that change nothing: a run from before
# belongs to the recipe with these values.
LATER = {
    "class_weights": None,
    "sampling": "shuffle",
    "validation_share": None,
    "class_names": None,
}

CHOICES = {
    "loss": LOSSES,
    "preprocessing": PREPROCESSINGS,
    "dtype_policy": ("float32", "mixed_bfloat16", "mixed_float16"),
    "last_batch": ("drop", "carry"),
    "sampling": ("shuffle", "balanced"),
    "trainable": ("all", "head"),
    "batch_norm": BATCH_NORMS,
}


@dataclass(frozen=True)
class Paper:
    """The figure that a paper reports for the run that a recipe repeats.

    Attributes:
        metric: Name of the metric, as in `result.json`.
        value: The paper's value.
        dataset: The data set that it was measured on.
        source: Its place in the paper.
    """

    metric: str
    value: float
    dataset: str
    source: str


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the result of a training run.

    Attributes:
        name: Name of the recipe.
        model: Name of the network.
        dataset: See `data.load`.
        batch_size: Global batch size.
        optimizer: How gradients change weights.
        schedule: Learning rate over the run.
        epochs: Length of the run in epochs. Either this or `steps`.
        steps: Length of the run in steps; it may end in the middle of an epoch.
        schedules: Schedules of groups of variables. The key is a shell pattern for
            layer/variable, such as `"*/bias"`; the first match counts. All others use `schedule`.
        model_arguments: Arguments of the network's builder. A network that is built without its
            top gets a new last layer.
        loss: One of `LOSSES`. `"binary_cross_entropy"`: for images with several labels; the network
            ends in sigmoids.
        loss_arguments: Its arguments.
        preprocessing: One of `PREPROCESSINGS`.
        preprocessing_arguments: Its arguments. `mean` may be `"per_pixel"` or `"per_channel"`:
            then it is computed from the training images and stored with the run.
        augmentation: How training images are changed, or None.
        validation: Number of training images that are held out for `Plateau`.
        reshuffle: Whether each epoch has its own order.
        last_batch: What happens to the images of an epoch that do not fill its last batch:
            `"drop"`: they are left out; `"carry"`: they begin the first batch of the next epoch,
            so that all images train in each epoch.
        dtype_policy: Keras dtype policy of the network.
        jit_compile: Whether XLA compiles the training loop. It rounds differently.
        gradient_accumulation_steps: Micro-batches into which a replica splits its part of a batch,
            one after the other, to save memory. Batch normalisation sees one micro-batch.
        clip_norm: Bound of the global norm of the gradients, or None.
        average: Decay of moving averages of the weights, which are evaluated and saved instead of
            the weights, or None.
        initial_weights: File of all initial weights of the network, or None. Weights that were
            trained for other classes are the `weights` of `model_arguments`.
        initial_model: Network of those weights, if it is a shallower one, built with the same
            `model_arguments`. Its first and last layers are copied, see
            `models.transfer.copy_first_and_last`.
        trainable: `"all"`, or `"head"`: only the last layer.
        batch_norm: `"train"`: each replica uses its own images; `"synchronized"`: those of all
            replicas; `"frozen"`: see `models.transfer.freeze_backbone`.
        batch_norm_group: Number of images that are normalised together in training, a divisor of
            those of a replica, or of its micro-batch. None: all of them.
        exact_batch_norm: Number of training images over which the statistics of normalisations
            are computed after the last step, see `evaluation.recompute_batch_norm`; they replace
            the moving averages. None: the moving averages stay.
        seed: Determines the initial weights and the order.
        only_classes: Labels of the classes to keep, in the order of their new labels 0, 1, ...,
            or None for all.
        limit_train: Number of training images to use, or None for all.
        limit_test: Number of test images to use, or None for all.
        paper: The figure to compare with, or None.
        sources: For every value taken from a paper, the section it comes from.
        tags: What the run belongs to: in a comparison, its `claim` and its `variant`.
        class_weights: What the loss of an image is multiplied by: `"balanced"`, a number for each
            class, or numbers by class name or label; see `class_weights.weights_of_classes`. Losses
            and gradients are means over the images of a batch, not over their weights. Test and
            validation losses are not weighted. None: all classes have weight 1.
        validation_share: Of a folder or list without a test part: the fraction of the images that
            is held out for it, or None for that of `data.load`.
        class_names: All classes in the order of their labels, or None for the data set's order.
        sampling: `"shuffle"`: each image is in an epoch once; `"balanced"`: an epoch has as many
            images as that, and equally many of each class; see `data.sampling.BalancedSampling`.
    """

    name: str
    model: str
    dataset: str
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule
    epochs: int | None = None
    steps: int | None = None
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross_entropy"
    loss_arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: str = "canvas"
    preprocessing_arguments: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Augmentation | None = None
    validation: int = 0
    reshuffle: bool = True
    last_batch: str = "drop"
    dtype_policy: str = "float32"
    jit_compile: bool = False
    gradient_accumulation_steps: int = 1
    clip_norm: float | None = None
    average: float | None = None
    initial_weights: str | None = None
    initial_model: str | None = None
    trainable: str = "all"
    batch_norm: str = "train"
    batch_norm_group: int | None = None
    exact_batch_norm: int | None = None
    seed: int = 0
    only_classes: tuple[int, ...] | None = None
    limit_train: int | None = None
    limit_test: int | None = None
    paper: Paper | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    class_weights: str | Mapping[str, float] | tuple[float, ...] | None = None
    sampling: str = "shuffle"
    validation_share: float | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self):
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise UserError(f"{name} must be at least {low}. Received: {value}.")
            if value is not None and value > high:
                raise UserError(f"{name} must be at most {high}. Received: {value}.")
        for name, value in typed_json.numbers(self):
            if not typed_json.is_number(value):
                raise UserError(
                    f"{name} must be a finite number, and a whole one must fit into 64 bits. "
                    f"Received: {value}."
                )
        if (self.epochs is None) == (self.steps is None):
            raise UserError(
                "A recipe needs either epochs or steps. "
                f"Received: epochs={self.epochs}, steps={self.steps}."
            )
        if self.average is not None and not 0 < self.average < 1:
            raise UserError(f"average must be between 0 and 1. Received: {self.average}.")
        if self.validation_share is not None and not 0 < self.validation_share < 1:
            raise UserError(
                f"validation_share must be between 0 and 1. Received: {self.validation_share}."
            )
        if isinstance(self.schedule, Plateau) and not self.validation:
            raise UserError(
                "The schedule Plateau needs images held out of training. Received: validation=0. "
                "Set validation to their number."
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        check_class_weights(self.class_weights)
        if self.multilabel and (self.class_weights is not None or self.sampling != "shuffle"):
            raise UserError(
                "class_weights and balanced sampling need one label for each image. Received: the "
                f"loss {self.loss}. Leave them out."
            )
        if self.batch_norm_group is not None and self.batch_norm != "train":
            raise UserError(
                "batch_norm_group groups the images of a replica, with batch_norm='train'. "
                f"Received: batch_norm={self.batch_norm!r}. Leave out one of the two."
            )
        if "classes" in self.model_arguments:
            raise UserError(
                "The number of classes is that of the data set. Received: "
                f"model_arguments.classes={self.model_arguments['classes']}. Leave it out, or name "
                "the classes to keep in only_classes."
            )

    def to_json(self) -> dict[str, Any]:
        """Returns the recipe in a form that JSON can hold: each part a mapping with its `kind`."""
        content = typed_json.encode_fields(self)
        if self.paper is not None:
            content["paper"] = typed_json.encode_fields(self.paper)
        return content

    @property
    def digest(self) -> str:
        """What identifies the recipe in checkpoints and results, see `recipe_digest`."""
        return recipe_digest(self.to_json())

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Recipe":
        """Returns the recipe of a content that `to_json` returned.

        Raises:
            UserError: If a field is unknown, missing or of the wrong type.
        """
        recipe = typed_json.decode(cls, content)
        takers = {
            "model_arguments": find_model(recipe.model).builder,
            "loss_arguments": LOSSES[recipe.loss],
            "preprocessing_arguments": PREPROCESSINGS[recipe.preprocessing],
        }
        arguments = {
            name: typed_json.decode_arguments(taker, content.get(name, {}), name)
            for name, taker in takers.items()
        }
        return dataclasses.replace(recipe, **arguments)

    def with_fields(self, values: Mapping[str, Any]) -> "Recipe":
        """Returns the recipe with new values for some fields.

        Args:
            values: New values by path, such as `{"schedule.rate": 0.005}`; a `typed_json.Text`
                holds what a user typed.

        Raises:
            UserError: If there is no such field, or the value is of the wrong type.
        """
        content = self.to_json()
        for path, value in values.items():
            typed_json.set_at(content, path, value, typed_json.mapping_fields(Recipe))
        return Recipe.from_json(content)

    @property
    def multilabel(self) -> bool:
        """Whether images have any number of labels, and the network ends in sigmoids."""
        return self.loss == MULTILABEL

    def make_loss(self) -> keras.losses.Loss:
        """Returns the loss on the network's output before its `probabilities`."""
        return LOSSES[self.loss](**self.loss_arguments)

    def make_preprocessing(self, mean: np.ndarray | None = None) -> keras.layers.Layer:
        """Returns the layer from uint8 images to what the network takes.

        Args:
            mean: Mean of the training images, if the recipe needs one; without it, the layer
                resizes images and subtracts nothing.
        """
        arguments = dict(self.preprocessing_arguments)
        if self.mean is not None:
            arguments["mean"] = (0.0, 0.0, 0.0) if mean is None else mean.tolist()
        return PREPROCESSINGS[self.preprocessing](**arguments)

    @property
    def mean(self) -> str | None:
        """Kind of the training images' mean that is subtracted, one of `MEANS`, or None."""
        mean = self.preprocessing_arguments.get("mean")
        return mean if mean in MEANS else None

    @property
    def crops_on_decode(self) -> bool:
        """Whether training decodes random crops from image files."""
        return isinstance(self.augmentation, RANDOM_CROPS)


def recipe_digest(content: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a recipe's JSON form; it is the same for equal recipes alone."""
    changed = {name: value for name, value in content.items() if LATER.get(name, ...) != value}
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()


def read_recipe(path: Path) -> Recipe:
    """Reads the `recipe.json` of a run.

    Raises:
        UserError: If it cannot be read, or holds no recipe.
    """
    content = files.read_json(path)
    try:
        return Recipe.from_json(content)
    except UserError as error:
        raise UserError(f"{path} does not hold a recipe: {error}") from error
