"""Ensembles: averaged predictions of several networks or protocols."""

import math
from collections.abc import Sequence

import numpy as np

from keras_classics.errors import UserError
from keras_classics.evaluation.evaluate import Evaluation


def average(members: Sequence[Evaluation], weights: Sequence[float] | None = None) -> Evaluation:
    """Averages the predictions of several networks on the same images.

    Krizhevsky et al. 2012, section 6, and Simonyan and Zisserman 2015, section 4.4, average the
    probabilities after the softmax; the latter also average dense and multi-crop evaluation.

    Args:
        members: Evaluations on the same split, in the same order.
        weights: Weight of each member, with any sum; by default all are equal.

    Returns:
        The weighted mean of the probabilities and of the losses.

    Raises:
        UserError: If there is no member, the number of weights differs from the number of members,
            a weight is negative or not finite, all are 0, or the members have different classes or
            images.
    """
    if not members:
        raise UserError("An ensemble needs at least one member. Received: none.")
    weights = [1.0] * len(members) if weights is None else list(weights)
    total = sum(weights)
    # Neither NaN nor a sum beyond the largest number is between these bounds.
    if len(weights) != len(members) or min(weights) < 0 or not 0 < total < math.inf:
        raise UserError(
            f"An ensemble needs one weight for each of its {len(members)} members, finite numbers, "
            f"none negative and not all 0. Received: {weights}."
        )
    classes = [member.probabilities.shape[1] for member in members]
    if len(set(classes)) > 1:
        counts = ", ".join(map(str, classes))
        raise UserError(
            f"The members of an ensemble must have the same classes. Received: {counts} classes."
        )
    if any(not np.array_equal(member.labels, members[0].labels) for member in members):
        raise UserError(
            "The members of an ensemble must be evaluated on the same images in the same order."
        )
    fractions = np.array(weights) / total

    def mean(values: list[np.ndarray]) -> np.ndarray:
        return sum(f * value for f, value in zip(fractions, values, strict=True)).astype("float32")

    return Evaluation(
        mean([member.probabilities for member in members]),
        mean([member.losses for member in members]),
        members[0].labels,
    )
