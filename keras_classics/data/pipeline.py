"""How images reach the compiled loop and the evaluator.

Training drops the images that do not fill a batch, or carries them over into the next epoch;
evaluation fills its last batch and drops the filling. Each worker reads its own part of every batch
and nothing else.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.crops_on_decode import decode_crop
from keras_classics.data.plan import Plan
from keras_classics.data.random_crops import num_random_of
from keras_classics.data.splits import AnySplit, EncodedSplit, Split
from keras_classics.data.tf_options import as_written
from keras_classics.data.unreadable import naming_unreadable

Preprocess = Callable[[tf.Tensor], tf.Tensor]


class CroppedImages(NamedTuple):
    """What a device receives of encoded images.

    Attributes:
        images: uint8, shape (..., height, width, 3): a quarter of the bytes of what the network
            takes.
        colour_shifts: float32, shape (..., 3), in levels of 0..255.
    """

    images: tf.Tensor
    colour_shifts: tf.Tensor


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
        plan: The run's steps. Encoded images need one step per block.
        strategy: Each of its replicas gets its part of every batch.
        first_block: Where to start, counted over all epochs.

    Yields:
        Inputs and labels for each replica; labels of shape (steps, batch). `device_preprocess`
        turns the inputs into what the network takes.
    """
    if isinstance(split, Split):
        return _array_blocks(split, preprocess, plan, strategy, first_block)
    return _encoded_blocks(split, plan, strategy, first_block)


def device_preprocess(split: AnySplit, preprocess: Any) -> Callable[[Any], tf.Tensor]:
    """Returns a function from the inputs of a step to what the network takes, for the device.

    Images in memory are preprocessed already. Encoded images arrive as `CroppedImages`.
    """
    if isinstance(split, Split):
        return lambda images: images
    return lambda cropped: preprocess.normalize(
        tf.cast(cropped.images, tf.float32) + cropped.colour_shifts[:, tf.newaxis, tf.newaxis]
    )


def _array_blocks(split: Split, preprocess, plan: Plan, strategy, first_block: int) -> Iterator:
    replicas = strategy.num_replicas_in_sync
    local_batch = plan.batch_size // replicas
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def replica_block(block: tf.Tensor, replica: tf.Tensor):
        epoch, positions = plan.epoch_and_positions(block)
        local = slice(replica * local_batch, (replica + 1) * local_batch)
        indices = plan.order(epoch, positions[:, local])
        batch = preprocess(tf.gather(images, tf.reshape(indices, [-1])))
        if plan.augmentation is not None:
            num_random = plan.augmentation.num_random
            count = tf.size(positions, tf.int64)
            random = plan.random_numbers(epoch, positions[0, 0], count, num_random)
            random = tf.reshape(random, (-1, plan.batch_size, num_random))[:, local]
            batch = plan.augmentation(batch, tf.reshape(random, (-1, num_random)))
        return tf.reshape(batch, [-1, local_batch, *batch.shape[1:]]), tf.gather(labels, indices)

    def blocks(replicas: list[int]) -> tf.data.Dataset:
        elements = _elements(range(first_block, plan.blocks), replicas)
        return elements.map(replica_block, num_parallel_calls=2, deterministic=True)

    return _distribute(blocks, strategy, plan.blocks - first_block)


