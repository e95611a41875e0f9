"""The plots of a run, drawn after its result is written."""

from keras_classics.analysis import plots
from keras_classics.data import ImageData
from keras_classics.evaluation import Evaluation
from keras_classics.training.events import Events
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.trainer import Trainer


def draw_plots(
    trainer: Trainer, run: RunDirectory, data: ImageData, evaluation: Evaluation, events: Events
) -> None:
    """Draws the plots of a run whose result is written; one that cannot be drawn is a warning."""
    names = data.class_names
    with plots.optional(run.plots / "curves.png") as path:
        plots.curves(trainer.progress.history, path)
    if not evaluation.multilabel:
        with plots.optional(run.plots / "confusion.png") as path:
            plots.confusion(evaluation.confusion, names, path)
    draw_mistakes(run, data, evaluation, events, trainer.progress.epoch)


def draw_mistakes(
    run: RunDirectory, data: ImageData, evaluation: Evaluation, events: Events, epoch: int
) -> None:
    """Draws the worst mistakes after an epoch, also for TensorBoard.

    Images with several labels have none: each of their labels is right or wrong.
    """
    if evaluation.multilabel:
        return
    labels, probabilities = evaluation.labels, evaluation.probabilities
    with plots.optional(run.plots / "mistakes.png") as path:
        plots.mistakes(data.test.image, labels, probabilities, data.class_names, path)
        events.add_image("mistakes", path.read_bytes(), epoch)
