"""All checks, in the order in which they run: what is broken comes before what is slow."""

from collections.abc import Callable, Iterator

from keras_classics.diagnosis import (
    agreement,
    copies,
    freezing,
    inputs,
    labels,
    normalisation,
    output,
    pixels,
    progress,
    rates,
    start,
)
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding

Check = Callable[[Case], Iterator[Finding]]

# Those that look at data, weights and one pass forward and back: seconds.
AT_START: tuple[Check, ...] = (
    inputs.finite_data,
    inputs.constant_images,
    inputs.small_inputs,
    labels.labels_in_range,
    labels.classes_present,
    labels.unequal_classes,
    labels.shuffled_labels,
    copies.leaked_images,
    copies.repeated_images,
    output.softmax_twice,
    output.loss_and_output,
    freezing.frozen_layers,
    freezing.batch_norm_momentum,
    pixels.pixels_of_weights,
    start.loss_at_start,
    start.saturated,
    start.dead_relus,
    start.vanishing_signal,
)

# Those that train a copy for some steps, read the log, or compare modes.
IN_TRAINING: tuple[Check, ...] = (
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

CHECKS: tuple[Check, ...] = (*AT_START, *IN_TRAINING)
