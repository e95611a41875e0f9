"""Losses of these papers that Keras does not have."""

import keras
from keras import ops


def _true_distance(y_true, distances):
    """Returns the distances to the codes of the true classes, shape (batch,)."""
    labels = ops.cast(ops.reshape(y_true, (-1, 1)), "int32")
    return ops.squeeze(ops.take_along_axis(distances, labels, axis=1), axis=1)


@keras.saving.register_keras_serializable("keras_classics")
class CodeDistance(keras.losses.Loss):
    """The plain loss of LeCun et al. 1998, equation 8: the distance y_c to the true class's code.

    Called with integer labels of shape (batch,) and distances of shape (batch, classes).
    """

    def call(self, y_true, y_pred):
        return _true_distance(y_true, y_pred)


@keras.saving.register_keras_serializable("keras_classics")
class DiscriminativeMAP(keras.losses.Loss):
    """The discriminative loss of LeCun et al. 1998, equation 9.

    y_c + log(exp(-j) + sum_i exp(-y_i)) is small near the true code and far from the others. A
    wrong class counts only while its distance is below about j. The paper prints no value of j.

    Called with integer labels of shape (batch,) and distances of shape (batch, classes).

    Args:
        j: Distance of the constant rubbish class, greater than 0.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
    """

    def __init__(
        self, j: float = 1.0, reduction="sum_over_batch_size", name="discriminative_map", **kwargs
    ):
        super().__init__(reduction=reduction, name=name, **kwargs)
        self.j = j

    def call(self, y_true, y_pred):
        rubbish = ops.full_like(y_pred[:, :1], -self.j)
        competition = ops.logsumexp(ops.concatenate([rubbish, -y_pred], axis=1), axis=1)
        return _true_distance(y_true, y_pred) + competition

    def get_config(self):
        return {**super().get_config(), "j": self.j}


@keras.saving.register_keras_serializable("keras_classics")
class BinaryCrossEntropy(keras.losses.Loss):
    """The logistic loss of images with several labels: the mean over the classes.

    Called with labels 0 or 1 and scores, both of shape (batch, classes). A class's probability is
    the sigmoid of its score.
    """

    def call(self, y_true, y_pred):
        return keras.losses.binary_crossentropy(y_true, y_pred, from_logits=True)


@keras.saving.register_keras_serializable("keras_classics")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with label smoothing: 1 - smoothing for the true class, the rest for all alike.

    Szegedy et al. 2016, section 7. Without smoothing it is the multinomial logistic loss of the
    AlexNet, VGG and ResNet papers.

    Called with integer labels of shape (batch,) and scores of shape (batch, classes).

    Args:
        smoothing: Probability that is taken from the true class, 0 to 1.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
    """

    def __init__(
        self,
        smoothing: float = 0.0,
        reduction="sum_over_batch_size",
        name="smoothed_cross_entropy",
        **kwargs,
    ):
        super().__init__(reduction=reduction, name=name, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        plain = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        if not self.smoothing:
            return plain
        to_all = ops.logsumexp(y_pred, axis=-1) - ops.mean(y_pred, axis=-1)
        return (1 - self.smoothing) * plain + self.smoothing * to_all

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}
