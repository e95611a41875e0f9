"""Names of data sets on this machine: `FORM:PATH`, or `FORM_exif:PATH` with images turned."""

from keras_classics.errors import UserError

FOLDER, LIST, NPZ, PARQUET = "folder", "list", "npz", "parquet"
MULTILABEL = "multilabel"

# Forms whose images are files of their own, which can say how to turn them.
OF_IMAGE_FILES = (FOLDER, LIST, PARQUET, MULTILABEL)
FORMS = (*OF_IMAGE_FILES, NPZ)

EXIF = "_exif"


def form_of(name: str | None) -> str | None:
    """Returns the form of a data set on this machine, one of `FORMS`, or None for any other."""
    start, colon, _ = (name or "").partition(":")
    form = start.removesuffix(EXIF)
    known = FORMS if form == start else OF_IMAGE_FILES
    return form if form in known and colon else None


def is_multilabel(name: str | None) -> bool:
    """Returns whether the images of a data set have any number of labels."""
    return form_of(name) == MULTILABEL


def path_of(name: str) -> str:
    """Returns the path of a data set on this machine."""
    return name.partition(":")[2]


def is_upright(name: str | None) -> bool:
    """Returns whether a data set's images are turned as their EXIF orientation says."""
    return form_of(name) is not None and str(name).partition(":")[0].endswith(EXIF)


def turned_upright(name: str) -> str:
    """Returns the name of the same data set, its images turned as their EXIF orientation says.

    Raises:
        UserError: If its images are not in files of their own.
    """
    form = form_of(name)
    if form not in OF_IMAGE_FILES:
        known = " or ".join(f"{form}:PATH" for form in OF_IMAGE_FILES)
        raise UserError(f"EXIF orientations need a dataset of {known}. Received: {name}.")
    return f"{form}{EXIF}:{path_of(name)}"
