"""What a network answers for many images: read and prepared in threads, run in batches."""

import collections
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

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

    def _run(self, batch: Sequence[tuple[NamedImage, Any, str]]) -> list[Answer]:
        """Returns the answers for prepared images."""
        usable = [image for image, _, fault in batch if not fault]
        if usable:
            outputs = self.network.run([inputs for _, inputs, fault in batch if not fault])
            check_finite(outputs, "Probabilities", lambda index: one_line(usable[index].path))
            rows = iter(outputs)
        answers = [
            Answer(image, fault=fault) if fault else Answer(image, next(rows))
            for image, _, fault in batch
        ]
        self.count += len(usable)
        self.faults += [answer for answer in answers if answer.fault]
        return answers


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


def _prepared(network: Exported, turn: bool, image: NamedImage) -> tuple[NamedImage, Any, str]:
    """Returns an image, what the network takes of it, and its fault if it cannot be used."""
    most = network.max_pixels
    try:
        # Uncompressed, an image takes at most four channels of two bytes.
        encoded = read_bytes(image.path, 8 * most)
    except UserError as error:
        return image, None, str(error).removeprefix(image.path).strip().rstrip(".")
    try:
        return image, network.prepare(upright(encoded, most) if turn else encoded), ""
    except tf.errors.OpError:
        fault = fault_of(encoded, image.path, most)
        if fault is None or not fault.fatal:
            raise
        return image, None, f"cannot be used: {fault.fault}"
