"""Finds out which network a file of weights belongs to."""

import dataclasses
import inspect
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.models.candidates import Candidate, candidates
from keras_classics.models.registry import ModelEntry, find_model
from keras_classics.models.strangers import nearest, other_architecture, unusual_residual
from keras_classics.weights import WeightsRecord
from keras_classics.weights.formats import contents, hdf5
from keras_classics.weights.formats.state_dicts import shortened
from keras_classics.weights.identify import arguments_for_file, format_of
from keras_classics.weights.load import fitting
from keras_classics.weights.location import locate
from keras_classics.weights.metadata import FileMetadata, preprocessing_of
from keras_classics.weights.records import record_of_file
from keras_classics.weights.sketch import Sketch, sketch_of

# What batch normalisations add to the variance: torch's and Caffe's, keras.applications', Keras's.
EPSILONS = (1e-5, 1.001e-5, 1e-3)

# What no file of weights shows, unless this package wrote it.
CHANNELS = ("RGB", "BGR")
SCALES = ("0..255 minus a mean", "0..255", "0..1", "-1..1", "normalised by mean and deviation")


@dataclass(frozen=True)
class Identified:
    """What a file of weights holds.

    Attributes:
        network: Name of the network.
        also: Other networks whose tensors are the same, if the file does not say which it is.
        arguments: Arguments of the network's builder that are not its defaults.
        library: The library whose names and layout the tensors have.
        dtype: Their type, or types.
        part: Names the network in the file, as in `weights="FILE#PART"`; "" for the whole file.
        notes: What is around the network in the file, in phrases.
        open: Arguments and settings that the file leaves open, each with its values; the first is
            assumed.
        preprocessing: The layer for its images, as `metadata` has it, if the file says it.
        class_names: Name of each class, if the file says it.
        record: Name of the known weights that the file is by its hash, or None.
    """

    network: str
    also: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    library: str = ""
    dtype: str = ""
    part: str = ""
    notes: tuple[str, ...] = ()
    open: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] | None = None
    class_names: Sequence[str] | None = None
    record: str | None = None


@dataclass(frozen=True)
class Match:
    """A network that a file fits.

    Attributes:
        candidate: The network.
        arguments: Arguments of its builder.
        dtype: Type of the tensors.
        notes: What is around the network in the file.
    """

    candidate: Candidate
    arguments: dict[str, Any]
    dtype: str
    notes: tuple[str, ...]


def identify(path: str | os.PathLike) -> Identified:
    """Finds out which network a file of weights belongs to, by its names and shapes.

    Values are not read. `get_model(found.network, weights=path, **found.arguments)` loads the file.

    Args:
        path: A file of weights, see `weights.formats.contents`, with a part after a `#` or without.

    Raises:
        UserError: There is no such file, it is damaged, or its network is none of those here; the
            message then names what it comes nearest to.
    """
    located = locate(path)
    if located is None:
        raise UserError(f"identify takes an existing file. Received: {os.fspath(path)!r}.")
    file, part = located
    try:
        if contents.kind_of(file) is None:
            raise UserError("neither its content nor its ending is that of a file of weights")
        file_format = format_of(file)
        part = part or _only_part(file)
        sketch = sketch_of(file, part)
        metadata = file_format.metadata(file, part)
    except UserError as error:
        raise UserError(f"{path} cannot be identified: {error}.") from error
    strange = unusual_residual(sketch) is not None
    found, also = (None, ()) if strange else _match(file, part, sketch, metadata)
    if found is None:
        raise UserError(f"{path} {_refusal(file, part, sketch)}")
    names = (found.candidate.entry.name, *also)
    record = None if part or metadata else record_of_file(file, names)
    if record is not None:
        return _published(record, found, sketch)
    return Identified(
        network=found.candidate.entry.name,
        also=also,
        arguments=found.candidate.differing(found.arguments),
        library=sketch.library,
        dtype=found.dtype,
        part=part,
        notes=found.notes,
        open=_open(found, sketch, metadata),
        preprocessing=metadata.preprocessing if metadata else None,
        class_names=metadata.class_names if metadata else None,
    )


def _published(record: WeightsRecord, found: Match, sketch: Sketch) -> Identified:
    """Returns what is known of published weights."""
    own = {name: value for name, value in found.arguments.items() if name not in record.arguments}
    candidate = dataclasses.replace(found.candidate, entry=find_model(record.model))
    return Identified(
        network=record.model,
        arguments=candidate.differing({**own, **record.arguments}),
        library=sketch.library,
        dtype=found.dtype,
        notes=found.notes,
        preprocessing=preprocessing_of(record.preprocessing()),
        class_names=record.labels,
        record=record.full_name,
    )


def _only_part(file: Path) -> str:
    """Returns the network that is a layer of a saved network, "" if there is none.

    Raises:
        UserError: If there are several.
    """
    if contents.kind_of(file) not in (contents.HDF5, contents.ARCHIVE):
        return ""
    parts = hdf5.list_parts(file)
    if len(parts) > 1:
        raise UserError(
            f"its network has {', '.join(parts)} as layers. Name one of them, as in "
            f"{file.name}#{parts[0]}"
        )
    return "".join(parts)


