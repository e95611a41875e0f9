"""Whether trained weights get the pixels that they were trained on: range and channel order.

The usual preprocessings are undone and done anew, and each is judged by what the weights remember:
the labels that they were trained to answer with, or else the statistics of the first
BatchNormalization.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np

from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.fresh import has_fresh_head, has_fresh_statistics, normalisations
from keras_classics.diagnosis.output import takes_logits
from keras_classics.diagnosis.signal import inputs_of_first

# Means and deviations of ImageNet: Caffe's of pixels 0..255 in BGR, torch's of pixels 0..1.
CAFFE = np.array([103.939, 116.779, 123.68], "float32")
TORCH = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], "float32") * 255
# Pixels that a preprocessing is undone to lie between 0 and 255, up to this, and reach over the
# middle. People round means to 0.1; undone twice, that is multiplied by the deviation.
ROUNDED, ROUNDED_TWICE = 2.0, 5.0
REACHED = (80.0, 100.0)
# Images whose losses are compared; statistics are of the whole sample.
JUDGED = 64
# The answers are fine with a loss below this part of chance's.
KNOWING = 0.5
# By how much the loss must be lower with other pixels, and by how many standard errors.
LOWER = 0.3
ERRORS = 4.0
# Divergence of the inputs of the first normalisation from what it stores, beyond chance: images of
# the training have 0.004, the same with reversed channels 0.03, in another range 0.5 and more. And
# by what factor other pixels must make it smaller: they do not make up for other images.
FAR = 0.02
NEARER = 3.0
# Inputs are alike up to this part of their deviation: resized pixels are rounded.
ALIKE = 0.02


@dataclass(frozen=True)
class Kind:
    """A preprocessing of pixels 0..255, RGB.

    Attributes:
        says: What it does, as advice.
        apply: From pixels to inputs.
        undo: From inputs to pixels.
    """

    says: str
    apply: Callable[[np.ndarray], np.ndarray]
    undo: Callable[[np.ndarray], np.ndarray]


KINDS = {
    "pixels": Kind("pass pixels 0..255 as they are", lambda x: x, lambda x: x),
    "unit": Kind("divide pixels by 255, once", lambda x: x / 255, lambda x: x * 255),
    "tf": Kind(
        "map pixels to -1..1: x / 127.5 - 1", lambda x: x / 127.5 - 1, lambda x: (x + 1) * 127.5
    ),
    "torch": Kind(
        "divide pixels by 255, subtract the means (0.485, 0.456, 0.406) and divide by the "
        "deviations (0.229, 0.224, 0.225)",
        lambda x: (x - TORCH[0]) / TORCH[1],
        lambda x: x * TORCH[1] + TORCH[0],
    ),
    "caffe": Kind(
        "reverse the channels to BGR and subtract (103.939, 116.779, 123.68)",
        lambda x: x[..., ::-1] - CAFFE,
        lambda x: (x + CAFFE)[..., ::-1],
    ),
    "standardised": Kind(
        "subtract the mean and divide by the deviation of the training pixels",
        lambda x: (x - x.mean()) / max(float(x.std()), 1e-6),
        lambda x: (x - x.min()) * (255 / max(float(np.ptp(x)), 1e-6)),
    ),
}
OF_COLOUR = ("torch", "caffe")
# Undone only if nothing else explains the inputs.
LAST = "standardised"


@dataclass(frozen=True)
class _Candidate:
    """Other pixels for the same images; `only_order`: in the same range."""

    name: str
    says: str
    reversed: bool
    only_order: bool
    change: Callable[[np.ndarray], np.ndarray]


def pixels_of_weights(case: Case) -> Iterator[Finding]:
    """Finds inputs in another range or channel order than the weights were trained on."""
    inputs = case.inputs()
    if inputs.ndim != 4 or inputs.shape[-1] not in (1, 3) or not np.isfinite(inputs).all():
        return
    candidates = list(_candidates(case, inputs))
    for judge in (_Labels.of(case), _Statistics.of(case)):
        if judge is None or judge.fine(current := judge(inputs)) or not candidates:
            continue
        scores = [judge(candidate.change(inputs)) for candidate in candidates]
        best = min(range(len(candidates)), key=lambda i: scores[i].mean())
        if judge.better(current, scores[best]):
            yield _finding(case, judge.what, candidates[best], current.mean(), scores[best].mean())
            return


def _finding(
    case: Case, what: str, candidate: "_Candidate", measured: float, best: float
) -> Finding:
    change, before = candidate.change, case.preprocessing
    low, high = case.inputs().min(), case.inputs().max()
    order = " with the channels reversed (RGB or BGR)" if candidate.reversed else ""
    only_order = candidate.only_order
    return Finding(
        "channel_order" if only_order else "wrong_preprocessing",
        f"Inputs lie between {low:.4g} and {high:.4g}. {what} is {measured:.3g}; it is {best:.3g} "
        f"for the same images{'' if only_order else ' in another range'}{order}.",
        "Weights get images as in the training that they come from.",
        "Reverse the channels of the pixels, RGB or BGR: x[..., ::-1]."
        if only_order
        else f"Prepare images as the weights need it: {candidate.says}{order}.",
        values={"measured": measured, "best": best, "kind": candidate.name},
        trial=lambda old: replace(
            old, preprocessing=lambda images: change(np.asarray(before(images), "float32"))
        ),
    )


def _candidates(case: Case, inputs: np.ndarray) -> Iterator[_Candidate]:
    """Yields what else the inputs could be, each once."""
    colour = inputs.shape[-1] == 3
    kinds = {name: kind for name, kind in KINDS.items() if colour or name not in OF_COLOUR}
    undone = [kind.undo for name, kind in kinds.items() if name != LAST]
    # Many have prepared their images twice.
    sources = [undo for undo in undone if _plausible(undo(inputs), ROUNDED)]
    sources += [undo for undo in map(_twice, undone) if _plausible(undo(inputs), ROUNDED_TWICE)]
    done = [inputs]
    if colour:
        done.append(inputs[..., ::-1])
        yield _Candidate("same", "", True, True, lambda x: x[..., ::-1])
    for undo in sources or [kinds[LAST].undo]:
        for name, apply, says in _targets(case, kinds):
            in_range = _alike(_change(undo, apply, False)(inputs), inputs)
            for backward in (False, True) if colour else (False,):
                change = _change(undo, apply, backward)
                made = change(inputs)
                if not any(_alike(made, other) for other in done):
                    done.append(made)
                    yield _Candidate(name, says, backward, backward and in_range, change)


def _targets(case: Case, kinds: dict[str, Kind]) -> list[tuple[str, Callable, str]]:
    if case.record is not None:
        normalize = case.record.preprocessing().normalize
        says = f"use kc.preprocessing({case.record.full_name!r})"
        return [(case.record.full_name, lambda x: np.asarray(normalize(x)), says)]
    return [(name, kind.apply, kind.says) for name, kind in kinds.items()]


def _change(undo: Callable, apply: Callable, backward: bool) -> Callable:
    def change(inputs: np.ndarray) -> np.ndarray:
        pixels = undo(inputs)
        return np.asarray(apply(pixels[..., ::-1] if backward else pixels), "float32")

    return change


def _twice(step: Callable) -> Callable:
    return lambda inputs: step(step(inputs))


def _plausible(pixels: np.ndarray, rounded: float) -> bool:
    low, high = float(pixels.min()), float(pixels.max())
    return -rounded <= low <= REACHED[0] and REACHED[1] <= high <= 255 + rounded


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() <= ALIKE * max(float(b.std()), 1e-12))


class _Labels:
    """Judges pixels by the losses of the images."""

    what = "The mean loss of the trained weights"

    def __init__(self, case: Case):
        self._graph, self._scores = case.graph, takes_logits(case)
        self._labels = case.labels()[:JUDGED]
        self._chance = np.log(case.classes)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        outputs = self._graph(inputs[:JUDGED], training=False)
        outputs = keras.ops.convert_to_numpy(outputs).astype("float64")
        if self._scores:
            outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        likely = outputs / outputs.sum(1, keepdims=True).clip(1e-12)
        losses = -np.log(likely[np.arange(len(likely)), self._labels].clip(1e-7))
        # Outputs that are not finite are wrong.
        return np.nan_to_num(losses, nan=-np.log(1e-7))

    def fine(self, losses: np.ndarray) -> bool:
        return losses.mean() < KNOWING * self._chance

    def better(self, losses: np.ndarray, others: np.ndarray) -> bool:
        differences = losses - others
        error = differences.std() / np.sqrt(len(differences))
        return bool(
            others.mean() < self._chance and differences.mean() > max(LOWER, ERRORS * error)
        )

    @classmethod
    def of(cls, case: Case) -> "_Labels | None":
        """Returns it for weights that were trained on these classes, else None."""
        labels = case.labels()
        known = labels.ndim == 1 and case.classes > 1 and takes_logits(case) is not None
        if not known or has_fresh_head(case.model):
            return None
        if labels.min() < 0 or labels.max() >= case.classes:
            return None
        return cls(case)


class _Statistics:
    """Judges pixels by what the first normalisation stores of its inputs."""

    what = "The divergence from the statistics that the first BatchNormalization stores"

    def __init__(self, graph: keras.Model, layer: keras.layers.BatchNormalization):
        self._graph, self._layer = graph, layer
        self._mean, self._variance = (
            keras.ops.convert_to_numpy(value).astype("float64")
            for value in (layer.moving_mean, layer.moving_variance)
        )

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Returns the Kullback-Leibler divergence of two normal distributions, by channel."""
        reached = inputs_of_first(self._graph, self._layer, inputs)
        values: np.ndarray = reached.reshape(-1, reached.shape[-1]).astype("float64")
        epsilon = 1e-6 * self._variance.mean() + 1e-12
        mean, variance = values.mean(0), values.var(0) + epsilon
        stored = self._variance + epsilon
        shifted = (variance + (mean - self._mean) ** 2) / stored
        return (np.log(stored / variance) + shifted - 1) / 2

    def fine(self, divergences: np.ndarray) -> bool:
        return divergences.mean() < FAR

    def better(self, divergences: np.ndarray, others: np.ndarray) -> bool:
        return divergences.mean() > NEARER * others.mean()

    @classmethod
    def of(cls, case: Case) -> "_Statistics | None":
        """Returns it for a network whose first normalisation is trained, else None."""
        layers = normalisations(case.model)
        if not layers or has_fresh_statistics(layers[0]):
            return None
        return cls(case.graph, layers[0])
