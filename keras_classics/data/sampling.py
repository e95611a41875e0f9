"""Balanced sampling: as many training images of each class, whatever their numbers."""

from dataclasses import dataclass

import numpy as np

from keras_classics.backend import tf


@dataclass(frozen=True, eq=False)
class BalancedSampling:
    """Draws images of all classes in turn; those of rare classes are repeated.

    Draw number d of a run is of class d modulo classes. The draws of a class go through all of its
    images, then through all again in another order, and so on. So after any number of draws, the
    classes have been drawn equally often, and so have the images of a class, but for one.

    Attributes:
        members: Indices of all images, class after class, int64.
        starts: Place of each class in `members`, int64.
        counts: Number of images of each class, int64.
    """

    members: "tf.Tensor"
    starts: "tf.Tensor"
    counts: "tf.Tensor"

    @classmethod
    def of(cls, labels: np.ndarray) -> "BalancedSampling | None":
        """Returns the sampling for the labels of a split.

        Classes without images are left out. If all others have the same number of images, returns
        None: an epoch in which each image is once is balanced.
        """
        _, counts = np.unique(labels, return_counts=True)
        if (counts == counts[0]).all():
            return None
        arrays = (np.argsort(labels, kind="stable"), np.cumsum(counts) - counts, counts)
        with tf.device("CPU"):
            return cls(*(tf.constant(array, tf.int64) for array in arrays))

    def indices(self, draws: "tf.Tensor", seed: int, reshuffle: bool) -> "tf.Tensor":
        """Returns the index of the image of each draw, int64.

        Args:
            draws: Numbers of draws, counted over the whole run, int64, shape (count,).
            seed: Seed of the order.
            reshuffle: Whether each repetition of a class has its own order.
        """
        classes = tf.size(self.counts, tf.int64)
        label, number = draws % classes, draws // classes
        count = tf.gather(self.counts, label)
        repetition = number // count if reshuffle else tf.zeros_like(number)
        # TensorFlow's own function around this operation fails with a seed for each index.
        place = tf.raw_ops.RandomIndexShuffle(
            index=number % count,
            seed=tf.stack([label, tf.fill(tf.shape(draws), np.int64(seed)), repetition], axis=1),
            max_index=count - 1,
            rounds=4,
        )
        return tf.gather(self.members, tf.gather(self.starts, label) + place)