def _match(
    file: Path, part: str, sketch: Sketch, metadata: FileMetadata | None
) -> tuple[Match | None, tuple[str, ...]]:
    """Returns the first network that a file fits, and the names of those that fit as well."""
    found = candidates(sketch)
    tried = set()
    for candidate, arguments in _trials(file, found, metadata):
        # Without a word of the file, networks of the same tensors differ in nothing.
        alike = candidate.tensors if metadata is None else candidate.network(arguments)
        trial = (alike, arguments["include_top"])
        if trial in tried:
            continue
        tried.add(trial)
        match = _fit(file, part, candidate, arguments)
        if match is None:
            continue
        also = [other.entry.name for other in found if _is_alternative(other, candidate)]
        return match, tuple(also) if metadata is None else ()
    return None, ()


def _is_alternative(other: Candidate, candidate: Candidate) -> bool:
    """Whether another network has the same tensors without arguments, and computes otherwise."""
    ours, theirs = candidate.arguments(), other.arguments()
    return (
        other.tensors == candidate.tensors
        and len(other.differing(theirs)) == len(candidate.differing(ours))
        and (theirs, other.entry.config) != (ours, candidate.entry.config)
    )


def _trials(
    file: Path, found: Sequence[Candidate], metadata: FileMetadata | None
) -> Iterator[tuple[Candidate, dict[str, Any]]]:
    """Yields networks and arguments: those of the fewest arguments first, without top last."""
    said = dict((metadata and metadata.arguments) or {})
    trials = []
    for candidate in found:
        assumed = {} if metadata else arguments_for_file(candidate.entry.name, file)
        values = {**candidate.values}
        for name, value in {**assumed, **said}.items():
            value = tuple(value) if isinstance(value, list) else value
            if value in values.get(name, ()):
                values[name] = [value]
        most = 1 if metadata is None else None
        for combination in itertools.islice(itertools.product(*values.values()), most):
            arguments = dict(zip(values, combination, strict=True))
            trials.append((candidate, {"include_top": True, **arguments}))
    trials.sort(key=lambda trial: len(trial[0].differing(trial[1])))
    yield from trials
    for candidate, arguments in trials:
        if arguments["include_top"]:
            yield candidate, _without_top(arguments)


def _without_top(arguments: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: v for name, v in arguments.items() if name not in ("classes", "hidden")}
    channels = arguments["input_shape"][2]
    return {**kept, "include_top": False, "input_shape": (None, None, channels)}


def _fit(file: Path, part: str, candidate: Candidate, arguments: dict[str, Any]) -> Match | None:
    """Returns the match of a file and a network, or None if it would not load."""
    strict = True if arguments["include_top"] else None
    try:
        model = _build(candidate.entry, arguments)
        with fitting(format_of(file), file, model, part, strict) as (content, _, skipped):
            types = sorted({tensor.dtype for tensor in content.tensors.values()})
            notes = [*content.notes, *([skipped] if skipped else [])]
            if content.others:
                notes.append(f"it also has {shortened(content.others)}")
            return Match(candidate, arguments, " and ".join(types), tuple(notes))
    except UserError:
        return None


def _build(entry: ModelEntry, arguments: Mapping[str, Any]) -> keras.Model:
    # The initial weights do not matter, and zeros are had at once.
    parameters = inspect.signature(entry.builder).parameters
    cheap = {"kernel_initializer": "zeros"} if "kernel_initializer" in parameters else {}
    return entry.builder(**arguments, **cheap)


def _open(found: Match, sketch: Sketch, metadata: FileMetadata | None) -> dict[str, Sequence[Any]]:
    """Returns what the file leaves open: arguments, and what the network's images are."""
    settings: dict[str, Sequence[Any]] = {}
    if metadata is None:
        for name, values in found.candidate.values.items():
            chosen = found.arguments.get(name)
            if len(values) > 1:
                settings[name] = [chosen, *(value for value in values if value != chosen)]
        if sketch.norms and sketch.library != "keras.applications":
            settings["epsilon"] = EPSILONS
    if metadata is None or metadata.preprocessing is None:
        if found.arguments["input_shape"][2] == 3 and sketch.library != "Caffe":
            settings["channels"] = CHANNELS
        settings["scale"] = SCALES
    return settings


def _refusal(file: Path, part: str, sketch: Sketch) -> str:
    """Says what a file is instead of one of the networks here, and what it comes nearest to."""
    entry = nearest(sketch)
    kind = other_architecture(sketch)
    if kind:
        near = f" It comes nearest to {entry.name}." if entry else ""
        return f"is none of the networks here: it is {kind}.{near}"
    said = "is none of the networks here."
    if entry is None:
        return said
    model = _build(entry, {"include_top": False})
    try:
        with fitting(format_of(file), file, model, part, None):
            difference = "its last layers differ"
    except UserError as error:
        difference = str(error)
    return f"{said} It comes nearest to {entry.name}, but {difference}."
