"""Forty pictures as visitors may choose them: of all kinds, shapes, sizes and formats."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageDraw
from sklearn.datasets import load_sample_image

FASHION = Path(__file__).parents[1] / "golden" / "fashion_mnist_sample.npz"

# Number of the orientation among the tags of EXIF.
ORIENTATION = 0x0112


def write_pictures(folder: Path) -> list[Path]:
    """Writes the pictures, and returns their paths."""
    encoded = {**_drawings(), **_shapes(), **_photographs(), **_transparent(), **_odd()}
    for name, content in encoded.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in encoded]


def _drawings() -> dict[str, bytes]:
    clothes = np.load(FASHION)["images"].squeeze()
    # The lightest fill their image, and are no drawings of dark strokes for that.
    lightest = clothes[np.argsort(clothes.mean((1, 2)))[::-1]]
    stroke = Image.new("L", (8, 8))
    ImageDraw.Draw(stroke).line((4, 1, 4, 6), 255, 2)
    paper = Image.new("RGB", (300, 420), (238, 236, 229))
    ImageDraw.Draw(paper).line((150, 60, 140, 360), (40, 40, 90), 30)
    return {
        "clothes.png": _file(clothes[0]),
        "light clothes.png": _file(lightest[0]),
        "lightest in colour.png": _file(np.repeat(lightest[1][..., np.newaxis], 3, -1)),
        "negative.png": _file(255 - clothes[1]),
        "stroke.png": _file(stroke),
        "paper.jpg": _file(paper, "JPEG", quality=85),
    }


def _shapes() -> dict[str, bytes]:
    """A shape on a plain background, as the pictures of a small folder may be."""

    def circle(shape: tuple[int, int, int], ground: tuple[int, int, int]) -> Image.Image:
        image = Image.new("RGB", (64, 64), ground)
        ImageDraw.Draw(image).ellipse((12, 12, 52, 52), shape)
        return image

    return {
        "light circle on grey.png": _file(circle((250, 240, 200), (150, 150, 150))),
        "dark circle on white.png": _file(circle((20, 60, 30), (255, 255, 255))),
        "light circle on light.jpg": _file(circle((255, 210, 210), (200, 230, 255)), "JPEG"),
        "exactly the box.png": _file(circle((250, 90, 20), (180, 180, 170)).resize((28, 28))),
        "exactly the crop.png": _file(circle((25, 90, 20), (220, 180, 170)).resize((48, 48))),
    }


def _photographs() -> dict[str, bytes]:
    china, flower = (
        Image.fromarray(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")
    )
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    turned = {
        f"orientation {number}.{ending}": _file(china, kind, exif=_exif(number))
        for number, ending, kind in ((3, "jpg", "JPEG"), (6, "jpg", "JPEG"), (8, "png", "PNG"))
    }
    return {
        "photo.jpg": _file(china, "JPEG", quality=90),
        "full colour.jpg": _file(flower, "JPEG", quality=80, subsampling=0),
        "progressive.jpg": _file(flower, "JPEG", progressive=True, quality=75),
        "grey.jpg": _file(china.convert("L"), "JPEG", quality=85),
        "cmyk.jpg": _file(china.convert("CMYK"), "JPEG", quality=85),
        "profile.jpg": _file(flower, "JPEG", icc_profile=profile),
        "odd sides.jpg": _file(china.resize((333, 221)), "JPEG"),
        "photo.png": _file(flower),
        "photo.bmp": _file(flower, "BMP"),
        "photo.gif": _file(china.quantize(64), "GIF"),
        "photo.webp": _file(china, "WEBP", quality=80),
        "large.jpg": _file(china.resize((4800, 3202)), "JPEG", quality=70),
        **turned,
    }


def _transparent() -> dict[str, bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype="uint8")
    noise[:10, :, 3] = 0
    flower = load_sample_image("flower.jpg")[:200, :200]
    alpha = np.tile(np.linspace(0, 255, 200).astype("uint8"), (200, 1))
    palette = Image.fromarray(flower).quantize(16)
    return {
        "noise with alpha.png": _file(noise),
        "fading photo.png": _file(np.dstack([flower, alpha])),
        "grey with alpha.png": _file(Image.fromarray(noise[..., [0, 3]].copy(), "LA")),
        "transparent colour.png": _file(palette, transparency=3),
        "transparent colour.gif": _file(palette, "GIF", transparency=3),
        "16 bits with alpha.png": _deep_png(colours=4, kind=6),
    }


def _odd() -> dict[str, bytes]:
    colours = np.random.default_rng(1).integers(0, 256, (60, 9000, 3), dtype="uint8")
    return {
        "one pixel.png": _file(colours[:1, :1]),
        "two by three.png": _file(colours[:3, :2]),
        "wide.png": _file(colours[:20, :1000]),
        "very wide.png": _file(colours),
        "tall.png": _file(colours[:20, :1000].swapaxes(0, 1)),
        "one column.png": _file(colours[:1, :300].swapaxes(0, 1)),
        "16 bits.png": _deep_png(colours=1, kind=0),
        "gamma.png": _png(17, 13, 8, 2, colours[:13, :17].reshape(13, -1), _gamma()),
    }


def _file(image: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def _deep_png(colours: int, kind: int) -> bytes:
    rows = np.random.default_rng(2).integers(0, 256, (13, 17 * 2 * colours), dtype="uint8")
    return _png(17, 13, 16, kind, rows)


def _png(width: int, height: int, depth: int, kind: int, rows: np.ndarray, more=b"") -> bytes:
    """A PNG file of a kind that Pillow does not write."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = (_chunk(b"IHDR", head), more, _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _gamma() -> bytes:
    return _chunk(b"gAMA", struct.pack(">I", 100_000))


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def has_light_edge(image: np.ndarray) -> bool:
    """Whether a picture is dark on light, by its edge; of shape (height, width, 3)."""
    height, width, _ = image.shape
    inside = np.zeros((height, width), bool)
    inside[1:-1, 1:-1] = True
    return image[~inside].mean() > 127
