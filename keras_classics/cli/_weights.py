"""The known weights of a network that no flag names."""

from keras_classics.errors import UserError
from keras_classics.models import find_model
from keras_classics.weights.records import default_weights, weights_names


def known_weights(model: str) -> str:
    """Returns the name of the weights that a network has if no flag names others.

    Raises:
        UserError: If the network is unknown, or has no known weights or several.
    """
    model = find_model(model).name
    default = default_weights(model)
    if default is not None:
        return default
    names = weights_names(model)
    if not names:
        raise UserError(
            f"There are no known weights of {model}. Name a file of weights: --weights=FILE."
        )
    raise UserError(
        f"{model} has several known weights: {', '.join(names)}. Name those to use, such as "
        f"--weights={names[0]}."
    )
