"""The order of images, and their way into the compiled loop.

Which image stands where in an epoch depends on (seed, epoch) alone, so a run that was cut goes on
at any step with the same images. Training leaves out the rest that does not fill a batch;
evaluation fills its last batch up and drops the filling.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_classics.data.augment import Augmentation
from keras_classics.data.sources import Split

BLOCK_BYTES = 32 * 2**20
BLOCK_STEPS = 1000

Preprocess = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Plan:
    """The steps of a training run, and how they are dealt out in blocks.

    A block is what one call of the compiled loop works through.

    Attributes:
        images: Images in the training split.
        batch_size: Images a step, over all replicas.
        epochs: Passes over the training split.
        steps_per_block: Steps that one call of the compiled loop does.
        seed: Seed of the order.
        reshuffle: Whether each epoch has an order of its own; if not, all have the first one's.
        augmentation: What changes the images, or None.
    """

    images: int
    batch_size: int
    epochs: int
    steps_per_block: int
    seed: int
    reshuffle: bool = True
    augmentation: Augmentation | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the training split."""
        return self.images // self.batch_size

    @property
    def blocks_per_epoch(self) -> int:
        """Blocks in an epoch; the last one may be short."""
        return math.ceil(self.steps_per_epoch / self.steps_per_block)

    def steps_of(self, block: int) -> int:
        """Steps in a block of an epoch, counted from 0."""
        return min(self.steps_per_block, self.steps_per_epoch - block * self.steps_per_block)

    def epoch_and_places(self, block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Which places of which epoch a block of the run goes through.

        Args:
            block: int64 scalar, counted from 0 over all epochs.

        Returns:
            int64: the epoch, and places in it of shape (steps, batch_size).
        """
        epoch, block = block // self.blocks_per_epoch, block % self.blocks_per_epoch
        first = block * self.steps_per_block
        last = tf.minimum(first + self.steps_per_block, self.steps_per_epoch)
        places = tf.range(first * self.batch_size, last * self.batch_size)
        return epoch, tf.reshape(places, (-1, self.batch_size))

    def order(self, epoch: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Which images of the training split stand at some places of an epoch, int64."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch if self.reshuffle else 0 * epoch])
        flat = tf.reshape(places, [-1])
        shuffled = tf.random.experimental.index_shuffle(flat, seed, self.images - 1)
        return tf.reshape(shuffled, tf.shape(places))

    def augmented(self, images: tf.Tensor, epoch: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Augments the images that stand at some places of an epoch, shape (count,)."""
        if self.augmentation is None:
            return images
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        draws = tf.random.stateless_uniform((self.images, self.augmentation.draws), seed)
        return self.augmentation(images, tf.gather(draws, places))


def steps_per_block(image_bytes: int, batch_size: int, steps_per_epoch: int) -> int:
    """How many steps a block holds: as many as fit into 32 MiB of images, and an epoch at most."""
    fitting = BLOCK_BYTES // (image_bytes * batch_size)
    return max(1, min(fitting, BLOCK_STEPS, steps_per_epoch))


def training_blocks(
    split: Split,
    preprocess: Preprocess,
    plan: Plan,
    strategy: tf.distribute.Strategy,
    first_block: int = 0,
) -> Iterator:
    """Iterates over the blocks of a run, from `first_block` to the end of the last epoch.

    Args:
        split: Training images.
        preprocess: From uint8 images to what the network takes.
        plan: The run's steps.
        strategy: Each of its replicas gets its part of every batch.
        first_block: Where to start, counted over all epochs.

    Yields:
        Images of shape (steps, batch, height, width, channels) and labels of shape (steps, batch)
        for each replica.
    """
    replicas = strategy.num_replicas_in_sync
    share = plan.batch_size // replicas
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def replica_block(element: tf.Tensor):
        block, replica = element // replicas, element % replicas
        epoch, places = plan.epoch_and_places(block)
        places = places[:, replica * share : (replica + 1) * share]
        positions = plan.order(epoch, places)
        batch = preprocess(tf.gather(images, tf.reshape(positions, [-1])))
        batch = plan.augmented(batch, epoch, tf.reshape(places, [-1]))
        return tf.reshape(batch, [-1, share, *batch.shape[1:]]), tf.gather(labels, positions)

    end = plan.epochs * plan.blocks_per_epoch
    elements = tf.data.Dataset.range(first_block * replicas, end * replicas)
    return _dealt(elements.map(replica_block, num_parallel_calls=2, deterministic=True), strategy)


def evaluation_batches(
    split: Split, preprocess: Preprocess, batch_size: int, strategy: tf.distribute.Strategy
) -> Iterator:
    """Iterates once over a split, in its order, with all batches of one size.

    The last image is repeated to fill the last batch up; whoever collects the answers drops what
    goes beyond `len(split)`.

    Args:
        split: Images to evaluate.
        preprocess: From uint8 images to what the network takes.
        batch_size: Images a step on each replica.
        strategy: Its replicas take the batches in turn.

    Yields:
        Images and labels for each replica.
    """
    replicas = strategy.num_replicas_in_sync
    steps = math.ceil(len(split) / (batch_size * replicas))
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def batch(element: tf.Tensor):
        positions = tf.range(element * batch_size, (element + 1) * batch_size)
        positions = tf.minimum(positions, np.int64(len(split) - 1))
        return preprocess(tf.gather(images, positions)), tf.gather(labels, positions)

    elements = tf.data.Dataset.range(steps * replicas)
    return _dealt(elements.map(batch, num_parallel_calls=2, deterministic=True), strategy)


def _dealt(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Iterator:
    """Deals the elements of a data set out to the replicas in turn."""
    dataset = dataset.prefetch(2)
    if strategy.num_replicas_in_sync == 1:
        return iter(dataset)
    return iter(strategy.distribute_datasets_from_function(lambda _: dataset))
