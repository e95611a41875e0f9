"""Evaluation: accuracy of trained networks, evaluation protocols, ensembles and statistics."""

from keras_classics.evaluation.batch_norm import recompute_batch_norm
from keras_classics.evaluation.dense import Dense, fully_convolutional
from keras_classics.evaluation.embeddings import Embedding, compiled, embed, feature_network
from keras_classics.evaluation.ensemble import average
from keras_classics.evaluation.evaluate import Evaluation, Evaluator
from keras_classics.evaluation.feature_files import StoredFeatures, write_features
from keras_classics.evaluation.held_out import held_out_images
from keras_classics.evaluation.metrics import (
    ClassMetrics,
    average_precision,
    classification_metrics,
    confusion_matrix,
    multilabel_metrics,
    roc_auc,
)
from keras_classics.evaluation.neighbours import (
    NearestNeighbours,
    most_similar,
    nearest_neighbours,
)
from keras_classics.evaluation.predictions import Predictions
from keras_classics.evaluation.probe import LinearProbe, linear_probe
from keras_classics.evaluation.projection import project
from keras_classics.evaluation.statistics import mcnemar, wilson
from keras_classics.evaluation.views import Views, one_view

__all__ = [
    "ClassMetrics",
    "Dense",
    "Embedding",
    "Evaluation",
    "Evaluator",
    "LinearProbe",
    "NearestNeighbours",
    "Predictions",
    "StoredFeatures",
    "Views",
    "average",
    "average_precision",
    "classification_metrics",
    "compiled",
    "confusion_matrix",
    "embed",
    "feature_network",
    "fully_convolutional",
    "held_out_images",
    "linear_probe",
    "mcnemar",
    "most_similar",
    "multilabel_metrics",
    "nearest_neighbours",
    "one_view",
    "project",
    "recompute_batch_norm",
    "roc_auc",
    "wilson",
    "write_features",
]
