"""Export: the forms that other runtimes take, each checked in its own runtime as it is written."""

from keras_classics.export.bundle import FORMATS, export_model
from keras_classics.export.saved_model import saved_model
from keras_classics.export.tflite import tflite
from keras_classics.export.verify import COMPARED_IMAGES

__all__ = ["COMPARED_IMAGES", "FORMATS", "export_model", "saved_model", "tflite"]
