"""Data sets by name, and the pipeline from images to batches."""

from keras_classics.backend import lazy_refusal, tf

__all__ = [
    "ArchiveSplit",
    "BytesSplit",
    "FileSplit",
    "ImageData",
    "RecordSplit",
    "Split",
    "load",
    "load_test",
]

if tf is not None:
    from keras_classics.data.packed import ArchiveSplit, BytesSplit
    from keras_classics.data.records import RecordSplit
    from keras_classics.data.sources import ImageData, load, load_test
    from keras_classics.data.splits import FileSplit, Split
else:
    __getattr__ = lazy_refusal(__name__, __all__)
