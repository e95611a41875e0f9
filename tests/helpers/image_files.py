"""Image files of all kinds, as Pillow writes them, and what is unusual or wrong about some."""

import io

import numpy as np
from PIL import Image

from tests.helpers.images import photograph

PHOTO = Image.fromarray(photograph()).resize((120, 90))
NEGATIVE = Image.eval(PHOTO, lambda value: 255 - value)
FRAMES = {"save_all": True, "append_images": [NEGATIVE]}


def encoded(image, file_format, **options):
    content = io.BytesIO()
    image.save(content, file_format, **options)
    return content.getvalue()


def with_alpha(alpha):
    image = PHOTO.copy()
    image.putalpha(alpha)
    return image


def ycck():
    """A CMYK JPEG whose colours are stored as brightness and chroma: Pillow only reads these."""
    # The file holds the negative as YCbCr, and 180 for black; Pillow inverts what it writes.
    colours = 255 - np.asarray(NEGATIVE.convert("YCbCr"))
    black = np.full((*colours.shape[:2], 1), 255 - 180, "uint8")
    image = Image.fromarray(np.concatenate([colours, black], axis=-1), "CMYK")
    content = bytearray(encoded(image, "JPEG", quality=95))
    content[content.find(b"Adobe") + 11] = 2  # The transform that Adobe's marker names.
    return bytes(content)


def with_a_hole(content):
    """As after a bad block of a disk."""
    middle = len(content) // 2
    return content[:middle] + bytes(512) + content[middle + 512 :]


def side(orientation, file_format="JPEG", **options):
    """A photo whose EXIF data state an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PHOTO, file_format, exif=exif, **options)


JPEG = encoded(PHOTO, "JPEG", quality=90)
WEBP = encoded(PHOTO, "WEBP")
PNG = encoded(PHOTO, "PNG")
GIF = encoded(PHOTO, "GIF")
ANIMATION = encoded(PHOTO, "GIF", **FRAMES)

# Each kind of file, and what is unusual about it.
READABLE = {
    "rgb.jpg": (JPEG, None),
    "rgb.JPEG": (JPEG, None),
    "grey.jpg": (encoded(PHOTO.convert("L"), "JPEG"), None),
    "progressive.jpg": (encoded(PHOTO, "JPEG", progressive=True), None),
    "longer.jpg": (JPEG + b"something", None),
    "cmyk.jpg": (encoded(PHOTO.convert("CMYK"), "JPEG"), "CMYK, which is converted to RGB"),
    "ycck.jpg": (ycck(), "CMYK, which is converted to RGB"),
    "rgb.png": (PNG, None),
    "bit.png": (encoded(PHOTO.convert("1"), "PNG"), None),
    "palette.png": (encoded(PHOTO.quantize(64), "PNG"), None),
    "alpha.png": (encoded(with_alpha(9), "PNG"), "alpha channel, which is dropped"),
    "grey_alpha.png": (encoded(PHOTO.convert("LA"), "PNG"), "alpha channel, which is dropped"),
    "palette_alpha.png": (
        encoded(PHOTO.quantize(64), "PNG", transparency=3),
        "alpha channel, which is dropped",
    ),
    "animated.png": (encoded(PHOTO, "PNG", **FRAMES), "animated; only the first frame is used"),
    "one.gif": (GIF, None),
    "two.gif": (ANIMATION, "animated; only the first frame is used"),
    "rgb.bmp": (encoded(PHOTO, "BMP"), None),
    "grey.bmp": (encoded(PHOTO.convert("L"), "BMP"), None),
    "alpha.bmp": (encoded(with_alpha(9), "BMP"), "alpha channel, which is dropped"),
    "png.jpg": (PNG, "PNG under the name of a JPEG"),
    "jpg.png": (JPEG, "JPEG under the name of a PNG"),
    "webp.jpg": (WEBP, "WebP under the name of a JPEG"),
    "upright.jpg": (side(1), None),
    "side.jpg": (side(6), "EXIF orientation 6, which only --exif applies"),
    "side.png": (side(8, "PNG"), "EXIF orientation 8, which only --exif applies"),
    "both.jpeg": (
        encoded(with_alpha(9), "PNG"),
        "PNG under the name of a JPEG; alpha channel, which is dropped",
    ),
}
FATAL = {
    "empty.jpg": (b"", "empty"),
    "page.jpg": (b"<html>404</html>", "not an image (JPEG, PNG, GIF, BMP, WebP)"),
    "tiff.jpg": (encoded(PHOTO, "TIFF"), "not an image (JPEG, PNG, GIF, BMP, WebP)"),
    "cut.jpg": (JPEG[:-1], "JPEG, cut short"),
    "head.jpg": (JPEG[:30], "JPEG, cut short"),
    "cut.png": (PNG[: len(PNG) // 2], "PNG, cut short"),
    "cut.gif": (GIF[: len(GIF) // 2], "GIF, cut short"),
    "hole.png": (with_a_hole(PNG), f"(Invalid PNG data, size {len(PNG)})"),
    "cut.bmp": (encoded(PHOTO, "BMP")[:-9], "BMP, damaged or of an unknown kind (Input size"),
    "bit.bmp": (encoded(PHOTO.convert("1"), "BMP"), "must be 1, 3 or 4, was 0)"),
}
