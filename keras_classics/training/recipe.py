"""A training run, described whole."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_classics.data.augment import Augmentation
from keras_classics.errors import UserError, unknown_name
from keras_classics.images import CanvasPreprocessing, ImagePreprocessing
from keras_classics.models.losses import CodeDistance, DiscriminativeMAP
from keras_classics.models.transfer import BATCH_NORMS
from keras_classics.training.optimizer import Optimizer
from keras_classics.training.schedules import Schedule

# On what a network gives before its `probabilities`.
LOSSES = {
    "cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "code_distance": CodeDistance,
    "discriminative_map": DiscriminativeMAP,
}

PREPROCESSINGS = {"canvas": CanvasPreprocessing, "image": ImagePreprocessing}

CHOICES = {
    "loss": LOSSES,
    "preprocessing": PREPROCESSINGS,
    "dtype_policy": ("float32", "mixed_bfloat16"),
    "trainable": ("all", "head"),
    "batch_norm": BATCH_NORMS,
}


@dataclass(frozen=True)
class Paper:
    """What a paper reports for the run that a recipe is modelled on.

    Attributes:
        metric: Name of the metric, as in `result.json`.
        value: The paper's value.
        dataset: The data set that it holds for.
        source: Where the paper says so.
    """

    metric: str
    value: float
    dataset: str
    source: str


@dataclass(frozen=True)
class Recipe:
    """All that decides the outcome of a training run.

    Attributes:
        name: Name of the recipe.
        model: Name of the network.
        dataset: See `data.load`.
        epochs: Passes over the training split.
        batch_size: Images a step, over all replicas.
        optimizer: How gradients change weights.
        schedule: Learning rate over the run.
        model_arguments: Arguments of the network's builder. One that is built without its top gets
            a new last layer.
        loss: One of `LOSSES`.
        preprocessing: One of `PREPROCESSINGS`.
        preprocessing_arguments: Its arguments.
        augmentation: What changes the training images, or None.
        reshuffle: Whether each pass has an order of its own.
        dtype_policy: Keras dtype policy of the network.
        jit_compile: Whether XLA compiles the loop. It rounds differently.
        initial_weights: File of all weights that the network starts from, or None. Weights that
            were trained for other classes are the `weights` of `model_arguments`.
        trainable: `"all"`, or `"head"`: the last layer alone.
        batch_norm: `"train"`, or `"frozen"`, see `models.transfer.freeze_backbone`.
        seed: Decides initial weights and the order.
        limit_train: Number of training images, or None for all.
        limit_test: Number of test images, or None for all.
        paper: The figure to compare with, or None.
        sources: For each value from a paper, where it says so.
    """

    name: str
    model: str
    dataset: str
    epochs: int
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross_entropy"
    preprocessing: str = "canvas"
    preprocessing_arguments: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Augmentation | None = None
    reshuffle: bool = True
    dtype_policy: str = "float32"
    jit_compile: bool = False
    initial_weights: str | None = None
    trainable: str = "all"
    batch_norm: str = "train"
    seed: int = 0
    limit_train: int | None = None
    limit_test: int | None = None
    paper: Paper | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1. Received: {getattr(self, name)}.")
        for name in ("limit_train", "limit_test"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1. Received: {getattr(self, name)}.")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)

    def to_json(self) -> dict[str, Any]:
        """Returns the recipe as what JSON can hold: each part a mapping with its `kind`."""
        return _to_json(self)

    def make_loss(self) -> keras.losses.Loss:
        """Makes the loss on what the network gives before its `probabilities`."""
        return LOSSES[self.loss]()

    def make_preprocessing(self) -> keras.layers.Layer:
        """Makes the layer from uint8 images to what the network takes."""
        return PREPROCESSINGS[self.preprocessing](**self.preprocessing_arguments)


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {f.name: _to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = {} if isinstance(value, Recipe | Paper) else {"kind": type(value).__name__}
        return {**kind, **fields}
    if isinstance(value, Mapping):
        return {key: _to_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_to_json(entry) for entry in value]
    return value
