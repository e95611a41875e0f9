"""TensorBoard events of a run: curves, mistakes, the network's graph and the hyper-parameters.

    tensorboard --logdir=runs

Scalars and images have the form that all readers of event files take as such, not only the web
page. An epoch is one event, which a crash leaves out or leaves whole.
"""

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_classics import files
from keras_classics.data.image_size import image_size
from keras_classics.errors import UserError, require, short_reason
from keras_classics.training.recipe import Recipe

# Seconds between two images: drawing one takes about a second.
IMAGE_PAUSE = 60.0

# What a resumed run keeps of its events. Readers take files in the order of their names, and
# TensorFlow's begin with the time: two of one second may stand in either order.
KEPT = "events.out.tfevents.0"

# Fields of a recipe that are no hyper-parameters.
DESCRIPTIONS = ("paper", "sources")

Event, Summary = tf.compat.v1.Event, tf.compat.v1.Summary


class Events:
    """The events of one run, in files of a folder; only the chief has them.

    Args:
        folder: The folder. `begin` creates it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._hparams = require("tensorboard.plugins.hparams.summary_v2", "train")
        self._session = require("tensorboard.plugins.hparams.summary", "train")
        self._writer = tf.summary.create_noop_writer()
        self._image_at = time.monotonic()

    def begin(self, recipe: Recipe, model: keras.Model, history: Sequence[Mapping]) -> None:
        """Starts or resumes the events: writes the graph and the hyper-parameters.

        Events of epochs that are not in the history, from which the run resumes, are removed, and
        what is missing of the others is added.

        Args:
            recipe: The recipe of the run.
            model: Its network.
            history: The finished epochs.

        Raises:
            UserError: If events cannot be written.
        """
        with self._explained():
            kept = self._keep(len(history))
            self._writer = tf.summary.create_file_writer(str(self._folder))
            with self._writer.as_default():
                tf.summary.graph(_graph(model))
        self._write(self._hparams.hparams_pb(_hyper_parameters(recipe)), step=0)
        for row in history:
            if row["epoch"] not in kept:
                self.add_epoch(row)

    def add_epoch(self, row: Mapping[str, Any]) -> None:
        """Adds the scalars of an epoch, given its row of `history.csv`.

        Raises:
            UserError: If they cannot be written.
        """
        names = sorted(row.keys() - {"epoch", "step"})
        values = [Summary.Value(tag=name, simple_value=row[name]) for name in names]
        self._write(Summary(value=values), row["epoch"])

    @property
    def image_due(self) -> bool:
        """Whether it is time for another image."""
        return time.monotonic() - self._image_at >= IMAGE_PAUSE

    def add_image(self, name: str, png: bytes, epoch: int) -> None:
        """Adds an image, given the content of its PNG file.

        Raises:
            UserError: If it cannot be written.
        """
        height, width = image_size(png)
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
        self._write(Summary(value=[Summary.Value(tag=name, image=image)]), epoch)
        self._image_at = time.monotonic()

    def end(self) -> None:
        """States that the run is finished.

        Raises:
            UserError: If that cannot be written.
        """
        self._write(self._session.session_end_pb(self._session.api_pb2.STATUS_SUCCESS), step=0)

    def _write(self, summary: Any, step: int) -> None:
        with self._explained(), self._writer.as_default():
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)
            self._writer.flush()

    def _keep(self, epochs: int) -> set[int]:
        """Keeps the events of the first epochs, in one file. Returns the epochs with scalars."""
        paths = sorted(self._folder.glob("events.out.tfevents.*"))
        kept: dict[tuple, Event] = {}
        for record in itertools.chain.from_iterable(map(_records, paths)):
            event = Event.FromString(record)
            kinds = {value.WhichOneof("value") for value in event.summary.value}
            if 0 < event.step <= epochs and len(kinds) == 1 and kinds <= {"simple_value", "image"}:
                tags = sorted(value.tag for value in event.summary.value)
                kept.setdefault((event.step, *tags), event)
        if kept:
            version = Event(wall_time=time.time(), file_version="brain.Event:2")
            with (
                files.atomic_write(self._folder / KEPT) as aside,
                tf.io.TFRecordWriter(str(aside)) as file,
            ):
                for event in (version, *kept.values()):
                    file.write(event.SerializeToString())
        for path in paths:
            if not kept or path.name != KEPT:
                path.unlink()
        return {
            event.step for event in kept.values() if event.summary.value[0].HasField("simple_value")
        }

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            raise UserError(f"{self._folder} cannot be written: {short_reason(error)}.") from error


def _records(path: Path) -> Iterator[bytes]:
    """Reads the records of a file up to one that a crash cut."""
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError:
        return


def _graph(model: keras.Model) -> tf.Graph:
    """The network's forward pass."""
    image = tf.TensorSpec((None, *model.input_shape[1:]), model.inputs[0].dtype, "image")

    @tf.function(input_signature=[image], autograph=False)
    def network(image):
        return model(image, training=False)

    return network.get_concrete_function().graph


def _hyper_parameters(recipe: Recipe) -> dict[str, bool | float | str]:
    """The values of a recipe by path, such as `schedule.rate`; lists as JSON."""

    def values_of(content: Any, path: str) -> Iterator[tuple[str, bool | float | str]]:
        if isinstance(content, dict):
            for name, value in content.items():
                yield from values_of(value, f"{path}.{name}" if path else name)
        elif isinstance(content, list):
            yield path, json.dumps(content)
        elif content is not None:
            yield path, content

    content = recipe.to_json()
    return dict(values_of({k: v for k, v in content.items() if k not in DESCRIPTIONS}, ""))
