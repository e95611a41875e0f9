"""The guard that all outputs of networks pass: what is not a finite number gives no result.

Comparisons with NaN are false, so a label would rank before every class whose probability is NaN.
"""

from collections.abc import Callable

import numpy as np

from keras_classics.errors import UserError


class NonFiniteOutputError(UserError):
    """A network's outputs are not finite numbers."""


def check_finite(
    outputs: np.ndarray, what: str, name: Callable[[int], str] = "image {}".format
) -> None:
    """Checks that outputs for images are finite numbers.

    Args:
        outputs: Shape (images, ...).
        what: What the outputs are, for the message.
        name: Returns the name of the image at an index.

    Raises:
        NonFiniteOutputError: If an output is NaN or infinite; it names the first such image.
    """
    finite = np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))
    if finite.all():
        return
    first = int(finite.argmin())
    value = outputs[first][~np.isfinite(outputs[first])][0]
    raise NonFiniteOutputError(
        f"{what} must be finite numbers. Received: {value} for {name(first)}, the first of "
        f"{np.count_nonzero(~finite):,} such images of {len(finite):,}. Check the network's weights"
        " and its dtype policy."
    )
