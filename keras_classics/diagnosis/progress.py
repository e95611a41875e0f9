"""What the log of a training says: a loss that stays, is not finite, over- and underfitting."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_classics.data.splits import Split
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.graph import unchanged
from keras_classics.diagnosis.signal import outputs_of_layers
from keras_classics.diagnosis.steps import Stepper, planned_rates, starting_network

# A loss this near to that of guessing, of it, in all epochs is one that stays there.
NEAR = 0.02
# Epochs of a log below which it says nothing about a loss that stays.
FEWEST_EPOCHS = 3
# Overfitting: the accuracy in training is so much above that on images held out, and the loss there
# has risen by this factor since its lowest, which is so many epochs ago. Each alone is common in
# trainings that nobody would change.
GAP = 0.15
RISEN = 1.25
EPOCHS_AGO = 3
# Underfitting: after training, the accuracy on the training images is below this part of the way
# from guessing to 1, though the loss does not fall any more: in the last third of the epochs by
# less than this part.
HALF_WAY = 0.5
FLAT = 0.03
# What columns of images held out begin with, the best first.
HELD_OUT = ("validation_", "val_", "test_")
# Steps that look for a loss that is not finite.
REPLAYED = 50


@dataclass(frozen=True)
class Epochs:
    """A log of a training: a value for each epoch, NaN where it has none.

    Attributes:
        loss: Mean loss in training.
        accuracy: Accuracy in training.
        held_out_loss: Loss on images held out: of validation, else of the test part.
        held_out_accuracy: Their accuracy.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    held_out_loss: np.ndarray
    held_out_accuracy: np.ndarray

    @classmethod
    def of(cls, history: Sequence[Mapping[str, Any]]) -> "Epochs":
        """Reads rows of `history.csv`, or of `keras.callbacks.History`."""

        def column(*endings: str, first: tuple[str, ...]) -> np.ndarray:
            names = [name for row in history[:1] for name in row]
            for start in first:
                for name in names:
                    of_part = name.startswith(start or HELD_OUT) == bool(start)
                    if of_part and name.endswith(endings):
                        return np.array([_number(row.get(name)) for row in history])
            return np.full(len(history), np.nan)

        return cls(
            column("loss", first=("train_", "")),
            column("accuracy", "acc", first=("train_", "")),
            column("loss", first=HELD_OUT),
            column("accuracy", "acc", first=HELD_OUT),
        )

    def __len__(self) -> int:
        return len(self.loss)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def has_learned(history: Sequence | None) -> bool:
    """Whether the training loss has fallen; without a history there was no training yet."""
    losses = [row.get("train_loss", row.get("loss", math.nan)) for row in history or ()]
    losses = [float(loss) for loss in losses]
    return bool(losses) and min(losses) < 0.7 * losses[0] and losses[-1] < 0.8 * losses[0]


def guessing(case: Case) -> tuple[float, float]:
    """Returns the loss and the accuracy of a network that predicts how frequent each class is."""
    labels = np.asarray(case.data.train.labels)
    if labels.ndim == 2 or case.classes == 1:
        return math.log(2.0), 0.5
    shares = np.bincount(labels, minlength=case.classes) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum()), float(shares.max())


def loss_at_chance(case: Case) -> Iterator[Finding]:
    """Finds a training loss that has stayed at that of guessing in all epochs."""
    epochs = Epochs.of(case.history or ())
    if len(epochs) < FEWEST_EPOCHS or not np.isfinite(epochs.loss).all():
        return
    uniform = math.log(max(case.classes, 2))
    least, most = sorted((guessing(case)[0], uniform))
    stays = (epochs.loss > (1 - NEAR) * least) & (epochs.loss < (1 + NEAR) * most)
    if not stays.all():
        return
    yield Finding(
        "loss_at_chance",
        f"The training loss is {epochs.loss[-1]:.3f} after {len(epochs)} epochs and was never "
        f"below {epochs.loss.min():.3f}.",
        f"Guessing has a loss of {least:.3f}; a network that learns is below it after an epoch or "
        "two.",
        "Look at the other findings first: the sizes of activations and the learning rate. Without "
        "any, use He's initial weights, BatchNormalization or Adam.",
        values={"losses": epochs.loss, "guessing": least},
    )


def not_finite(case: Case) -> Iterator[Finding]:
    """Finds a loss or weights that are not finite, and the first layer in which that arises."""
    epochs = Epochs.of(case.history or ())
    logged = np.flatnonzero(~np.isfinite(epochs.loss))
    spoilt = [v.path for v in case.model.variables if not _finite(v.numpy())]
    if len(logged) and not _was_logged(case.history):
        logged = logged[:0]
    inputs = case.inputs()
    image = first_bad_image(case)
    layer = None
    if not spoilt and image is None:
        with unchanged(case.model):
            layer = first_layer(case.model, inputs)
    if not (len(logged) or spoilt or layer):
        return
    where, batch = (layer, None) if layer or image is not None else _replayed(case)
    seen = []
    if len(logged):
        seen.append(f"The training loss is {epochs.loss[logged[0]]} in epoch {logged[0] + 1}")
    if spoilt:
        seen.append(f"{len(spoilt)} weights are not finite, the first {spoilt[0]}")
    if layer:
        seen.append("The outputs for the training images are not finite")
    place, mend = _cause(case, image, where, batch)
    yield Finding(
        "not_finite",
        " ".join(filter(None, ["; ".join(seen) + "." if seen else "", place])),
        "All weights, outputs and losses are finite numbers.",
        mend,
        layer=where,
        values={"image": image, "step": batch, "weights": spoilt[:20]},
    )


