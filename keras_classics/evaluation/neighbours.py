"""Nearest neighbours among features, by cosine similarity: images like a query, and classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_classics.errors import UserError
from keras_classics.evaluation.finite import check_finite
from keras_classics.evaluation.held_out import checked_training

# Numbers of neighbours to choose from.
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)

# Wu et al. 2018, section 3.4.
TEMPERATURE = 0.07

# Queries, and rows of features, that are compared at a time.
QUERIES, ROWS = 1024, 16384


@dataclass(frozen=True, eq=False)
class NearestNeighbours:
    """A classifier by the votes of the nearest training images.

    A neighbour of similarity s votes with the weight exp(s / 0.07), as in Wu et al. 2018,
    "Unsupervised Feature Learning via Non-Parametric Instance Discrimination".

    Attributes:
        features: Of the training images, shape (count, channels).
        labels: Of the same images, shape (count,).
        k: The chosen number of neighbours.
        held_out_errors: Error on the held-out training images by k, 0 to 1.
    """

    features: np.ndarray
    labels: np.ndarray
    k: int
    held_out_errors: dict[int, float]

    def predict(self, features: ArrayLike) -> np.ndarray:
        """Returns the label with the most votes for each image, int32; on a tie the lowest.

        Raises:
            UserError: If features are not finite numbers, or of another shape than in training.
        """
        ((_, predictions),) = _votes(self.features, self.labels, features, (self.k,))
        return predictions


def nearest_neighbours(
    features: ArrayLike,
    labels: ArrayLike,
    held_out: ArrayLike,
    counts: Sequence[int] = COUNTS,
) -> NearestNeighbours:
    """Returns the classifier by nearest neighbours, its k chosen on held-out training images.

    Args:
        features: Of the training images, shape (count, channels); may be memory-mapped.
        labels: Of the same images, whole numbers, shape (count,).
        held_out: Which of them choose k, with the others as neighbours; see `held_out_images`.
        counts: Values of k to choose from. Those above the number of images are left out.

    Raises:
        UserError: If the shapes do not match, features are not finite, there is one class alone,
            the held-out images leave nothing to choose by, or no k is in range.
    """
    features, labels, held = checked_training(features, labels, held_out)
    most = int((~held).sum())
    fitting = sorted(k for k in counts if 1 <= k <= most)
    if not fitting:
        raise UserError(
            f"k must be 1 to {most:,}, the training images that are not held out. Received: "
            f"{', '.join(map(str, counts))}."
        )
    tried = _votes(features[~held], labels[~held], features[held], fitting)
    errors = {k: float((predictions != labels[held]).mean()) for k, predictions in tried}
    return NearestNeighbours(features, labels, min(errors, key=errors.__getitem__), errors)


def most_similar(
    features: ArrayLike, queries: ArrayLike, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images whose features are most similar to those of queries.

    Args:
        features: Shape (images, channels); may be memory-mapped, it is read in blocks.
        queries: Shape (queries, channels).
        count: Number of images for each query; all, if there are fewer.

    Returns:
        Their indices, int64, and cosine similarities, float32, -1 to 1, both of shape
        (queries, count), the most similar first, of equals the first. Features that are all 0 have
        the similarity 0 with any.

    Raises:
        UserError: If features are not finite numbers, or their shapes do not match.
    """
    features, queries = np.asarray(features), np.asarray(queries)
    if features.ndim != 2 or queries.ndim != 2 or features.shape[1] != queries.shape[1]:
        raise UserError(
            "Features and queries must have the shape (images, channels), with the same channels. "
            f"Received: {features.shape} and {queries.shape}."
        )
    check_finite(queries, "Features")
    count = min(count, len(features))
    queries = _normalised(queries)
    best = np.empty((len(queries), 0), "float32")
    indices = np.empty((len(queries), 0), "int64")
    for first in range(0, len(features), ROWS):
        block = features[first : first + ROWS]
        check_finite(block, "Features", lambda row, first=first: f"image {first + row}")
        similarities = queries @ _normalised(block).T
        numbers = np.broadcast_to(np.arange(first, first + len(block)), similarities.shape)
        best = np.concatenate([best, similarities], 1)
        indices = np.concatenate([indices, numbers], 1)
        # Stable, so that the first of equals stays first.
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best, indices = np.take_along_axis(best, order, 1), np.take_along_axis(indices, order, 1)
    return indices, best


def _normalised(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, "float32")
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)


def _votes(
    features: np.ndarray, labels: np.ndarray, queries: ArrayLike, counts: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each k, in ascending order, and the labels that the k nearest images vote for."""
    queries = np.asarray(queries)
    classes, of_image = np.unique(labels, return_inverse=True)
    votes = np.zeros((len(counts), len(queries), len(classes)))
    for first in range(0, len(queries), QUERIES):
        block = slice(first, first + QUERIES)
        indices, similarities = most_similar(features, queries[block], counts[-1])
        # Relative to the nearest, because exp(1 / 0.07) is large.
        weights = np.exp((similarities - similarities[:, :1]) / TEMPERATURE)
        rows = np.arange(len(indices))[:, np.newaxis]
        for i, k in enumerate(counts):
            of_block = votes[i, block]
            np.add.at(of_block, (rows, of_image[indices[:, :k]]), weights[:, :k])
    for k, of_k in zip(counts, votes, strict=True):
        yield k, classes[of_k.argmax(axis=1)].astype("int32")
