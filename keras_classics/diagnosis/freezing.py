"""Checks of what does not train: frozen layers with new weights, slow moving statistics."""

from collections.abc import Iterator

from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.fresh import fresh_layers, normalisations, weighted_layers

# Momenta of moving statistics with which they are of nearly the last batch alone, or of more steps
# than most trainings have: 1 / (1 - 0.9995) = 2,000 steps.
MOMENTA = (0.5, 0.9995)


def frozen_layers(case: Case) -> Iterator[Finding]:
    """Finds layers that do not train although their weights are new, and a frozen head."""
    layers = weighted_layers(case.model)
    frozen = [layer for layer in layers if not layer.kernel.trainable]
    if not layers or not frozen:
        return
    fresh = {id(layer) for layer in fresh_layers(case.model)}
    new = [layer for layer in frozen if id(layer) in fresh]
    names = ", ".join(layer.name for layer in new[:3]) + (", ..." if len(new) > 3 else "")
    if len(frozen) == len(layers):
        yield Finding(
            "frozen_layers",
            f"All {len(layers)} layers with a kernel are frozen.",
            "At least the last layer trains.",
            f"Set {layers[-1].name}.trainable = True, or model.trainable = True, before compile.",
            layer=layers[-1].name,
            values={"frozen": [layer.name for layer in frozen]},
        )
    elif new:
        yield Finding(
            "frozen_layers",
            f"{len(new)} of {len(layers)} layers are frozen with their initial weights: {names}.",
            "Only layers with trained weights are frozen.",
            f"Set {new[0].name}.trainable = True before compile, or load trained weights.",
            layer=new[0].name,
            values={"frozen": [layer.name for layer in new]},
        )
    elif layers[-1] in frozen:
        yield Finding(
            "frozen_layers",
            f"The last layer, {layers[-1].name}, is frozen, and layers before it train.",
            "The last layer trains; layers are frozen from the first one on.",
            f"Set {layers[-1].name}.trainable = True before compile.",
            layer=layers[-1].name,
            values={"frozen": [layer.name for layer in frozen]},
        )


def batch_norm_momentum(case: Case) -> Iterator[Finding]:
    """Finds moving statistics that follow the last batch alone, or never settle."""
    for layer in normalisations(case.model):
        if MOMENTA[0] <= layer.momentum <= MOMENTA[1] or not layer.trainable:
            continue
        small = layer.momentum < MOMENTA[0]
        yield Finding(
            "batch_norm_momentum",
            f"{layer.name} has momentum={layer.momentum:g}: its moving statistics "
            + ("are nearly those of the last batch." if small else "hardly move."),
            "In Keras, momentum is the part of the old statistics that a step keeps: 0.9 to 0.99.",
            f"Use momentum={1 - layer.momentum:g}, which torch calls {layer.momentum:g}."
            if small
            else "Use momentum=0.9, or 0.99 for trainings of many steps.",
            layer=layer.name,
            values={"momentum": layer.momentum},
        )
        return
