"""The colour mode of an image file, as its header says."""

import numpy as np

# What files hold. TensorFlow decodes all of them to RGB.
MODES = (
    *("RGB", "grey", "CMYK", "palette", "RGB with alpha", "grey with alpha", "palette with alpha"),
    *("16-bit RGB", "16-bit grey", "16-bit RGB with alpha", "16-bit grey with alpha"),
)

# By the number of its channels, the mode of a JPEG.
JPEG_MODES = {1: "grey", 3: "RGB", 4: "CMYK"}


def mode_of(encoded: bytes, file_format: str | None) -> str:
    """Returns the colour mode of an image that can be decoded, one of `MODES`.

    Args:
        encoded: The content of the file.
        file_format: PNG, GIF, BMP or WebP.
    """
    if file_format == "PNG":
        depth = "16-bit " if encoded[24] == 16 else ""
        base = {0: "grey", 3: "palette", 4: "grey"}.get(encoded[25], "RGB")
        return depth + base + (" with alpha" if has_png_alpha(encoded) else "")
    if file_format == "GIF":
        return "palette with alpha" if has_gif_transparency(encoded) else "palette"
    if file_format == "BMP":
        if bmp_bits(encoded) == 8:
            return "palette" if has_bmp_colours(encoded) else "grey"
        return "RGB with alpha" if bmp_bits(encoded) == 32 else "RGB"
    # TensorFlow reads no WebP with an alpha channel.
    return "RGB"


def png_head(png: bytes) -> bytes:
    """Returns what stands before the pixels of a PNG file."""
    return png[: png.find(b"IDAT")]


def has_png_alpha(png: bytes) -> bool:
    """Returns whether a PNG file has transparent pixels."""
    # Colour types 4 and 6 have the channel, and any other may name what is transparent.
    return png[25] in (4, 6) or b"tRNS" in png_head(png)


def has_gif_transparency(gif: bytes) -> bool:
    """Returns whether the first frame of a GIF file has transparent pixels."""
    # The lowest bit of the first graphic control extension, which is that of the first frame.
    control = gif.find(b"!\xf9\x04")
    return control >= 0 and gif[control + 3] & 1 == 1


def bmp_bits(bmp: bytes) -> int:
    """Returns the bits of each pixel of a BMP file."""
    return int.from_bytes(bmp[28:30], "little")


def has_bmp_colours(bmp: bytes) -> bool:
    """Returns whether a BMP file has a palette, other than that of a grey image."""
    pixels, head = (int.from_bytes(bmp[at : at + 4], "little") for at in (10, 14))
    palette = bmp[14 + head : pixels]
    palette = np.frombuffer(palette[: len(palette) // 4 * 4], "uint8").reshape(-1, 4)
    greys = np.arange(len(palette))[:, np.newaxis]
    return bmp_bits(bmp) == 8 and bool((palette[:, :3] != greys).any())
