"""Views have the positions that the papers give."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.data import FileSplit
from keras_classics.errors import UserError
from keras_classics.evaluation import Dense, Evaluator, Views, one_view
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing
from keras_classics.models.losses import SmoothedCrossEntropy
from tests.helpers.images import photograph
from tests.helpers.replicas import mirrored

# An image whose red channel is the row and whose green channel is the column. Its short side equals
# the scale, so nothing is resized and every value is a position.
HEIGHT, WIDTH, CROP = 40, 60, 24
ROWS, COLUMNS = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
PLACES = np.stack([ROWS, COLUMNS, 0 * ROWS], axis=-1).astype("uint8")[np.newaxis]
SQUARES = ImagePreprocessing(resize=HEIGHT, crop=CROP)


def corners(views: Views, images: np.ndarray = PLACES) -> list[tuple[int, int]]:
    """Returns row and column of each view's first pixel."""
    (stack,) = views(tf.constant(images))
    assert stack.shape[1] == views.views
    return [(int(view[0, 0, 0]), int(view[0, 0, 1])) for view in stack[0].numpy()]


def assert_whole(views: Views) -> None:
    """Checks that a view is the image from its first pixel on, or the mirror image."""
    (stack,) = views(tf.constant(PLACES))
    for view, (top, left) in zip(stack[0].numpy(), corners(views), strict=True):
        step = int(view[0, 1, 1] - view[0, 0, 1])
        columns = np.arange(left, left + step * CROP, step)
        expected = PLACES[0, top : top + CROP][:, columns]
        assert (view == expected).all()


def test_the_single_view_equals_the_preprocessing():
    views = Views("single", SQUARES)
    assert corners(views) == [(8, 18)]
    np.testing.assert_array_equal(views(PLACES)[0][:, 0], SQUARES(PLACES))
    assert str(views) == "single, scale 40, crop 24, bilinear antialiased"
    flipped = Views("single", SQUARES, flip=True)
    assert corners(flipped) == [(8, 18), (8, 18 + CROP - 1)]
    assert str(flipped) == "single, flip, scale 40, crop 24, bilinear antialiased"
    assert_whole(flipped)


def test_ten_views_lie_in_the_central_square():
    views = Views("ten", SQUARES)
    # The middle 40x40 begins at column 10; 16 of its rows and columns are free.
    first = [(0, 10), (0, 26), (16, 10), (16, 26), (8, 18)]
    assert corners(views) == first + [(row, column + CROP - 1) for row, column in first]
    assert str(views) == "ten, scale 40, crop 24, bilinear antialiased"
    assert_whole(views)


def test_multi_crop_lies_on_a_grid_of_the_whole_image():
    views = Views("multi_crop", SQUARES, scales=[40])
    first = [(row, column) for row in (0, 4, 8, 12, 16) for column in (0, 9, 18, 27, 36)]
    assert corners(views) == first + [(row, column + CROP - 1) for row, column in first]
    assert Views("multi_crop", ImagePreprocessing()).views == 150
    assert str(views) == "multi_crop, scale 40, crop 24, bilinear antialiased"
    assert_whole(views)


def test_multi_scale_crops_the_centre_at_each_scale():
    views = Views("multi_scale", SQUARES, scales=[40, 80])
    assert corners(views) == [(8, 18), (13, 23)]
    # At 80 the middle begins at row 28, whose centre lies at (28 + 0.5) / 2 - 0.5 of the image.
    np.testing.assert_allclose(views(tf.constant(PLACES))[0][0, 1, 0, 0, :2], [13.75, 23.75])
    assert str(views) == "multi_scale, scales 40 80, crop 24, bilinear antialiased"
    one = Views("multi_scale", SQUARES, scales=[40])
    np.testing.assert_array_equal(one(PLACES)[0], Views("single", SQUARES)(PLACES)[0])


def test_views_are_normalised_as_the_preprocessing_does():
    mean = np.random.default_rng(0).uniform(0, 255, (24, 24, 3)).tolist()
    layer = ImagePreprocessing(resize=40, crop=24, mean=mean, std=(2.0, 3.0, 4.0), bgr=True)
    (stack,) = Views("single", layer, flip=True)(tf.constant(photograph()[np.newaxis]))
    np.testing.assert_array_equal(stack[:, 0], layer(photograph()[np.newaxis]))
    middle = layer.resize(photograph()[np.newaxis])
    np.testing.assert_allclose(stack[:, 1], layer.normalize(middle[:, :, ::-1]), atol=1e-4)


