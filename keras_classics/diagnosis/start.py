"""Checks of the start: the first loss, and what reaches each layer forward and back."""

from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np

from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.fresh import fresh_layers, has_fresh_head, weighted_layers
from keras_classics.diagnosis.graph import unchanged
from keras_classics.diagnosis.output import mean_loss, takes_logits
from keras_classics.diagnosis.progress import has_learned

# By how much the first loss may exceed that of chance. The deepest networks of the zoo start with
# scores that differ by several, so with a loss of 5 above chance.
EXCESS = 10.0
# Smallest part of the differences between the images that must reach the last layer for gradient
# descent with one rate for all layers. The narrow VGG-16 with Glorot's weights, of which most
# trainings do not leave chance, has 0.0007; with one normalisation, which lets it train, 0.004.
REACHING = 1e-3
# Adam and its like divide by the size of the gradient, so they train with less; where gradients
# come near their epsilon, 1e-7, they do not.
ADAPTIVE = (
    keras.optimizers.Adam,
    keras.optimizers.Nadam,
    keras.optimizers.Adamax,
    keras.optimizers.RMSprop,
    keras.optimizers.Adagrad,
    keras.optimizers.Adadelta,
    keras.optimizers.Lion,
    keras.optimizers.Lamb,
)
SMALLEST_GRADIENT = 1e-6
# Share of a layer's units that may be 0 for all images. With zero biases a third is, in narrow
# networks.
DEAD = 0.7
# Share of a layer's tanh or sigmoid outputs that may lie at the ends.
SATURATED = 0.5


def loss_at_start(case: Case) -> Iterator[Finding]:
    """Finds a first loss far above that of equal answers: initial weights or inputs too large."""
    if not _applies(case) or takes_logits(case) is None or not has_fresh_head(case.model):
        return
    loss, chance = case.signals().loss, loss_of_chance(case)
    if loss <= chance + EXCESS:
        return
    measured = f"The loss is {loss:.3g} before training; that of equal answers is {chance:.3f}."
    expected = (
        f"About ln({max(2, case.classes)}) = {chance:.3f}, because a new network knows nothing."
    )
    values = {"loss": loss, "chance": chance}
    if case.measure(standardised(case)).loss <= chance + EXCESS:
        yield _input_range(case, measured, expected, values)
        return
    growing = max(case.signals().weighted, key=lambda entry: entry.after / (entry.before + 1e-12))
    yield Finding(
        "loss_at_start",
        f"{measured} {growing.layer.name} multiplies its inputs most, by "
        f"{growing.after / (growing.before + 1e-12):.3g}.",
        expected,
        'The initial weights are too large: use kernel_initializer="he_normal".',
        layer=growing.layer.name,
        values=values,
        trial=with_he_weights,
    )


def saturated(case: Case) -> Iterator[Finding]:
    """Finds layers whose tanh or sigmoid is at its ends, where gradients vanish."""
    # A trained network with tanh decides by its ends.
    if not _applies(case) or has_learned(case.history):
        return
    for entry in case.signals().layers[:-1]:
        if entry.saturated is None or entry.saturated < SATURATED:
            continue
        measured = f"{entry.saturated:.0%} of the outputs of {entry.layer.name} are at the ends."
        expected = f"Less than {SATURATED:.0%}: at the ends the slope is 0 and nothing is learned."
        values = {"saturated": entry.saturated}
        again = case.measure(standardised(case)).layers
        healed = next(e for e in again if e.layer is entry.layer).saturated
        if healed is not None and healed < SATURATED:
            yield _input_range(case, measured, expected, values)
        else:
            yield Finding(
                "saturated",
                measured,
                expected,
                f"Make the initial weights of {entry.layer.name} smaller, or use a ReLU.",
                layer=entry.layer.name,
                values=values,
            )
        return


def _input_range(case: Case, measured: str, expected: str, values: dict) -> Finding:
    inputs = case.inputs()
    low, high = inputs.min(), inputs.max()
    return Finding(
        "input_range",
        f"Inputs lie between {low:.3g} and {high:.3g}. {measured} With inputs of mean 0 and "
        "deviation 1 it is as it should be.",
        expected,
        "Scale the images: divide pixels by 255, or subtract their mean and divide by their "
        "deviation.",
        values={**values, "lowest": low, "highest": high},
        trial=with_standardised_inputs,
    )


