"""The parts of data on this machine: which are trained and tested on, and what is held out."""

import hashlib
import logging
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

TRAIN = "train"
# Parts that networks are evaluated on; of several, the first is taken.
TESTS = ("test", "validation", "val", "valid")

# Of data without a test part: the fraction of the images that is held out for it.
VALIDATION_SHARE = 0.2

logger = logging.getLogger(__name__)


def part_to_test(root: Path, parts: Iterable[str], unlabelled: Sequence[str] = ()) -> str | None:
    """Returns the part to test on, None if there is none; of several, says which it is.

    Args:
        root: The data, for the message.
        parts: Names of the parts that there are.
        unlabelled: Those without labels, which are taken only if there are no others.
    """
    found = [part for part in TESTS if part in set(parts)]
    chosen = next((part for part in found if part not in unlabelled), next(iter(found), None))
    if len(found) > 1:
        unused = ", ".join(part for part in found if part != chosen)
        logger.info(
            "%s has %s: test images are those of %s; %s is not used",
            *(root, " and ".join(found), chosen, unused),
        )
    return chosen


def held_out(root: Path, names: Iterable[str], share: float | None) -> np.ndarray:
    """Returns whether each image is held out for testing, and says how many are.

    Args:
        root: The data, for the message.
        names: Name of each image, see `is_held_out`.
        share: The fraction to hold out; None: `VALIDATION_SHARE`.
    """
    share = VALIDATION_SHARE if share is None else share
    held = np.array([is_held_out(name, share) for name in names], bool)
    logger.info(
        "%s has no test images of its own: %s of %s are held out for testing (validation_share=%g)",
        *(root, f"{held.sum():,}", f"{len(held):,}", share),
    )
    return held


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
