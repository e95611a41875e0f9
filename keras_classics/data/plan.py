"""The plan of a training run: its steps, the order of its images, its random numbers.

Everything is a function of (seed, epoch, position in the epoch) alone, so an interrupted run
resumes at any step with the same images and the same augmentation.
"""

import math
from dataclasses import dataclass

import tensorflow as tf

from keras_classics.data.augment import Augmentation

BLOCK_BYTES = 32 * 2**20
BLOCK_STEPS = 1000


@dataclass(frozen=True)
class Plan:
    """The steps of a training run, grouped into blocks.

    One call of the compiled loop trains on one block.

    Attributes:
        images: Images in the training split.
        batch_size: Global batch size.
        steps: Steps of the run, which may end in the middle of an epoch.
        steps_per_block: Steps that one call of the compiled loop does.
        seed: Seed of the order.
        reshuffle: Whether each epoch has its own order; if not, all have the order of the first.
        augmentation: How training images are changed, or None.
    """

    images: int
    batch_size: int
    steps: int
    steps_per_block: int
    seed: int
    reshuffle: bool = True
    augmentation: Augmentation | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the training split."""
        return self.images // self.batch_size

    @property
    def epochs(self) -> int:
        """Epochs of the run; the last one may be incomplete."""
        return math.ceil(self.steps / self.steps_per_epoch)

    @property
    def full_blocks_per_epoch(self) -> int:
        """Blocks of a complete epoch; the last one may be short."""
        return math.ceil(self.steps_per_epoch / self.steps_per_block)

    @property
    def blocks(self) -> int:
        """Blocks of the whole run."""
        complete = self.epochs - 1
        return complete * self.full_blocks_per_epoch + self.blocks_of(complete)

    def blocks_of(self, epoch: int) -> int:
        """Returns the number of blocks of an epoch, counted from 0."""
        return math.ceil(self._steps_of_epoch(epoch) / self.steps_per_block)

    def steps_of(self, epoch: int, block: int) -> int:
        """Returns the number of steps of a block of an epoch, both counted from 0."""
        left = self._steps_of_epoch(epoch) - block * self.steps_per_block
        return min(self.steps_per_block, left)

    def _steps_of_epoch(self, epoch: int) -> int:
        return min(self.steps_per_epoch, self.steps - epoch * self.steps_per_epoch)

    def epoch_and_positions(self, block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the epoch of a block of the run, and the positions that it covers.

        Args:
            block: int64 scalar, counted from 0 over all epochs.

        Returns:
            int64: the epoch, and consecutive positions in it, of shape (steps, batch_size).
        """
        epoch, block = block // self.full_blocks_per_epoch, block % self.full_blocks_per_epoch
        first = block * self.steps_per_block
        last = tf.minimum(first + self.steps_per_block, self.steps_per_epoch)
        last = tf.minimum(last, self.steps - epoch * self.steps_per_epoch)
        positions = tf.range(first * self.batch_size, last * self.batch_size)
        return epoch, tf.reshape(positions, (-1, self.batch_size))

    def order(self, epoch: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Returns the indices of the training images at some positions of an epoch, int64."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch if self.reshuffle else 0 * epoch])
        flat = tf.reshape(positions, [-1])
        shuffled = tf.random.experimental.index_shuffle(flat, seed, self.images - 1)
        return tf.reshape(shuffled, tf.shape(positions))

    def random_numbers(
        self, epoch: tf.Tensor, first: tf.Tensor, count: int, num_random: int
    ) -> tf.Tensor:
        """Returns random numbers for consecutive positions of an epoch.

        Those of a position do not depend on where a call starts.

        Args:
            epoch: int64 scalar.
            first: First of the positions, int64 scalar.
            count: How many positions.
            num_random: Numbers per position.

        Returns:
            float32, shape (count, num_random), uniform in [0, 1): rows of one endless table.
        """
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
        # Philox makes four numbers per count, so it can start anywhere in the table.
        number = first * num_random
        start = tf.cast(number // 4, tf.uint64)
        over = number % 4
        numbers = tf.raw_ops.StatelessRandomUniformV2(
            shape=tf.reshape(over + count * num_random, [1]),
            key=key,
            counter=counter + tf.stack([start, tf.constant(0, tf.uint64)]),
            alg=1,
        )
        return tf.reshape(numbers[over:], (-1, num_random))


def steps_per_block(image_bytes: int, batch_size: int, steps_per_epoch: int) -> int:
    """Returns how many steps a block holds: at most 32 MiB of images, and at most one epoch."""
    fitting = BLOCK_BYTES // (image_bytes * batch_size)
    return max(1, min(fitting, BLOCK_STEPS, steps_per_epoch))
