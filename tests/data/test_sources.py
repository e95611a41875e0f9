"""Data sets by name, and what is wrong with them."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_classics.data import Split, importers, load, sources
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import CanvasPreprocessing
from tests.helpers.folders import folder_of_images, write_image
from tests.helpers.idx_files import write_idx_set


def test_digits(digits):
    assert digits.train.images.shape == (1437, 8, 8, 1)
    assert digits.test.images.shape == (360, 8, 8, 1)
    assert digits.train.images.dtype == np.uint8
    assert digits.train.images.max() == 255
    assert digits.class_names == tuple("0123456789")
    assert np.bincount(digits.test.labels).min() >= 35
    train = {image.tobytes() for image in digits.train.images}
    assert not any(image.tobytes() in train for image in digits.test.images)


def test_digits_are_the_same_each_time(digits):
    again = load("digits")
    np.testing.assert_array_equal(again.test.images, digits.test.images)


def test_each_digit_of_mnist_5000_is_tested_in_one_fold():
    folds = [load(f"mnist_5000/{fold}") for fold in range(5)]
    for data in folds:
        assert data.train.images.shape == (4000, 28, 28, 1)
        assert data.train.images.dtype == np.uint8
        assert np.bincount(data.test.labels).tolist() == [100] * 10
        assert data.class_names == tuple("0123456789")
        assert data.train.images.max() == 255
    tested = {image.tobytes() for data in folds for image in data.test.images}
    assert len(tested) == 5000
    np.testing.assert_array_equal(load("mnist_5000").test.images, folds[0].test.images)


@pytest.mark.parametrize("name", ["mnist_5000/5", "mnist_5000/", "mnist_5000/x", "digits/0"])
def test_folds_that_are_not_there(name):
    with pytest.raises(UserError, match=rf"mnist_5000/0 to mnist_5000/4\. Received: {name}\.$"):
        load(name)


def test_limited(digits):
    small, large = digits.train.limited(50), digits.train.limited(200)
    assert len(small) == 50
    assert {i.tobytes() for i in small.images} <= {i.tobytes() for i in large.images}
    assert len(np.unique(large.labels)) == 10
    assert digits.train.limited(None) is digits.train
    assert digits.train.limited(10_000) is digits.train


def test_some_classes_alone(digits):
    some = digits.of_classes((8, 1))
    assert some.class_names == ("8", "1")
    for split, whole in ((some.train, digits.train), (some.test, digits.test)):
        assert split.labels.dtype == np.int32
        for label, digit in enumerate((8, 1)):
            images = whole.images[whole.labels == digit]
            np.testing.assert_array_equal(split.images[split.labels == label], images)
        assert len(split) == np.isin(whole.labels, (1, 8)).sum()


@pytest.mark.parametrize("labels", [(0, 10), (3, 3), (-1,)])
def test_classes_that_are_not_there(digits, labels):
    with pytest.raises(UserError, match="digits are labels from 0 to 9, each once. Received: "):
        digits.of_classes(labels)


def test_some_classes_of_image_files(tmp_path):
    data = load(f"folder:{folder_of_images(tmp_path)}", encoded=True).of_classes((1,))
    assert data.class_names == ("dog",)
    assert data.train.labels.tolist() == [0, 0, 0]
    assert all("/dog/" in path for path in data.train.paths)


def test_folder(tmp_path):
    data = load(f"folder:{folder_of_images(tmp_path)}")
    assert data.class_names == ("cat", "dog")
    assert data.train.images.shape == (6, 9, 12, 3)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(data.test) == 6


def test_images_of_different_sizes_are_brought_to_one(tmp_path):
    root = folder_of_images(tmp_path)
    write_image(root / "train" / "cat" / "tall.jpg", 30, 10, tf.io.encode_jpeg)
    write_image(root / "train" / "cat" / "grey.png", 7, 7, channels=1)
    write_image(root / "train" / "dog" / "alpha.png", 7, 7, channels=4)
    with pytest.raises(UserError, match="differ in shape"):
        load(f"folder:{root}")
    data = load(f"folder:{root}", resize=CanvasPreprocessing().resize)
    assert data.train.images.shape == (9, 28, 28, 1)
    assert data.train.images.dtype == np.uint8


def test_folders_that_are_not_right(tmp_path):
    with pytest.raises(UserError, match="none, which is not there"):
        load(f"folder:{tmp_path / 'none'}")
    root = folder_of_images(tmp_path)
    (root / "train" / "bird").mkdir()
    with pytest.raises(UserError, match=r"train/bird holds none"):
        load(f"folder:{root}")
    write_image(root / "train" / "bird" / "0.png")
    with pytest.raises(UserError, match=r"validation/bird holds none"):
        load(f"folder:{root}")
    write_image(root / "validation" / "bird" / "0.png")
    (root / "train" / "bird" / "1.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"bird/1.png cannot be used: not an image"):
        load(f"folder:{root}")


def test_unknown_names_come_with_near_ones():
    with pytest.raises(
        UserError, match="Unknown dataset 'fashon_mnist'. Did you mean fashion_mnist"
    ):
        load("fashon_mnist")


def test_a_tfds_name_loads_what_was_prepared(tmp_path):
    images, labels = write_idx_set(tmp_path / "idx", train=30, test=12)
    importers.prepare("fashion_mnist", tmp_path / "idx", str(tmp_path / "tfds"))
    data = load("fashion_mnist", str(tmp_path / "tfds"))
    assert data.class_names[:2] == ("T-shirt/top", "Trouser")
    np.testing.assert_array_equal(data.train.images[..., 0], images["train"])
    np.testing.assert_array_equal(data.train.labels, labels["train"])
    np.testing.assert_array_equal(data.test.images[..., 0], images["test"])


def test_a_tfds_set_of_different_sizes(tmp_path, monkeypatch):
    # Stored under the name of a set whose images differ in size.
    builder = tfds.builder("imagenette", data_dir=str(tmp_path))
    features = builder.info.features
    rows = [{"image": np.full((9 + i, 20, 3), 9 * i, "uint8"), "label": i % 10} for i in range(12)]
    signature = {
        name: tf.TensorSpec(features[name].shape, features[name].dtype) for name in rows[0]
    }
    stored = tf.data.Dataset.from_generator(lambda: rows, output_signature=signature)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="imagenette",
        config=builder.builder_config.name,
        version=str(builder.version),
        data_dir=str(tmp_path),
        features=features,
        split_datasets={"train": stored, "validation": stored},
    )
    data = load("imagenette", str(tmp_path), resize=CanvasPreprocessing().resize)
    assert data.train.images.shape == (12, 28, 28, 1)
    assert sorted(data.test.labels) == sorted(i % 10 for i in range(12))
    monkeypatch.setattr(sources, "MEMORY_LIMIT", 12 * 28 * 28 - 1)
    with pytest.raises(UserError, match=r"12 images of \(28, 28, 1\) in its train split"):
        load("imagenette", str(tmp_path), resize=CanvasPreprocessing().resize)


def test_split_knows_its_length():
    assert len(Split(np.zeros((3, 1, 1, 1), "uint8"), np.zeros(3, "int32"))) == 3
