"""Python's recursion limit, for networks of a thousand layers.

Keras walks a network from its output by recursion, one call a layer, whenever it makes a model of
it: when it is built, loaded or cloned, and in `keras.Model(model.input, ...)`. Python allows 1,000
calls by default, which `resnet1202` exceeds. Nothing is changed until such a network comes into
being; after that the limit stays up, because whatever is done with the network needs it too.
"""

import sys

# Calls of the program that builds or loads the network.
CALLER = 500

# More layers on a path than any network of these papers has: resnet1202 without shortcuts, 3,607.
DEEPEST = 9_500


def allow_layers(number: int = DEEPEST) -> None:
    """Raises the recursion limit, where it is too low, for a path of so many layers."""
    if sys.getrecursionlimit() < number + CALLER:
        sys.setrecursionlimit(number + CALLER)
