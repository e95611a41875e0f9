"""All checks, in the order in which they run: what is broken comes before what is slow."""

from collections.abc import Callable, Iterator

from keras_classics.diagnosis import agreement, normalisation, output, progress, rates
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding

Check = Callable[[Case], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    output.softmax_twice,
    output.loss_and_output,
    progress.not_finite,
    normalisation.batch_norm_mode,
    normalisation.batch_norm_statistics,
    agreement.held_out_preprocessing,
    agreement.training_and_inference,
    rates.learning_rate,
    progress.loss_at_chance,
    progress.underfitting,
    progress.overfitting,
)
