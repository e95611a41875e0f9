"""pytorchcv's names of the layers of AlexNet, VGG and ResNets, which are others than torchvision's.

pytorchcv                                        torchvision
features.init_block.conv.conv, .conv.bn          conv1, bn1; for small images without the first conv
features.stageS.unitU.body.convI.conv, .bn       layerS.{U-1}.convI, .bnI
features.stageS.unitU.identity_conv.conv, .bn    layerS.{U-1}.downsample.0, .1
features.stageS.unitU.conv, .bn                  features.N, N counts torchvision's modules
output.fc1.fc, output.fc2.fc, output.fc3         classifier.N
output                                           fc
"""

import re
from collections.abc import Mapping

from keras_classics.errors import UserError

AROUND = r"((?:.*\.)?)"
STEM = re.compile(AROUND + r"features\.init_block\.(?:conv\.)?(conv|bn)\.(\w+)")
BRANCH = re.compile(
    AROUND
    + r"features\.stage(\d{1,3})\.unit(\d{1,3})\.(?:body\.conv(\d)|identity_conv)\.(conv|bn)\.(\w+)"
)
LAYER = re.compile(AROUND + r"features\.stage(\d{1,3})\.unit(\d{1,3})\.(conv|bn)\.(\w+)")
OUTPUT = re.compile(AROUND + r"output\.(?:fc([123])\.(?:fc\.)?)?(\w+)")

# Numbers of the dense layers, by the number of stages: AlexNet has three, VGG five.
DENSE = {3: (1, 4, 6), 5: (0, 3, 6)}


# AlexNet's first kernels, of which pytorchcv has two.
OF_2012 = (96, 3, 11, 11)


def torchvision_names(names: Mapping[str, tuple[int, ...] | None]) -> dict[str, str]:
    """Returns torchvision's names of the tensors of a file, by pytorchcv's; of others, nothing.

    Args:
        names: The entries of the file, with the shapes of those that are tensors.

    Raises:
        UserError: If it is a network that computes otherwise than that of the same shapes here.
    """
    layers = {name: match for name in names if (match := LAYER.fullmatch(name))}
    found = {name: _residual(match) for name in names if (match := BRANCH.fullmatch(name))}
    found |= _sequential(layers)
    if not found:
        return {}
    if any(names[name] == OF_2012 for name in layers):
        raise UserError(
            "it is the alexnet of pytorchcv, whose first maps are 54x54 and whose poolings round "
            "up, as in no network here. Its alexnetb is alexnet_owt"
        )
    stages = max((int(match[2]) for match in layers.values()), default=0)
    for name in names:
        if match := STEM.fullmatch(name):
            found[name] = f"{match[1]}{match[2]}1.{match[3]}"
        elif match := OUTPUT.fullmatch(name):
            numbers = DENSE.get(stages)
            dense = match[2] and numbers and f"classifier.{numbers[int(match[2]) - 1]}"
            found[name] = f"{match[1]}{dense or 'fc'}.{match[3]}"
    return found


def _residual(match: re.Match) -> str:
    around, stage, unit, number, kind, variable = match.groups()
    module = f"{kind}{number}" if number else f"downsample.{int(kind == 'bn')}"
    return f"{around}layer{stage}.{int(unit) - 1}.{module}.{variable}"


def _sequential(layers: Mapping[str, re.Match]) -> dict[str, str]:
    """Returns the names of a sequence: units end in a ReLU, and stages in a pooling."""
    units = sorted({(m[1], int(m[2]), int(m[3])) for m in layers.values()})
    norms = {m[1] for m in layers.values() if m[4] == "bn"}
    numbers = {}
    for around in {around for around, _, _ in units}:
        own = [unit for unit in units if unit[0] == around]
        size = 3 if around in norms else 2
        numbers |= {unit: size * i + unit[1] - 1 for i, unit in enumerate(own)}
    return {
        name: f"{m[1]}features.{numbers[m[1], int(m[2]), int(m[3])] + (m[4] == 'bn')}.{m[5]}"
        for name, m in layers.items()
    }
