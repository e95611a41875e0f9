"""Checks for images that are there twice: held-out ones that are trained on, and others."""

import hashlib
from collections.abc import Iterator

import numpy as np

from keras_classics.data.splits import AnySplit, EncodedSplit, Split
from keras_classics.diagnosis.case import Case, labels_of
from keras_classics.diagnosis.findings import Finding

# Most images of a part that are compared if they are in files. Of images in memory, all are.
FILES = 5000
# Smallest shares that are found: of held-out images that are in training, of training images with
# a copy, and of training images with a copy under another label. Public data sets have some.
LEAKED = 0.02
REPEATED = 0.2
CONTRADICTING = 0.02
# Shares of fewer images than this are chance.
FEWEST = 3


def leaked_images(case: Case) -> Iterator[Finding]:
    """Finds held-out images that are also training images."""
    held_out = case.held_out
    if held_out is None:
        return
    trained = set(_contents(case.data.train, case.seed).tolist())
    contents = _contents(held_out, case.seed)
    leaked = np.array([content in trained for content in contents.tolist()], bool)
    if leaked.sum() < FEWEST or leaked.mean() < LEAKED:
        return
    yield Finding(
        "validation_in_train",
        f"{leaked.sum():,} of {len(leaked):,} held-out images are training images, bit by bit.",
        "None: the accuracy on images that were trained on says nothing about others.",
        "Split the images once, before anything else, and leave copies out "
        "(keras-classics check_images finds them in folders).",
        values={"leaked": int(leaked.sum()), "held_out": len(leaked)},
    )


def repeated_images(case: Case) -> Iterator[Finding]:
    """Finds training images that are there several times, and with different labels."""
    contents, indices = _contents(case.data.train, case.seed), _chosen(case.data.train, case.seed)
    labels = labels_of(case.data.train)[indices]
    _, group, counts = np.unique(contents, return_inverse=True, return_counts=True)
    repeated = counts[group] > 1
    contradicting = repeated & _differs_in_group(group, labels)
    if contradicting.sum() >= FEWEST and contradicting.mean() >= CONTRADICTING:
        yield Finding(
            "contradicting_labels",
            f"{contradicting.sum():,} of {len(group):,} training images have a copy under another "
            "label.",
            "The same image has the same label.",
            "Correct the labels of these copies, or leave them out.",
            values={"contradicting": int(contradicting.sum()), "images": len(group)},
        )
    elif repeated.mean() >= REPEATED and repeated.sum() >= FEWEST:
        yield Finding(
            "repeated_images",
            f"{repeated.sum():,} of {len(group):,} training images have a copy, bit by bit.",
            "Each image once: copies count twice, and do not make a data set larger.",
            "Leave the copies out; to draw rare classes more often, use --sampling=balanced.",
            values={"repeated": int(repeated.sum()), "images": len(group)},
        )


def _differs_in_group(group: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each image's group has several labels."""
    rows = labels.reshape(len(labels), -1)
    lowest = np.full((group.max() + 1, rows.shape[1]), np.iinfo(rows.dtype).max, rows.dtype)
    highest = np.full_like(lowest, np.iinfo(rows.dtype).min)
    np.minimum.at(lowest, group, rows)
    np.maximum.at(highest, group, rows)
    return (lowest != highest).any(1)[group]


def _chosen(split: AnySplit, seed: int) -> np.ndarray:
    if isinstance(split, Split) or len(split) <= FILES:
        return np.arange(len(split))
    return np.sort(np.random.default_rng(seed).permutation(len(split))[:FILES])


def _contents(split: AnySplit, seed: int) -> np.ndarray:
    """Returns a hash of the content of each image, of large sets of files of some."""
    numbers = _chosen(split, seed)
    contents = (
        split.read(int(number))[1]
        if isinstance(split, EncodedSplit)
        else np.ascontiguousarray(split.image(number)).tobytes()
        for number in numbers
    )
    digests = [hashlib.blake2b(content, digest_size=8).digest() for content in contents]
    return np.frombuffer(b"".join(digests), "uint64")
