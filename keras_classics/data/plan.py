"""The plan of a training run: its steps, the order of its images, its random numbers.

Everything is a function of (seed, epoch, position in the epoch) alone, so an interrupted run
resumes at any step with the same images and the same augmentation.
"""

import math
from dataclasses import dataclass

from keras_classics.backend import tf
from keras_classics.data.augment import Augmentation
from keras_classics.data.sampling import BalancedSampling

BLOCK_BYTES = 32 * 2**20
BLOCK_STEPS = 1000


@dataclass(frozen=True)
class Plan:
    """The steps of a training run, grouped into blocks.

    One call of the compiled loop trains on one block.

    Attributes:
        images: Images in the training split.
        batch_size: Global batch size, at most `images`.
        steps: Steps of the run, which may end in the middle of an epoch.
        steps_per_block: Steps that one call of the compiled loop does.
        seed: Seed of the order.
        reshuffle: Whether each epoch has its own order; if not, all have the order of the first.
        augmentation: How training images are changed, or None.
        carry: Whether the images that do not fill a batch begin the next epoch's first batch; if
            not, they are left out of the epoch.
        sampling: Balances the classes, or None: each image is in an epoch once. A balanced epoch
            has as many images, but none is left out: it draws only those that fill its batches.
    """

    images: int
    batch_size: int
    steps: int
    steps_per_block: int
    seed: int
    reshuffle: bool = True
    augmentation: Augmentation | None = None
    carry: bool = False
    sampling: BalancedSampling | None = None

    # The epochs form one row of positions, which steps cut into batches, and blocks into groups of
    # steps. A step belongs to the epoch in which it begins. All methods are closed formulas for
    # Python's integers and for tensors alike: -(-a // b) is a / b rounded up.

    @property
    def images_per_epoch(self) -> int:
        """Images that an epoch trains on."""
        return self.images if self.carry else self.images // self.batch_size * self.batch_size

    @property
    def steps_per_epoch(self) -> float:
        """Steps of an epoch; not a whole number if images are carried over."""
        return self.images_per_epoch / self.batch_size

    @property
    def epochs(self) -> int:
        """Epochs of the run; the last one may be incomplete."""
        return self.epoch_of_step(self.steps - 1) + 1

    @property
    def blocks(self) -> int:
        """Blocks of the whole run."""
        complete = self.epochs - 1
        return self.first_block(complete) + self.blocks_of(complete)

    def first_step(self, epoch):
        """Returns the first step of an epoch, both counted from 0."""
        return -(-epoch * self.images_per_epoch // self.batch_size)

    def epoch_of_step(self, step):
        """Returns the epoch of a step, both counted from 0."""
        return step * self.batch_size // self.images_per_epoch

    def first_block(self, epoch):
        """Returns the first block of an epoch, both counted from 0."""
        return -(-epoch * self._block_images_per_epoch // self.batch_size)

    @property
    def _block_images_per_epoch(self) -> int:
        """Images that an epoch would have if each of its blocks were one step.

        Epochs have `full` steps, or one more if images are carried over.
        """
        full = self.images // self.batch_size
        blocks = -(-full // self.steps_per_block)
        if full % self.steps_per_block:
            return blocks * self.batch_size
        return self.images_per_epoch - (full - blocks) * self.batch_size

    def blocks_of(self, epoch: int) -> int:
        """Returns the number of blocks of an epoch, counted from 0."""
        return math.ceil(self._steps_of_epoch(epoch) / self.steps_per_block)

    def steps_of(self, epoch: int, block: int) -> int:
        """Returns the number of steps of a block of an epoch, both counted from 0."""
        left = self._steps_of_epoch(epoch) - block * self.steps_per_block
        return min(self.steps_per_block, left)

    def _steps_of_epoch(self, epoch: int) -> int:
        return min(self.first_step(epoch + 1), self.steps) - self.first_step(epoch)

    def epoch_and_positions(self, block: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        """Returns the epoch of a block of the run, and the positions that it covers.

        Args:
            block: int64 scalar, counted from 0 over all epochs.

        Returns:
            int64: the epoch, and consecutive positions from its start, of shape (steps,
            batch_size). The last step's may reach into the next epoch.
        """
        epoch = block * self.batch_size // self._block_images_per_epoch
        first = self.first_step(epoch)
        first += (block - self.first_block(epoch)) * self.steps_per_block
        last = tf.minimum(first + self.steps_per_block, self.first_step(epoch + 1))
        last = tf.minimum(last, self.steps)
        return epoch, self.positions(epoch, first, last)

    def positions(self, epoch, first, last) -> "tf.Tensor":
        """Returns the positions of the steps from `first` to before `last`, counted in the run.

        Returns:
            int64, positions from the start of `epoch`, of shape (steps, batch_size).
        """
        start = epoch * self.images_per_epoch
        positions = tf.range(first * self.batch_size - start, last * self.batch_size - start)
        return tf.reshape(tf.cast(positions, tf.int64), (-1, self.batch_size))

    def order(self, epoch: "tf.Tensor", positions: "tf.Tensor") -> "tf.Tensor":
        """Returns the indices of the training images at some positions, int64.

        Args:
            epoch: int64 scalar.
            positions: Positions from the start of the epoch, which may reach into the next one.
        """
        flat = tf.reshape(positions, [-1])
        if self.carry:
            here = self._shuffled(epoch, flat % self.images)
            following = self._shuffled(epoch + 1, flat % self.images)
            shuffled = tf.where(flat < self.images, here, following)
        else:
            shuffled = self._shuffled(epoch, flat)
        return tf.reshape(shuffled, tf.shape(positions))

    def _shuffled(self, epoch: "tf.Tensor", positions: "tf.Tensor") -> "tf.Tensor":
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch if self.reshuffle else 0 * epoch])
        shuffle = tf.random.experimental.index_shuffle
        if self.sampling is None:
            return shuffle(positions, seed, self.images - 1)
        first = epoch * self.images_per_epoch
        draws = first + shuffle(positions, seed, self.images_per_epoch - 1)
        return self.sampling.indices(draws, self.seed, self.reshuffle)

    def random_numbers(
        self, epoch: "tf.Tensor", first: "tf.Tensor", count: int, num_random: int
    ) -> "tf.Tensor":
        """Returns random numbers for consecutive positions from the start of an epoch.

        Those of a position do not depend on where a call starts.

        Args:
            epoch: int64 scalar.
            first: First of the positions, int64 scalar.
            count: How many positions; they may reach into the next epoch.
            num_random: Numbers per position.

        Returns:
            float32, shape (count, num_random), uniform in [0, 1): rows of one endless table.
        """
        if not self.carry:
            return self._random_rows(epoch, first, count, num_random)
        here = tf.clip_by_value(self.images - first, 0, tf.cast(count, tf.int64))
        rows = self._random_rows(epoch, first, here, num_random)
        rest = tf.maximum(first - self.images, 0)
        following = self._random_rows(epoch + 1, rest, count - here, num_random)
        return tf.concat([rows, following], 0)

    def _random_rows(self, epoch, first, count, num_random: int) -> "tf.Tensor":
        """Rows of the table of one epoch."""
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
