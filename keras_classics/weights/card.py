"""Model cards: what is known of a network, as Markdown with the YAML head that model hubs read.

A card says what its caller knows, and nothing else: a fact that is None or empty has no line. Texts
of users, such as the names of classes and data sets, stand in quotes or in code.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_classics import files
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import PREPROCESSINGS
from keras_classics.weights.hub import is_address
from keras_classics.weights.records import WeightsRecord, weights_names

logger = logging.getLogger(__name__)

# Identifiers of licences on the hub, for those that publishers of known weights name.
LICENCES = {
    "apache-2.0",
    "bsd",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-sa-4.0",
    "mit",
}
# What the name of a data set on the hub consists of.
DATASET_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
HUB_NAMES = {"ImageNet": "imagenet-1k", "imagenet": "imagenet-1k"}
# A longer list of classes is a number.
LISTED_CLASSES = 20
# The last line of a card, by which a card that nobody has changed is known.
SEAL = "<!-- keras-classics card, SHA-256 of the lines above: {} -->\n"


@dataclass(frozen=True)
class Measured:
    """Accuracies of a network on the images of one data set.

    Attributes:
        accuracies: From 0 to 1, by their names, such as `"top-1 accuracy"`.
        protocol: How they were measured, on which images, or by whom they were published.
        dataset: Name of the data set, if known.
    """

    accuracies: Mapping[str, float]
    protocol: str
    dataset: str | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a network and its files.

    Attributes:
        name: Title of the card.
        network: Name of the network, if it is one of this package.
        library: Library that reads the files: `"keras"` or `"torchvision"`.
        include_top: Whether the network has its classifier.
        details: Further facts by what they are, such as `"origin"`, in the order of the card.
        tags: Formats of the files, such as `"onnx"`.
        licence: Licence that the publisher of the weights states.
        trained_on: Data set that the network was trained on.
        measured: Its accuracies.
        preprocessing: As `metadata.preprocessing_of` returns it.
        class_names: Name of each class.
        citation: BibTeX of the network's paper.
    """

    name: str
    network: str | None = None
    library: str = "keras"
    include_top: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    licence: str | None = None
    trained_on: str | None = None
    measured: Sequence[Measured] = ()
    preprocessing: Mapping[str, Any] | None = None
    class_names: Sequence[str] | None = None
    citation: str | None = None


def published(record: WeightsRecord) -> list[Measured]:
    """Returns the accuracies that the publisher of known weights states."""
    percent = {"top-1 accuracy": record.top1, "top-5 accuracy": record.top5}
    # Without the digits that the division adds, as in 0.5710000000000001.
    accuracies = {k: float(f"{v / 100:.10g}") for k, v in percent.items() if v is not None}
    return [Measured(accuracies, f"published; {record.protocol}", record.dataset)]


def data_name(dataset: str | None) -> str | None:
    """Returns the name of a data set for a card: of a path its last part."""
    kind, _, path = (dataset or "").partition(":")
    return f"{kind}:{Path(path).name}" if path else dataset


def weights_name(model: str, weights: str) -> str:
    """Returns the full name of known weights, an address, or a file's name without its folder."""
    if weights in weights_names(model):
        return f"{model}/{weights}"
    return weights if is_address(weights) else Path(weights).name


def write_card(path: Path, facts: Facts) -> None:
    """Writes a card; a file that is there and is no unchanged card stays, and a warning says so."""
    text = render(facts)
    if path.exists() and not _is_unchanged(path):
        logger.warning("%s is kept: it is not a card that keras-classics wrote.", path)
        return
    with files.atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def card_path(path: Path) -> Path:
    """Returns where the card of a single file is: beside it, its whole name with `.md` added."""
    return path.with_name(f"{path.name}.md")


