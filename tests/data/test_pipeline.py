"""The pipeline of encoded images, and evaluation: each image once, on any replicas."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_classics.data import FileSplit, Split, pipeline
from keras_classics.data.colour import PCAColour
from keras_classics.data.crops_on_decode import decode_crop
from keras_classics.data.file_names import FileNames
from keras_classics.data.image_files import decode
from keras_classics.data.plan import Plan
from keras_classics.data.random_crops import RandomResizedCrop, ScaleJitter
from keras_classics.data.tf_options import as_written
from keras_classics.data.unreadable import UNREADABLE, unreadable
from keras_classics.environment import usable_processors
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from tests.helpers.image_files import encoded
from tests.helpers.pipelines import as_float, labels_of, numbered, plan
from tests.helpers.replicas import mirrored


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 4, 7, 64])
def test_evaluation_takes_all_in_order_and_fills_up_with_the_last(replicas, batch):
    strategy = mirrored(replicas)
    labels = [
        np.asarray(part)
        for _, labels in pipeline.evaluation_batches(numbered(10), as_float, batch, strategy)
        for part in strategy.experimental_local_results(labels)
    ]
    labels = np.concatenate(labels)
    assert len(labels) % (batch * replicas) == 0
    assert len(labels) < 10 + batch * replicas
    np.testing.assert_array_equal(labels[:10], np.arange(10))
    assert (labels[10:] == 9).all()


SIZES = [(20, 30), (33, 24), (17, 17), (40, 21)]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> FileSplit:
    """70 image files, one per label, of four sizes and two formats."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    paths = []
    for number in range(70):
        file_format = "PNG" if number % 7 == 0 else "JPEG"
        # Coarse, because fine grain says nothing in a JPEG.
        image = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype="uint8"))
        image = image.resize(SIZES[number % 4][::-1])
        paths.append(folder / f"{number:02}.{file_format.lower()}")
        paths[-1].write_bytes(encoded(image, file_format, quality=95))
    return FileSplit(np.array([str(path) for path in paths]), np.arange(70, dtype="int32"))


def few(files: FileSplit, count: int) -> FileSplit:
    return files.take(np.arange(count))


JITTER = ScaleJitter(16, 24, size=12)


def encoded_plan(**changes) -> Plan:
    """Two steps of 6 of 13 images per epoch; the third epoch is incomplete."""
    values = {"images": 13, "steps": 5, "steps_per_block": 1, "augmentation": JITTER, **changes}
    return plan(**values)


def cropped(files, plan_, strategy, first_step=0):
    """Images, colours and labels of all steps, replicas side by side."""
    blocks = pipeline.training_blocks(few(files, plan_.images), None, plan_, strategy, first_step)
    rows = []
    for (images, colours), labels in blocks:
        parts = [
            [np.asarray(part) for part in strategy.experimental_local_results(values)]
            for values in (images, colours, labels)
        ]
        rows.append([np.concatenate(values, axis=1) for values in parts])
    return [np.concatenate(values) for values in zip(*rows, strict=True)]


@pytest.fixture(scope="module")
def run_of(files):
    """What `cropped` returns for a plan's changes, which tests share: tracing takes seconds."""

    @cache
    def run_of(replicas: int = 1, first_step: int = 0, **changes):
        return cropped(files, encoded_plan(**changes), mirrored(replicas), first_step)

    return run_of


