"""The flags for images without a test part, and for the order of classes."""

from pathlib import Path

from absl import flags

from keras_classics import files
from keras_classics.cli._paths import define_path
from keras_classics.data.parts import VALIDATION_SHARE as DEFAULT_SHARE
from keras_classics.errors import UserError

VALIDATION_SHARE = flags.DEFINE_float(
    "validation_share",
    None,
    "Of a folder or list without a test part: the fraction of the images that is held out for it, "
    f"by a hash of their names; {DEFAULT_SHARE} if unset.",
    lower_bound=0,
    upper_bound=1,
)
CLASSES = define_path(
    "classes",
    None,
    "Text file of all classes, a name a line, in the order of their labels; by default sorted.",
)

FLAG_GROUPS = {"Data": (VALIDATION_SHARE, CLASSES)}

# Largest size of a file of class names.
NAMES_BYTES = 2**24


def given_class_names() -> tuple[str, ...] | None:
    """Returns the classes of the file that --classes names, or None.

    Raises:
        UserError: If the file cannot be read, is empty, or is not UTF-8.
    """
    if CLASSES.value is None:
        return None
    path = Path(CLASSES.value)
    try:
        lines = files.read_bytes(path, NAMES_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must hold a class name in each line, in UTF-8.") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise UserError(f"{path} must hold a class name in each line. Received: none.")
    return names