@pytest.mark.parametrize(
    "kind", ["ten", pytest.param("multi_crop", marks=pytest.mark.slow), "multi_scale"]
)
def test_views_of_a_constant_image_predict_as_the_single_one(kind):
    keras.utils.set_random_seed(0)
    layer = ImagePreprocessing(resize=36, crop=32)
    net = kc.resnet20(classes=7)
    constant = np.full((2, 50, 70, 3), 117, "uint8")
    scales = None if kind == "ten" else [36, 44]
    views = Views(kind, layer, scales=scales)
    (stack,) = views(constant)
    probabilities = net(tf.reshape(stack, (-1, 32, 32, 3)))
    probabilities = tf.reshape(probabilities, (2, views.views, 7))
    np.testing.assert_allclose(tf.reduce_mean(probabilities, 1), net(layer(constant)), atol=1e-6)


def test_a_canvas_has_one_view_and_its_mirror_image(few_digits):
    canvas = CanvasPreprocessing()
    images = few_digits.test.images[:2]
    views = Views("single", canvas, flip=True)
    (stack,) = views(images)
    np.testing.assert_array_equal(stack[:, 0], canvas(images))
    np.testing.assert_array_equal(stack[:, 1], canvas(images)[:, :, ::-1])
    assert str(views) == "single, flip"
    for wrong in ({"kind": "ten"}, {"kind": "single", "scales": [40]}):
        with pytest.raises(UserError, match="only the protocol single, .* Received:"):
            Views(preprocessing=canvas, **wrong)
    with pytest.raises(UserError, match="only the protocol single. Received: dense"):
        Dense(canvas)


def test_wrong_protocols_are_refused():
    with pytest.raises(UserError, match="Unknown layout 'tenn'. Did you mean ten"):
        Views("tenn", SQUARES)
    with pytest.raises(UserError, match="at least 24, the side of a view. Received: 40 20"):
        Views("multi_scale", SQUARES, scales=[40, 20])
    with pytest.raises(UserError, match="ten takes one scale. Received: 40 50"):
        Views("ten", SQUARES, scales=[40, 50])
    with pytest.raises(UserError, match="32x32. Received: 24x24"):
        Views("single", SQUARES).network(kc.resnet20())


@pytest.fixture(scope="module")
def image_split(tmp_path_factory) -> FileSplit:
    """Crops of a photograph in five sizes, as JPEG files."""
    folder = tmp_path_factory.mktemp("images")
    for i, (height, width) in enumerate([(60, 90), (90, 60), (64, 64), (50, 200), (201, 77)]):
        encoded = tf.io.encode_jpeg(photograph()[:height, 100 : 100 + width])
        (folder / f"{i}.jpg").write_bytes(encoded.numpy())
    paths = sorted(map(str, folder.iterdir()))
    return FileSplit(np.array(paths), np.arange(5, dtype="int32") % 3)


def protocols() -> list:
    layer = ImagePreprocessing(resize=36, crop=32, mean=(120.0,) * 3, std=(60.0,) * 3)
    return [
        Views("single", layer),
        Views("ten", layer),
        Views("multi_crop", layer, scales=[40]),
        Dense(layer, scales=[36, 48]),
    ]


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(shown, id=shown.kind, marks=[pytest.mark.slow] * (shown.kind == "multi_crop"))
        for shown in protocols()
    ],
)
def test_every_image_counts_once_by_every_protocol(image_split, shown):
    keras.utils.set_random_seed(0)
    net = kc.cuda_convnet(classes=3)
    expected = []
    for i in range(5):
        stacks = shown(image_split.image(i)[np.newaxis])
        probabilities = [shown.network(net)(stack[0]).numpy() for stack in stacks]
        expected.append(np.concatenate(probabilities).mean(axis=0))
    # Views that differ in size come one image at a time.
    most = 1 if isinstance(shown, Dense) else 3
    for replicas, batch_size in ((1, most), (2, min(2, most))):
        strategy = mirrored(replicas)
        with strategy.scope():
            copy = shown.network(keras.models.clone_model(net))
        copy.set_weights(net.get_weights())
        done = []
        evaluator = Evaluator(
            copy, SmoothedCrossEntropy(), image_split, shown, strategy, batch_size
        )
        evaluation = evaluator(done.append)
        np.testing.assert_allclose(evaluation.probabilities, expected, atol=1e-6)
        assert evaluation.labels.tolist() == image_split.labels.tolist()
        assert sum(done) == 5


def test_an_unreadable_image_is_named(image_split, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(Path(image_split.paths[0]).read_bytes()[:500])
    split = FileSplit(
        np.array([*image_split.paths[:2], str(tmp_path / "cut.jpg")]), np.int32([0] * 3)
    )
    views = one_view(ImagePreprocessing(resize=36, crop=32))
    with pytest.raises(UserError, match="cut.jpg cannot be used: JPEG, cut short"):
        Evaluator(kc.resnet20(), SmoothedCrossEntropy(), split, views)()
