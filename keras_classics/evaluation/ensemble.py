"""Several networks, or several protocols, whose answers are averaged."""

from collections.abc import Sequence

import numpy as np

from keras_classics.errors import UserError
from keras_classics.evaluation.evaluate import Evaluation


def average(members: Sequence[Evaluation], weights: Sequence[float] | None = None) -> Evaluation:
    """Averages the answers of several networks on the same images.

    Krizhevsky et al. 2012, section 6, and Simonyan and Zisserman 2015, section 4.4, average the
    probabilities behind the softmax; the latter also those of dense evaluation and of views.

    Args:
        members: Answers on the same split, in the same order.
        weights: Weight of each member, of any sum; by default all count alike.

    Returns:
        The mean of the probabilities and of the losses. Of one member: the member.

    Raises:
        UserError: There is none, weights are not as many and not negative, or the members are of
            different classes or images.
    """
    if not members:
        raise UserError("An ensemble needs at least one member. Received: none.")
    weights = [1.0] * len(members) if weights is None else list(weights)
    if len(weights) != len(members) or min(weights) < 0 or not sum(weights) > 0:
        raise UserError(
            f"An ensemble takes a weight for each of its {len(members)} members, none negative and "
            f"not all 0. Received: {weights}."
        )
    classes = [member.probabilities.shape[1] for member in members]
    if len(set(classes)) > 1:
        counts = ", ".join(map(str, classes))
        raise UserError(f"The members of an ensemble know the same classes. Received: {counts}.")
    if any(not np.array_equal(member.labels, members[0].labels) for member in members):
        raise UserError("The members of an ensemble are evaluated on the same images, in order.")
    shares = np.array(weights) / sum(weights)

    def mean(values: list[np.ndarray]) -> np.ndarray:
        return sum(share * value for share, value in zip(shares, values, strict=True)).astype(
            "float32"
        )

    return Evaluation(
        mean([member.probabilities for member in members]),
        mean([member.losses for member in members]),
        members[0].labels,
    )
