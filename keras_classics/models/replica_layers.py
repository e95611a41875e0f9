"""Batch normalisation and dropout that are correct on several replicas of `tf.distribute`."""

import keras

from keras_classics.backend import tf
from keras_classics.models.recursion import allow_layers


@keras.saving.register_keras_serializable("keras_classics")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation on TensorFlow's fused kernel, which trains faster.

    Ioffe and Szegedy 2015. The same variables, names, configuration and results as
    `keras.layers.BatchNormalization`; the moving variance is the biased one, as there. bfloat16
    and float16 images go into the kernel as they are, and it computes in float32, whatever the
    type of the variables. On other
    backends, on other than four axes, with a mask or options that the kernel lacks, Keras's own
    path runs.

    Under a distribution strategy each replica normalises by its own images and keeps its own moving
    statistics in training. Reading them outside of the replicas, as saving does, and inference use
    their mean over the replicas; Keras's layer saves only those of the first replica. With
    `synchronized=True` all replicas normalise by the images of all, as one device would with the
    whole batch. That costs one exchange of statistics forward and one backward.

    Attributes:
        group: Number of images that are normalised together in training, a divisor of those of a
            replica, as if each group were on a device of its own; None for all of a replica. Not
            part of the configuration.

    Args:
        momentum: Weight of the old moving statistics at an update.
        epsilon: Added to the variance.
        **kwargs: Arguments of `keras.layers.BatchNormalization`.

    Shapes: (batch, height, width, maps) to the same.
    """

    def __init__(self, momentum: float, epsilon: float, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.group: int | None = None

    @classmethod
    def from_config(cls, config):
        # Every deep network has this layer, and Keras tells no one else that it is loading one.
        allow_layers()
        return super().from_config(config)

    def add_weight(self, *args, name=None, **kwargs):
        if tf is None or name not in ("moving_mean", "moving_variance"):
            return super().add_weight(*args, name=name, **kwargs)
        # `add_weight` does not take a synchronization.
        return keras.Variable(
            kwargs["initializer"],
            shape=kwargs["shape"],
            dtype=self.variable_dtype,
            trainable=False,
            autocast=False,
            aggregation="mean",
            synchronization="on_read",
            name=name,
        )

    def call(self, inputs, training=None, mask=None):
        if not self._fits_the_kernel(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        maps = inputs.shape[-1]
        scale = tf.ones(maps) if self.gamma is None else tf.cast(self.gamma, tf.float32)
        offset = tf.zeros(maps) if self.beta is None else tf.cast(self.beta, tf.float32)
        if not (training and self.trainable):
            mean, variance = self._mean_over_replicas()
            return self._normalize(inputs, scale, offset, mean, variance, training=False)[0]
        if self.synchronized and _replicas() > 1:
            outputs, mean, variance = self._normalize_over_replicas(inputs, scale, offset)
        elif self.group is not None:
            outputs, mean, variance = self._normalize_groups(inputs, scale, offset)
        else:
            outputs, *statistics = self._normalize(inputs, scale, offset, [], [], training=True)
            _, mean, variance = _biased(inputs, *statistics)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        return outputs

    def _fits_the_kernel(self, inputs, mask) -> bool:
        return (
            tf is not None
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)
            and self.compute_dtype == inputs.dtype.name
            and mask is None
            and not self.renorm
        )

    def _normalize(self, inputs, scale, offset, mean, variance, training: bool):
        outputs = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        return outputs.y, outputs.batch_mean, outputs.batch_variance

    def _normalize_groups(self, inputs, scale, offset):
        """Normalises each group by its own images; returns the outputs and the mean statistics."""
        shape = tf.shape(inputs)
        groups = tf.reshape(inputs, tf.concat([[-1, self.group], shape[1:]], 0))
        groups = tf.cast(groups, tf.float32)
        mean, variance = tf.nn.moments(groups, [1, 2, 3], keepdims=True)
        outputs = tf.nn.batch_normalization(groups, mean, variance, offset, scale, self.epsilon)
        outputs = tf.reshape(tf.cast(outputs, inputs.dtype), shape)
        return outputs, *(tf.reduce_mean(of_groups, [0, 1, 2, 3]) for of_groups in (mean, variance))

    def _normalize_over_replicas(self, inputs, scale, offset):
        """Normalises by all replicas' images; returns the outputs, the mean and the variance."""
        options = {"epsilon": self.epsilon, "is_training": False}

        @tf.custom_gradient
        def normalize(x, scale, offset):
            local = self._normalize(x, scale, offset, [], [], training=True)[1:]
            count, mean, variance = _pooled(*_biased(x, *local))
            outputs = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=offset, mean=mean, variance=variance, **options
            )

            def gradient(of_outputs, *_):
                # As if the statistics were constants, and the sums that the rest is made of.
                of_x, of_scale, of_offset, *_ = tf.raw_ops.FusedBatchNormGradV3(
                    y_backprop=of_outputs,
                    x=x,
                    scale=scale,
                    reserve_space_1=mean,
                    reserve_space_2=variance,
                    reserve_space_3=outputs.reserve_space_3,
                    **options,
                )
                # The statistics depend on the images of all replicas, so on the sums over all. The
                # gradients of scale and offset stay the replica's: who trains adds them up.
                sums = tf.distribute.get_replica_context().all_reduce(
                    tf.distribute.ReduceOp.SUM, tf.stack([of_scale, of_offset])
                )
                shares = -scale * tf.math.rsqrt(variance + self.epsilon) * sums / count
                # shares[0] times the normalised x, plus shares[1]: what the kernel does in one go.
                through_statistics = tf.raw_ops.FusedBatchNormV3(
                    x=x, scale=shares[0], offset=shares[1], mean=mean, variance=variance, **options
                )
                return of_x + through_statistics.y, of_scale, of_offset

            return (outputs.y, mean, variance), gradient

        return normalize(inputs, scale, offset)

    def _move(self, moving, batch) -> None:
        # In the type of the batch's statistics: the variables may have fewer digits.
        moved = tf.cast(moving, batch.dtype) * self.momentum + batch * (1.0 - self.momentum)
        moving.assign(tf.cast(moved, moving.dtype))

    def _mean_over_replicas(self) -> list:
        # Copies of this replica's own: only what has a place can be averaged over workers.
        variables = (self.moving_mean, self.moving_variance)
        statistics = [tf.identity(tf.cast(v, tf.float32)) for v in variables]
        if self.synchronized or _replicas() == 1:
            return statistics
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, statistics)


