"""Images that stay encoded on disk: the same as TensorFlow Datasets and Pillow read."""

import io
import os
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_classics.data import FileSplit, RecordSplit, importers, load, pipeline
from keras_classics.data.image_files import decode
from keras_classics.data.random_crops import ScaleJitter
from keras_classics.data.unreadable import naming_unreadable, unreadable
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from tests.helpers.folders import folder_of_images
from tests.helpers.idx_files import write_idx_set
from tests.helpers.image_files import PHOTO, encoded
from tests.helpers.pipelines import plan

COUNT = 30


def image_of(number: int) -> Image.Image:
    return PHOTO.rotate(number).resize((20 + number % 7, 31 - number % 5))


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """A set of TensorFlow Datasets in several files, whose images differ in size."""
    folder = tmp_path_factory.mktemp("tfds")
    known = tfds.builder("imagenette", data_dir=str(folder))
    features = known.info.features
    rows = [{"image": np.asarray(image_of(i)), "label": i % 10} for i in range(COUNT)]
    signature = {
        name: tf.TensorSpec(features[name].shape, features[name].dtype) for name in rows[0]
    }
    splits = {
        part: tf.data.Dataset.from_generator(lambda rows=rows: rows, output_signature=signature)
        for part, rows in (("train", rows), ("validation", rows[:4]))
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="imagenette",
        config=known.builder_config.name,
        version=str(known.version),
        data_dir=str(folder),
        features=features,
        split_datasets=splits,
        download_config=tfds.download.DownloadConfig(num_shards=3),
    )
    return tfds.builder("imagenette", data_dir=str(folder))


@pytest.fixture
def copied(builder, tmp_path):
    """The same set in a folder of its own, to be damaged."""
    source = builder.data_path
    target = tmp_path / source.relative_to(source.parents[2])
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return tmp_path, sorted(target.glob("*train.tfrecord*"))


def load_imagenette(folder):
    return load("imagenette", str(folder), encoded=True)


def taken(split):
    """Images and labels of a split, read in a pipeline from the last to the first."""
    read = split.reader()
    positions = tf.data.Dataset.range(len(split) - 1, -1, -1)
    rows = list(positions.map(read, num_parallel_calls=2).as_numpy_iterator())[::-1]
    return [decode(tf.constant(content)).numpy() for content, _ in rows], [row[1] for row in rows]


def assert_same_images(split, builder, part):
    """Compares with what TensorFlow Datasets reads, file by file."""
    config = tfds.ReadConfig(interleave_cycle_length=1)
    dataset = builder.as_dataset(split=part, read_config=config)
    undecoded = builder.as_dataset(
        split=part, read_config=config, decoders={"image": tfds.decode.SkipDecoding()}
    )
    images, labels = taken(split)
    rows = list(tfds.as_numpy(dataset))
    assert len(split) == len(images) == len(rows)
    for position, row in enumerate(rows):
        assert labels[position] == row["label"]
        # Two ways to compute a JPEG's cosines.
        off = np.abs(images[position].astype(int) - row["image"])
        assert off.mean() < 4
        assert off.max() < 25
        np.testing.assert_array_equal(split.image(position), images[position])
    contents = [row["image"] for row in tfds.as_numpy(undecoded)]
    assert contents == [split.read(position)[1] for position in range(len(split))]


def test_records_are_those_of_tensorflow_datasets(builder):
    data = load_imagenette(builder.data_path.parents[2])
    assert isinstance(data.train, RecordSplit)
    assert len(data.train.files) == 3
    assert len(set(data.train.numbers)) == 3
    assert data.class_names == tuple(builder.info.features["label"].names)
    assert_same_images(data.train, builder, "train")
    assert_same_images(data.test, builder, "validation")
    _, labels = taken(data.train)
    assert sorted(labels) == sorted(i % 10 for i in range(COUNT))


def test_records_of_a_set_from_idx_files(tmp_path):
    write_idx_set(tmp_path / "idx", train=12, test=5)
    importers.prepare("fashion_mnist", tmp_path / "idx", str(tmp_path / "tfds"))
    data = load("fashion_mnist", str(tmp_path / "tfds"), encoded=True)
    in_memory = load("fashion_mnist", str(tmp_path / "tfds"))
    for split, whole in ((data.train, in_memory.train), (data.test, in_memory.test)):
        images, labels = taken(split)
        np.testing.assert_array_equal(images, np.repeat(whole.images, 3, axis=-1))
        np.testing.assert_array_equal(labels, whole.labels)


def test_some_classes_of_records(builder):
    data = load_imagenette(builder.data_path.parents[2])
    images, labels = taken(data.train)
    assert data.train.labels.tolist() == labels
    some = data.of_classes((8, 1))
    assert some.class_names == tuple(data.class_names[label] for label in (8, 1))
    kept = [position for position, label in enumerate(labels) if label in (8, 1)]
    found, new = taken(some.train)
    assert [(8, 1)[label] for label in new] == [labels[position] for position in kept]
    assert some.train.labels.tolist() == new
    for image, position in zip(found, kept, strict=True):
        np.testing.assert_array_equal(image, images[position])


