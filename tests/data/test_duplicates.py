"""Copies among image files: the same bytes, the same pixels, or nearly the same."""

import time

import numpy as np
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

from keras_classics.data.duplicates import Group, find_duplicates
from keras_classics.data.fingerprints import Fingerprints
from keras_classics.data.image_files import faults
from keras_classics.data.image_modes import MODES
from tests.helpers.image_copies import altered, drawn_images, fashion_images, photo_crops
from tests.helpers.image_files import FATAL, PHOTO, READABLE, encoded


def printed(folder, contents: list[bytes]) -> Fingerprints:
    """Fingerprints of files, taken as the command takes them."""
    paths = [folder / f"{number:05}.jpg" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    prints = Fingerprints(len(paths))
    list(faults(paths, prints=prints))
    return prints


def png(image: np.ndarray) -> bytes:
    return encoded(Image.fromarray(image), "PNG")


def test_planted_copies_are_found_and_little_else(tmp_path):
    rng = np.random.default_rng(7)
    originals = [*fashion_images(), *photo_crops(64), *drawn_images(430, rng)]
    assert len(originals) >= 1000
    planted = rng.choice(len(originals), 100, replace=False)
    copies = [altered(originals[i], rng) for i in planted]
    groups = find_duplicates(printed(tmp_path, [*map(png, originals), *copies]))
    wanted = {(int(i), len(originals) + k) for k, i in enumerate(planted)}
    found = {group.members for group in groups}
    assert len(wanted & found) >= 95
    assert len({image for group in found - wanted for image in group}) <= 1


KINDS = {
    "same bytes": encoded(PHOTO, "PNG"),
    "same pixels": encoded(PHOTO, "BMP"),
    "nearly the same": encoded(PHOTO, "JPEG", quality=50),
    "nearly the same, mirrored": encoded(ImageOps.mirror(PHOTO), "PNG"),
    "nearly the same, upside down": encoded(PHOTO.rotate(180), "PNG"),
    "nearly the same, mirrored and upside down": encoded(ImageOps.flip(PHOTO), "PNG"),
    "nearly the same, turned": encoded(PHOTO.rotate(90, expand=True), "PNG"),
    "nearly the same, mirrored and turned": encoded(
        PHOTO.transpose(Image.Transpose.TRANSPOSE), "PNG"
    ),
}
CHANGED = {
    "scaled": encoded(PHOTO.resize((60, 45)), "PNG"),
    "enlarged": encoded(PHOTO.resize((240, 180)), "JPEG", quality=80),
    "square": encoded(PHOTO.resize((96, 96)), "PNG"),
    "grey": encoded(PHOTO.convert("L"), "JPEG"),
    "palette": encoded(PHOTO.quantize(128), "PNG"),
    "CMYK": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "WebP": encoded(PHOTO, "WEBP", quality=60),
    "GIF": encoded(PHOTO, "GIF"),
}


def test_the_kinds_of_copies(tmp_path):
    (group,) = find_duplicates(printed(tmp_path, [encoded(PHOTO, "PNG"), *KINDS.values()]))
    assert group == Group(tuple(range(1 + len(KINDS))), ("", *KINDS))


def test_changes_that_leave_a_copy(tmp_path):
    (group,) = find_duplicates(printed(tmp_path, [encoded(PHOTO, "PNG"), *CHANGED.values()]))
    assert len(group.members) == 1 + len(CHANGED)
    assert set(group.kinds) == {"", "nearly the same"}


def test_other_images_are_none(tmp_path):
    photo = np.asarray(PHOTO)
    others = [
        photo[:45, :60],
        photo[45:, 60:],
        255 - photo,
        photo[..., ::-1] // 2,
        photo // 4 + 190,
    ]
    assert find_duplicates(printed(tmp_path, [*map(png, [photo, *others])])) == []


def uniform(rng, count):
    return [np.full((40, 50, 3), rng.integers(0, 250, 3), "uint8") for _ in range(count)]


def almost_uniform(rng, count):
    return [image + rng.integers(0, 4, image.shape, dtype="uint8") for image in uniform(rng, count)]


def gradients(rng, count):
    """From one colour to another, in any direction."""
    rows, columns = np.mgrid[:40, :50] / 50
    images = []
    for angle in rng.uniform(0, 2 * np.pi, count):
        way = np.cos(angle) * columns + np.sin(angle) * rows
        way = (way - way.min()) / np.ptp(way)
        one, other = rng.uniform(0, 255, (2, 3))
        images.append((one + (other - one) * way[..., np.newaxis]).astype("uint8"))
    return images


def noise(rng, count):
    return list(rng.integers(0, 256, (count, 32, 32, 3), dtype="uint8"))


def test_images_alike_are_no_copies(tmp_path):
    rng = np.random.default_rng(3)
    images = [uniform(rng, 250), almost_uniform(rng, 250), gradients(rng, 250), noise(rng, 250)]
    # 8x8 pixels, which is hard: some of the digits differ in little.
    digits = (load_digits().images[:250] * 15.9).astype("uint8")
    images.append(list(np.repeat(digits[..., np.newaxis], 3, axis=-1)))
    assert (
        find_duplicates(printed(tmp_path, [png(image) for kind in images for image in kind])) == []
    )


def test_images_alike_with_the_same_pixels(tmp_path):
    rng = np.random.default_rng(3)
    images = [kind(rng, 1)[0] for kind in (uniform, almost_uniform, gradients)]
    contents = [
        content
        for image in images
        for content in (png(image), encoded(Image.fromarray(image), "BMP"))
    ]
    expected = [Group((i, i + 1), ("", "same pixels")) for i in (0, 2, 4)]
    assert find_duplicates(printed(tmp_path, contents)) == expected


def test_a_folder_of_one_image(tmp_path):
    # Groups, not pairs: two million pairs of the same image, and as many of nearly the same.
    count = 2000
    prints = printed(tmp_path, [encoded(PHOTO, "JPEG"), encoded(PHOTO, "PNG")])
    many = Fingerprints(2 * count)
    for name, values in vars(prints).items():
        getattr(many, name)[:] = np.repeat(values, count, axis=0)
    many.pixels[count:] += np.arange(count, dtype="uint64")
    many.content[count:] += np.arange(count, dtype="uint64")
    start = time.perf_counter()
    (group,) = find_duplicates(many)
    assert time.perf_counter() - start < 60
    assert group.members == tuple(range(2 * count))
    assert group.kinds == ("", *["same bytes"] * (count - 1), *["nearly the same"] * count)


def test_twenty_thousand_images():
    rng = np.random.default_rng(0)
    # As in photographs, low frequencies are stronger.
    strength = 60 / np.hypot(*np.mgrid[:17, :17]).clip(1) ** 1.6
    many = Fingerprints(20_000)
    many.read[:] = True
    many.sizes[:] = 200
    many.pixels[:] = many.content[:] = np.arange(20_000)
    many.frequencies[:] = rng.standard_normal(many.frequencies.shape) * strength
    many.frequencies *= rng.uniform(0.3, 1.4, (20_000, 1, 1)).astype("float16")
    many.frequencies[:, 0, 0] = 0
    many.mosaic[:] = rng.integers(0, 256, (20_000, 1, 1, 3))
    # The last 200 are copies of the first, with the noise of compression and mirrored.
    noise = rng.normal(0, 0.03, (200, 17, 17))
    many.frequencies[-200:] = (many.frequencies[:200] + noise) * (-1.0) ** np.arange(17)
    many.mosaic[-200:] = many.mosaic[:200]
    start = time.process_time()
    groups = find_duplicates(many)
    assert time.process_time() - start < 60
    # Some are almost a gradient.
    assert len(groups) >= 190
    for group in groups:
        (first, _) = group.members
        assert group == Group((first, 19_800 + first), ("", "nearly the same, mirrored"))


def test_unusual_files(tmp_path):
    contents = [content for content, _ in FATAL.values()]
    contents += [encoded(Image.new("RGB", (1, 1)), "PNG"), encoded(Image.new("RGB", (1, 1)), "BMP")]
    contents += [
        encoded(Image.new("L", (300, 1), 9), "PNG"),
        encoded(Image.new("L", (1, 300), 9), "PNG"),
    ]
    prints = printed(tmp_path, contents)
    assert prints.read.tolist() == [False] * len(FATAL) + [True] * 4
    first = len(FATAL)
    # The bytes of the pixels of the last two are the same, their shapes are not.
    assert find_duplicates(prints) == [Group((first, first + 1), ("", "same pixels"))]
    assert find_duplicates(printed(tmp_path, [])) == []


def test_sizes_and_modes(tmp_path):
    prints = printed(tmp_path, [content for content, _ in READABLE.values()])
    assert (prints.sizes == (90, 120)).all()
    modes = dict(zip(READABLE, (MODES[mode] for mode in prints.modes), strict=True))
    assert modes["rgb.jpg"] == modes["webp.jpg"] == modes["rgb.bmp"] == "RGB"
    assert modes["grey.jpg"] == modes["bit.png"] == modes["grey.bmp"] == "grey"
    assert modes["cmyk.jpg"] == modes["ycck.jpg"] == "CMYK"
    assert modes["palette.png"] == modes["one.gif"] == "palette"
    assert modes["alpha.png"] == modes["alpha.bmp"] == "RGB with alpha"
    assert modes["grey_alpha.png"] == "grey with alpha"
    assert modes["palette_alpha.png"] == "palette with alpha"


def test_rarer_modes(tmp_path):
    deep = Image.fromarray(np.arange(600, dtype="uint16").reshape(20, 30) * 99)
    contents = [
        encoded(deep, "PNG"),
        encoded(PHOTO, "WEBP", lossless=True),
        encoded(PHOTO.quantize(8), "GIF", transparency=0),
        encoded(PHOTO.quantize(64), "BMP"),
    ]
    modes = [MODES[mode] for mode in printed(tmp_path, contents).modes]
    assert modes == ["16-bit grey", "RGB", "palette with alpha", "palette"]
