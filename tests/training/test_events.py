"""TensorBoard events as TensorBoard's own reader sees them, whole and after interruptions."""

import os
import shutil
import signal

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import keras_classics as kc
from keras_classics.errors import StoppedError
from keras_classics.training import events, train
from tests.helpers.runs import MODERN, assert_same_bits, history

SCALARS = {
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "images_per_second",
    "seconds",
}
MEASURED = {"images_per_second", "seconds"}


def read(run_dir) -> EventAccumulator:
    limits = {"images": 0, "scalars": 0}
    return EventAccumulator(str(run_dir / "events"), size_guidance=limits).Reload()


def scalars_of(run_dir) -> dict[str, list[tuple[int, float]]]:
    read_back = read(run_dir)
    tags = read_back.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in read_back.Scalars(tag)] for tag in tags}


def assert_events_of(run_dir, epochs: int) -> None:
    """Each epoch has its row of history.csv once."""
    rows, scalars = history(run_dir), scalars_of(run_dir)
    assert len(rows) == epochs
    assert scalars.keys() == SCALARS
    for tag, values in scalars.items():
        assert values == [(row["epoch"], pytest.approx(row[tag], rel=1e-6)) for row in rows], tag


def test_tensorboard_reads_what_a_run_wrote(finished):
    run_dir, _ = finished
    assert_events_of(run_dir, 3)
    read_back = read(run_dir)
    # The run was too short for more than the last.
    (image,) = read_back.Images("mistakes")
    assert image.step == 3
    png = (run_dir / "plots" / "mistakes.png").read_bytes()
    assert image.encoded_image_string == png
    assert (image.height, image.width) == tf.io.decode_png(png).shape[:2]
    graph = tf.compat.v1.GraphDef.FromString(read_back.Graph().SerializeToString())
    assert any(node.op == "Conv2D" and "/c3" in node.name for node in graph.node)
    plugin = {
        tag: HParamsPluginData.FromString(content)
        for tag, content in read_back.PluginTagToContent("hparams").items()
    }
    values = plugin["_hparams_/session_start_info"].session_start_info.hparams
    assert values["optimizer.momentum"].number_value == MODERN.optimizer.momentum
    assert values["schedule.kind"].string_value == type(MODERN.schedule).__name__
    assert values["batch_size"].number_value == MODERN.batch_size
    assert not any(name.startswith(("paper", "sources")) for name in values)
    assert "_hparams_/session_end_info" in plugin


@pytest.mark.plots
def test_a_run_that_resumes_goes_on_with_its_events(tmp_path, few_digits, finished, monkeypatch):
    def stop(progress, plan):
        if progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    # A drawing after each epoch.
    monkeypatch.setattr(events, "IMAGE_PAUSE", 0.0)
    with pytest.raises(StoppedError):
        train(MODERN, tmp_path, data=few_digits, on_progress=stop)
    train(MODERN, tmp_path, data=few_digits)
    assert_same_bits(finished[0], tmp_path)
    assert_events_of(tmp_path, 3)
    one, other = scalars_of(finished[0]), scalars_of(tmp_path)
    for tag in SCALARS - MEASURED:
        assert other[tag] == one[tag]
    assert [image.step for image in read(tmp_path).Images("mistakes")] == [1, 2, 3]


ROWS = [{"epoch": e, "step": 8 * e, **dict.fromkeys(SCALARS, e / 8)} for e in range(1, 6)]
PNG = tf.io.encode_png(tf.zeros((4, 6, 3), tf.uint8)).numpy()


@pytest.fixture(scope="module")
def model():
    return kc.lenet5()


def write(run_dir, model, history, epochs):
    """The events of a run from where a history ends up to an epoch."""
    of_run = events.Events(run_dir / "events")
    of_run.begin(MODERN, model, history)
    for row in ROWS[len(history) : epochs]:
        of_run.add_epoch(row)
        of_run.add_image("mistakes", PNG, row["epoch"])


def tear(folder):
    """Cuts the last record of the file, as a power cut does."""
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-7])


def forget(folder):
    shutil.rmtree(folder)


def lose_an_epoch(folder):
    """As if the run had been killed between the checkpoint and the events of an epoch."""
    (path,) = folder.iterdir()
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in records:
            if tf.compat.v1.Event.FromString(record).step != 3:
                file.write(record)


def repeat(folder):
    """As if the run had been killed while it put its events into one file."""
    (path,) = folder.iterdir()
    shutil.copy(path, path.with_name(f"{path.name}.copy"))


def date_later(folder):
    """As if the clock had been set back since, or both files were of one second."""
    (path,) = folder.iterdir()
    path.rename(path.with_name("events.out.tfevents.9999999999.host"))


def write_in_another_form(folder):
    """As earlier versions wrote scalars."""
    forget(folder)
    with tf.summary.create_file_writer(str(folder)).as_default(step=1):
        tf.summary.scalar("test_loss", 2.0)


@pytest.mark.parametrize(
    ("accident", "resumed_after", "images"),
    [
        (None, 3, [1, 2, 3, 4, 5]),
        # An older checkpoint: epochs come again.
        (None, 1, [1, 2, 3, 4, 5]),
        (None, 0, [1, 2, 3, 4, 5]),
        (tear, 3, [1, 2, 4, 5]),
        (repeat, 3, [1, 2, 3, 4, 5]),
        (lose_an_epoch, 3, [1, 2, 4, 5]),
        (date_later, 3, [1, 2, 3, 4, 5]),
        (date_later, 1, [1, 2, 3, 4, 5]),
        (forget, 3, [4, 5]),
        (write_in_another_form, 3, [4, 5]),
    ],
)
def test_events_after_an_accident(model, tmp_path, accident, resumed_after, images):
    write(tmp_path, model, [], 3)
    if accident:
        accident(tmp_path / "events")
    write(tmp_path, model, ROWS[:resumed_after], 5)
    expected = [(row["epoch"], row["test_loss"]) for row in ROWS]
    assert scalars_of(tmp_path) == dict.fromkeys(SCALARS, expected)
    read_back = read(tmp_path)
    assert [image.step for image in read_back.Images("mistakes")] == images
    assert (read_back.Images("mistakes")[0].height, read_back.Images("mistakes")[0].width) == (4, 6)
    assert read_back.Tags()["graph"]
    assert read_back.Tags()["tensors"] == ["_hparams_/session_start_info"]
    # Every record is whole, for readers that do not pass over one that is cut.
    for path in (tmp_path / "events").iterdir():
        list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
