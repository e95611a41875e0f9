"""Classifies images with a trained network, or with an exported one in its own runtime.

keras-classics predict --model=runs/finetune_resnet18_folder_my_images_seed0 cat.jpg dog.png
keras-classics predict --model=resnet50 my_photos 'more/**/*.jpg' --out=answers.csv
find . -name '*.jpg' -print0 | keras-classics predict --model=lenet5 --weights=digits - --json
keras-classics predict --model_path=served/model_int8.tflite cat.jpg

IMAGES are files; folders, of which all images in them and below are taken; patterns in quotes; and
- for paths on standard input, one a line or separated by NUL. An export is a folder that
`keras-classics export` wrote, or a format in it: saved_model, .tflite, .onnx or .keras. Photos are
turned upright if the network was trained on such, or with --exif.

--out writes a row for each of an image's answers: image, rank, class, label, probability, fault;
its ending decides the format, .csv, .json or .parquet.

An image that cannot be read has its fault in place of answers, and the others are answered; a line
on standard error counts such images. The status is 2 if one of them is named by an argument of its
own, or if no image can be read, and then nothing is written; it is 0 if they are among those of
folders, patterns and standard input.

For a network that was trained on images with any number of labels, the answers are all classes with
a probability above 0.5; an image without any has a row without an answer.
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from absl import flags

from keras_classics import files
from keras_classics.cli import _bad_images
from keras_classics.cli._answer_files import (
    FORMATS,
    as_json,
    best,
    refuse_ending,
    write_answers,
)
from keras_classics.cli._answers import Answer, Answers
from keras_classics.cli._exif import EXIF
from keras_classics.cli._image_arguments import named_images
from keras_classics.cli._networks import MODEL, network_of_run, one_network
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.cli._progress import optional_bar
from keras_classics.data.names import is_upright
from keras_classics.errors import UserError, one_line
from keras_classics.export import load_exported
from keras_classics.export.exported import Exported, of_network
from keras_classics.training.run_directory import is_run

MODEL_PATH = define_path("model_path", None, "Exported network, or the folder of a run.")
TOP = flags.DEFINE_integer("top", 5, "Number of classes in the answer for an image.", lower_bound=1)
OUT = define_path("out", None, f"File to write: {', '.join(FORMATS)}.")


def main(*images: str) -> None:
    """Prints or writes the most probable classes of each image."""
    _check_flags()
    named = named_images(images)
    network = _network()
    turn = EXIF.value or network.upright
    start = time.perf_counter()
    # No bar where the answers themselves appear on the terminal.
    with optional_bar(len(named), OUT.value or not sys.stdout.isatty()) as update:
        answers = Answers(network, named, turn, update)
        _write(answers, network)
    if OUT.value:
        _print_summary(answers, time.perf_counter() - start)
    _bad_images.tell(answers.bad_images(), len(named))


def _check_flags() -> None:
    path, out = MODEL_PATH.value, OUT.value
    if bool(path) == bool(MODEL.value):
        raise UserError(
            "Name one network: --model=RUN_OR_NETWORK, or --model_path=EXPORT. Received: "
            f"{'both' if path else 'neither'}."
        )
    if out:
        refuse_ending(Path(out), FORMATS)
        if Path(out).is_dir():
            raise UserError(f"{out} is a folder. Name a file in it.")
        files.refuse_unwritable(Path(out))


def _write(answers: Answers, network: Exported) -> None:
    """Writes or prints the answers while they come."""
    if OUT.value:
        write_answers(Path(OUT.value), answers, network.labels, _top(network))
    elif JSON.value:
        sys.stdout.writelines(as_json(answers, network.labels, _top(network)))
    else:
        _print(answers, network)


def _print(answers: Iterable[Answer], network: Exported) -> None:
    width = max(map(len, network.labels))
    for answer in answers:
        print(one_line(answer.image.path))
        if answer.outputs is None:
            print(f"  {one_line(answer.fault)}")
            continue
        likely = best(answer.outputs, network.labels, _top(network))
        if not likely:
            print("  no class above 50 %")
        for found in likely:
            print(f"  {found['label']:<{width}}  {100 * found['probability']:6.2f} %")


def _top(network: Exported) -> int | None:
    """Returns how many classes to answer; None for all that are likely to apply."""
    return None if network.multilabel else TOP.value


def _print_summary(answers: Answers, seconds: float) -> None:
    content = {"out": OUT.value, "images": answers.count, "faults": len(answers.faults)}
    if JSON.value:
        print_json({**content, "seconds": seconds})
        return
    rate = len(answers.images) / seconds
    print(one_line(f"files   {OUT.value}: {answers.count:,} images, {rate:,.1f} a second"))


def _network() -> Exported:
    """Returns the network that --model or --model_path names."""
    path = MODEL_PATH.value
    if path and not is_run(path):
        return load_exported(path)
    net = network_of_run(path) if path else one_network("predict")
    labels = net.class_names or [f"class {i}" for i in range(net.model.output_shape[-1])]
    upright = is_upright(net.training.get("dataset"))
    return of_network(net.model, net.preprocessing, labels, upright)