def _replicas() -> int:
    """Returns the number of replicas that run this step; 1 outside of them."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def _biased(x, mean, variance):
    """Returns number of positions, mean and biased variance; the kernel's variance is unbiased."""
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return count, mean, variance * (tf.maximum(count - 1.0, 1.0) / count)


def _pooled(count, mean, variance):
    """Returns number, mean and biased variance of the positions of all replicas, in one exchange.

    Each replica adds a row to a table that is zero elsewhere, and so gets the rows of all. Their
    variance is taken around their mean: the mean of the squares minus the square of the mean would
    cancel.
    """
    context = tf.distribute.get_replica_context()
    row = tf.concat([[count], mean, variance], 0)
    # A replica may be without images at the end of a data set. Its statistics are NaN.
    row = tf.where(count > 0, row, 0.0)
    place = tf.one_hot(context.replica_id_in_sync_group, context.num_replicas_in_sync)
    table = context.all_reduce(tf.distribute.ReduceOp.SUM, place[:, None] * row)
    maps = mean.shape[0]
    counts, means, variances = tf.split(table, [1, maps, maps], axis=1)
    count = tf.reduce_sum(counts)
    shares = counts / count
    mean = tf.reduce_sum(shares * means, 0)
    variance = tf.reduce_sum(shares * (variances + tf.square(means - mean)), 0)
    return count, mean, variance


@keras.saving.register_keras_serializable("keras_classics")
class Dropout(keras.layers.Dropout):
    """Keras's dropout with masks that do not depend on the number of replicas.

    Hinton et al. 2012 (arXiv 1207.0580). The same arguments, names, configuration and seed state
    as `keras.layers.Dropout`. Under TensorFlow the mask of an image is a function of that state and
    of the image's place in the global batch, of which each replica has an equal part; XLA does not
    change it. Keras's layer draws the same mask on every replica. On other backends, and with a
    `noise_shape`, Keras's own path runs.

    Args:
        rate: Fraction of the values that becomes 0; the others are divided by 1 - rate.
        **kwargs: Arguments of `keras.layers.Dropout`.

    Shapes: any to the same, images along the first axis.
    """

    def call(self, inputs, training=False):
        fits = tf is not None and self.noise_shape is None and inputs.shape.rank
        if not (fits and training and 0 < self.rate < 1):
            return super().call(inputs, training=training)
        dropped = tf.constant(int(self.rate * 2**32), tf.uint32)
        kept = tf.cast(self._numbers(tf.shape(inputs, tf.int64)) >= dropped, inputs.dtype)
        return inputs * (kept * (1.0 / (1.0 - self.rate)))

    def _numbers(self, shape):
        """Draws integers from 0 to 2 ** 32 - 1, for each image from its own part of one stream."""
        # As Keras does: XLA takes seeds of 32 bits.
        seed = tf.cast(self.seed_generator.next() % (tf.int32.max - 1), tf.int32)
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
        # Philox makes four numbers a count, so each image gets a multiple of four.
        size = tf.reduce_prod(shape[1:])
        counts = -(-size // 4)
        if _replicas() > 1:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            before = tf.cast(replica, tf.int64) * shape[0] * counts
            counter += tf.cast(tf.stack([before, 0]), tf.uint64)
        philox = 1
        # XLA makes the same integers of it as TensorFlow, but not the same fractions.
        numbers = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[shape[0], 4 * counts], key=key, counter=counter, alg=philox, dtype=tf.uint32
        )
        return tf.reshape(numbers[:, :size], shape)
