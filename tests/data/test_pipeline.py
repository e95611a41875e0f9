"""The order of images: a function of (seed, epoch), whole at any cut and on any replicas."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_classics.data import FileSplit, Split, pipeline
from keras_classics.data.augment import PCAColour, RandomResizedCrop, ScaleJitter, decode_crop
from keras_classics.data.image_files import decode
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from tests.helpers.image_files import encoded
from tests.helpers.pipelines import numbered, plan
from tests.helpers.replicas import mirrored


def as_float(images):
    return tf.cast(images, tf.float32)


def taken(plan_: pipeline.Plan, strategy=None, first_block: int = 0) -> np.ndarray:
    """Labels of all blocks, shape (steps, batch), replicas side by side."""
    strategy = strategy or tf.distribute.get_strategy()
    blocks = []
    for images, labels in pipeline.training_blocks(
        numbered(plan_.images), as_float, plan_, strategy, first_block
    ):
        pixels = np.concatenate(
            [np.asarray(part) for part in strategy.experimental_local_results(images)], axis=1
        )
        block = np.concatenate(
            [np.asarray(part) for part in strategy.experimental_local_results(labels)], axis=1
        )
        np.testing.assert_array_equal(pixels[:, :, 0, 0, 0], block)
        blocks.append(block)
    return np.concatenate(blocks)


@settings(max_examples=25, deadline=None)
@given(
    images=st.integers(1, 60),
    batch=st.integers(1, 9),
    block=st.integers(1, 7),
    seed=st.integers(0, 2**31),
)
def test_an_epoch_takes_no_image_twice_and_leaves_out_less_than_a_batch(images, batch, block, seed):
    batch = min(batch, images)
    steps = images // batch
    order = taken(
        plan(images=images, batch_size=batch, steps_per_block=block, seed=seed, steps=2 * steps)
    )
    assert order.shape == (2 * steps, batch)
    for epoch in np.split(order, 2):
        assert len(np.unique(epoch)) == steps * batch


def test_the_order_is_of_seed_and_epoch_alone():
    order = taken(plan())
    np.testing.assert_array_equal(order, taken(plan()))
    np.testing.assert_array_equal(order, taken(plan(steps_per_block=5)))
    first, second, _ = np.split(order, 3)
    assert (first != second).any()
    assert (first != np.split(taken(plan(seed=8)), 3)[0]).any()


def test_a_constant_order_is_the_first_one_s():
    first, second, third = np.split(taken(plan(reshuffle=False)), 3)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    np.testing.assert_array_equal(first, np.split(taken(plan()), 3)[0])


@pytest.mark.parametrize("block", range(9))
def test_a_run_goes_on_at_any_block(block):
    whole = taken(plan())
    steps = sum(plan().steps_of(*divmod(b, 3)) for b in range(block))
    np.testing.assert_array_equal(taken(plan(), first_block=block), whole[steps:])


def steps_by_hand(plan_: pipeline.Plan) -> list[list[int]]:
    """Steps of each block of each epoch, counted one after the other."""
    left, epochs = plan_.steps, []
    while left:
        blocks = []
        for _ in range(min(left, plan_.images // plan_.batch_size)):
            if not blocks or blocks[-1] == plan_.steps_per_block:
                blocks.append(0)
            blocks[-1] += 1
            left -= 1
        epochs.append(blocks)
    return epochs


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 60),
    batch=st.integers(1, 9),
    steps=st.integers(1, 40),
    block=st.integers(1, 7),
)
def test_a_run_may_end_in_the_midst_of_a_pass(images, batch, steps, block):
    batch = min(batch, images)
    run = plan(images=images, batch_size=batch, steps=steps, steps_per_block=block)
    expected = steps_by_hand(run)
    assert run.epochs == len(expected)
    assert [run.blocks_of(epoch) for epoch in range(run.epochs)] == [len(e) for e in expected]
    assert run.blocks == sum(len(epoch) for epoch in expected)
    numbers = [
        [run.steps_of(epoch, i) for i in range(run.blocks_of(epoch))] for epoch in range(run.epochs)
    ]
    assert numbers == expected
    # Each block begins where the one before it ended.
    block = 0
    for epoch, sizes in enumerate(expected):
        place = 0
        for size in sizes:
            got, places = run.epoch_and_places(tf.constant(block, tf.int64))
            assert got == epoch
            following = np.arange(place, place + size * batch)
            np.testing.assert_array_equal(places, following.reshape(size, batch))
            block, place = block + 1, place + size * batch


@pytest.mark.parametrize("steps", [1, 8, 20])
def test_a_shorter_run_is_the_beginning_of_a_longer_one(steps):
    short = plan(steps=steps)
    np.testing.assert_array_equal(taken(short), taken(plan())[:steps])
    last = taken(short, first_block=short.blocks - 1)
    np.testing.assert_array_equal(last, taken(plan())[steps - len(last) : steps])
    one = tf.distribute.get_strategy()
    assert not list(pipeline.training_blocks(numbered(50), as_float, short, one, short.blocks))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 2**31),
    first=st.integers(0, 200),
    count=st.integers(1, 40),
    num_random=st.integers(1, 26),
)
def test_random_numbers_are_rows_of_tensorflow_s_table(seed, epoch, first, count, num_random):
    table = tf.random.stateless_uniform(
        (first + count, num_random), tf.constant([seed, epoch], tf.int64), alg="philox"
    )
    first, epoch = tf.constant(first, tf.int64), tf.constant(epoch, tf.int64)
    got = plan(seed=seed).random_numbers(epoch, first, count, num_random)
    assert got.shape == (count, num_random)
    np.testing.assert_array_equal(got, table[first:])


@pytest.mark.parametrize("num_random", [1, 3, 7, 26])
def test_random_numbers_go_on_far_behind(num_random):
    def random(first, count):
        epoch, first = tf.constant(3, tf.int64), tf.constant(first, tf.int64)
        return plan().random_numbers(epoch, first, count, num_random).numpy()

    # Where a count of four numbers passes 32 bits, too.
    for far in (10**6 + 1, 2**34 // num_random - 5):
        whole = random(far, 20)
        for later in (1, 2, 3, 11):
            np.testing.assert_array_equal(random(far + later, 20 - later), whole[later:])
        assert len(np.unique(whole)) == 20 * num_random


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_share_the_same_global_batches(replicas):
    np.testing.assert_array_equal(taken(plan(), mirrored(replicas)), taken(plan()))


def test_blocks_hold_what_fits():
    assert pipeline.steps_per_block(4 * 32 * 32, 32, 10_000) == 256
    assert pipeline.steps_per_block(4 * 32 * 32, 1, 60_000) == 1000
    assert pipeline.steps_per_block(4 * 32 * 32, 32, 44) == 44
    assert pipeline.steps_per_block(4 * 224 * 224 * 3, 256, 5000) == 1


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
    """70 picture files, of each label one, of four sizes and two formats."""
    folder = tmp_path_factory.mktemp("pictures")
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


def pictures_plan(**changes) -> pipeline.Plan:
    """Two steps of 6 of 13 pictures a pass; the third pass is cut."""
    values = {"images": 13, "steps": 5, "steps_per_block": 1, "augmentation": JITTER, **changes}
    return plan(**values)


def taken_pictures(files, plan_, strategy=None, first_step=0):
    """Images, colours and labels of all steps, replicas side by side."""
    strategy = strategy or tf.distribute.get_strategy()
    blocks = pipeline.training_blocks(few(files, plan_.images), None, plan_, strategy, first_step)
    rows = []
    for (images, colours), labels in blocks:
        parts = [
            [np.asarray(part) for part in strategy.experimental_local_results(values)]
            for values in (images, colours, labels)
        ]
        rows.append([np.concatenate(values, axis=1) for values in parts])
    return [np.concatenate(values) for values in zip(*rows, strict=True)]


@pytest.mark.parametrize("crop", [JITTER, RandomResizedCrop(size=9)])
def test_images_are_cropped_by_the_random_numbers_of_their_places(files, crop):
    run = pictures_plan(augmentation=crop)
    images, colours, labels = taken_pictures(files, run)
    assert images.shape == (5, 6, crop.size, crop.size, 3)
    assert images.dtype == np.uint8
    # In the order of images in memory.
    in_memory = plan(images=13, steps=5, steps_per_block=1)
    np.testing.assert_array_equal(labels, taken(in_memory))
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


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_get_the_bytes_that_one_would(files, replicas):
    images, colours, labels = taken_pictures(files, pictures_plan())
    shared = taken_pictures(files, pictures_plan(), mirrored(replicas))
    np.testing.assert_array_equal(shared[0], images)
    np.testing.assert_array_equal(shared[2], labels)
    # Several at once are computed in another order.
    np.testing.assert_allclose(shared[1], colours, rtol=1e-5, atol=1e-5)


def test_a_run_over_pictures_goes_on_at_any_step(files):
    whole = taken_pictures(files, pictures_plan())
    for step in (1, 2, 4):
        rest = taken_pictures(files, pictures_plan(), first_step=step)
        for one, other in zip(whole, rest, strict=True):
            np.testing.assert_array_equal(one[step:], other)
    shared = taken_pictures(files, pictures_plan(), mirrored(2))
    rest = taken_pictures(files, pictures_plan(), mirrored(2), first_step=3)
    for one, other in zip(shared, rest, strict=True):
        np.testing.assert_array_equal(one[3:], other)


def test_no_part_comes_twice(files):
    images, colours, _ = taken_pictures(files, pictures_plan(images=6, batch_size=3, steps=8))
    assert len(np.unique(images.reshape(24, -1), axis=0)) == 24
    assert len(np.unique(colours.reshape(24, -1), axis=0)) == 24


def test_colours_end_after_their_passes(files):
    crop = dataclasses.replace(JITTER, colour=PCAColour(until=1))
    _, colours, _ = taken_pictures(files, pictures_plan(augmentation=crop))
    assert (colours[:2] != 0).all()
    assert (colours[2:] == 0).all()


def test_the_device_adds_the_colour(files):
    layer = ImagePreprocessing(resize=16, crop=12, mean=(10, 20, 30), std=(2, 4, 5))
    to_network = pipeline.device_preprocess(files, layer)
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype="uint8")
    colours = np.array([[1, -2, 3], [0, 0, 0], [300, 9, -9]], "float32")
    got = to_network((tf.constant(images), tf.constant(colours)))
    expected = (images + colours[:, np.newaxis, np.newaxis] - [10, 20, 30]) / [2, 4, 5]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    # Images in memory come whole.
    assert pipeline.device_preprocess(numbered(3), layer)(images) is images


LAYER = ImagePreprocessing(resize=14, crop=12, mean=(120, 110, 100), std=(60, 50, 40))


def resized(files: FileSplit) -> np.ndarray:
    images = [LAYER.resize(decode(files.read(i)[1])[tf.newaxis])[0] for i in range(len(files))]
    return np.array(images, "float64")


@pytest.mark.parametrize(("replicas", "batch"), [(1, 4), (1, 10), (2, 3), (3, 64)])
def test_evaluation_takes_all_pictures_in_order(files, replicas, batch):
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


@pytest.mark.parametrize("count", [1, 64, 70])
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
    paths = files.paths.astype(object)
    paths[position] = str(path)
    return FileSplit(paths.astype(str), files.labels)


@pytest.mark.parametrize(
    ("length", "fault"),
    [(40, "JPEG, cut short"), (0, "empty"), (None, "cannot be read (No such file or directory)")],
)
def test_a_picture_that_cannot_be_read_is_named(files, tmp_path, length, fault):
    content = None if length is None else files.read(1)[1][:length]
    # In the second batch.
    split = with_one_bad(files, tmp_path, 66, content)
    with pytest.raises(UserError) as raised:
        pipeline.mean_of(split, LAYER.resize, per_pixel=True)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'bad.jpg'} cannot be used: {fault}. Mend or remove it")
    assert len(message.splitlines()) == 1
    named = pipeline.unreadable(split, [3, 66, 4])
    assert str(named) == message
    assert "now it can" in str(pipeline.unreadable(split, [3, 4]))
    strategy = tf.distribute.get_strategy()
    with pytest.raises(pipeline.UNREADABLE):
        list(pipeline.evaluation_batches(split, LAYER, 8, strategy))
    whole = pictures_plan(images=70, batch_size=70, steps=1)
    with pytest.raises(pipeline.UNREADABLE):
        list(pipeline.training_blocks(split, None, whole, strategy))


@pytest.mark.parametrize("replicas", [1, 2])
def test_tf_data_does_not_tune_itself(few_digits, monkeypatch, replicas):
    """Its tuner makes one wait at the end of an iteration, for up to a minute after a long one."""
    tuned = []
    with_options = tf.data.Dataset.with_options

    def noted(dataset, options):
        tuned.append(options.autotune.enabled)
        return with_options(dataset, options)

    monkeypatch.setattr(tf.data.Dataset, "with_options", noted)
    batches = pipeline.evaluation_batches(
        few_digits.test, lambda images: images, 16, mirrored(replicas)
    )
    assert len(list(batches)) == -(-40 // (16 * replicas))
    # The strategy sets options of its own behind these.
    assert False in tuned
    assert True not in tuned
