"""Which of a network's classes a data set has: all of them in its order, or some."""

import logging
from collections import Counter
from collections.abc import Sequence

from keras_classics.errors import UserError
from keras_classics.weights import imagenet

logger = logging.getLogger(__name__)

# Most class names that a message quotes.
NAMED = 5


def labels_in_network(
    name: str, class_names: Sequence[str], network: str, known: Sequence[str] | None, classes: int
) -> list[int] | None:
    """Returns the network's label of each class of a data set that has only some of its classes.

    Classes are recognised by their names; those of ImageNet by their WordNet IDs too, so that the
    ten of Imagenette are found among the thousand. Names that are numbers are labels.

    Args:
        name: Name of the data set.
        class_names: Its classes.
        network: Name of the network.
        known: The network's classes, or None if they are not known.
        classes: Their number.

    Returns:
        The labels; None if the data set has the network's classes in its order, or as many of
        other names, which a warning says.

    Raises:
        UserError: If the data set has the network's classes in another order, some that the
            network has not, or another number of other names.
    """
    if known is None:
        return _by_number(name, class_names, network, classes)
    ids = imagenet.IDS if tuple(known) == imagenet.CLASSES else ()
    if tuple(class_names) in (tuple(known), tuple(ids)):
        return None
    labels = _labels_of(class_names, known, ids)
    found = {label: place for place, label in enumerate(labels) if label is not None}
    if not found:
        return _by_number(name, class_names, network, classes, known)
    if len(class_names) == classes:
        moved = [place for label, place in found.items() if label != place]
        if moved:
            place = moved[0]
            raise UserError(
                f"{name} has the classes of {network} in another order: label {place} is "
                f"{class_names[place]}, and the network's label {place} is {known[place]}. Give "
                "the classes in the network's order with --classes=FILE."
            )
        return _by_number(name, class_names, network, classes, known)
    unknown = [c for c, label in zip(class_names, labels, strict=True) if label is None]
    if unknown:
        raise UserError(
            f"{name} must have classes of {network}. Received {len(unknown):,} others: "
            f"{', '.join(unknown[:NAMED])}. Use a network that was trained on these classes."
        )
    return [label for label in labels if label is not None]


def _labels_of(
    class_names: Sequence[str], known: Sequence[str], ids: Sequence[str]
) -> list[int | None]:
    """Returns the label of each class, None for one that is not known or has not one label."""
    label_of: dict[str, int] = {}
    twice = {name for name, count in Counter(known).items() if count > 1}
    for names in (known, ids):
        label_of |= {c: label for label, c in enumerate(names) if c not in twice}
    labels = [label_of.get(class_name) for class_name in class_names]
    if not any(label is not None for label in labels) and all(map(str.isdecimal, class_names)):
        numbers = [int(class_name) for class_name in class_names]
        if len(class_names) < len(known) and max(numbers) < len(known):
            return [*numbers]
    return labels


def _by_number(
    name: str,
    class_names: Sequence[str],
    network: str,
    classes: int,
    known: Sequence[str] | None = None,
) -> None:
    """Checks the number of classes, and says that names differ."""
    if len(class_names) != classes:
        raise UserError(
            f"{name} has {len(class_names)} classes. Received: {network} with {classes}. Use a "
            "network that was trained on these classes."
        )
    if known is not None:
        place = next(i for i in range(classes) if class_names[i] != known[i])
        logger.warning(
            "%s and %s name their classes differently: label %d is %s and %s. They are taken in "
            "the order of their labels.",
            *(name, network, place, class_names[place], known[place]),
        )
