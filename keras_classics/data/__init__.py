"""Data: from the name of a data set to batches."""

from keras_classics.data.sources import ImageData, Split, load

__all__ = ["ImageData", "Split", "load"]