def render(facts: Facts) -> str:
    """Returns the text of a card."""
    sections = {
        "Results": _results(facts.measured),
        "Preprocessing": _preprocessing(facts.preprocessing),
        "Classes": _classes(facts.class_names),
        "Citation": facts.citation and _block(facts.citation),
    }
    details = {
        "network": facts.network,
        "trained on": facts.trained_on,
        **facts.details,
        "licence": facts.licence,
    }
    said = [f"- {key}: {_code(value)}" for key, value in details.items() if _is_said(value)]
    parts = [f"# {_code(facts.name)}", "\n".join(said)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    body = "\n\n".join(part for part in parts if part)
    text = f"---\n{_yaml(_head(facts))}---\n\n{body}\n\n"
    return text + SEAL.format(_digest(text))


def _head(facts: Facts) -> dict[str, Any]:
    """Returns the metadata of the hub, without the fields that nothing is known of."""
    results = [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": measured.dataset, "type": _hub_name(measured.dataset) or "other"},
            "metrics": [
                {"type": "accuracy", "name": name, "value": value}
                for name, value in measured.accuracies.items()
            ],
        }
        for measured in facts.measured
        if measured.dataset is not None and measured.accuracies
    ]
    dataset = _hub_name(facts.trained_on)
    task = "image-classification" if facts.include_top else "image-feature-extraction"
    head = {
        **_licence(facts.licence),
        "library_name": facts.library,
        "pipeline_tag": task,
        "tags": ["keras-classics", *([facts.network] if facts.network else []), *facts.tags],
        "datasets": [dataset] if dataset else [],
        "metrics": ["accuracy"] if results else [],
        "model-index": [{"name": facts.name, "results": results}] if results else [],
    }
    return {key: value for key, value in head.items() if value}


def _licence(licence: str | None) -> dict[str, str]:
    """Returns a licence under its identifier, without the publisher in brackets, or as another."""
    if not licence:
        return {}
    known = licence.partition(" (")[0].lower().replace(" ", "-")
    if known in LICENCES:
        return {"license": known}
    return {"license": "other", "license_name": licence}


def _hub_name(dataset: str | None) -> str | None:
    """Returns the name of a data set in the head; None for what cannot be one, such as a folder."""
    name = HUB_NAMES.get(dataset or "", dataset or "")
    return name if DATASET_NAME.fullmatch(name) else None


def _results(measured: Sequence[Measured]) -> str:
    lines = []
    for one in measured:
        on = f" on {_code(one.dataset)}" if one.dataset else ""
        lines += [
            f"- {_code(name)}{on}: {100 * value:.2f} % ({_code(one.protocol)})"
            for name, value in one.accuracies.items()
        ]
    return "\n".join(lines)


def _preprocessing(preprocessing: Mapping[str, Any] | None) -> str:
    if preprocessing is None:
        return ""
    arguments = {name: _short(v) for name, v in preprocessing.items() if name != "kind"}
    layer = PREPROCESSINGS[preprocessing["kind"]].__name__
    head = f"`{layer}` of keras-classics takes uint8 images, grey or RGB, with"
    return "\n".join([f"{head}:\n", *(f"- {name}: {_code(v)}" for name, v in arguments.items())])


def _short(value: Any) -> Any:
    """Returns an argument, or for a mean image what it is."""
    nested = isinstance(value, list | tuple) and any(isinstance(v, list | tuple) for v in value)
    return "an image" if nested else value


def _classes(names: Sequence[str] | None) -> str:
    if not names:
        return ""
    if len(names) > LISTED_CLASSES:
        return f"{len(names):,}"
    return f"{len(names)}, in the order of the outputs:\n\n{_block(_quoted(list(names)))}"


def _is_said(value: Any) -> bool:
    return value is not None and value != ""


def _code(value: Any) -> str:
    """Returns a value as code on one line, in which no character has a meaning."""
    text = _quoted(value)
    text = text[1:-1] if isinstance(value, str) and "\\" not in text and '"' not in value else text
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _block(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _quoted(value: Any) -> str:
    """Returns a value as JSON on one line, which is YAML too; what does not print is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _yaml(value: Any, indent: str = "") -> str:
    """Returns the lines of a mapping or a list as YAML."""
    items = value.items() if isinstance(value, Mapping) else [("-", entry) for entry in value]
    lines = []
    for key, entry in items:
        begin = f"{indent}{key}" if key == "-" else f"{indent}{key}:"
        if isinstance(entry, Mapping) and key == "-":
            lines.append(f"{begin} {_yaml(entry, f'{indent}  ').removeprefix(f'{indent}  ')}")
        elif isinstance(entry, Mapping | list):
            lines.append(f"{begin}\n{_yaml(entry, f'{indent}  ')}")
        else:
            lines.append(f"{begin} {_scalar(entry)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    """Returns a text in quotes; a small number with the point that YAML 1.1 wants: 1.0e-05."""
    if isinstance(value, float) and "e" in repr(value):
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa}{'' if '.' in mantissa else '.0'}e{exponent}"
    return _quoted(value)


def _is_unchanged(path: Path) -> bool:
    """Whether a file is a card as `write_card` wrote it."""
    try:
        text = files.read_bytes(path).decode()
    except (UserError, ValueError):
        return False
    above, _, last = text.removesuffix("\n").rpartition("\n")
    return f"{last}\n" == SEAL.format(_digest(f"{above}\n"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
