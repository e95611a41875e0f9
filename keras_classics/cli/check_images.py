"""Decodes all images of a folder and lists the faulty ones.

keras-classics check_images my_images

It includes all subfolders. The exit status is 2 if training could not read some images. Images that
can be read but are unusual, such as a PNG file named .jpg, are listed too, and files that training
leaves out, because TensorFlow does not read them, are counted.
"""

from pathlib import Path

from keras_classics.cli._progress import progress_bar
from keras_classics.data.image_files import EXTENSIONS, faults
from keras_classics.data.trees import FolderTree
from keras_classics.errors import UserError, one_line


def main(path: str) -> None:
    """Lists and counts the faults."""
    root = Path(path)
    tree, images, left_out = _files(root)
    found = []
    with progress_bar(len(images)) as bar:
        for fault in faults(images, progress=bar.update):
            found.append(fault)
            bar.write(one_line(f"{fault.path.relative_to(root)}: {fault.fault}"))
    if left_out:
        print(one_line(tree.described_left_out(left_out)))
    fatal = sum(fault.fatal for fault in found)
    print(f"{len(images):,} images: {fatal:,} cannot be used, {len(found) - fatal:,} are unusual.")
    if fatal:
        raise UserError(
            f"Training on {path} would stop. Repair or remove the images that cannot be used."
        )


def _files(root: Path) -> tuple[FolderTree, list[Path], list[str]]:
    """All image files below a folder, including linked folders, and the files left out, sorted."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder.")
    tree = FolderTree(root)
    images, left_out = tree.images_below("")
    if not images:
        raise UserError(f"{root} holds no images ({', '.join(EXTENSIONS)}).")
    return tree, [root / image for image in images], left_out
