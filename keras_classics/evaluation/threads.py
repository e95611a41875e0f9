"""How many threads scikit-learn takes."""

from typing import Any

from keras_classics.errors import require

# So many numbers are worth several threads. With fewer these wait for each other, on a busy machine
# for most of the time.
MANY = 2**24


def threads_for(numbers: int) -> Any:
    """Returns a context in which scikit-learn and BLAS take one thread for few numbers.

    Args:
        numbers: Size of the arrays.
    """
    limit = None if numbers >= MANY else 1
    return require("threadpoolctl", "train").threadpool_limits(limit)
