"""The flag that turns photos upright."""

from absl import flags

from keras_classics.data.names import turned_upright

EXIF = flags.DEFINE_bool(
    "exif", False, "Turn the images of folder:PATH as the EXIF orientation of their files says."
)

FLAG_GROUPS = {"Data": (EXIF,)}


def with_exif(dataset: str) -> str:
    """Returns the name of a data set, as --exif changes it.

    Raises:
        UserError: If --exif is set, and it is not the name of a folder.
    """
    return turned_upright(dataset) if EXIF.value else dataset
