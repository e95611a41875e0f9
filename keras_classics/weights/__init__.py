"""Weights: records of published weights, downloads, and loading into a model."""

from keras_classics.weights.decode import decode_predictions
from keras_classics.weights.formats.caffe import caffe_mean
from keras_classics.weights.load import builder_arguments, load_weights
from keras_classics.weights.preprocess import preprocess_input, preprocessing
from keras_classics.weights.records import WeightsRecord, find_weights, list_weights

__all__ = [
    "WeightsRecord",
    "builder_arguments",
    "caffe_mean",
    "decode_predictions",
    "find_weights",
    "list_weights",
    "load_weights",
    "preprocess_input",
    "preprocessing",
]
