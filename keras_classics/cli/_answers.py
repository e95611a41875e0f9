"""What a network answers for many images: read and prepared in threads, run in batches."""

import collections
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from keras_classics.cli._bad_images import BadImage, none_usable
from keras_classics.cli._image_arguments import NamedImage
from keras_classics.data.image_files import fault_of, upright
from keras_classics.errors import UserError, one_line
from keras_classics.evaluation.finite import check_finite
from keras_classics.export.exported import Exported
from keras_classics.files import read_bytes

Item = TypeVar("Item")

# Images that the network takes at once.
BATCH = 32
# Most images that are read and not answered yet.
AHEAD = 2 * BATCH


class Prepared(NamedTuple):
    """An image that was read.

    Attributes:
        image: The image.
        inputs: What the network takes of it.
        fault: Why it cannot be used, or "".
    """

    image: NamedImage
    inputs: Any = None
    fault: str = ""


@dataclass(frozen=True)
class Answer:
    """What a network answers for an image.

    Attributes:
        image: The image.
        outputs: Its outputs, float32, or None if the image cannot be used.
        fault: Why it cannot be used; it follows the image's name.
    """

    image: NamedImage
    outputs: np.ndarray | None = None
    fault: str = ""


@dataclass
class Answers:
    """The answers for images, in their order. Iterate once.

    Memory holds a few batches, however many images there are.

    Args:
        network: The network.
        images: The images.
        turn: Whether they are turned as their EXIF orientation says.
        progress: Called with the number of images done since its last call, as `tqdm.update`.

    Attributes:
        count: Number of answers so far, without those that tell a fault.
        faults: The answers so far that tell a fault.

    Raises:
        UserError: At the end, if no image can be used; if outputs are not finite numbers.
    """

    network: Exported
    images: Sequence[NamedImage]
    turn: bool
    progress: Callable[[int], object] = lambda count: None
    count: int = 0
    faults: list[Answer] = field(default_factory=list)

    def __iter__(self) -> Iterator[Answer]:
        prepare = functools.partial(_prepared, self.network, self.turn)
        # Faults before the first answer wait for it: if there is none, nothing is answered.
        waiting: list[Answer] = []
        for batch in batched(_in_threads(prepare, self.images), BATCH):
            waiting += self._run(batch)
            self.progress(len(batch))
            if self.count:
                yield from waiting
                waiting.clear()
        if not self.count:
            raise none_usable(self.bad_images()[0], len(self.images))

    def bad_images(self) -> list[BadImage]:
        """Returns the images so far that cannot be used."""
        return [BadImage(a.image.path, a.fault, a.image.alone) for a in self.faults]

    def _run(self, batch: Sequence[Prepared]) -> list[Answer]:
        """Returns the answers for prepared images."""
        try:
            answers = self._answers(batch)
        except tf.errors.OpError:
            # A SavedModel decodes images itself, and refuses all for one.
            checked = [_checked(one, self.network.max_pixels) for one in batch]
            if checked == batch:
                raise
            answers = self._answers(checked)
        faults = [answer for answer in answers if answer.fault]
        self.count += len(answers) - len(faults)
        self.faults += faults
        return answers

    def _answers(self, batch: Sequence[Prepared]) -> list[Answer]:
        usable = [one for one in batch if not one.fault]
        if usable:
            outputs = self.network.run([one.inputs for one in usable])
            check_finite(outputs, "Probabilities", lambda i: one_line(usable[i].image.path))
            rows = iter(outputs)
        return [
            Answer(one.image, fault=one.fault) if one.fault else Answer(one.image, next(rows))
            for one in batch
        ]


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields lists of so many items; the last may be shorter."""
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _in_threads(
    prepare: Callable[[NamedImage], Any], images: Iterable[NamedImage]
) -> Iterator[Any]:
    """Yields what a function returns for images, in their order, a few computed ahead."""
    rest = iter(images)
    # Alone, because layers build themselves at the first call.
    yield from map(prepare, itertools.islice(rest, 1))
    waiting: collections.deque[Future] = collections.deque()
    pool = ThreadPoolExecutor()
    try:
        for image in rest:
            waiting.append(pool.submit(prepare, image))
            if len(waiting) == AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepared(network: Exported, turn: bool, image: NamedImage) -> Prepared:
    """Returns an image and what the network takes of it, or its fault."""
    most = network.max_pixels
    try:
        # Uncompressed, an image takes at most four channels of two bytes.
        encoded = read_bytes(image.path, 8 * most)
    except UserError as error:
        fault = str(error).removeprefix(image.path).strip().rstrip(".")
        return Prepared(image, fault=fault)
    try:
        return Prepared(image, network.prepare(upright(encoded, most) if turn else encoded))
    except tf.errors.OpError:
        prepared = _checked(Prepared(image, encoded), most)
        if not prepared.fault:
            raise
        return prepared


def _checked(prepared: Prepared, max_pixels: int) -> Prepared:
    """Returns a prepared image, with a fault if it is the bytes of a file that is not usable."""
    image, encoded, _ = prepared
    if isinstance(encoded, bytes):
        fault = fault_of(encoded, image.path, max_pixels)
        if fault is not None and fault.fatal:
            return Prepared(image, fault=f"cannot be used: {fault.fault}")
    return prepared