def _cause(case: Case, image: int | None, layer: str | None, batch: int | None) -> tuple[str, str]:
    """Says where what is not finite arises, and what mends it."""
    if image is not None:
        return (
            f"Training image {image} is not finite before the first layer.",
            "Remove such images, or replace NaN in them: numpy.isfinite finds them.",
        )
    if batch is not None:
        return (
            f"From the start, the loss is not finite at step {batch + 1}, and {layer or 'the loss'}"
            " is the first place in the order of the layers.",
            "Use a learning rate that is ten times smaller, or clip the gradients: clipnorm=1.",
        )
    if layer is not None:
        return (
            f"{layer} is the first layer whose output is not finite.",
            f"Look at the weights and the operation of {layer}: a logarithm or root of 0, a "
            "division by 0, or float16.",
        )
    return (
        f"It does not arise in the first {REPLAYED} steps.",
        "Use a smaller learning rate, or clip the gradients: clipnorm=1.",
    )


def _was_logged(history: Sequence[Mapping[str, Any]] | None) -> bool:
    names = {name for row in history or () for name in row}
    return bool(names & {"loss", "train_loss"})


def _finite(values: np.ndarray) -> bool:
    return values.dtype.kind not in "fc" or bool(np.isfinite(values.astype("float32")).all())


def first_bad_image(case: Case) -> int | None:
    """Returns the first training image with NaN or infinity in it, or None."""
    split = case.data.train
    if not isinstance(split, Split) or split.images.dtype.kind != "f":
        return None
    finite = np.isfinite(split.images).all(axis=tuple(range(1, split.images.ndim)))
    return None if finite.all() else int(finite.argmin())


def first_layer(model: keras.Model, inputs: np.ndarray, training: bool = False) -> str | None:
    """Returns the first layer, in the network's order, whose output is not finite, or None."""
    for layer, outputs in outputs_of_layers(model, inputs, training):
        if not _finite(keras.ops.convert_to_numpy(outputs)):
            return layer.name
    return None


def _replayed(case: Case) -> tuple[str | None, int | None]:
    """Trains from the start until the loss is not finite: the layer, and the step from 0."""
    rates = planned_rates(case, REPLAYED)
    if rates is None:
        return None, None
    model = starting_network(case)
    with unchanged(model):
        results = Stepper(case, model).run(rates)
        if np.isfinite(results[-1].loss):
            return None, None
        return first_layer(model, case.inputs(), training=True), len(results) - 1


def overfitting(case: Case) -> Iterator[Finding]:
    """Finds a training that went on after the images held out were predicted ever worse."""
    epochs = Epochs.of(case.history or ())
    losses, accuracies = epochs.held_out_loss, epochs.held_out_accuracy
    if not len(epochs) or not np.isfinite([losses, accuracies, epochs.accuracy]).all():
        return
    best = int(losses.argmin())
    gap = epochs.accuracy[-1] - accuracies[-1]
    late = len(epochs) - 1 - best >= EPOCHS_AGO
    if not (gap > GAP and late and losses[-1] > RISEN * losses[best]):
        return
    yield Finding(
        "overfitting",
        f"{epochs.accuracy[-1]:.0%} of the training images are right and {accuracies[-1]:.0%} of "
        f"those held out; their loss was lowest in epoch {best + 1} ({losses[best]:.3f}) and is "
        f"{losses[-1]:.3f}.",
        "The loss on images held out falls or stays until the end.",
        f"Stop after about {best + 1} epochs; or more images, augmentation, dropout, weight decay.",
        values={"gap": gap, "best_epoch": best + 1},
    )


def underfitting(case: Case) -> Iterator[Finding]:
    """Finds a training that ended, or stands still, with many wrong training images."""
    epochs = Epochs.of(case.history or ())
    if len(epochs) < FEWEST_EPOCHS or not np.isfinite([epochs.loss, epochs.accuracy]).all():
        return
    loss, chance = guessing(case)
    if (epochs.loss > (1 - NEAR) * loss).all():
        return  # It stays at that of guessing, which is a finding of its own.
    reached = (epochs.accuracy[-1] - chance) / (1 - chance) if chance < 1 else 1.0
    before = epochs.loss[-1 - max(1, len(epochs) // 3)]
    stands = epochs.loss[-1] > (1 - FLAT) * before
    if not (reached < HALF_WAY and stands):
        return
    yield Finding(
        "underfitting",
        f"Only {epochs.accuracy[-1]:.0%} of the training images are right after {len(epochs)} "
        f"epochs, and the training loss does not fall any more: {before:.3f}, then "
        f"{epochs.loss[-1]:.3f}.",
        "A network that is large enough learns its training images.",
        "Look at the other findings first; then a larger network, less regularisation, or another "
        "learning rate.",
        values={"accuracy": epochs.accuracy[-1]},
    )