def test_a_choice_of_records(builder):
    split = load_imagenette(builder.data_path.parents[2]).train
    images, labels = taken(split)
    positions = np.array([29, 3, 3, 0, 17])
    chosen = split.take(positions)
    assert len(chosen) == 5
    for image, position in zip(taken(chosen)[0], positions, strict=True):
        np.testing.assert_array_equal(image, images[position])
    assert taken(chosen)[1] == [labels[position] for position in positions]
    assert split.limited(None) is split
    assert split.limited(COUNT) is split
    small, large = split.limited(5), split.limited(12)
    assert len(small) == 5
    assert set(small.offsets * 3 + small.numbers) <= set(large.offsets * 3 + large.numbers)
    # The same draw as of any other set of this size.
    files = FileSplit(np.arange(COUNT).astype(str), np.arange(COUNT))
    assert taken(small)[1] == [labels[position] for position in files.limited(5).labels]


def test_records_are_trained_and_evaluated_on(builder):
    split = load_imagenette(builder.data_path.parents[2]).train
    images, labels = taken(split)
    run = plan(
        images=COUNT, batch_size=10, steps=3, steps_per_block=1, augmentation=ScaleJitter(9, 9, 9)
    )
    one = tf.distribute.get_strategy()
    got = [block[1][0].numpy() for block in pipeline.training_blocks(split, None, run, one)]
    order = run.order(tf.constant(0, tf.int64), tf.range(30, dtype=tf.int64)).numpy()
    np.testing.assert_array_equal(np.concatenate(got), np.array(labels)[order])
    layer = ImagePreprocessing(resize=9, crop=9)
    batches = list(pipeline.evaluation_batches(split, layer, 16, one))
    np.testing.assert_array_equal(np.concatenate([b[1] for b in batches])[:30], labels)
    for position in (0, 15, 16, 29):
        expected = layer(images[position][np.newaxis])[0]
        np.testing.assert_allclose(batches[position // 16][0][position % 16], expected, atol=1e-3)


@pytest.mark.parametrize("kept", [0.5, -1, 5])
def test_a_cut_file_is_named(copied, kept):
    folder, files = copied
    content = files[1].read_bytes()
    kept = int(kept * len(content)) if isinstance(kept, float) else kept
    files[1].write_bytes(content[:kept])
    with pytest.raises(UserError) as raised:
        load_imagenette(folder)
    assert str(raised.value) == f"{files[1]} is cut short: its last record goes beyond its end."


def test_records_that_are_missing_are_noticed(copied):
    folder, files = copied
    whole = files[2].read_bytes()
    # Cut between two records.
    first = int.from_bytes(whole[:8], "little") + 16
    files[2].write_bytes(whole[:first])
    lost = records_in(whole) - 1
    with pytest.raises(
        UserError, match=rf"train split of imagenette/.* 30 records and holds {30 - lost}. Prepare"
    ):
        load_imagenette(folder)
    files[2].unlink()
    with pytest.raises(UserError) as raised:
        load_imagenette(folder)
    assert str(raised.value) == f"{files[2]} cannot be read: No such file or directory."


def test_a_file_that_vanishes_is_named(copied):
    """After the records were found, as where a disk goes away in the midst of a run."""
    folder, files = copied
    train = load_imagenette(folder).train
    files[1].unlink()
    with (
        pytest.raises(
            UserError, match=f"{files[1].name} cannot be used: cannot be read \\(No such"
        ),
        naming_unreadable(train, lambda: range(len(train))),
    ):
        list(
            pipeline.evaluation_batches(
                train, ImagePreprocessing(), 4, tf.distribute.get_strategy()
            )
        )


def records_in(content: bytes) -> int:
    """Records in a TFRecord file's content, by TensorFlow's own rule of lengths."""
    count, end = 0, 0
    while end < len(content):
        end += int.from_bytes(content[end : end + 8], "little") + 16
        count += 1
    return count


def test_a_damaged_record_is_named(copied):
    folder, files = copied
    content = bytearray(files[0].read_bytes())
    split = load_imagenette(folder).train
    # The image of the second record.
    start, length = split.offsets[1], split.lengths[1]
    at = content.index(b"\xff\xd8\xff", start)
    content[at : at + 3] = bytes(3)
    files[0].write_bytes(content)
    name, _ = split.read(1)
    assert name == f"{files[0]}, record at byte {start - 12}"
    message = str(unreadable(split, [0, 1, 2]))
    assert message.startswith(f"{name} cannot be used: not an image")
    assert message.endswith("Prepare the data set again.")
    assert len(message.splitlines()) == 1
    # No longer a record at all.
    content[start : start + length] = b"\xff" * length
    files[0].write_bytes(content)
    with pytest.raises(UserError, match=f"{name}, is damaged"):
        unreadable(split, [0, 1, 2])


def test_another_form_than_tfrecord_is_refused(builder, tmp_path):
    pytest.importorskip("array_record")
    stored = builder.as_dataset(split="validation")
    tfds.dataset_builders.store_as_tfds_dataset(
        name="imagenette",
        config=builder.builder_config.name,
        version=str(builder.version),
        data_dir=str(tmp_path),
        features=builder.info.features,
        split_datasets=dict.fromkeys(("train", "validation"), stored),
        file_format="array_record",
    )
    with pytest.raises(UserError, match=r"is stored as array_record; .* file_format='tfrecord'"):
        load_imagenette(tmp_path)


def test_files_are_read_in_any_order(tmp_path):
    data = load(f"folder:{folder_of_images(tmp_path)}", encoded=True)
    split = data.train
    assert isinstance(split, FileSplit)
    assert isinstance(data.test, FileSplit)
    assert data.class_names == ("cat", "dog")
    expected = [tmp_path / "train" / name / f"{i}.png" for name in ("cat", "dog") for i in range(3)]
    assert [*split.paths] == [str(path) for path in expected]
    assert split.labels.tolist() == [0, 0, 0, 1, 1, 1]
    read = split.reader()
    for position, path in enumerate(expected):
        assert split.read(position) == (str(path), path.read_bytes())
        content, label = read(tf.constant(position, tf.int64))
        assert content == path.read_bytes()
        assert label == split.labels[position]
        np.testing.assert_array_equal(split.image(position), decode(tf.constant(path.read_bytes())))
    chosen = split.take(np.array([5, 0]))
    assert [*chosen.paths] == [str(expected[5]), str(expected[0])]
    assert chosen.labels.tolist() == [1, 0]
    assert len(split.limited(4)) == 4
    # In memory the same.
    in_memory = load(f"folder:{tmp_path}").train
    np.testing.assert_array_equal([split.image(i) for i in range(6)], in_memory.images)


def test_names_that_are_not_utf_8(tmp_path):
    root = folder_of_images(tmp_path)
    path = root / "train" / "cat" / os.fsdecode(b"caf\xe9.png")
    path.write_bytes(encoded(PHOTO, "PNG"))
    split = load(f"folder:{root}", encoded=True).train
    images, labels = taken(split)
    assert len(images) == 7
    np.testing.assert_array_equal(images[split.paths.index(str(path))], PHOTO)
    assert labels == [0] * 4 + [1] * 3


def test_digits_have_no_files():
    with pytest.raises(UserError, match="digits has no image files to decode crops from. Use"):
        load("digits", encoded=True)


def archive(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, member in members.items():
            head = tarfile.TarInfo(name)
            head.size = len(member)
            tar.addfile(head, io.BytesIO(member))
    return content.getvalue()


def jpeg(number: int) -> bytes:
    return encoded(image_of(number), "JPEG", quality=95)


def write_imagenet(folder, validation=4, test=0):
    """Archives as image-net.org gives them, of two classes and a few images."""
    folder.mkdir(parents=True)
    train = {
        f"{name}.tar": archive({f"{name}_{i}.JPEG": jpeg(9 * c + i) for i in range(3)})
        for c, name in enumerate(("n01440764", "n15075141"))
    }
    (folder / "ILSVRC2012_img_train.tar").write_bytes(archive(train))
    for part, count in (("val", validation), ("test", test)):
        members = {f"ILSVRC2012_{part}_{i + 1:08}.JPEG": jpeg(60 + i) for i in range(count)}
        if members:
            (folder / f"ILSVRC2012_img_{part}.tar").write_bytes(archive(members))


@pytest.mark.parametrize("test", [0, 2])
def test_imagenet_from_its_archives(tmp_path, test):
    write_imagenet(tmp_path / "downloads" / "manual", test=test)
    data = load("imagenet2012", str(tmp_path), encoded=True)
    assert len(data.class_names) == 1000
    assert data.class_names[0] == "n01440764"
    assert data.class_names[999] == "n15075141"
    _, labels = taken(data.train)
    assert sorted(labels) == [0] * 3 + [999] * 3
    # The bytes of the archives.
    contents = {data.train.read(i)[1]: labels[i] for i in range(6)}
    assert contents == {jpeg(9 * c + i): 999 * c for c in range(2) for i in range(3)}
    # The test images have no labels: those of validation are what is tested on.
    expected = {jpeg(60 + i): label for i, label in enumerate((65, 970, 230, 809))}
    labels = taken(data.test)[1]
    assert {data.test.read(i)[1]: labels[i] for i in range(len(data.test))} == expected
    # They are not asked for again.
    (tmp_path / "downloads" / "manual" / "ILSVRC2012_img_train.tar").unlink()
    assert len(load("imagenet2012", str(tmp_path), encoded=True).train) == 6


def test_archives_that_are_missing_are_named(tmp_path):
    manual = tmp_path / "downloads" / "manual"
    names = "no ILSVRC2012_img_train.tar and no ILSVRC2012_img_val.tar."
    with pytest.raises(UserError) as raised:
        load("imagenet2012", str(tmp_path), encoded=True)
    assert f"{manual} has {names}" in str(raised.value)
    write_imagenet(manual, validation=0)
    with pytest.raises(UserError) as raised:
        load("imagenet2012", str(tmp_path), encoded=True)
    assert f"{manual} has no ILSVRC2012_img_val.tar." in str(raised.value)
    assert "registration" in str(raised.value)
    assert not (tmp_path / "imagenet2012").exists()
