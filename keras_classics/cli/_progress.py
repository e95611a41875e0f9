"""Progress bars, and the progress lines of training."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from keras_classics.data.plan import Plan
from keras_classics.errors import require
from keras_classics.training.trainer import Progress


def progress_bar(images: int, shown: bool = True) -> Any:
    """Returns a progress bar over images. It shows only on a terminal.

    Args:
        images: Number of images.
        shown: Whether to show it at all.

    Raises:
        UserError: If tqdm is not installed.
    """
    # disable=None: no bar if the output is not a terminal.
    return require("tqdm", "train").tqdm(total=images, unit="img", disable=None if shown else True)


@contextlib.contextmanager
def optional_bar(images: int, shown: bool = True) -> Iterator[Callable[[int], object]]:
    """Yields what counts images on a progress bar, or does nothing if tqdm is not installed.

    Args:
        images: Number of images.
        shown: Whether to show a bar at all.
    """
    if not shown or find_spec("tqdm") is None:
        yield lambda count: None
        return
    with progress_bar(images) as bar:
        yield bar.update


class ProgressLine:
    """A progress bar on a terminal, and a line for each epoch."""

    def __enter__(self) -> "ProgressLine":
        # Before the training begins, because a bar needs an extra.
        require("tqdm", "train")
        self._bar = None
        self._epochs = 0
        return self

    def __exit__(self, *exception) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Progress, plan: Plan) -> None:
        """Updates the bar, and prints the line of a finished epoch."""
        end = plan.steps * plan.batch_size
        done = min(plan.first_step(progress.epoch) * plan.batch_size + progress.images, end)
        if self._bar is None:
            self._bar = progress_bar(end)
            self._bar.initial = self._bar.n = done
            self._epochs = progress.epoch - (progress.block == 0)
        self._bar.update(done - self._bar.n)
        if progress.epoch > self._epochs:
            self._epochs = progress.epoch
            self._bar.write(_epoch_line(progress.history[-1], plan.epochs))


def _epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    return (
        f"epoch {row['epoch']:>3}/{epochs}   "
        f"train loss {row['train_loss']:.4f}, accuracy {100 * row['train_accuracy']:.2f} %   "
        f"test loss {row['test_loss']:.4f}, accuracy {100 * row['test_accuracy']:.2f} %   "
        f"{row['images_per_second']:,.0f} images/s"
    )
