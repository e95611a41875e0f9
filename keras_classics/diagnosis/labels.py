"""Checks of the labels: in range, of all classes, and related to the images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keras_classics.data.splits import AnySplit
from keras_classics.data.survey import UNEQUAL
from keras_classics.diagnosis.case import Case, images_of, prepared
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.probe import Probe

# Images of a part that a class should have on average, so that none is missing by chance: with 9,
# one of 8,000 is.
ENOUGH = 9
# Most classes that a line names.
NAMED = 5
# Training images of the probe, and those that it needs of each class on average.
PROBED = 1000
PROBED_OF_CLASS = 20
# Standard errors by which the probe must be better with the labels than with shuffled ones: with
# shuffled labels it is so in one case of 40.
BETTER = 2.0
# The same from which on the probe is so good that other images must be recognised, too.
CLEARLY_BETTER = 8.0


def labels_in_range(case: Case) -> Iterator[Finding]:
    """Finds labels that the network has no output for."""
    count = max(2, case.classes)
    for part, split in _parts(case).items():
        labels = split.labels
        if labels.ndim == 2:
            wrong = labels.shape[1] != case.classes
            low, high, bad = 0, labels.shape[1] - 1, len(labels) if wrong else 0
        else:
            low, high = int(labels.min()), int(labels.max())
            bad = int(np.count_nonzero((labels < 0) | (labels >= count)))
        if not bad:
            continue
        from_one = low == 1 and high == count
        yield Finding(
            "labels_out_of_range",
            f"{bad:,} of {len(labels):,} {part} labels have no output: labels are {low} to {high}, "
            f"and the network has {case.classes} outputs.",
            f"Labels from 0 to {count - 1}.",
            "Subtract 1 from the labels: they begin with 1."
            if from_one
            else f"Build the network with {high + 1} classes, or correct the labels.",
            values={"part": part, "lowest": low, "highest": high, "outputs": case.classes},
        )
        return


def classes_present(case: Case) -> Iterator[Finding]:
    """Finds labels that are all the same, and classes without images in a part."""
    parts = _parts(case)
    if case.data.train.labels.ndim == 2 and case.data.train.labels.shape[1] != case.classes:
        return
    counts = {part: _counts(split, case) for part, split in parts.items()}
    train = counts["training"]
    present = np.flatnonzero(train)
    if parts["training"].labels.ndim == 1 and len(present) == 1:
        yield Finding(
            "labels_constant",
            f"All {len(parts['training']):,} training labels are {present[0]}.",
            "At least two classes.",
            "Check how labels are read, and that they are not cast from fractions to integers.",
            values={"label": int(present[0])},
        )
        return
    held_out = counts.get("held-out", np.zeros_like(train))
    if _mean_count(train) >= ENOUGH or (held_out > 0)[train == 0].any():
        yield from _missing(case, "training", train, held_out)
    # In a part with the shares of training, a class of which enough are expected is missing.
    expected = train / max(1, train.sum()) * held_out.sum()
    if "held-out" in counts and ((held_out == 0) & (expected >= ENOUGH)).any():
        yield from _missing(case, "held-out", np.where(expected < ENOUGH, 1, held_out), train)


def _missing(case: Case, part: str, counts: np.ndarray, others: np.ndarray) -> Iterator[Finding]:
    missing = np.flatnonzero(counts == 0)
    if not len(missing):
        return
    elsewhere = int(others[missing].sum())
    other = "held-out" if part == "training" else "training"
    count = f"{len(missing)} of {len(counts)} classes"
    yield Finding(
        "class_missing",
        f"{count} {'has' if len(missing) == 1 else 'have'} no {part} images: "
        f"{_named(case, missing)}. The {other} part has {elsewhere:,} of "
        f"{'it' if len(missing) == 1 else 'them'}.",
        "Each output of the network has images of its class in each part.",
        "Draw each part from all classes at random; if these classes do not exist, build the "
        "network without them."
        if elsewhere
        else "Add images of these classes, or build the network without them.",
        values={"part": part, "missing": missing, "elsewhere": elsewhere},
    )


def unequal_classes(case: Case) -> Iterator[Finding]:
    """Finds a class with many times the images of another."""
    recipe = case.recipe
    if recipe is not None and (recipe.class_weights is not None or recipe.sampling == "balanced"):
        return
    split = case.data.train
    counts = _counts(split, case)
    present = np.flatnonzero(counts)
    if split.labels.ndim == 2 or len(present) < 2:
        return
    least, most = (present[pick(counts[present])] for pick in (np.argmin, np.argmax))
    if counts[most] <= UNEQUAL * counts[least]:
        return
    yield Finding(
        "unequal_classes",
        f"Class {_named(case, [most])} has {counts[most]:,} training images and "
        f"{_named(case, [least])} has {counts[least]:,}.",
        f"At most {UNEQUAL} times as many, or the network learns to answer with the larger class.",
        "Pass class_weight to model.fit (--set=class_weights=balanced in a recipe), or draw all "
        "classes equally often (--sampling=balanced).",
        values={"counts": counts},
    )


def shuffled_labels(case: Case) -> Iterator[Finding]:
    """Finds labels that have nothing to do with the images."""
    probe = _fitted(case)
    if probe is None:
        return
    result = probe.result
    if result.better < BETTER:
        yield Finding(
            "labels_shuffled",
            f"A probe fitted to training images is right for {result.accuracy:.1%} of other ones; "
            f"fitted to shuffled labels, for {result.shuffled_accuracy:.1%}. It had "
            f"{result.count:,} images.",
            "Images tell something about their labels, so that the probe is better with them.",
            "Check that images and labels are in the same order: shuffle both alike.",
            values=vars(result),
        )
        return
    others = _accuracy_on_held_out(case, probe)
    if result.better > CLEARLY_BETTER and others is not None and others.better < BETTER:
        yield Finding(
            "labels_shuffled",
            f"A probe fitted to training images is right for {result.accuracy:.1%} of other "
            f"training images, and for {others.accuracy:.1%} of the held-out ones; chance gives "
            f"{others.chance:.1%}.",
            "Labels of both parts mean the same.",
            "Check that held-out images and labels are in the same order, and that both parts "
            "number the classes alike.",
            values={"training": result.accuracy, "held_out": others.accuracy},
        )


@dataclass(frozen=True)
class _Others:
    accuracy: float
    chance: float
    better: float


def _fitted(case: Case) -> Probe | None:
    """Fits the probe to a sample; None if the sample is too small to tell anything."""
    split = case.data.train
    if split.labels.ndim == 2:
        return None
    images, labels = _sampled(case, split, PROBED)
    classes = np.unique(labels)
    if len(classes) < 2 or len(labels) < PROBED_OF_CLASS * len(classes):
        return None
    if not np.isfinite(images).all():
        return None
    return Probe(images, labels, case.seed)


def _accuracy_on_held_out(case: Case, probe: Probe) -> _Others | None:
    split = case.held_out
    if split is None or split.labels.ndim == 2:
        return None
    images, labels = _sampled(case, split, PROBED)
    if len(labels) < PROBED_OF_CLASS * len(np.unique(labels)) or not np.isfinite(images).all():
        return None
    answers = probe.predict(images)
    accuracy = float((answers == labels).mean())
    shares = [(labels == c).mean() * (answers == c).mean() for c in np.unique(labels)]
    chance = float(np.sum(shares))
    error = np.sqrt(max(chance * (1 - chance), 1e-9) / len(labels))
    return _Others(accuracy, chance, (accuracy - chance) / error)


def _sampled(case: Case, split: AnySplit, count: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(case.seed).permutation(len(split))[:count]
    part = split.take(np.sort(order))
    return prepared(images_of(part), case.preprocessing), np.asarray(part.labels)


def _parts(case: Case) -> dict[str, AnySplit]:
    held_out = case.held_out
    return {"training": case.data.train} | ({} if held_out is None else {"held-out": held_out})


def _counts(split: AnySplit, case: Case) -> np.ndarray:
    """Returns the number of images of each class that the network has an output for."""
    count = max(2, case.classes)
    if split.labels.ndim == 2:
        return np.pad(split.labels.sum(0), (0, max(0, count - split.labels.shape[1])))[:count]
    known = split.labels[(split.labels >= 0) & (split.labels < count)]
    return np.bincount(known, minlength=count)


def _mean_count(counts: np.ndarray) -> float:
    present = counts[counts > 0]
    return float(present.mean()) if len(present) else 0.0


def _named(case: Case, labels) -> str:
    names = case.data.class_names
    shown = [names[label] if label < len(names) else str(label) for label in labels[:NAMED]]
    return ", ".join(shown) + (", ..." if len(labels) > NAMED else "")
