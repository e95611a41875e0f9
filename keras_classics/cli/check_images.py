"""Decodes all pictures of a folder and lists those that are not as they should be.

keras-classics check_images my_pictures

Takes the folder and what is below it. The exit status is 2 where a training could not read all of
the pictures. Pictures that it reads, but not as one may expect, are listed too.
"""

import os
from pathlib import Path

from tqdm import tqdm

from keras_classics.data.image_files import EXTENSIONS, faults
from keras_classics.errors import UserError


def main(path: str) -> None:
    """Lists the faults and counts them."""
    root = Path(path).expanduser()
    pictures = _pictures(root)
    found = []
    # disable=None: no bar where the output is not a terminal.
    with tqdm(total=len(pictures), unit="img", disable=None) as bar:
        for fault in faults(pictures, progress=bar.update):
            found.append(fault)
            bar.write(f"{fault.path.relative_to(root)}: {fault.fault}")
    fatal = sum(fault.fatal for fault in found)
    print(
        f"{len(pictures):,} pictures: {fatal:,} cannot be used, {len(found) - fatal:,} are unusual."
    )
    if fatal:
        raise UserError(f"A training on {path} would stop. Mend or remove what cannot be used.")


def _pictures(root: Path) -> list[Path]:
    """All pictures below a folder, those in linked folders too, sorted."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder.")
    pictures = []
    seen = {os.path.realpath(root)}
    for folder, subfolders, names in os.walk(root, followlinks=True):
        # A folder that is named like a picture is taken for one, here as in a training.
        named = [name for name in names + subfolders if name.lower().endswith(EXTENSIONS)]
        pictures += [Path(folder, name) for name in named]
        # Each folder once, also where a link leads back up.
        real = {name: os.path.realpath(Path(folder, name)) for name in subfolders}
        subfolders[:] = [name for name in subfolders if real[name] not in seen]
        seen.update(real.values())
    if not pictures:
        raise UserError(f"{root} holds no pictures ({', '.join(EXTENSIONS)}).")
    return sorted(pictures)
