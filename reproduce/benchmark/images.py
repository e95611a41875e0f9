"""Benchmarks of reading images and of evaluating networks on them."""

import itertools
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.profile import profile
from keras_classics.data import FileSplit, load, pipeline
from keras_classics.data.plan import Plan
from keras_classics.data.random_crops import ScaleJitter
from keras_classics.data.splits import EncodedSplit
from keras_classics.evaluation import Dense, Evaluator, Views, fully_convolutional
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import resnet50, vgg16
from keras_classics.models.losses import SmoothedCrossEntropy
from reproduce.benchmark.turns import Turn, compare
from reproduce.harness import synthetic_images

# Images of a turn of `input`, and of `eval`.
TURN_IMAGES = 1_280
EVALUATED_IMAGES = 16


def benchmark_input() -> None:
    """Compares the whole pipeline with decoding alone, and many files with few."""
    train = _image_files()
    # The same files ten times, as many as a large data set has.
    many = train.take(np.tile(np.arange(len(train)), 10))
    sides = {
        f"cropped, of {len(train):,}": cropped(train),
        f"cropped, of {len(many):,}": cropped(many),
        "decoding alone": _decoded(train),
    }
    compare(sides, TURN_IMAGES, "images/s")


def benchmark_eval() -> None:
    """Compares ten views with one, and dense evaluation with single views by multiply-adds."""
    split = _image_files().limited(EVALUATED_IMAGES)
    preprocessing = ImagePreprocessing()
    model = resnet50()
    kinds = ("ten", "single")
    sides = {kind: _evaluation(model, Views(kind, preprocessing), split) for kind in kinds}
    compare(sides, {"ten": 10 * len(split), "single": len(split)}, "views/s")
    model = vgg16()
    # The size that images of 500x375 get.
    dense = Dense(preprocessing, scales=[384], flip=False)
    whole = keras.models.clone_model(
        fully_convolutional(model), input_tensors=keras.Input((384, 512, 3))
    )
    sides = {
        "dense at 384": _evaluation(model, dense, split),
        "single at 224": _evaluation(model, Views("single", preprocessing), split),
    }
    macs = [profile(net).macs / 1e9 * len(split) for net in (whole, model)]
    compare(sides, dict(zip(sides, macs, strict=True)), "G MAC/s")


def _image_files() -> FileSplit:
    """JPEG files of ImageNet's sizes."""
    folder = Path(tempfile.gettempdir()) / "keras_classics_images"
    return load(f"folder:{synthetic_images.generate(folder, 10, 200, 1)}", encoded=True).train


def _evaluation(model: keras.Model, shown: Views | Dense, split: FileSplit) -> Turn:
    """One evaluation of a split, from its files to the probabilities."""
    batch_size = 1 if isinstance(shown, Dense) else max(1, len(split) // shown.views)
    return Evaluator(
        shown.network(model), SmoothedCrossEntropy(), split, shown, batch_size=batch_size
    )


def cropped(split: EncodedSplit) -> Turn:
    """Images through the whole pipeline: read, decoded, cropped, flipped, normalised."""
    preprocess = ImagePreprocessing(mean=(123.68, 116.779, 103.939))
    plan = Plan(
        images=len(split),
        batch_size=64,
        steps=10**6,
        steps_per_block=1,
        seed=0,
        augmentation=ScaleJitter(256, 256, colour=None),
    )
    blocks = pipeline.training_blocks(split, preprocess, plan, tf.distribute.get_strategy())
    device_preprocess = tf.function(pipeline.device_preprocess(split, preprocess))

    def turn() -> None:
        for inputs, _ in itertools.islice(blocks, TURN_IMAGES // 64):
            device_preprocess(tf.nest.map_structure(lambda values: values[0], inputs))

    return turn


def _decoded(split: FileSplit) -> Turn:
    """Images read and decoded whole, and nothing else."""
    paths = tf.constant(list(split.paths[:TURN_IMAGES]))
    files = tf.data.Dataset.from_tensor_slices(paths)
    images = files.map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3),
        num_parallel_calls=tf.data.AUTOTUNE,
    )

    def turn() -> None:
        for _ in images:
            pass

    return turn
