"""All checks, in the order in which they run: what is broken comes before what is slow."""

from collections.abc import Callable, Iterator

from keras_classics.diagnosis import output
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding

Check = Callable[[Case], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    output.softmax_twice,
    output.loss_and_output,
)
