"""What the checks look at: a network, its data and how it is trained, with a sample of each."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_classics.data import ImageData, load, pipeline
from keras_classics.data.names import NPZ, form_of
from keras_classics.data.packaged import is_packaged
from keras_classics.data.splits import AnySplit, Split
from keras_classics.diagnosis.graph import last_activation
from keras_classics.diagnosis.signal import Signals, measure
from keras_classics.errors import UserError
from keras_classics.training.recipe import Recipe
from keras_classics.weights.records import WeightsRecord, find_weights

# Images of a sample: this many, fewer of large images, so that a check takes seconds on two cores.
SAMPLE = 256
FEWEST = 16
# Images of a pass forward and back, which keeps all activations.
SIGNAL_IMAGES = 64
SAMPLE_PIXELS = SAMPLE * 64 * 64

# Names of Keras's losses that take a column for each class begin so.
OF_COLUMNS = ("categorical", "binary", "mean", "kl", "huber", "hinge", "squared", "log_cosh")


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its data, and how it is trained.

    Attributes:
        model: The network; checks leave it as it is.
        data: Its data set. Images given as arrays keep their type.
        preprocessing: From a batch of raw images to what the network takes.
        loss: Loss on the network's output.
        optimizer: The optimizer, or None if it is not known.
        recipe: Recipe of the training, or None.
        record: Record of the weights that the network started from, or None.
        history: What training logged, a mapping for each epoch, or None.
        seed: Determines which images are sampled.
        one_hot: Whether the labels were given as a column for each class.
    """

    model: keras.Model
    data: ImageData
    preprocessing: Callable[[Any], Any]
    loss: Callable[[Any, Any], Any]
    optimizer: keras.optimizers.Optimizer | None = None
    recipe: Recipe | None = None
    record: WeightsRecord | None = None
    history: Sequence[Mapping[str, Any]] | None = None
    seed: int = 0
    one_hot: bool = False

    @property
    def classes(self) -> int:
        """Number of the network's outputs."""
        return self.model.outputs[0].shape[-1]

    @property
    def held_out(self) -> AnySplit | None:
        """Images that are not trained on: the validation split, else the test split."""
        split = self.data.validation if self.data.validation is not None else self.data.test
        return split if len(split) else None

    @functools.cached_property
    def graph(self) -> keras.Model:
        """The network from its one input to its one output, which shares all layers with it."""
        return keras.Model(self.model.inputs[0], self.model.outputs[0], name=self.model.name)

    @functools.cached_property
    def _indices(self) -> np.ndarray:
        sides = [side or 64 for side in self.model.inputs[0].shape[1:3]]
        count = int(np.clip(SAMPLE_PIXELS // max(1, math.prod(sides)), FEWEST, SAMPLE))
        order = np.random.default_rng(self.seed).permutation(len(self.data.train))
        return np.sort(order[:count])

    @functools.cached_property
    def _images(self) -> np.ndarray | list[np.ndarray]:
        return images_of(self.data.train.take(self._indices))

    @functools.cached_property
    def _inputs(self) -> np.ndarray:
        return prepared(self._images, self.preprocessing)

    def images(self) -> np.ndarray | list[np.ndarray]:
        """Returns the sample: raw training images, in a list if they differ in size."""
        return self._images

    def inputs(self) -> np.ndarray:
        """Returns the sample as the network takes it, float32."""
        return self._inputs

    def labels(self) -> np.ndarray:
        """Returns the labels of the sample, see `AnySplit.labels`."""
        return labels_of(self.data.train.take(self._indices))

    def targets(self) -> np.ndarray:
        """Returns the labels of the sample as the loss takes them."""
        return self.as_targets(self.labels())

    def as_targets(self, labels: np.ndarray) -> np.ndarray:
        """Returns labels as the loss takes them: numbers of classes, or a column for each class.

        Labels that the network has no output for, which a check finds, become others.
        """
        if labels.ndim == 2:
            missing = max(0, self.classes - labels.shape[1])
            return np.pad(labels, ((0, 0), (0, missing)))[:, : self.classes].astype("float32")
        labels = labels.clip(0, max(1, self.classes - 1))
        if self.classes == 1:
            return labels.astype("float32")[:, np.newaxis]
        if not _takes_columns(self.loss, self.one_hot):
            return labels.astype("int32")
        return np.equal.outer(labels, np.arange(self.classes)).astype("float32")

    @functools.cached_property
    def _outputs(self) -> np.ndarray:
        # Not compiled: for one call that takes longer than it saves.
        blocks = np.array_split(self.inputs(), -(-len(self._indices) // SIGNAL_IMAGES))
        outputs = [self.graph(block, training=False) for block in blocks]
        return keras.ops.convert_to_numpy(keras.ops.concatenate(outputs))

    def outputs(self) -> np.ndarray:
        """Returns the network's outputs for the sample, in inference."""
        return self._outputs

    @functools.cached_property
    def _signals(self) -> Signals:
        count = max(FEWEST, min(SIGNAL_IMAGES, len(self._indices) // 4))
        return self.measure(self.inputs()[:count])

    def signals(self) -> Signals:
        """Returns what a pass forward and back over a part of the sample gives in each layer."""
        return self._signals

    def measure(self, inputs: np.ndarray) -> Signals:
        """Returns the same for other inputs, which stand for the first of the sample."""
        return measure(self.graph, self.loss, inputs, self.targets()[: len(inputs)])


def make_case(
    model: keras.Model,
    data: Any,
    *,
    preprocessing: Callable[[Any], Any] | None = None,
    weights: str | WeightsRecord | None = None,
    recipe: Recipe | None = None,
    loss: Any = None,
    optimizer: Any = None,
    history: Any = None,
    seed: int = 0,
) -> Case:
    """Returns the case of a network and its data; see `diagnose` for the arguments."""
    _check_ends(model)
    record = find_weights(weights) if isinstance(weights, str) else weights
    image_data = _image_data(data, preprocessing or recipe or record)
    if not len(image_data.train):
        raise UserError(f"A diagnosis needs training images. Received: none in {image_data.name}.")
    if preprocessing is None and not isinstance(data, tuple | list):
        preprocessing = _known_preprocessing(image_data, recipe, record)
    case = Case(
        model,
        image_data,
        preprocessing or _identity,
        _loss(model, recipe, loss),
        keras.optimizers.get(optimizer or getattr(model, "optimizer", None)),
        recipe,
        record,
        _epochs(history),
        seed,
        one_hot=isinstance(data, tuple | list) and np.shape(data[1])[1:] not in ((), (1,)),
    )
    _check_shape(case)
    return case


def _identity(images: Any) -> Any:
    return images


def _check_ends(model: keras.Model) -> None:
    inputs, outputs = (getattr(model, name, None) for name in ("inputs", "outputs"))
    if not (inputs and outputs and len(inputs) == len(outputs) == 1 and len(outputs[0].shape) == 2):
        raise UserError(
            "A diagnosis needs a functional network with one input and one output of shape (batch, "
            f"classes). Received: {getattr(model, 'name', type(model).__name__)}. Build it with "
            "keras.Model(inputs, outputs)."
        )


def _check_shape(case: Case) -> None:
    made, takes = case.inputs().shape[1:], case.model.inputs[0].shape[1:]
    fits = len(made) == len(takes)
    if not fits or any(side not in (None, other) for side, other in zip(takes, made, strict=True)):
        raise UserError(
            f"The network takes inputs of shape {tuple(takes)}. Received: {tuple(made)}, the shape "
            "of the preprocessed training images. Pass preprocessing=, which resizes them."
        )


def _image_data(data: Any, preprocessing: Any) -> ImageData:
    """Returns a data set given by itself, its name, or arrays."""
    if isinstance(data, ImageData):
        return data
    if isinstance(data, str):
        in_memory = is_packaged(data) or form_of(data) == NPZ
        return load(data, encoded=not in_memory and preprocessing is not None)
    if not (isinstance(data, tuple | list) and len(data) in (2, 4)):
        raise UserError(
            "data must be (x_train, y_train), (x_train, y_train, x_val, y_val), an ImageData or "
            f"the name of a data set. Received: {_described(data)}."
        )
    train, *others = (
        Split(np.asarray(x), _as_labels(np.asarray(y)))
        for x, y in zip(data[::2], data[1::2], strict=True)
    )
    for split in (train, *others):
        if len(split.images) != len(split.labels):
            raise UserError(
                "data must have as many labels as images. Received: "
                f"{len(split.images):,} images and {len(split.labels):,} labels."
            )
    none = train.take(np.arange(0))
    highest = int(max(split.labels.max(initial=0) for split in (train, *others)))
    count = train.labels.shape[1] if train.labels.ndim == 2 else highest + 1
    names = tuple(map(str, range(count)))
    return ImageData("arrays", train, none, names, validation=others[0] if others else None)


def _described(data: Any) -> str:
    return f"{len(data)} arrays" if isinstance(data, tuple | list) else type(data).__name__


def _as_labels(labels: np.ndarray) -> np.ndarray:
    """Returns one number for each image, or 0 and 1 in a column for each of several labels."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and (labels.sum(1) == 1).all() and np.isin(labels, (0, 1)).all():
        labels = labels.argmax(1)
    if labels.ndim not in (1, 2) or not np.isfinite(labels.astype("float64")).all():
        raise UserError(
            "Labels must be finite numbers of shape (images,) or (images, classes). Received: "
            f"{labels.dtype} of shape {labels.shape}."
        )
    return labels.astype("int32")


def _known_preprocessing(
    data: ImageData, recipe: Recipe | None, record: WeightsRecord | None
) -> Callable | None:
    if recipe is None:
        return None if record is None else record.preprocessing()
    mean = None
    if recipe.mean is not None:
        resize = recipe.make_preprocessing().resize
        mean = pipeline.mean_of(data.train, resize, recipe.mean == "per_pixel")
    return recipe.make_preprocessing(mean)


def _loss(model: keras.Model, recipe: Recipe | None, loss: Any) -> Callable:
    """Returns the loss that is given or compiled, or that fits a recipe or the last activation."""
    loss = loss if loss is not None else getattr(model, "loss", None)
    if loss is not None:
        return keras.losses.get(loss)
    activation = last_activation(model)
    several = recipe is not None and recipe.multilabel
    if several or activation == "sigmoid":
        return keras.losses.BinaryCrossentropy(from_logits=activation != "sigmoid")
    return keras.losses.SparseCategoricalCrossentropy(from_logits=activation != "softmax")


def _takes_columns(loss: Callable, one_hot: bool) -> bool:
    """Whether a loss takes a column for each class; what is not known takes what was given."""
    name = getattr(loss, "name", None) or str(getattr(loss, "__name__", ""))
    return name.startswith(OF_COLUMNS) or (one_hot and not name.startswith("sparse"))


def _epochs(history: Any) -> list[dict[str, Any]] | None:
    """Returns what training logged, a mapping for each epoch."""
    if history is None:
        return None
    columns = getattr(history, "history", history)
    if isinstance(columns, Mapping):
        rows = zip(*columns.values(), strict=False)
        return [dict(zip(columns, row, strict=True)) for row in rows]
    return [dict(row) for row in columns]


def images_of(split: AnySplit) -> np.ndarray | list[np.ndarray]:
    """Returns all images of a small split, in a list if they differ in size."""
    if isinstance(split, Split):
        return split.images
    images = [split.image(index) for index in range(len(split))]
    return np.stack(images) if len({image.shape for image in images}) == 1 else images


def labels_of(split: AnySplit) -> np.ndarray:
    """Returns the labels of a split."""
    return np.asarray(split.labels)


def prepared(
    images: np.ndarray | Sequence[np.ndarray], preprocessing: Callable[[Any], Any]
) -> np.ndarray:
    """Returns raw images as the network takes them, float32."""
    if isinstance(images, np.ndarray):
        return np.asarray(preprocessing(images), "float32")
    return np.concatenate(
        [np.asarray(preprocessing(image[np.newaxis]), "float32") for image in images]
    )
