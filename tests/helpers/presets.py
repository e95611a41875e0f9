"""What torchvision's presets make of two images, at a few places.

`tests/golden/presets.json` is made with torchvision, which the tests do not need:

    pip install torch torchvision
    python -m tests.helpers.presets
"""

import json
from pathlib import Path

import numpy as np

from tests.helpers.images import photograph
from tests.helpers.parity import import_torchvision

PATH = Path(__file__).parents[1] / "golden" / "presets.json"
VERSIONS = {"": "IMAGENET1K_V1", "_v2": "IMAGENET1K_V2"}


def noise() -> np.ndarray:
    """An image that has the networks' size already."""
    return np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype("uint8")


def some(image: np.ndarray) -> np.ndarray:
    """Values at 64 places of an image of shape (224, 224, 3), of one channel after another."""
    places = np.random.default_rng(1).integers(0, 224, (64, 2))
    return np.array([image[y, x, i % 3] for i, (y, x) in enumerate(places)])


def main() -> None:
    """Writes the file."""
    import torch
    from PIL import Image

    models = import_torchvision()
    from torchvision.transforms.functional import normalize

    presets = {}
    for version, name in VERSIONS.items():
        transforms = models.get_model_weights("resnet50")[name].transforms()
        prepared = transforms(Image.fromarray(photograph())).permute(1, 2, 0).numpy()
        pixels = torch.from_numpy(noise().transpose(2, 0, 1)).float() / 255
        arithmetic = normalize(pixels, transforms.mean, transforms.std).permute(1, 2, 0).numpy()
        presets[version] = {
            "photograph": some(prepared).astype("float64").round(6).tolist(),
            "arithmetic": some(arithmetic).astype("float64").round(7).tolist(),
        }
    PATH.write_text(json.dumps(presets) + "\n")


if __name__ == "__main__":
    main()
