"""The tables of all networks and of all known weights, and the diagrams of the families' pages."""

from collections.abc import Mapping
from pathlib import Path

from keras_classics.analysis import plots
from keras_classics.analysis.profile import Profile
from keras_classics.models import describe, find_model, list_models
from keras_classics.models.costs import short_macs
from keras_classics.models.registry import ModelEntry
from keras_classics.weights import WeightsRecord, find_weights, list_weights

FAMILIES = ("lenet", "alexnet", "vgg", "resnet")

HEADER = (
    "| network | paper | parameters | multiply-adds | input | smallest | torchvision | Keras |\n"
    "|---|---|--:|--:|---|--:|---|---|"
)
WEIGHTS_HEADER = (
    "| network | `weights=` | top-1 | top-5 | on | licence | published hash |\n"
    "|---|---|--:|--:|---|---|---|"
)

# Hashes of files: their names and numbers of hexadecimal digits.
HASHES = {"sha256": ("SHA-256", 64), "sha1": ("SHA-1", 40), "md5": ("MD5", 32)}

# Networks that the families' pages show as diagrams.
DRAWN = ("lenet5_1998", "lenet5", "alexnet", "vgg16", "resnet20", "resnet50")


def all_profiles() -> dict[str, Profile]:
    """Returns the profiles of all networks. It builds each, which takes about two minutes."""
    return {name: describe(name) for name in list_models()}


def zoo_table(profiles: Mapping[str, Profile]) -> str:
    """Returns the table of all networks."""
    entries = sorted(map(find_model, list_models()), key=_family)
    return "\n".join([HEADER, *(zoo_row(entry, profiles[entry.name]) for entry in entries)])


def costs_text(profiles: Mapping[str, Profile]) -> str:
    """Returns the content of the file that `published_costs` reads."""
    rows = [f"{name},{profile.params},{profile.macs}" for name, profile in profiles.items()]
    return "\n".join(["network,parameters,multiply_adds", *rows, ""])


def draw_diagrams(folder: Path) -> None:
    """Draws the networks of the families' pages, NAME.png each."""
    for name in DRAWN:
        plots.diagram(describe(name), folder / f"{name}.png")


def zoo_row(entry: ModelEntry, profile: Profile) -> str:
    """Returns the line of one network."""
    authors, _, rest = entry.paper.partition(":")
    first, *others = authors.split(", ")
    cells = [
        f"`{entry.name}`",
        f"{first}{' et al.' if others else ''} {rest[-4:]}",
        f"{profile.params:,}",
        short_macs(profile.macs),
        "x".join(map(str, entry.input_shape)),
        str(entry.smallest_input),
        entry.torchvision or "-",
        entry.keras_applications or "-",
    ]
    return f"| {' | '.join(cells)} |"


def weights_table() -> str:
    """Returns the table of all known weights."""
    return "\n".join([WEIGHTS_HEADER, *map(_weights_row, map(find_weights, list_weights()))])


def _weights_row(record: WeightsRecord) -> str:
    cells = [
        f"`{record.model}`",
        f"`{record.name}`",
        *("-" if top is None else f"{top:.2f}" for top in (record.top1, record.top5)),
        record.dataset,
        record.licence,
        _hash(record.file.digest),
    ]
    return f"| {' | '.join(cells)} |"


def _hash(digest: str | None) -> str:
    """Names the hash of a file, and how much of it is known if that is not all."""
    if digest is None:
        return "no hash published"
    kind, _, digits = digest.partition(":")
    name, full = HASHES[kind]
    return name if len(digits) == full else f"{name}, {len(digits)} of {full} digits"


def _family(entry: ModelEntry) -> int:
    return FAMILIES.index(entry.builder.__module__.rpartition(".")[2])
