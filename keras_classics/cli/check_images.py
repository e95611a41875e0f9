"""Decodes all images of a folder and lists the faulty ones.

keras-classics check_images my_images

It includes all subfolders. The exit status is 2 if training could not read some images. Images that
can be read but are unusual, such as a PNG file named .jpg, are listed too, and files that training
leaves out, because TensorFlow does not read them, are counted.
"""

import os
from pathlib import Path

from keras_classics.cli._progress import progress_bar
from keras_classics.data.folders import SYSTEM_FOLDERS, describe_left_out, list_images
from keras_classics.data.image_files import EXTENSIONS, faults
from keras_classics.errors import UserError, one_line


def main(path: str) -> None:
    """Lists and counts the faults."""
    root = Path(path)
    images, left_out = _files(root)
    found = []
    with progress_bar(len(images)) as bar:
        for fault in faults(images, progress=bar.update):
            found.append(fault)
            bar.write(one_line(f"{fault.path.relative_to(root)}: {fault.fault}"))
    if left_out:
        print(one_line(describe_left_out(left_out, root)))
    fatal = sum(fault.fatal for fault in found)
    print(f"{len(images):,} images: {fatal:,} cannot be used, {len(found) - fatal:,} are unusual.")
    if fatal:
        raise UserError(
            f"Training on {path} would stop. Repair or remove the images that cannot be used."
        )


def _files(root: Path) -> tuple[list[Path], list[Path]]:
    """All image files below a folder, including linked folders, and the files left out, sorted."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder.")
    images, left_out = [], []
    seen = {os.path.realpath(root)}
    for folder, subfolders, _ in os.walk(root, onerror=_raise, followlinks=True):
        found, others = list_images(Path(folder))
        images += found
        # A folder named like an image is not taken for one.
        left_out += [p for p in others if p.suffix.lower() in EXTENSIONS or not p.is_dir()]
        # Each folder once, even if a link leads back up.
        own = [name for name in subfolders if not SYSTEM_FOLDERS.match(name)]
        real = {name: os.path.realpath(Path(folder, name)) for name in own}
        subfolders[:] = [name for name in own if real[name] not in seen]
        seen.update(real.values())
    if not images:
        raise UserError(f"{root} holds no images ({', '.join(EXTENSIONS)}).")
    return sorted(images), sorted(left_out)


def _raise(error: OSError) -> None:
    raise error
