"""Networks of other frameworks, for comparison in `reproduce.benchmark`."""

import itertools
from collections.abc import Callable
from typing import Any

from keras_classics.errors import require

# Channels of the nine blocks.
MAPS = (16, 16, 16, 32, 32, 32, 64, 64, 64)


def torch_network(name: str) -> Any:
    """Returns a network in torch: torchvision's, or ResNet-20, which torchvision lacks.

    Args:
        name: Name of the network here.

    Raises:
        UserError: torch or torchvision is not installed.
    """
    torch = require("torch", "torch")
    if name == "resnet20":
        return _resnet20(torch)
    # torchvision's AlexNet is that of "One weird trick".
    return getattr(import_torchvision(), name.removesuffix("_owt"))(weights=None)


def import_torchvision() -> Any:
    """Imports torchvision's networks, also where its compiled operators fit no torch that is there.

    The networks do not use these.

    Raises:
        UserError: torch or torchvision is not installed.
    """
    torch = require("torch", "torch")
    register_fake = torch.library.register_fake

    def register(name: str, *arguments, **options) -> Callable:
        if name.startswith("torchvision::"):
            return lambda function: function
        return register_fake(name, *arguments, **options)

    torch.library.register_fake = register
    try:
        return require("torchvision.models", "torch")
    finally:
        torch.library.register_fake = register_fake


def _resnet20(torch):
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, before: int, maps: int):
            super().__init__()
            self.stride = maps // before
            self.new = maps - before
            self.conv1 = nn.Conv2d(before, maps, 3, self.stride, 1, bias=False)
            self.conv2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(maps), nn.BatchNorm2d(maps)

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            if self.new:
                x = x[:, :, :: self.stride, :: self.stride]
                x = nn.functional.pad(x, (0, 0, 0, 0, 0, self.new))
            return torch.relu(y + x)

    stages = [Block(*pair) for pair in itertools.pairwise((16, *MAPS))]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*stem, *stages, *end)
