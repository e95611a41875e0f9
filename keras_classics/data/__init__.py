"""Data sets by name, and the pipeline from images to batches."""

from keras_classics.data.sources import ImageData, load, load_test
from keras_classics.data.splits import FileSplit, RecordSplit, Split

__all__ = ["FileSplit", "ImageData", "RecordSplit", "Split", "load", "load_test"]
