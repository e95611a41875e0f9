"""Says which network a file of weights belongs to, in which form, and what it leaves open.

keras-classics identify resnet50.pth
keras-classics identify checkpoint.pth.tar#model_ema --json
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
from keras_classics.models.conversion import LIBRARIES, convert_weights
from keras_classics.models.identification import Identified, identify
from keras_classics.weights.state_dicts import shortened

# Most names of classes that are printed.
CLASSES = 10

CONVERT = flags.DEFINE_bool("convert", False, "Whether to write the weights to another file.")
TO = define_path("to", None, "File to write; its ending decides the library.")


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
    if CONVERT.value:
        content["converted"] = _convert(file, found, TO.value)
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
    yield "load", content["load"]
    if "converted" in content:
        yield "converted", content["converted"]


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _call(file: str, found: Identified) -> str:
    """Returns the call that loads a file."""
    path = file if "#" in file or not found.part else f"{file}#{found.part}"
    return f"kc.{found.network}({_listed({'weights': path, **found.arguments})})"


def _convert(file: str, found: Identified, target: str) -> str:
    """Writes the weights to another file, and returns what was written."""
    library = next((k for k, (ends, _) in LIBRARIES.items() if target.endswith(ends)), "keras")
    path = file if "#" in file or not found.part else f"{file}#{found.part}"
    network = convert_weights(path, found.network, target, library, **found.arguments)
    return f"{target} holds the {len(network.weights)} tensors of {found.network}"
