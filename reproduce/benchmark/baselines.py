"""Networks of other frameworks, for comparison in `reproduce.benchmark`."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_classics.errors import require

# Channels of the nine blocks.
MAPS = (16, 16, 16, 32, 32, 32, 64, 64, 64)


def torch_resnet20_step(images: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    """Returns one training step of ResNet-20 in torch, on the same images each time.

    He et al. 2015, section 4.2, shortcuts of option A, momentum and weight decay. Images are in
    torch's channels_last format, the fastest on a CPU.

    Args:
        images: float32, shape (batch, 32, 32, 3).
        labels: Shape (batch,).

    Raises:
        UserError: torch is not installed.
    """
    torch = require("torch", "torch")
    model = torch_network("resnet20").to(memory_format=torch.channels_last).train()
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(labels.astype("int64"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loss = torch.nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.item()

    return step


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
    models = require("torchvision.models", "torch")
    # torchvision's AlexNet is that of "One weird trick".
    return getattr(models, name.removesuffix("_owt"))(weights=None)


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