def _encoded_blocks(split: EncodedSplit, plan: Plan, strategy, first_step: int) -> Iterator:
    local_batch = plan.batch_size // strategy.num_replicas_in_sync
    crop = plan.augmentation
    opened = split.opener()

    def draw(step: tf.Tensor, replica: tf.Tensor):
        """Draws the order, crop and colour randomness for one replica's part of a batch."""
        epoch = plan.epoch_of_step(step)
        first = plan.positions(epoch, step, step + 1)[0, 0] + replica * local_batch
        random = plan.random_numbers(epoch, first, local_batch, num_random_of(crop))
        of_crop, of_colour = random[:, : crop.num_random], random[:, crop.num_random :]
        shifts = tf.zeros((local_batch, 3))
        if crop.colour is not None:
            shifts = crop.colour(of_colour, epoch)
        return plan.order(epoch, tf.range(first, first + local_batch)), of_crop, shifts

    def decode(fetched: Any, random: tf.Tensor, shift: tf.Tensor):
        encoded, label = opened(fetched)
        return CroppedImages(decode_crop(crop, encoded, random), shift), label

    def batches(replicas: list[int]) -> tf.data.Dataset:
        drawn = _elements(range(first_step, plan.steps), replicas).map(draw).unbatch()
        images = split.fetched(drawn).map(
            decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        batches = images.batch(local_batch, drop_remainder=True)
        return batches.map(lambda *batch: tf.nest.map_structure(lambda t: t[tf.newaxis], batch))

    return _distribute(batches, strategy, plan.steps - first_step)


def evaluation_batches(
    split: AnySplit,
    preprocess: Callable[[tf.Tensor], Any],
    batch_size: int,
    strategy: tf.distribute.Strategy,
) -> Iterator:
    """Iterates once over a split, in its order, with all batches of one size.

    The last image is repeated to fill the last batch; the caller drops the outputs beyond
    `len(split)`.

    Args:
        split: Images to evaluate.
        preprocess: From uint8 images of one size to the network's inputs: tensors whose first axis
            is that of the images.
        batch_size: Images per step on each replica.
        strategy: Its replicas take the batches in turn.

    Yields:
        Images and labels for each replica.
    """
    num_replicas = strategy.num_replicas_in_sync
    steps = math.ceil(len(split) / (batch_size * num_replicas))

    def indices_of(step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
        first = (step * num_replicas + replica) * batch_size
        return tf.minimum(tf.range(first, first + batch_size), np.int64(len(split) - 1))

    if isinstance(split, Split):
        images, labels = tf.constant(split.images), tf.constant(split.labels)

        def batches(replicas: list[int]) -> tf.data.Dataset:
            def batch(step: tf.Tensor, replica: tf.Tensor):
                indices = indices_of(step, replica)
                return preprocess(tf.gather(images, indices)), tf.gather(labels, indices)

            return _elements(range(steps), replicas).map(
                batch, num_parallel_calls=2, deterministic=True
            )
    else:
        opened = split.opener()

        def decode(fetched: Any):
            encoded, label = opened(fetched)
            inputs = preprocess(image_files.decode(encoded)[tf.newaxis])
            return tf.nest.map_structure(lambda tensor: tensor[0], inputs), label

        def batches(replicas: list[int]) -> tf.data.Dataset:
            indices = _elements(range(steps), replicas).map(indices_of).unbatch()
            images = split.fetched(indices).map(
                decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
            )
            return images.batch(batch_size, drop_remainder=True)

    return _distribute(batches, strategy, steps)


def resized(split: AnySplit, resize: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Resizes all images of a split to one size, in memory.

    Args:
        split: Images that fit into memory.
        resize: From uint8 images to images of one size, 0..255.

    Returns:
        uint8, shape (count, height, width, channels), and labels, shape (count,).

    Raises:
        UserError: If an image cannot be read.
    """
    done = []
    strategy = tf.distribute.get_strategy()
    with naming_unreadable(split, lambda: range(64 * len(done), len(split))):
        for images, labels in evaluation_batches(split, resize, 64, strategy):
            done.append((np.round(images.numpy()).astype("uint8"), labels.numpy()))
    images, labels = (np.concatenate(batches)[: len(split)] for batches in zip(*done, strict=True))
    return images, labels


def mean_of(split: AnySplit, resize: Preprocess, per_pixel: bool) -> np.ndarray:
    """Returns the mean of a split's resized images.

    Args:
        split: Training images.
        resize: From uint8 images to images of one size, 0..255.
        per_pixel: Whether to return one mean per pixel, or one per channel.

    Returns:
        float32, shape (height, width, channels) or (channels,), 0..255.

    Raises:
        UserError: If an image cannot be read.
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
    """Pairs each number with each of some replicas."""
    count, lowest = len(replicas), replicas[0]
    numbers = tf.data.Dataset.range(numbers.start * count, numbers.stop * count)
    return numbers.map(lambda number: (number // count, lowest + number % count))


def _distribute(
    elements_of: Callable[[list[int]], tf.data.Dataset],
    strategy: tf.distribute.Strategy,
    count: int,
) -> Iterator:
    """Iterates over one element per replica; each worker makes those of its own replicas.

    Args:
        elements_of: Makes the elements of some replicas, numbered over all workers.
        strategy: The replicas.
        count: Elements of each replica.
    """
    num_replicas = strategy.num_replicas_in_sync
    elements_of = tf.autograph.experimental.do_not_convert(elements_of)
    if num_replicas == 1:
        yield from as_written(elements_of([0]).prefetch(2))
        return

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        per_worker = num_replicas // context.num_input_pipelines
        first = context.input_pipeline_id * per_worker
        elements = elements_of(list(range(first, first + per_worker))).prefetch(2 * per_worker)
        # The elements are counted here. If the data set ended, the strategy would ask all workers
        # before each element whether there is one more.
        return as_written(elements.concatenate(_endless(elements.element_spec)))

    distributed = iter(strategy.distribute_datasets_from_function(of_worker))
    yield from (next(distributed) for _ in range(count))


def _endless(specification) -> tf.data.Dataset:
    """Elements that are never used."""
    empty = tf.nest.map_structure(
        lambda spec: tf.zeros([side or 0 for side in spec.shape], spec.dtype), specification
    )
    return tf.data.Dataset.from_tensors(empty).repeat()
