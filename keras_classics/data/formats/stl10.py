"""STL-10 in its authors' binary files.

http://ai.stanford.edu/~acoates/stl10: an image is its red, green and blue pixels, each colour in
columns, and the labels are 1 to 10.
"""

from collections.abc import Mapping

import numpy as np

from keras_classics.data.formats.members import Member
from keras_classics.data.formats.small_images import Format, SmallImages
from keras_classics.errors import UserError

SIDE = 96
PIXELS = 3 * SIDE * SIDE

NAMES = "class_names.txt"
PARTS = {part: (f"{part}_X.bin", f"{part}_y.bin") for part in ("train", "test")}

# Their label in TensorFlow Datasets is -1.
UNLABELLED = "unlabeled_X.bin"


def _read(members: Mapping[str, Member]) -> SmallImages:
    splits, left_out = {}, ""
    for part, (images_name, labels_name) in PARTS.items():
        images = _images(members[images_name])
        labels = np.frombuffer(members[labels_name].read(), np.uint8)
        if len(labels) != len(images):
            raise UserError(
                f"{members[images_name].name} holds {len(images):,} images, but "
                f"{members[labels_name].name} {len(labels):,} labels."
            )
        wrong = labels[(labels < 1) | (labels > 10)]
        if wrong.size:
            raise UserError(
                f"Labels in {members[labels_name].name} must be 1 to 10. Received: {wrong[0]}."
            )
        splits[part] = {"image": images, "label": labels.astype("int64") - 1}
    if UNLABELLED in members:
        images = _images(members[UNLABELLED])
        splits["unlabelled"] = {"image": images, "label": np.full(len(images), -1)}
    else:
        left_out = f"its split unlabelled, because there is no {UNLABELLED}"
    lines = members[NAMES].read().decode(errors="backslashreplace").splitlines()
    names = tuple(name for line in lines if (name := line.strip()))
    return SmallImages(splits, {"label": names}, left_out)


def _images(member: Member) -> np.ndarray:
    content = member.read()
    if not content or len(content) % PIXELS:
        raise UserError(
            f"{member.name} must hold images of {PIXELS:,} bytes. Received: {len(content):,} "
            "bytes. It is cut short or damaged; download it again."
        )
    return np.frombuffer(content, np.uint8).reshape(-1, 3, SIDE, SIDE).transpose(0, 3, 2, 1)


STL10_FORMATS = (
    Format(
        "STL-10's binary files",
        (*(name for names in PARTS.values() for name in names), NAMES),
        _read,
        (UNLABELLED,),
    ),
)
