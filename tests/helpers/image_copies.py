"""Images of many kinds, and copies of them as people make them."""

import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.helpers.programs import ROOT

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def fashion_images() -> list[np.ndarray]:
    """500 images of clothes, of which many look alike: uint8, 28x28x3."""
    with np.load(ROOT / "tests" / "golden" / "fashion_mnist_sample.npz") as sample:
        return list(np.repeat(sample["images"], 3, axis=-1))


def photo_crops(side: int) -> list[np.ndarray]:
    """Squares of photographs that do not overlap, without those that are almost uniform."""
    crops = []
    for photo in map(load_sample_image, ("china.jpg", "flower.jpg")):
        height, width = photo.shape[:2]
        for top in range(0, height - side + 1, side):
            for left in range(0, width - side + 1, side):
                crops.append(photo[top : top + side, left : left + side])
    return [crop for crop in crops if crop.std((0, 1)).max() > 20]


def drawn_images(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Coloured rectangles and discs on a ground: uint8, 72x96x3."""
    rows, columns = np.mgrid[:72, :96]
    images = []
    for _ in range(count):
        image = np.full((72, 96, 3), rng.integers(0, 256, 3), "uint8")
        for _ in range(3):
            y, x, r = rng.uniform(0.2, 0.8) * 72, rng.uniform(0.2, 0.8) * 96, rng.uniform(6, 24)
            disc = (rows - y) ** 2 + (columns - x) ** 2 < r**2
            box = (np.abs(rows - y) < r) & (np.abs(columns - x) < r * rng.uniform(0.5, 2))
            image[disc if rng.integers(2) else box] = rng.integers(0, 256, 3)
        images.append(image)
    return images


def altered(image: np.ndarray, rng: np.random.Generator) -> bytes:
    """An image scaled by 0.5 to 2, stretched by 5 %, mirrored or not, and compressed anew."""
    copy = Image.fromarray(image)
    scale, stretch = np.exp(rng.uniform(np.log(0.5), np.log(2))), rng.uniform(0.95, 1.05)
    if rng.integers(4):
        size = round(copy.width * scale * stretch), round(copy.height * scale)
        copy = copy.resize(size, FILTERS[rng.integers(len(FILTERS))])
    if rng.integers(2):
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    content = io.BytesIO()
    copy.save(content, "JPEG", quality=int(rng.integers(50, 96)))
    return content.getvalue()
