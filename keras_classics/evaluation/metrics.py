"""Metrics beside the error: precision, recall and F1 of each class, their averages, ROC-AUC.

All are defined as in scikit-learn with `zero_division=0`: a precision, recall or F1 whose
denominator is 0 is 0.
"""

from dataclasses import dataclass

import numpy as np

# Probability above which a label is predicted, where images have several.
THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class ClassMetrics:
    """Precision, recall and F1 of each class; all attributes have the shape (classes,).

    Attributes:
        right: Images of a class that it was predicted for.
        labelled: Images of a class.
        predicted: Images that a class was predicted for.
    """

    right: np.ndarray
    labelled: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of_confusion(cls, confusion: np.ndarray) -> "ClassMetrics":
        """Returns the metrics of what `confusion_matrix` returned."""
        return cls(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0))

    @classmethod
    def of_decisions(cls, labels: np.ndarray, probabilities: np.ndarray) -> "ClassMetrics":
        """Returns the metrics of images with several labels, see `multilabel_metrics`."""
        decided, labelled = probabilities > THRESHOLD, labels > 0
        return cls((decided & labelled).sum(axis=0), labelled.sum(axis=0), decided.sum(axis=0))

    @property
    def precision(self) -> np.ndarray:
        """Fraction of the predictions of a class that are right."""
        return _ratio(self.right, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Fraction of the images of a class that it was predicted for: the class's accuracy."""
        return _ratio(self.right, self.labelled)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.right, self.labelled + self.predicted)

    def averages(self, counted: np.ndarray) -> dict[str, float]:
        """Returns the averages of precision, recall and F1 over classes.

        Args:
            counted: Whether a class counts in the plain mean, bool, shape (classes,).

        Returns:
            `precision_macro`, `recall_macro`, `f1_macro`: plain means; `precision_weighted`,
            `recall_weighted`, `f1_weighted`: weighted by the images of a class.
        """
        values = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        images = self.labelled / max(1, self.labelled.sum())
        return {
            **{f"{name}_macro": float(value[counted].mean()) for name, value in values.items()},
            **{f"{name}_weighted": float(value @ images) for name, value in values.items()},
        }


def classification_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Returns the metrics of predictions of one class for each image.

    Args:
        labels: Integers, shape (count,).
        probabilities: Shape (count, classes); the most probable class is predicted.

    Returns:
        `balanced_accuracy`: the mean recall over the classes that have images. The entries of
        `ClassMetrics.averages`, over the classes that have images or are predicted. Of two classes
        that both have images, also `roc_auc`: the area under the ROC curve of the second class.
        Micro averages are left out, because they all equal the accuracy.
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    classes = ClassMetrics.of_confusion(confusion)
    has_images = classes.labelled > 0
    metrics = {
        "balanced_accuracy": float(classes.recall[has_images].mean()),
        **classes.averages(has_images | (classes.predicted > 0)),
    }
    if len(confusion) == 2 and has_images.all():
        metrics["roc_auc"] = roc_auc(labels == 1, probabilities[:, 1])
    return metrics


def multilabel_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Returns the metrics of predictions of any number of classes for each image.

    Args:
        labels: 0 or 1, shape (count, classes).
        probabilities: Shape (count, classes); classes above 0.5 are predicted.

    Returns:
        `exact_match`: the fraction of images all of whose labels are right.
        `mean_average_precision`: the mean of `average_precision` over the classes that have images;
        it is left out if none has. The entries of `ClassMetrics.averages` over all classes;
        `precision_micro`, `recall_micro` and `f1_micro`: those of all labels together.
    """
    classes = ClassMetrics.of_decisions(labels, probabilities)
    together = ClassMetrics(
        *(np.array(v.sum()) for v in (classes.right, classes.labelled, classes.predicted))
    )
    metrics = {
        "exact_match": float(exact_matches(labels, probabilities).mean()),
        **classes.averages(np.full(labels.shape[1], True)),
        "precision_micro": float(together.precision),
        "recall_micro": float(together.recall),
        "f1_micro": float(together.f1),
    }
    precisions = [p for p in average_precisions(labels, probabilities) if p is not None]
    if precisions:
        metrics["mean_average_precision"] = float(np.mean(precisions))
    return metrics


def exact_matches(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns whether all labels of an image are right, bool, shape (count,)."""
    return ((probabilities > THRESHOLD) == (labels > 0)).all(axis=1)


def average_precisions(labels: np.ndarray, probabilities: np.ndarray) -> list[float | None]:
    """Returns the average precision of each class, None for classes without images."""
    pairs = zip(labels.T > 0, probabilities.T, strict=True)
    return [average_precision(*pair) if pair[0].any() else None for pair in pairs]


def average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """Returns the mean precision over the positive images, each at its own score as threshold.

    Args:
        positive: Whether an image is positive, bool, shape (count,); at least one is.
        scores: Shape (count,); images of equal scores count together.
    """
    order = np.argsort(-scores, kind="stable")
    falls = np.append(np.diff(scores[order]) < 0, True)
    found = np.cumsum(positive[order])[falls]
    precision = found / (np.flatnonzero(falls) + 1)
    return float(np.diff(found, prepend=0) @ precision / positive.sum())


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Returns counts, int64, shape (classes, classes): rows are labels, columns predictions."""
    counts = np.zeros((classes, classes), "int64")
    np.add.at(counts, (labels, predictions), 1)
    return counts


def roc_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Returns the area under the ROC curve.

    It is the probability that a positive image has a higher score than a negative one; equal
    scores count half.

    Args:
        positive: Whether an image is positive, bool, shape (count,); not all alike.
        scores: Shape (count,).
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # The mean rank, from 1, of the images with each score.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    positives = int(positive.sum())
    above = ranks[place][positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(positive) - positives)))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns a part of a whole, 0 where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
