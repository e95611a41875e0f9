"""Evaluation: what a trained network gets right, and how that is measured."""

from keras_classics.evaluation.evaluate import Evaluation, Evaluator

__all__ = ["Evaluation", "Evaluator"]
