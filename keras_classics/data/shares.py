"""Which images of a data set without parts are held out."""

import hashlib
import logging
import os
import unicodedata
from pathlib import Path

# Of data sets without parts: the fraction of the images that is held out for the test split.
VALIDATION_SHARE = 0.2

logger = logging.getLogger(__name__)


def is_held_out(name: str, share: float) -> bool:
    """Returns whether an image is held out: by a hash of its name alone.

    So the choice is the same on every machine, and stays when images are added. A larger share
    holds out the same images and more.

    Args:
        name: Path of the image from the root of its data set, with slashes.
        share: Fraction of the images that is held out, 0 to 1.
    """
    # macOS stores accents as letters of their own.
    normal = unicodedata.normalize("NFC", name)
    start = hashlib.sha256(os.fsencode(normal)).digest()[:8]
    return int.from_bytes(start, "big") < share * 2**64


def say_unused(share: float | None, root: Path, part: str) -> None:
    """Says that no share of the images is held out, because there is a test part."""
    if share not in (None, VALIDATION_SHARE):
        logger.warning("%s has %s, so validation_share=%g is not used", root, part, share)
