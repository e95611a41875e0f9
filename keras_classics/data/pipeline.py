"""The order of images, and their way into the compiled loop.

Which image stands where in an epoch depends on (seed, epoch) alone, so a run that was cut goes on
at any step with the same images. Training leaves out the rest that does not fill a batch;
evaluation fills its last batch up and drops the filling. Each worker reads its own part of every
batch and nothing else.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.augment import Augmentation, RandomCrop, decode_crop
from keras_classics.data.splits import DAMAGED, AnySplit, EncodedSplit, FileSplit, Split
from keras_classics.errors import UserError

# What TensorFlow raises where a picture cannot be decoded, is gone, or is somebody else's.
UNREADABLE = (
    *DAMAGED,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
)

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
        steps: Steps of the run; it may end in the midst of a pass.
        steps_per_block: Steps that one call of the compiled loop does.
        seed: Seed of the order.
        reshuffle: Whether each epoch has an order of its own; if not, all have the first one's.
        augmentation: What changes the images, or None.
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
        """Passes over the training split; the last one may be cut."""
        return math.ceil(self.steps / self.steps_per_epoch)

    @property
    def full_blocks_per_epoch(self) -> int:
        """Blocks in an epoch that is not cut; the last one may be short."""
        return math.ceil(self.steps_per_epoch / self.steps_per_block)

    @property
    def blocks(self) -> int:
        """Blocks of the whole run."""
        whole = self.epochs - 1
        return whole * self.full_blocks_per_epoch + self.blocks_of(whole)

    def blocks_of(self, epoch: int) -> int:
        """Blocks in an epoch, counted from 0."""
        return math.ceil(self._steps_of_epoch(epoch) / self.steps_per_block)

    def steps_of(self, epoch: int, block: int) -> int:
        """Steps in a block of an epoch, both counted from 0."""
        left = self._steps_of_epoch(epoch) - block * self.steps_per_block
        return min(self.steps_per_block, left)

    def _steps_of_epoch(self, epoch: int) -> int:
        return min(self.steps_per_epoch, self.steps - epoch * self.steps_per_epoch)

    def epoch_and_places(self, block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Which places of which epoch a block of the run goes through.

        Args:
            block: int64 scalar, counted from 0 over all epochs.

        Returns:
            int64: the epoch, and places in it, consecutive, of shape (steps, batch_size).
        """
        epoch, block = block // self.full_blocks_per_epoch, block % self.full_blocks_per_epoch
        first = block * self.steps_per_block
        last = tf.minimum(first + self.steps_per_block, self.steps_per_epoch)
        last = tf.minimum(last, self.steps - epoch * self.steps_per_epoch)
        places = tf.range(first * self.batch_size, last * self.batch_size)
        return epoch, tf.reshape(places, (-1, self.batch_size))

    def order(self, epoch: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Which images of the training split stand at some places of an epoch, int64."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch if self.reshuffle else 0 * epoch])
        flat = tf.reshape(places, [-1])
        shuffled = tf.random.experimental.index_shuffle(flat, seed, self.images - 1)
        return tf.reshape(shuffled, tf.shape(places))

    def random_numbers(
        self, epoch: tf.Tensor, first: tf.Tensor, count: int, num_random: int
    ) -> tf.Tensor:
        """Random numbers of consecutive places of an epoch, the same wherever one starts.

        Args:
            epoch: int64 scalar.
            first: First of the places, int64 scalar.
            count: How many places.
            num_random: Numbers of each place.

        Returns:
            float32, shape (count, num_random), uniform in [0, 1): rows of one endless table.
        """
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
        # Philox makes four numbers a count, so it can start anywhere in the table.
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
    """How many steps a block holds: as many as fit into 32 MiB of images, and an epoch at most."""
    fitting = BLOCK_BYTES // (image_bytes * batch_size)
    return max(1, min(fitting, BLOCK_STEPS, steps_per_epoch))


def training_blocks(
    split: AnySplit,
    preprocess: Preprocess,
    plan: Plan,
    strategy: tf.distribute.Strategy,
    first_block: int = 0,
) -> Iterator:
    """Iterates over the blocks of a run, from `first_block` to its end.

    Args:
        split: Training images.
        preprocess: From uint8 images to what the network takes.
        plan: The run's steps. Pictures that are not in memory come one step a block.
        strategy: Each of its replicas gets its part of every batch.
        first_block: Where to start, counted over all epochs.

    Yields:
        Inputs and labels for each replica; labels of shape (steps, batch). `device_preprocess`
        turns the inputs into what the network takes.
    """
    if isinstance(split, Split):
        return _array_blocks(split, preprocess, plan, strategy, first_block)
    return _picture_blocks(split, plan, strategy, first_block)


def device_preprocess(split: AnySplit, preprocess: Any) -> Callable[[Any], tf.Tensor]:
    """Returns a function from the inputs of a step to what the network takes, for the device.

    Images in memory come preprocessed. Of pictures the device gets bytes, a quarter of the
    numbers that they become, and how much their colour is to be shifted.
    """
    if isinstance(split, Split):
        return lambda images: images
    return lambda inputs: preprocess.normalize(
        tf.cast(inputs[0], tf.float32) + inputs[1][:, tf.newaxis, tf.newaxis]
    )


def _array_blocks(split: Split, preprocess, plan: Plan, strategy, first_block: int) -> Iterator:
    replicas = strategy.num_replicas_in_sync
    local_batch = plan.batch_size // replicas
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def replica_block(block: tf.Tensor, replica: tf.Tensor):
        epoch, places = plan.epoch_and_places(block)
        mine = slice(replica * local_batch, (replica + 1) * local_batch)
        positions = plan.order(epoch, places[:, mine])
        batch = preprocess(tf.gather(images, tf.reshape(positions, [-1])))
        if plan.augmentation is not None:
            num_random = plan.augmentation.num_random
            random = plan.random_numbers(epoch, places[0, 0], tf.size(places, tf.int64), num_random)
            random = tf.reshape(random, (-1, plan.batch_size, num_random))[:, mine]
            batch = plan.augmentation(batch, tf.reshape(random, (-1, num_random)))
        return tf.reshape(batch, [-1, local_batch, *batch.shape[1:]]), tf.gather(labels, positions)

    def blocks(mine: list[int]) -> tf.data.Dataset:
        elements = _elements(range(first_block, plan.blocks), mine)
        return elements.map(replica_block, num_parallel_calls=2, deterministic=True)

    return _dealt(blocks, strategy, plan.blocks - first_block)


def _picture_blocks(split: EncodedSplit, plan: Plan, strategy, first_step: int) -> Iterator:
    local_batch = plan.batch_size // strategy.num_replicas_in_sync
    crop = plan.augmentation
    read = split.reader()

    def drawn(step: tf.Tensor, replica: tf.Tensor):
        """All that chance decides for a replica's part of a batch, at once."""
        epoch, step = step // plan.steps_per_epoch, step % plan.steps_per_epoch
        first = step * plan.batch_size + replica * local_batch
        random = plan.random_numbers(epoch, first, local_batch, num_random_of(crop))
        random, of_colour = random[:, : crop.num_random], random[:, crop.num_random :]
        colours = (
            tf.zeros((local_batch, 3)) if crop.colour is None else crop.colour(of_colour, epoch)
        )
        return plan.order(epoch, tf.range(first, first + local_batch)), random, colours

    def picture(position: tf.Tensor, random: tf.Tensor, colour: tf.Tensor):
        encoded, label = read(position)
        return (decode_crop(crop, encoded, random), colour), label

    def batches(mine: list[int]) -> tf.data.Dataset:
        places = _elements(range(first_step, plan.steps), mine).map(drawn).unbatch()
        images = places.map(picture, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        batches = images.batch(local_batch, drop_remainder=True)
        return batches.map(lambda *batch: tf.nest.map_structure(lambda t: t[tf.newaxis], batch))

    return _dealt(batches, strategy, plan.steps - first_step)


def num_random_of(crop: RandomCrop) -> int:
    """Random numbers that a picture's part and its colour take together."""
    return crop.num_random + (0 if crop.colour is None else crop.colour.num_random)


def evaluation_batches(
    split: AnySplit,
    preprocess: Callable[[tf.Tensor], Any],
    batch_size: int,
    strategy: tf.distribute.Strategy,
) -> Iterator:
    """Iterates once over a split, in its order, with all batches of one size.

    The last image is repeated to fill the last batch up; whoever collects the answers drops what
    goes beyond `len(split)`.

    Args:
        split: Images to evaluate.
        preprocess: From uint8 images of one size to what the network is shown of them: tensors that
            begin with the images.
        batch_size: Images a step on each replica.
        strategy: Its replicas take the batches in turn.

    Yields:
        Images and labels for each replica.
    """
    replicas = strategy.num_replicas_in_sync
    steps = math.ceil(len(split) / (batch_size * replicas))

    def positions_of(step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
        first = (step * replicas + replica) * batch_size
        return tf.minimum(tf.range(first, first + batch_size), np.int64(len(split) - 1))

    if isinstance(split, Split):
        images, labels = tf.constant(split.images), tf.constant(split.labels)

        def batches(mine: list[int]) -> tf.data.Dataset:
            def batch(step: tf.Tensor, replica: tf.Tensor):
                positions = positions_of(step, replica)
                return preprocess(tf.gather(images, positions)), tf.gather(labels, positions)

            return _elements(range(steps), mine).map(
                batch, num_parallel_calls=2, deterministic=True
            )
    else:
        read = split.reader()

        def picture(position: tf.Tensor):
            encoded, label = read(position)
            shown = preprocess(image_files.decode(encoded)[tf.newaxis])
            return tf.nest.map_structure(lambda tensor: tensor[0], shown), label

        def batches(mine: list[int]) -> tf.data.Dataset:
            positions = _elements(range(steps), mine).map(positions_of).unbatch()
            images = positions.map(picture, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            return images.batch(batch_size, drop_remainder=True)

    return _dealt(batches, strategy, steps)


@contextmanager
def naming_unreadable(split: AnySplit, positions: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Names the picture where TensorFlow says only that one cannot be read.

    Args:
        split: Where the pictures come from.
        positions: Returns those that may be meant, in the order in which they are looked at.

    Raises:
        UserError: One cannot be read.
    """
    try:
        yield
    except UNREADABLE as error:
        if isinstance(split, Split):
            raise
        raise unreadable(split, positions()) from error


def unreadable(split: EncodedSplit, positions: Iterable[int]) -> UserError:
    """Returns the error for some pictures of which one cannot be read; it names the first."""
    for position in positions:
        fault = _fault(split, position)
        if fault is not None and fault.fatal:
            break
    else:
        return UserError("A picture could not be read, and now it can. Give the command again.")
    way_out = (
        "Mend or remove it, or train with --max_bad_images=N, which leaves out what cannot be "
        "read. 'keras-classics check_images PATH' lists all."
        if isinstance(split, FileSplit)
        else "Prepare the data set again."
    )
    return UserError(f"{fault.path} cannot be used: {fault.fault}. {way_out}")


def _fault(split: EncodedSplit, position: int) -> image_files.Fault | None:
    try:
        name, encoded = split.read(position)
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        return image_files.Fault(Path(error.filename), why, fatal=True)
    return image_files.fault_of(encoded, name)


def resized(split: AnySplit, resize: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Brings all images of a split to one size, in memory.

    Args:
        split: Not too many images.
        resize: Brings uint8 images to one size, 0..255.

    Returns:
        uint8, shape (count, height, width, channels), and labels, shape (count,).

    Raises:
        UserError: A picture cannot be read.
    """
    done = []
    strategy = tf.distribute.get_strategy()
    with naming_unreadable(split, lambda: range(64 * len(done), len(split))):
        for images, labels in evaluation_batches(split, resize, 64, strategy):
            done.append((np.round(images.numpy()).astype("uint8"), labels.numpy()))
    images, labels = (np.concatenate(parts)[: len(split)] for parts in zip(*done, strict=True))
    return images, labels


def mean_of(split: AnySplit, resize: Preprocess, per_pixel: bool) -> np.ndarray:
    """Mean of a split's images, brought to one size.

    Args:
        split: Training images.
        resize: Brings uint8 images to one size, 0..255.
        per_pixel: Whether each pixel gets a mean of its own, or each channel one.

    Returns:
        float32, shape (height, width, channels) or (channels,), 0..255.

    Raises:
        UserError: A picture cannot be read.
    """
    total, done = 0.0, 0
    with tf.device("CPU"):
        strategy = tf.distribute.get_strategy()
        with naming_unreadable(split, lambda: range(done, len(split))):
            for images, _ in evaluation_batches(split, resize, 64, strategy):
                images = images[: len(split) - done]
                total = total + tf.reduce_sum(tf.cast(images, tf.float64), axis=0).numpy()
                done += len(images)
    mean = total / len(split)
    return (mean if per_pixel else mean.mean(axis=(0, 1))).astype("float32")


def _elements(numbers: range, replicas: list[int]) -> tf.data.Dataset:
    """Pairs of a number and each of some replicas."""
    count, lowest = len(replicas), replicas[0]
    numbers = tf.data.Dataset.range(numbers.start * count, numbers.stop * count)
    return numbers.map(lambda number: (number // count, lowest + number % count))


def _dealt(
    elements_of: Callable[[list[int]], tf.data.Dataset],
    strategy: tf.distribute.Strategy,
    count: int,
) -> Iterator:
    """Deals elements out to the replicas in turn, each worker making those of its own replicas.

    Args:
        elements_of: Makes the elements of some replicas, numbered over all workers.
        strategy: The replicas.
        count: Elements of each replica.
    """
    replicas = strategy.num_replicas_in_sync
    # What tf.data tunes by itself it looks at again after ever longer pauses, and at the end of an
    # iteration one waits for such a pause: seconds, and up to a minute after a long one.
    options = tf.data.Options()
    options.autotune.enabled = False
    if replicas == 1:
        yield from elements_of([0]).prefetch(2).with_options(options)
        return

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        per_worker = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * per_worker
        elements = elements_of(list(range(first, first + per_worker))).prefetch(2 * per_worker)
        # They are counted here. Where the strategy sees an end, it asks all workers before each
        # whether there is one more.
        return elements.concatenate(_endless(elements.element_spec)).with_options(options)

    dealt = iter(strategy.distribute_datasets_from_function(of_worker))
    yield from (next(dealt) for _ in range(count))


def _endless(specification) -> tf.data.Dataset:
    """Elements that nobody takes."""
    empty = tf.nest.map_structure(
        lambda spec: tf.zeros([side or 0 for side in spec.shape], spec.dtype), specification
    )
    return tf.data.Dataset.from_tensors(empty).repeat()
