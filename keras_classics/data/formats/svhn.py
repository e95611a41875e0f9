"""SVHN's cropped digits, in the MATLAB files that their authors offer.

http://ufldl.stanford.edu/housenumbers/: X holds the images, (height, width, 3, count), y their
digits, of which 0 is stored as 10.
"""

import io
import math
from collections.abc import Mapping

import numpy as np

from keras_classics.data.formats.members import UNPACKED_BYTES, Member
from keras_classics.data.formats.small_images import Format, SmallImages
from keras_classics.errors import UserError, require, short_reason

PARTS = {part: f"{part}_32x32.mat" for part in ("train", "test", "extra")}

# MATLAB's types of numbers for the labels.
TYPES = ("double", "single", *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)))

# How MATLAB's version 7.3 begins, which is HDF5.
HDF5 = b"MATLAB 7.3"


def _read(members: Mapping[str, Member]) -> SmallImages:
    splits = {part: _split(members[name]) for part, name in PARTS.items() if name in members}
    left_out = "" if "extra" in splits else f"its split extra, because there is no {PARTS['extra']}"
    return SmallImages(splits, left_out=left_out)


def _split(member: Member) -> dict[str, np.ndarray]:
    images, digits = _arrays(member)
    labels = digits.reshape(-1)
    if labels.shape != (images.shape[-1],):
        raise UserError(
            f"{member.name} holds {images.shape[-1]:,} images, but labels of shape {digits.shape}."
        )
    wrong = labels[~np.isin(labels, np.arange(1, 11))]
    if wrong.size:
        raise UserError(f"Labels in {member.name} must be 1 to 10. Received: {wrong[0]}.")
    return {"image": np.moveaxis(images, -1, 0), "label": labels.astype("int64") % 10}


def _arrays(member: Member) -> tuple[np.ndarray, np.ndarray]:
    """Returns X and y, after comparing their shapes, which a file says before it holds them."""
    content = member.read()
    if content.startswith(HDF5):
        raise UserError(
            f"{member.name} is of MATLAB's version 7.3, which SciPy does not read. Save it in "
            "MATLAB with save(FILE, 'X', 'y', '-v7')."
        )
    scipy_io = require("scipy.io", "train")
    try:
        heads = {name: head for name, *head in scipy_io.whosmat(io.BytesIO(content))}
        (x, x_type), (y, y_type) = (heads.get(name, ((), "nothing")) for name in ("X", "y"))
        right = len(x) == 4 and x[2] == 3 and x_type == "uint8" and math.prod(y) == x[3]
        if right and y_type in TYPES and math.prod(x) <= UNPACKED_BYTES:
            found = scipy_io.loadmat(io.BytesIO(content), variable_names=["X", "y"])
            return found["X"], found["y"]
    except Exception as error:
        # Wrong bytes lead to any exception of SciPy, zlib and NumPy.
        raise UserError(
            f"{member.name} is not an intact MATLAB file ({short_reason(error)}). Download it "
            "again."
        ) from error
    raise UserError(
        f"{member.name} must hold X, uint8 of shape (height, width, 3, count), and y, as many "
        f"labels. Received: X, {x_type} of {x}, and y, {y_type} of {y}."
    )


SVHN_FORMATS = (
    Format("SVHN's .mat files", (PARTS["train"], PARTS["test"]), _read, (PARTS["extra"],)),
)
