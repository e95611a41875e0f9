"""Shows what a network looks at in images: class maps and attributions of pixels.

keras-classics explain --model=runs/finetune_resnet18_folder_my_images_seed0 cat.jpg dog.png
keras-classics explain --model=resnet50 my_photos --method=grad_cam,integrated_gradients --top=3
keras-classics explain --model=vgg16 cat.jpg --target='tabby, tabby cat' --layer=block5_conv3
keras-classics explain --model=resnet20 --weights=fashion_mnist shoe.png --method=all

IMAGES are those of `predict`: files, folders, patterns in quotes, and - for paths on standard
input, prepared as for it. The folder --out gets a picture for each image: what the network sees,
and beside it what each method says, a row for each class; and explanations.csv: image, picture,
class, label, score, fault. The score is what the network's softmax or sigmoid takes.

Class maps (cam, grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, score_cam, eigen_cam) are drawn
over the image. Attributions of pixels (gradient, smooth_grad, guided_backpropagation,
deconvolution, integrated_gradients) are drawn alone, and occlusion over the image.

Images that cannot be read are told as by `predict`.
"""

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from keras_classics import files
from keras_classics.analysis import explain
from keras_classics.cli import _bad_images
from keras_classics.cli._answers import Answer, Answers, batched
from keras_classics.cli._exif import EXIF
from keras_classics.cli._image_arguments import named_images
from keras_classics.cli._networks import Network, one_network
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.cli._progress import optional_bar
from keras_classics.data.names import is_upright
from keras_classics.errors import UserError, one_line, require, unknown_name
from keras_classics.export.exported import of_network

# All methods that the network allows.
ALL = "all"
# Images that are explained at once.
BATCH = 16
INDEX = "explanations.csv"
COLUMNS = ("image", "picture", "class", "label", "score", "fault")

METHOD = flags.DEFINE_list(
    "method", ["grad_cam"], f"Methods, separated by commas: {', '.join(explain.METHODS)}; or {ALL}."
)
TARGET = flags.DEFINE_multi_string(
    "target", [], "Class to explain, its name or label; the network's answer if unset."
)
TOP = flags.DEFINE_integer(
    "top", 1, "Number of the network's answers to explain, the best first.", lower_bound=1
)
LAYER = flags.DEFINE_string(
    "layer", None, "Layer of class maps; the last whose output has positions if unset."
)
OUT = define_path("out", "explanations", "Folder to write to.")

FLAG_GROUPS = {"Explanations": (METHOD, TARGET, TOP, LAYER), "Output": (OUT,)}

logger = logging.getLogger(__name__)

Row = dict[str, Any]


def main(*images: str) -> None:
    """Writes a picture for each image, and a table of all."""
    _check_flags()
    named = named_images(images)
    net = one_network("explain")
    network = explain.Network(net.model, LAYER.value, net.class_names)
    methods = _methods(network)
    start = time.perf_counter()
    with optional_bar(len(named)) as update:
        answers = Answers(_reader(net), named, EXIF.value or _is_upright(net))
        pictures = _Pictures(network, net, methods, update)
        files.write_csv(Path(OUT.value, INDEX), COLUMNS, pictures.rows(answers))
    _print_summary(answers, time.perf_counter() - start)
    _bad_images.tell(answers.bad_images(), len(named))


def _check_flags() -> None:
    require("matplotlib", "train")
    for method in METHOD.value:
        if method not in (*explain.METHODS, ALL):
            raise unknown_name("method", method, [*explain.METHODS, ALL])
    if not METHOD.value:
        raise UserError(f"--method must name a method, or {ALL}. Received: nothing.")
    if TARGET.value and TOP.present:
        raise UserError("Give --target or --top. Received: both.")
    out = Path(OUT.value)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out must be a folder. Received: {out}, which is a file.")
    files.refuse_unwritable(out / INDEX)


def _methods(network: explain.Network) -> list[str]:
    """Returns the methods to use; of all, those that the network allows."""
    if ALL not in METHOD.value:
        return METHOD.value
    allowed = []
    for name in explain.METHODS:
        try:
            explain.check_method(network, name)
        except UserError as error:
            logger.warning("%s is left out. %s", name, error)
        else:
            allowed.append(name)
    return allowed