@pytest.mark.parametrize(
    "crop", [JITTER, pytest.param(RandomResizedCrop(size=9), marks=pytest.mark.slow)]
)
def test_images_are_cropped_by_the_random_numbers_of_their_places(files, run_of, crop):
    run = encoded_plan(augmentation=crop)
    images, colours, labels = run_of(augmentation=crop)
    assert images.shape == (5, 6, crop.size, crop.size, 3)
    assert images.dtype == np.uint8
    num_random = crop.num_random + (3 if crop.colour else 0)
    for step in range(5):
        table = tf.random.stateless_uniform((12, num_random), [run.seed, step // 2])
        for i in range(6):
            random = table[step % 2 * 6 + i]
            encoded_ = files.read(labels[step, i])[1]
            np.testing.assert_array_equal(images[step, i], decode_crop(crop, encoded_, random))
            expected = (
                crop.colour(random[crop.num_random :], step // 2) if crop.colour else np.zeros(3)
            )
            np.testing.assert_allclose(colours[step, i], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("replicas", "carry"), [pytest.param(2, False, marks=pytest.mark.slow), (2, True), (3, True)]
)
def test_replicas_get_the_bytes_that_one_would(run_of, replicas, carry):
    images, colours, labels = run_of(augmentation=JITTER, carry=carry)
    shared = run_of(replicas, augmentation=JITTER, carry=carry)
    np.testing.assert_array_equal(shared[0], images)
    np.testing.assert_array_equal(shared[2], labels)
    # Several at once are computed in another order.
    np.testing.assert_allclose(shared[1], colours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("carry", [False, True])
def test_image_files_come_in_the_order_of_images_in_memory(run_of, carry):
    in_memory = plan(images=13, steps=5, steps_per_block=1, carry=carry)
    *_, labels = run_of(augmentation=JITTER, carry=carry)
    np.testing.assert_array_equal(labels, labels_of(in_memory))


@pytest.mark.parametrize("carry", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_over_image_files_goes_on_at_any_step(run_of, carry):
    for replicas, steps in [(1, (1, 2, 4)), (2, (3,))]:
        whole = run_of(replicas, augmentation=JITTER, carry=carry)
        for step in steps:
            rest = run_of(replicas, step, augmentation=JITTER, carry=carry)
            for one, other in zip(whole, rest, strict=True):
                np.testing.assert_array_equal(one[step:], other)


def test_no_part_comes_twice(run_of):
    images, colours, _ = run_of(images=6, batch_size=3, steps=8)
    assert len(np.unique(images.reshape(24, -1), axis=0)) == 24
    assert len(np.unique(colours.reshape(24, -1), axis=0)) == 24


def test_colours_end_after_their_epochs(run_of):
    crop = dataclasses.replace(JITTER, colour=PCAColour(until=1))
    _, colours, _ = run_of(augmentation=crop)
    assert (colours[:2] != 0).all()
    assert (colours[2:] == 0).all()


def test_the_device_adds_the_colour(files):
    layer = ImagePreprocessing(resize=16, crop=12, mean=(10, 20, 30), std=(2, 4, 5))
    to_network = pipeline.device_preprocess(files, layer)
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype="uint8")
    colours = np.array([[1, -2, 3], [0, 0, 0], [300, 9, -9]], "float32")
    got = to_network(pipeline.CroppedImages(tf.constant(images), tf.constant(colours)))
    expected = (images + colours[:, np.newaxis, np.newaxis] - [10, 20, 30]) / [2, 4, 5]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    # Images in memory come whole.
    assert pipeline.device_preprocess(numbered(3), layer)(images) is images


LAYER = ImagePreprocessing(resize=14, crop=12, mean=(120, 110, 100), std=(60, 50, 40))


def resized(files: FileSplit) -> np.ndarray:
    images = [LAYER.resize(decode(files.read(i)[1])[tf.newaxis])[0] for i in range(len(files))]
    return np.array(images, "float64")


@pytest.mark.parametrize(
    ("replicas", "batch"),
    [(1, 4), pytest.param(1, 10, marks=pytest.mark.slow), (2, 3), (3, 64)],
)
def test_evaluation_takes_all_encoded_images_in_order(files, replicas, batch):
    strategy = mirrored(replicas)
    split = few(files, 10)
    batches = list(pipeline.evaluation_batches(split, LAYER, batch, strategy))
    images, labels = (
        np.concatenate(
            [np.asarray(p) for row in batches for p in strategy.experimental_local_results(row[i])]
        )
        for i in range(2)
    )
    assert len(images) == len(labels) == -(-10 // (batch * replicas)) * batch * replicas
    np.testing.assert_array_equal(labels, np.minimum(np.arange(len(labels)), 9))
    expected = LAYER.normalize(resized(split).astype("float32"))
    np.testing.assert_allclose(images[:10], expected, atol=1e-5)
    assert (images[10:] == images[9]).all()


@pytest.mark.parametrize("count", [1, pytest.param(64, marks=pytest.mark.slow), 70])
def test_mean_counts_each_image_once(files, count):
    split = few(files, count)
    images = resized(split)
    per_pixel = pipeline.mean_of(split, LAYER.resize, per_pixel=True)
    assert per_pixel.shape == (12, 12, 3)
    assert per_pixel.dtype == np.float32
    np.testing.assert_allclose(per_pixel, images.mean(axis=0), rtol=1e-6)
    per_channel = pipeline.mean_of(split, LAYER.resize, per_pixel=False)
    np.testing.assert_allclose(per_channel, images.mean(axis=(0, 1, 2)), rtol=1e-6)
    in_memory = Split(np.round(images).astype("uint8"), split.labels)
    mean = pipeline.mean_of(in_memory, lambda images: images, per_pixel=True)
    np.testing.assert_allclose(mean, np.round(images).mean(axis=0), rtol=1e-6)


def with_one_bad(files: FileSplit, tmp_path, position: int, content: bytes | None) -> FileSplit:
    path = tmp_path / "bad.jpg"
    if content is not None:
        path.write_bytes(content)
    paths = [*files.paths]
    paths[position] = str(path)
    return FileSplit(FileNames.of(paths), files.labels)


@pytest.mark.parametrize(
    ("length", "fault"),
    [
        (40, "JPEG, cut short"),
        pytest.param(0, "empty", marks=pytest.mark.slow),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_an_image_that_cannot_be_read_is_named(files, tmp_path, length, fault):
    content = None if length is None else files.read(1)[1][:length]
    # In the second batch.
    split = with_one_bad(files, tmp_path, 66, content)
    with pytest.raises(UserError) as raised:
        pipeline.mean_of(split, LAYER.resize, per_pixel=True)
    message = str(raised.value)
    assert message.startswith(
        f"{tmp_path / 'bad.jpg'} cannot be used: {fault}. Repair or remove it"
    )
    assert len(message.splitlines()) == 1
    named = unreadable(split, [3, 66, 4])
    assert str(named) == message
    assert "now it can" in str(unreadable(split, [3, 4]))
    strategy = tf.distribute.get_strategy()
    with pytest.raises(UNREADABLE):
        list(pipeline.evaluation_batches(split, LAYER, 8, strategy))
    whole = encoded_plan(images=70, batch_size=70, steps=1)
    with pytest.raises(UNREADABLE):
        list(pipeline.training_blocks(split, None, whole, strategy))


@pytest.mark.parametrize("replicas", [1, 2])
def test_tf_data_neither_rewrites_nor_tunes(few_digits, monkeypatch, replicas):
    """Its tuner makes one wait at the end of an iteration, for up to a minute after a long one."""
    chosen = []
    with_options = tf.data.Dataset.with_options

    def noted(dataset, options):
        rewritten = options.experimental_optimization.apply_default_optimizations
        chosen.append((options.autotune.enabled, rewritten))
        return with_options(dataset, options)

    monkeypatch.setattr(tf.data.Dataset, "with_options", noted)
    batches = pipeline.evaluation_batches(
        few_digits.test, lambda images: images, 16, mirrored(replicas)
    )
    assert len(list(batches)) == -(-40 // (16 * replicas))
    # The strategy sets options of its own behind these.
    assert (False, False) in chosen
    assert all(True not in pair for pair in chosen)


def test_every_processor_decodes():
    """Without its tuner, tf.data would start 16 decoders at most."""
    options = as_written(tf.data.Dataset.range(1)).options()
    assert options.autotune.initial_parallelism == usable_processors()
