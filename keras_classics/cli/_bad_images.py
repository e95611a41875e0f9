"""What a command says at its end about images that cannot be used."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from keras_classics.errors import UserError

logger = logging.getLogger(__name__)


class BadImage(NamedTuple):
    """An image that cannot be used.

    Attributes:
        name: Its name.
        fault: Why it cannot be used; it follows the name.
        alone: Whether an argument names it alone, so that it is a wrong argument.
    """

    name: str
    fault: str
    alone: bool = False


def tell(found: Sequence[BadImage], images: int) -> None:
    """Counts the images that cannot be used.

    Raises:
        UserError: If an argument names one.
    """
    if not found:
        return
    alone = [image for image in found if image.alone]
    first = (alone or found)[0]
    line = (
        f"{len(found):,} of {images:,} images cannot be used. The first, {first.name}, "
        f"{first.fault}."
    )
    if alone:
        raise UserError(line)
    logger.warning(line)


def none_usable(first: BadImage, images: int) -> UserError:
    """Returns the error for images of which none can be used."""
    if images == 1:
        return UserError(f"{first.name} {first.fault}.")
    return UserError(
        f"None of the {images:,} images can be used. The first, {first.name}, {first.fault}."
    )
