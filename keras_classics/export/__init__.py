"""Export to SavedModel, TFLite and ONNX. Every export is verified in its own runtime."""

from keras_classics.export.bundle import FORMATS, INPUTS, check_export_folder, export_model
from keras_classics.export.calibration import CALIBRATED, CALIBRATION_IMAGES
from keras_classics.export.exported import Exported, load_exported
from keras_classics.export.fold import fold_batch_norm
from keras_classics.export.onnx import onnx
from keras_classics.export.saved_model import saved_model
from keras_classics.export.source import COMPARED_IMAGES
from keras_classics.export.tflite import QUANTIZATIONS, tflite
from keras_classics.export.verify import BOUNDS

__all__ = [
    "BOUNDS",
    "CALIBRATED",
    "CALIBRATION_IMAGES",
    "COMPARED_IMAGES",
    "FORMATS",
    "INPUTS",
    "QUANTIZATIONS",
    "Exported",
    "check_export_folder",
    "export_model",
    "fold_batch_norm",
    "load_exported",
    "onnx",
    "saved_model",
    "tflite",
]
