"""Definitions of the flags that name a data set, for each program that takes one."""

from absl import flags

from keras_classics.cli._paths import define_path

NAMES = (
    "digits, a name of TensorFlow Datasets, or your own images: folder:PATH, list:PATH, "
    "multilabel:PATH, parquet:PATH or npz:PATH."
)
PARTS = {"train": "training", "test": "test"}


def define_dataset(if_unset: str = "", required: bool = False) -> flags.FlagHolder:
    """Defines `--dataset`; its help ends with what is taken if it is unset."""
    return flags.DEFINE_string("dataset", None, f"{NAMES} {if_unset}".strip(), required=required)


def define_data_dir() -> flags.FlagHolder:
    """Defines `--data_dir`, the folder of TensorFlow Datasets."""
    return define_path("data_dir", None, "Folder of TensorFlow Datasets; its default if unset.")


def define_limit(part: str) -> flags.FlagHolder:
    """Defines `--limit_train` or `--limit_test`, for a part in `PARTS`."""
    help_text = f"Use at most this many {PARTS[part]} images."
    return flags.DEFINE_integer(f"limit_{part}", None, help_text, lower_bound=1)


# The flags belong to the modules that call these functions.
flags.disclaim_key_flags()