def _reader(net: Network) -> Any:
    """Returns what reads images as for the network, and answers with what it takes of them."""
    outputs = [str(number) for number in range(net.model.output_shape[-1])]
    network = of_network(net.model, net.preprocessing, outputs, _is_upright(net))
    return dataclasses.replace(network, run=np.concatenate)


def _is_upright(net: Network) -> bool:
    return is_upright(net.training.get("dataset"))


def _targets(network: explain.Network) -> list[int]:
    """Returns the labels of --target. What is the name of a class is no label."""
    names = network.class_names or ()
    return [
        network.label(target if target in names or not target.isdecimal() else int(target))
        for target in TARGET.value
    ]


class _Pictures:
    """Draws explanations."""

    def __init__(
        self, network: explain.Network, net: Network, methods: Sequence[str], progress: Any
    ):
        self._network = network
        self._preprocessing = net.preprocessing
        self._methods = methods
        self._progress = progress
        self._targets = _targets(network)
        self._names: set[str] = set()

    def rows(self, answers: Answers) -> Iterator[Row]:
        """Yields the rows of the table, and draws the picture of each image."""
        for batch in batched(answers, BATCH):
            usable = [answer for answer in batch if answer.outputs is not None]
            drawn = self._explained(usable) if usable else iter(())
            for answer in batch:
                if answer.outputs is None:
                    yield {"image": answer.image.path, "fault": answer.fault}
                else:
                    yield from next(drawn)
                self._progress(1)

    def _explained(self, answers: Sequence[Answer]) -> Iterator[list[Row]]:
        images = np.stack([answer.outputs for answer in answers])
        scores = self._network.scores(images)
        if self._targets:
            labels = np.tile(self._targets, (len(images), 1))
        else:
            labels = self._network.labels(images, top=min(TOP.value, self._network.classes))
        found = {
            name: explain.METHODS[name](self._network, images, labels) for name in self._methods
        }
        seen = pixels_of(self._preprocessing, images)
        for number, answer in enumerate(answers):
            rows = [
                {
                    "image": answer.image.path,
                    "class": int(label),
                    "label": self._name(label),
                    "score": float(scores[number, label]),
                }
                for label in labels[number]
            ]
            picture = self._free_name(answer.image.path)
            shown = {
                f"{row['label']}\nscore {row['score']:.2f}": {
                    name.replace("_", " "): maps[number, place] for name, maps in found.items()
                }
                for place, row in enumerate(rows)
            }
            explain.grid(seen[number], shown, Path(OUT.value, picture))
            yield [{**row, "picture": picture} for row in rows]

    def _name(self, label: int) -> str:
        names = self._network.class_names
        return names[label] if names else f"class {label}"

    def _free_name(self, path: str) -> str:
        """Returns a name for a picture that no other image's picture has."""
        stem = one_line(Path(path).stem)
        name, number = f"{stem}.png", 1
        while name.lower() in self._names:
            number += 1
            name = f"{stem}_{number}.png"
        self._names.add(name.lower())
        return name


def pixels_of(preprocessing: Any, inputs: np.ndarray) -> np.ndarray:
    """Returns what a network sees of images, uint8, from what it takes.

    Preprocessing ends in an affine function of each pixel's channels, which this solves for them.

    Args:
        preprocessing: The layer from uint8 images to what the network takes.
        inputs: What it takes, shape (count, height, width, channels).
    """
    channels = inputs.shape[-1]
    normalize = getattr(preprocessing, "normalize", None)
    if normalize is None:
        low, extent = inputs.min(), np.ptp(inputs)
        return np.rint((inputs - low) / (extent or 1) * 255).astype("uint8")
    probes = np.concatenate([np.zeros((1, channels)), 255 * np.eye(channels)])
    found = np.asarray(normalize(probes.astype("float32")[:, None, None]))[:, 0, 0]
    pixels = (inputs - found[0]) @ np.linalg.inv(found[1:] - found[0]) * 255
    return np.clip(np.rint(pixels), 0, 255).astype("uint8")


def _print_summary(answers: Answers, seconds: float) -> None:
    if JSON.value:
        content = {"out": OUT.value, "images": answers.count, "faults": len(answers.faults)}
        print_json({**content, "seconds": seconds})
        return
    rate = len(answers.images) / seconds
    print(one_line(f"files   {OUT.value}: {answers.count:,} pictures, {rate:,.1f} a second"))
    print(one_line(f"        {Path(OUT.value, INDEX)}"))
