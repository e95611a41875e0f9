"""Data: from the name of a data set to batches."""

from keras_classics.data.sources import ImageData, load, load_test
from keras_classics.data.splits import FileSplit, RecordSplit, Split

__all__ = ["FileSplit", "ImageData", "RecordSplit", "Split", "load", "load_test"]