def dead_relus(case: Case) -> Iterator[Finding]:
    """Finds layers most of whose ReLUs are 0 for all images, and so get no gradient."""
    if not _applies(case):
        return
    entries = [entry for entry in case.signals().layers if entry.dead is not None]
    dead = [entry for entry in entries if (entry.dead or 0) >= DEAD]
    if not dead:
        return
    first = dead[0]
    others = f" So are most of {len(dead) - 1} later layers." if len(dead) > 1 else ""
    yield Finding(
        "dead_relus",
        f"{first.dead:.0%} of the units of {first.layer.name} are 0 for all images of a sample."
        + others,
        "Nearly all units respond to some image; a unit that is always 0 does not learn.",
        "Initialise biases with 0 and kernels with he_normal; if they died in training, begin anew "
        "with a smaller learning rate.",
        layer=first.layer.name,
        values={entry.layer.name: entry.dead for entry in entries},
        trial=with_he_weights,
    )


def vanishing_signal(case: Case) -> Iterator[Finding]:
    """Finds a start at which images hardly differ before the last layer, or gradients vanish."""
    if not _applies(case) or any((e.dead or 0) >= DEAD for e in case.signals().layers):
        return
    weighted = case.signals().weighted
    fresh = {id(layer) for layer in fresh_layers(case.model)}
    if len(weighted) < 2 or id(weighted[0].layer) not in fresh:
        return
    start, end = weighted[0], weighted[-1]
    reaching = end.before / max(min(start.before, 1.0), 1e-12)
    gradients = {e.layer.name: e.gradient for e in weighted if e.gradient is not None}
    smallest = min(gradients, key=gradients.__getitem__, default=None)
    adaptive = isinstance(case.optimizer, ADAPTIVE)
    # A last layer of zeros passes nothing back at first, but learns, and then it does.
    if smallest is None or not np.any(keras.ops.convert_to_numpy(end.layer.kernel)):
        return
    weak = gradients[smallest] < SMALLEST_GRADIENT if adaptive else reaching < REACHING
    if not weak:
        return
    yield Finding(
        "vanishing_signal",
        f"The images differ by {start.before:.2g} (root mean square) in the input and by "
        f"{end.before:.2g} before {end.layer.name}; the smallest gradient, that of {smallest}, is "
        f"{gradients[smallest]:.2g}.",
        "Differences between images keep their size from layer to layer, and so do gradients.",
        'Use kernel_initializer="he_normal", or BatchNormalization after the first convolution '
        '(batch_norm="first" for a VGG)' + ("." if adaptive else ", or Adam."),
        layer=smallest,
        values={"outputs": {e.layer.name: e.after for e in weighted}, "gradients": gradients},
        trial=with_he_weights,
    )


def _applies(case: Case) -> bool:
    return bool(np.isfinite(case.inputs()).all())


def loss_of_chance(case: Case) -> float:
    """Returns the loss of an answer that is the same for all classes."""
    outputs: np.ndarray = np.zeros((len(case.targets()), case.classes), "float32")
    if not takes_logits(case):
        outputs += 1 / max(2, case.classes)
        if case.labels().ndim == 2:
            outputs[:] = 0.5
    return mean_loss(case.loss, case.targets(), outputs)


def standardised(case: Case) -> np.ndarray:
    """Returns the inputs of the pass over a part of the sample, with mean 0 and deviation 1."""
    inputs = case.inputs()
    inputs = inputs[: len(case.signals().outputs)]
    return (inputs - inputs.mean()) / max(float(inputs.std()), 1e-12)


def with_standardised_inputs(case: Case) -> Case:
    """Returns the case with inputs of mean 0 and deviation 1."""
    mean, deviation = float(case.inputs().mean()), max(float(case.inputs().std()), 1e-12)
    before = case.preprocessing

    def preprocessing(images: np.ndarray) -> np.ndarray:
        return (np.asarray(before(images), "float32") - mean) / deviation

    return replace(case, preprocessing=preprocessing)


def with_he_weights(case: Case) -> Case:
    """Returns the case with a copy of the network: new kernels of He et al. 2015, biases 0."""
    with unchanged(case.model):
        model = keras.models.clone_model(case.model)
    model.set_weights(case.model.get_weights())
    for number, layer in enumerate(weighted_layers(model)):
        initializer = keras.initializers.HeNormal(seed=case.seed + number)
        layer.kernel.assign(initializer(layer.kernel.shape))
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(keras.ops.zeros_like(layer.bias))
    return replace(case, model=model)
