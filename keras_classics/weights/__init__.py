"""Weights for the networks: where they come from, and how they get into a model."""

from keras_classics.weights.load import load_weights

__all__ = ["load_weights"]
