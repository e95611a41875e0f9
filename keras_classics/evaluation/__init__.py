"""Evaluation: accuracy of trained networks, evaluation protocols, ensembles and statistics."""

from keras_classics.evaluation.batch_norm import recompute_batch_norm
from keras_classics.evaluation.dense import Dense, fully_convolutional
from keras_classics.evaluation.ensemble import average
from keras_classics.evaluation.evaluate import Evaluation, Evaluator
from keras_classics.evaluation.metrics import (
    ClassMetrics,
    average_precision,
    classification_metrics,
    confusion_matrix,
    multilabel_metrics,
    roc_auc,
)
from keras_classics.evaluation.predictions import Predictions
from keras_classics.evaluation.statistics import mcnemar, wilson
from keras_classics.evaluation.views import Views, one_view

__all__ = [
    "ClassMetrics",
    "Dense",
    "Evaluation",
    "Evaluator",
    "Predictions",
    "Views",
    "average",
    "average_precision",
    "classification_metrics",
    "confusion_matrix",
    "fully_convolutional",
    "mcnemar",
    "multilabel_metrics",
    "one_view",
    "recompute_batch_norm",
    "roc_auc",
    "wilson",
]
