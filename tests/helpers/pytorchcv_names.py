"""pytorchcv's names of the tensors of networks that torchvision has too."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

# Convolutions of each stage of AlexNet and the VGGs.
STAGES = {5: (1, 1, 3), 8: (1, 1, 2, 2, 2), 10: (2,) * 5, 13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}


def named(tensors: Mapping[str, Any], small: bool = False) -> dict[str, Any]:
    """Renames tensors of torchvision's names.

    Args:
        tensors: The tensors, or whatever stands for them, in the order of the layers.
        small: Whether it is a ResNet for small images.
    """
    if "conv1.weight" in tensors:
        return {_in_resnet(name, small): tensor for name, tensor in tensors.items()}
    return _in_sequence(tensors)


def _in_resnet(name: str, small: bool) -> str:
    stem = "features.init_block" if small else "features.init_block.conv"
    for one, other in (("conv1.", f"{stem}.conv."), ("bn1.", f"{stem}.bn."), ("fc.", "output.")):
        if name.startswith(one):
            return name.replace(one, other, 1)
    match = re.match(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(\w+)", name)
    assert match, name
    stage, unit, kind, number, variable = match.groups()
    unit = f"features.stage{stage}.unit{int(unit) + 1}"
    if kind == "downsample.":
        return f"{unit}.identity_conv.{('conv', 'bn')[int(number)]}.{variable}"
    return f"{unit}.body.conv{number}.{kind}.{variable}"


def _in_sequence(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Renames a sequence; the modules follow one another in both."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in tensors))
    has_norm = {module for module in modules if f"{module}.running_mean" in tensors}
    features = [m for m in modules if m.startswith("features.")]
    convolutions = [m for m in features if m not in has_norm]
    units = [
        f"features.stage{stage}.unit{unit}"
        for stage, count in enumerate(STAGES[len(convolutions)], 1)
        for unit in range(1, count + 1)
    ]
    names = dict(zip(convolutions, (f"{unit}.conv" for unit in units), strict=True))
    names |= {
        m: f"{names[b].removesuffix('conv')}bn"
        for b, m in itertools.pairwise(features)
        if m in has_norm
    }
    dense = [m for m in modules if m.startswith("classifier.")]
    names |= dict(zip(dense, ("output.fc1.fc", "output.fc2.fc", "output.fc3"), strict=True))
    return {
        f"{names[module]}.{variable}": tensor
        for name, tensor in tensors.items()
        for module, _, variable in [name.rpartition(".")]
    }
