"""Evaluation: what a trained network gets right, and how that is measured."""

from keras_classics.evaluation.dense import Dense, fully_convolutional
from keras_classics.evaluation.ensemble import average
from keras_classics.evaluation.evaluate import Evaluation, Evaluator
from keras_classics.evaluation.views import Views, one_view

__all__ = [
    "Dense",
    "Evaluation",
    "Evaluator",
    "Views",
    "average",
    "fully_convolutional",
    "one_view",
]
