"""Decodes all images of a folder and lists the faulty ones.

keras-classics check_images my_images

It includes all subfolders. The exit status is 2 if training could not read some images. Images that
can be read but are unusual, such as a PNG file named .jpg, are listed too.
"""

import os
from pathlib import Path

from tqdm import tqdm

from keras_classics.data.image_files import EXTENSIONS, faults
from keras_classics.errors import UserError


def main(path: str) -> None:
    """Lists and counts the faults."""
    root = Path(path)
    images = _image_files(root)
    found = []
    # disable=None: no bar if the output is not a terminal.
    with tqdm(total=len(images), unit="img", disable=None) as bar:
        for fault in faults(images, progress=bar.update):
            found.append(fault)
            bar.write(f"{fault.path.relative_to(root)}: {fault.fault}")
    fatal = sum(fault.fatal for fault in found)
    print(f"{len(images):,} images: {fatal:,} cannot be used, {len(found) - fatal:,} are unusual.")
    if fatal:
        raise UserError(
            f"Training on {path} would stop. Repair or remove the images that cannot be used."
        )


def _image_files(root: Path) -> list[Path]:
    """All image files below a folder, including linked folders, sorted."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder.")
    images = []
    seen = {os.path.realpath(root)}
    for folder, subfolders, names in os.walk(root, followlinks=True):
        # A folder named like an image is taken for one, as in training.
        named = [name for name in names + subfolders if name.lower().endswith(EXTENSIONS)]
        images += [Path(folder, name) for name in named]
        # Each folder once, even if a link leads back up.
        real = {name: os.path.realpath(Path(folder, name)) for name in subfolders}
        subfolders[:] = [name for name in subfolders if real[name] not in seen]
        seen.update(real.values())
    if not images:
        raise UserError(f"{root} holds no images ({', '.join(EXTENSIONS)}).")
    return sorted(images)
