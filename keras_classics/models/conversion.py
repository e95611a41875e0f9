"""Converts files of weights from one format to another."""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.files import refuse_existing
from keras_classics.models.citations import citation
from keras_classics.models.conversion_proof import Comparison, compare
from keras_classics.models.registry import arguments_for_weights, find_model, get_model
from keras_classics.weights import load_weights
from keras_classics.weights.card import Facts, card_path, published, weights_name, write_card
from keras_classics.weights.formats import hdf5, torchvision
from keras_classics.weights.identify import read_metadata
from keras_classics.weights.location import locate, on_this_machine
from keras_classics.weights.metadata import COMMON, FileMetadata, metadata_of, preprocessing_of
from keras_classics.weights.records import WeightsRecord, record_of_file

# By the library whose names and layouts a file has: its endings, and the function that writes it.
LIBRARIES: dict[
    str, tuple[tuple[str, ...], Callable[[keras.Model, Path, FileMetadata | None], None]]
] = {
    "keras": ((".weights.h5",), hdf5.write),
    "torchvision": ((".pth", ".safetensors"), torchvision.write),
}


@dataclass(frozen=True)
class Converted:
    """What was converted.

    Attributes:
        network: The network with the weights, as they were read from the new file.
        proof: Its outputs beside those of the libraries that the two files belong to.
    """

    network: keras.Model
    proof: tuple[Comparison, ...]


def convert_weights(
    source: str | os.PathLike,
    model: str,
    target: str | os.PathLike,
    library: str = "keras",
    **arguments: Any,
) -> Converted:
    """Writes the weights of a file to another file, in the format of this package or torchvision.

    Converting there and back gives the same bits. The new file is read again, and the network's
    outputs are compared with those of the libraries that both files belong to, as far as they are
    installed. If the outputs differ, the new file is removed.

    A model card is written beside the file, such as `resnet50.pth.md`: it says what the file says
    of its network, and for known weights, which are recognised by their hash, their licence and
    accuracy.

    Args:
        source: File of weights, see `weights.formats.contents`, or an address on the
            Hugging Face hub.
        model: Name of the network that the weights belong to.
        target: File to write: `.weights.h5` for `"keras"`, `.pth` or `.safetensors` for
            `"torchvision"`.
        library: One of `LIBRARIES`.
        **arguments: Arguments of the network's builder, such as `classes`.

    Raises:
        UserError: The file does not hold exactly the network's weights, `target` exists,
            torchvision has no such network, or another library computes other outputs.
    """
    endings, write = LIBRARIES[library]
    target = Path(target)
    if not target.name.endswith(endings):
        raise UserError(
            f"A file for {library} must end in {' or '.join(endings)}. Received: {target}."
        )
    if library == "torchvision" and not find_model(model).torchvision:
        raise UserError(f"torchvision has no {model}, so nothing there would read its weights.")
    refuse_existing(target)
    named = os.fspath(source)
    source = Path(on_this_machine(named))
    arguments = arguments_for_weights(model, {**arguments, "weights": source})
    del arguments["weights"]
    network = get_model(model, **arguments)
    load_weights(network, source, strict=True)
    said = read_metadata(source) or FileMetadata({})
    metadata = metadata_of(network, arguments, said.make_preprocessing(), said.class_names)
    write(network, target, metadata)
    try:
        load_weights(network, target, strict=True)
        sides = [compare(network, model, file) for file in (source, target)]
    except UserError:
        target.unlink()
        raise
    proof = tuple(dict.fromkeys(side for side in sides if side is not None))
    origin = {
        "converted from": weights_name(model, named),
        "arguments": metadata.arguments or None,
        "compared": "; ".join(map(str, proof)) or None,
    }
    record = _record(source, model)
    write_card(card_path(target), _facts(model, library, arguments, metadata, record, origin))
    return Converted(network, proof)


def _facts(
    model: str,
    library: str,
    arguments: Mapping[str, Any],
    metadata: FileMetadata,
    record: WeightsRecord | None,
    origin: Mapping[str, Any],
) -> Facts:
    """Returns what is known of weights that were read from a file."""
    top = arguments.get("include_top", True)
    preprocessing, class_names = metadata.preprocessing, metadata.class_names
    if record is not None:
        preprocessing, class_names = preprocessing_of(record.preprocessing()), record.labels
    same = record is not None and _own(model, arguments) == _own(model, record.arguments)
    return Facts(
        name=model,
        network=model,
        library=library,
        include_top=top,
        details={"origin": record and record.origin, **origin},
        licence=None if record is None else record.licence,
        trained_on=None if record is None else record.dataset,
        measured=published(record) if record and top and same else (),
        preprocessing=preprocessing,
        class_names=class_names if top else None,
        citation=citation(model, arguments),
    )


def _record(source: Path, model: str) -> WeightsRecord | None:
    """Returns the known weights that are a file as published, not a part of another."""
    found = locate(source)
    return None if found is None or found[1] else record_of_file(found[0], [model])


def _own(model: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a network's family, with the defaults of those that are left out."""
    parameters = inspect.signature(find_model(model).builder).parameters
    return {k: arguments.get(k, p.default) for k, p in parameters.items() if k not in COMMON}
