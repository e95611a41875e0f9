"""Changed image files, as an exported network gets them: an answer or one line, little memory."""

import resource
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import CanvasPreprocessing
from tests.fuzz.mutations import BYTES, drawn
from tests.helpers.image_files import READABLE, encoded
from tests.helpers.large_images import large

# Files of each format, and some whose headers name many pixels.
FILES = {
    **{name: READABLE[name][0] for name in ("rgb.jpg", "progressive.jpg", "rgb.png", "rgb.bmp")},
    **{name: READABLE[name][0] for name in ("one.gif", "two.gif", "webp.jpg")},
    **{f"large.{kind}": large(kind, 7_001, 7_200) for kind in ("JPEG", "PNG", "GIF", "BMP")},
}
# How much memory a file may take: the largest image that is allowed, decoded and scaled.
BYTES_A_FILE = 1_000_000_000


@pytest.fixture(scope="module")
def predicts(tmp_path_factory) -> dict[str, Callable]:
    """Functions from image files to probabilities: `serve_bytes` itself, and `Exported.predict`."""
    out = tmp_path_factory.mktemp("export") / "out"
    export.export_model(
        kc.lenet5(),
        out,
        preprocessing=CanvasPreprocessing(),
        labels=[str(digit) for digit in range(10)],
        formats=["saved_model", "tflite"],
    )
    served = tf.saved_model.load(str(out / "saved_model")).signatures["serve_bytes"]
    return {
        "serve_bytes": lambda files: served(encoded=tf.constant(files))["probabilities"].numpy(),
        "saved_model": export.load_exported(out / "saved_model").predict,
        "tflite": export.load_exported(out / "model.tflite").predict,
    }


@pytest.mark.parametrize("name", FILES)
def test_changed_images_get_an_answer_or_one_line(name, predicts):
    attack(name, predicts, range(5))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_changed_images_get_an_answer_or_one_line(name, predicts):
    attack(name, predicts, range(5, 150))


def attack(name: str, predicts: dict[str, Callable], seeds: range) -> None:
    before = peak()
    for seed in seeds:
        kind, content = drawn(BYTES, FILES[name], seed)
        answers = [answer(predict, content, f"{kind}, {seed}") for predict in predicts.values()]
        assert len({found is None for found in answers}) == 1, f"{kind}, {seed}"
        if answers[0] is not None:
            np.testing.assert_array_equal(answers[0], answers[1])
    assert peak() - before < BYTES_A_FILE


def answer(predict: Callable, content: bytes, what: str) -> np.ndarray | None:
    """Returns what a function answers to a file, or None if it refuses it in one line."""
    message = ""
    try:
        probabilities = predict([content])
    except UserError as error:
        message = str(error)
    except tf.errors.InvalidArgumentError as error:
        # Of the SavedModel itself, which has no exceptions of this package.
        message = error.message.splitlines()[0]
    if message:
        assert "Image 0" in message or "that can be decoded, counted from 0:] [0]" in message, what
        assert len(message.splitlines()) == 1, what
        return None
    assert probabilities.shape == (1, 10), what
    assert np.isfinite(probabilities).all(), what
    return probabilities


def peak() -> int:
    """Returns the most memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("name", ["PNG", "animation"])
def test_small_files_of_large_images_take_no_memory(name, predicts):
    """20 kB of PNG took 3.6 GB, and 390 kB of GIF 2 GB."""
    content = large("PNG", 13_000, 13_000) if name == "PNG" else animation(100, 2_000)
    assert len(content) < 500_000
    before = peak()
    for predict in predicts.values():
        found = answer(predict, content, name)
        assert (found is None) == (name == "PNG")
    assert peak() - before < 200_000_000


def animation(frames: int, side: int) -> bytes:
    """Returns a GIF of large frames of one colour."""
    first = Image.new("P", (side, side), 0)
    others = [Image.new("P", (side, side), 1 + n % 2) for n in range(frames - 1)]
    return encoded(first, "GIF", save_all=True, append_images=others, optimize=False)
