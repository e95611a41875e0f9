"""Says which network a file of weights belongs to, in which form, and what it leaves open.

keras-classics identify resnet50.pth
keras-classics identify checkpoint.pth.tar#model_ema --json
keras-classics identify resnet50.pth --images=folder:my_images
keras-classics identify resnet50.pth --convert --to=resnet50.weights.h5

Names and shapes decide; values are not read. A file of another network is refused with what it
comes nearest to.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from absl import flags

from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.errors import UserError, one_line
from keras_classics.evaluation.preprocessings import compare_preprocessings, p_value
from keras_classics.models import get_model
from keras_classics.models.conversion import LIBRARIES, convert_weights
from keras_classics.models.identification import Identified, identify
from keras_classics.weights.formats.state_dicts import shortened

# Most names of classes that are printed.
CLASSES = 10

CONVERT = flags.DEFINE_bool("convert", False, "Whether to write the weights to another file.")
TO = define_path("to", None, "File to write; its ending decides the library.")
IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Labelled images, such as folder:PATH with PATH/validation/CLASS/*.jpg: says with which of "
    "eight preprocessings the network answers best.",
)


def main(file: str) -> None:
    """Prints what the file holds, and converts it."""
    if CONVERT.value != bool(TO.value):
        raise UserError("Give both --convert and --to=FILE, or neither.")
    found = identify(file)
    content: dict[str, Any] = {
        "file": file,
        **dataclasses.asdict(found),
        "load": _call(file, found),
    }
    if IMAGES.value is not None:
        content["answers"] = _answers(file, found, IMAGES.value)
    if CONVERT.value:
        content |= _convert(file, found, TO.value)
    if JSON.value:
        print_json(content)
        return
    for title, text in _lines(content):
        print(one_line(f"{title:<10} {text}"))


def _lines(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the title and the text of each line."""
    yield "file", content["file"]
    yield "network", " or ".join([content["network"], *content["also"]])
    if content["arguments"]:
        yield "arguments", _listed(content["arguments"])
    if content["record"]:
        yield "weights", f"the known weights {content['record']}, by their hash"
    yield "library", content["library"]
    yield "type", content["dtype"]
    for note in content["notes"]:
        yield "around it", note
    if content["preprocessing"]:
        yield "images", _listed(content["preprocessing"])
    if content["class_names"]:
        yield "classes", shortened(content["class_names"], CLASSES)
    for name, values in content["open"].items():
        first, *others = map(str, values)
        yield "open", f"{name}: {first} is assumed; else {', '.join(others)}"
    yield from _answer_lines(content.get("answers"))
    yield "load", content["load"]
    if "converted" in content:
        yield "converted", content["converted"]
        for side in content["compared"]:
            yield "compared", side


def _answer_lines(found: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if found is None:
        return
    for number, answer in enumerate(found["preprocessings"]):
        low, high = (100 * end for end in answer["interval"])
        right = f"{100 * answer['accuracy']:6.2f} % ({low:.2f} to {high:.2f})"
        yield "answers" if number == 0 else "", f"{right}  {answer['preprocessing']}"
    note = f"McNemar's p of the first and the second: {found['p_value']:.2g}"
    yield "", f"of {found['images']:,} images, with 95 % intervals. {note}"


def _answers(file: str, found: Identified, images: str) -> dict[str, Any]:
    """Returns how well the network answers with each of eight preprocessings."""
    if not found.arguments.get("include_top", True):
        raise UserError("--images needs a file with the network's top, which gives the classes.")
    model = get_model(found.network, weights=_path(file, found), **found.arguments)
    answers = compare_preprocessings(model, images)
    return {
        "images": len(answers[0].right),
        "preprocessings": [
            {
                "preprocessing": answer.description,
                "accuracy": answer.accuracy,
                "interval": answer.interval,
                "loss": answer.loss,
            }
            for answer in answers
        ],
        "p_value": p_value(answers),
    }


def _path(file: str, found: Identified) -> str:
    return file if "#" in file or not found.part else f"{file}#{found.part}"


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _call(file: str, found: Identified) -> str:
    """Returns the call that loads a file."""
    return f"kc.{found.network}({_listed({'weights': _path(file, found), **found.arguments})})"


def _convert(file: str, found: Identified, target: str) -> dict[str, Any]:
    """Writes the weights to another file, and returns what was written and how it compares."""
    library = next((k for k, (ends, _) in LIBRARIES.items() if target.endswith(ends)), "keras")
    done = convert_weights(_path(file, found), found.network, target, library, **found.arguments)
    return {
        "converted": f"{target} holds the {len(done.network.weights)} tensors of {found.network}",
        "compared": [str(side) for side in done.proof],
    }
