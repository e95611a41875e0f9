"""A linear probe: how well a linear classifier does on the features of a frozen network."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_classics.errors import UserError, require
from keras_classics.evaluation.finite import check_finite
from keras_classics.evaluation.held_out import checked_training
from keras_classics.evaluation.threads import threads_for

# Inverse strengths of the L2 penalty to choose from, scikit-learn's C.
STRENGTHS = tuple(10.0**power for power in range(-5, 4))

# Most steps of L-BFGS.
STEPS = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of features.

    Attributes:
        classifier: scikit-learn's pipeline: standardisation, logistic regression.
        strength: The chosen C, the inverse strength of the L2 penalty.
        held_out_errors: Error on the held-out training images by C, 0 to 1.
    """

    classifier: Any
    strength: float
    held_out_errors: dict[float, float]

    def predict(self, features: ArrayLike) -> np.ndarray:
        """Returns the most probable label of each image, int32, shape (count,).

        Raises:
            UserError: If features are not finite numbers, or of another shape than in training.
        """
        features = np.asarray(features, "float64")
        channels = self.classifier.n_features_in_
        if features.ndim != 2 or features.shape[1] != channels:
            raise UserError(
                f"Features must have the shape (images, {channels}). Received: {features.shape}."
            )
        check_finite(features, "Features")
        return self.classifier.predict(features).astype("int32")


def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    held_out: ArrayLike,
    strengths: Sequence[float] = STRENGTHS,
) -> LinearProbe:
    """Trains a linear probe: multinomial logistic regression on standardised features.

    Each C is trained without the held-out images. The one with the least error on them, of equals
    the strongest penalty, is then trained on all images. It is scikit-learn's
    `make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))`, which minimises by
    L-BFGS in float64.

    Args:
        features: Of the training images, shape (count, channels).
        labels: Of the same images, whole numbers, shape (count,).
        held_out: Which of them choose C, bool, shape (count,); see `held_out_images`.
        strengths: Values of C to choose from, above 0.

    Raises:
        UserError: If the shapes do not match, features are not finite, there is one class alone,
            the held-out images leave nothing to choose by, or scikit-learn is missing.
    """
    features, labels, held = checked_training(features, labels, held_out)
    features = features.astype("float64")
    errors = {}
    for strength in sorted(strengths):
        classifier, _ = _trained(features[~held], labels[~held], strength)
        errors[strength] = float((classifier.predict(features[held]) != labels[held]).mean())
    # The first of equals has the strongest penalty.
    chosen = min(errors, key=errors.__getitem__)
    classifier, converged = _trained(features, labels, chosen)
    if not converged:
        logger.warning("The linear probe has not converged in %s steps of L-BFGS", f"{STEPS:,}")
    return LinearProbe(classifier, chosen, errors)


def _trained(features: np.ndarray, labels: np.ndarray, strength: float) -> tuple[Any, bool]:
    """Returns a classifier, and whether it has converged."""
    pipeline = require("sklearn.pipeline", "train")
    scaler = require("sklearn.preprocessing", "train").StandardScaler()
    regression = require("sklearn.linear_model", "train").LogisticRegression(
        C=strength, max_iter=STEPS
    )
    classifier = pipeline.make_pipeline(scaler, regression)
    with threads_for(features.size), warnings.catch_warnings():
        warnings.simplefilter("ignore", require("sklearn.exceptions", "train").ConvergenceWarning)
        classifier.fit(features, labels)
    return classifier, bool(regression.n_iter_.max() < STEPS)
