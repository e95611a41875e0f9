"""Checks of a network's last activation and its loss: one softmax, not two, and not none."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.graph import activation_of, is_graph, last_activation

# By how much the outputs of an image may miss a sum of 1.
SUM_TOLERANCE = 1e-2
# A loss below it is 0; float32 and Keras's clipping leave less.
NO_LOSS = 1e-3
# More than a squared error makes of a wrong answer; a cross-entropy makes 16 of it.
MUCH_LOSS = 5.0
# Scores so far apart that their cross-entropy is 0.
FAR_APART = 30.0


def loss_and_output(case: Case) -> Iterator[Finding]:
    """Finds a loss for scores (`from_logits=True`) on probabilities, and the reverse."""
    takes_scores = takes_logits(case)
    outputs = case.outputs()
    if takes_scores is None or not np.isfinite(outputs).all():
        return
    activation = last_activation(case.model)
    probabilities = are_probabilities(outputs) or activation in ("softmax", "sigmoid")
    lie = f"they lie between {outputs.min():.3g} and {outputs.max():.3g}"
    values = {"activation": activation, "from_logits": takes_scores}
    if takes_scores and probabilities:
        yield Finding(
            "from_logits_twice",
            "The loss has from_logits=True, which applies a softmax (or sigmoid), but the "
            f"network's outputs are probabilities already: {lie}.",
            "Either the network or its loss applies the softmax (or sigmoid), not both.",
            "Compile with from_logits=False, or remove the activation of the last layer.",
            values=values,
        )
    elif not takes_scores and not probabilities:
        yield Finding(
            "logits_as_probabilities",
            f"The loss has from_logits=False, but the network's outputs are no probabilities: {lie}"
            ".",
            "A loss with from_logits=False takes probabilities.",
            "Compile with from_logits=True, or give the last layer a softmax (or sigmoid).",
            values=values,
        )


def softmax_twice(case: Case) -> Iterator[Finding]:
    """Finds a softmax of probabilities, and a softmax of one class."""
    if case.classes == 1 and last_activation(case.model) == "softmax":
        yield Finding(
            "softmax_of_one",
            "The last layer is a softmax of one output, which is 1 for every image.",
            "One output needs a sigmoid; a softmax needs an output for each class.",
            'Use activation="sigmoid" with binary_crossentropy, or two outputs.',
        )
        return
    found = _last_activation(case.graph, case.inputs())
    if found is None:
        return
    layer, before, values = found
    activation = activation_of(layer)
    # Behind a sigmoid, a dense layer with a sigmoid is an ordinary one; its softmax of a softmax
    # is not.
    twice = (
        are_probabilities(values)
        if activation == "softmax"
        else not layer.weights and before in ("sigmoid", "softmax")
    )
    if twice:
        yield Finding(
            "softmax_twice",
            f"{layer.name} applies a {activation} to what are probabilities already: numbers "
            f"between {values.min():.3g} and {values.max():.3g}.",
            f"A {activation} takes scores. Of probabilities it makes nearly equal ones, and the "
            "loss stays near chance.",
            f"Remove one of the two: the {activation} of {layer.name}, or the {before} before it.",
            layer=layer.name,
            values={"lowest": float(values.min()), "highest": float(values.max())},
        )


def _last_activation(graph: keras.Model, inputs: np.ndarray) -> tuple[Any, str, np.ndarray] | None:
    """Returns the last softmax or sigmoid behind all weights, and what it is applied to.

    Returns:
        The layer, the name of the activation before it, and its inputs for a sample; or None.
    """
    tensor = graph.outputs[0]
    while True:
        operation, before = _producer(tensor)
        if not before:
            return None
        if is_graph(operation):
            inner = keras.Model(operation.inputs[0], operation.outputs[0], name=operation.name)
            found = _last_activation(inner, _values(graph, before[0], inputs))
            if found is not None:
                return found
        if activation_of(operation) in ("softmax", "sigmoid"):
            values = _values(graph, before[0], inputs)
            return operation, _activation_before(before[0]), values
        if getattr(operation, "weights", None):
            return None
        tensor = before[0]


def _producer(tensor: Any) -> tuple[Any, list[keras.KerasTensor]]:
    """Returns the operation that makes a tensor, and what it makes it of."""
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, node.input_tensors


def _activation_before(tensor: keras.KerasTensor) -> str:
    """Returns the activation that made a tensor, through layers without weights."""
    operation, before = _producer(tensor)
    name = last_activation(operation) if is_graph(operation) else activation_of(operation)
    if name != "linear" or getattr(operation, "weights", None) or not before:
        return name
    return _activation_before(before[0])


def _values(graph: keras.Model, tensor: keras.KerasTensor, inputs: np.ndarray) -> np.ndarray:
    part = keras.Model(graph.inputs[0], tensor, name=graph.name)
    return keras.ops.convert_to_numpy(part(inputs, training=False))


def takes_logits(case: Case) -> bool | None:
    """Returns whether a loss applies the softmax or sigmoid itself; None if it is neither.

    Keras's losses say it. Any other is tried: of probabilities, right answers have no loss and
    wrong ones much; of scores, only scores that are far apart have none.
    """
    config = case.loss.get_config() if isinstance(case.loss, keras.losses.Loss) else {}
    if "from_logits" in config:
        return bool(config["from_logits"])
    labels = np.arange(case.classes) if case.classes > 1 else np.ones(1, int)
    right: np.ndarray = np.eye(case.classes, dtype="float32")
    wrong = np.roll(right, 1, axis=1) if case.classes > 1 else 1 - right
    answers = (right, wrong, FAR_APART * (2 * right - 1))
    try:
        of_right, of_wrong, of_scores = (
            mean_loss(case.loss, case.as_targets(labels), answer) for answer in answers
        )
    except (ValueError, TypeError, tf.errors.OpError):
        return None
    if of_right < NO_LOSS:
        # Squared errors have no loss there either, but little for wrong answers.
        return False if of_wrong > MUCH_LOSS else None
    return True if of_scores < NO_LOSS else None


def mean_loss(loss: Callable, targets: np.ndarray, outputs: np.ndarray) -> float:
    """Returns the mean loss of some outputs."""
    values = keras.ops.convert_to_numpy(loss(targets, keras.ops.convert_to_tensor(outputs)))
    return float(np.mean(values, dtype="float64"))


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether all rows are numbers from 0 to 1 with the sum 1."""
    if outputs.ndim != 2 or outputs.shape[1] < 2 or not np.isfinite(outputs).all():
        return False
    return bool(outputs.min() >= 0 and np.abs(outputs.sum(1) - 1).max() < SUM_TOLERANCE)
