"""Data sets by name, and the pipeline from images to batches."""

from typing import Any

from keras_classics.backend import needs_tensorflow, tf

__all__ = ["FileSplit", "ImageData", "RecordSplit", "Split", "load", "load_test"]

if tf is not None:
    from keras_classics.data.sources import ImageData, load, load_test
    from keras_classics.data.splits import FileSplit, RecordSplit, Split
else:

    def __getattr__(name: str) -> Any:
        if name in __all__:
            raise needs_tensorflow(f"{__name__}.{name} needs")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
