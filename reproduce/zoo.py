"""The table of all networks in README.md, rendered from the register.

    python -m reproduce.zoo           render it
    python -m reproduce.zoo --check   fail where it is out of date

It builds every network once, in about two minutes.
"""

from absl import flags

from keras_classics.analysis.profile import Profile
from keras_classics.cli._program import run
from keras_classics.models import describe, find_model, list_models
from keras_classics.models.registry import ModelEntry
from reproduce.tables import update_readme

CHECK = flags.DEFINE_bool("check", False, "Write nothing; fail where the table is out of date.")

FAMILIES = ("lenet", "alexnet", "vgg", "resnet")

HEADER = (
    "| network | paper | parameters | multiply-adds | input | smallest | torchvision | Keras |\n"
    "|---|---|--:|--:|---|--:|---|---|"
)


def main() -> None:
    """Renders or checks."""
    entries = sorted(map(find_model, list_models()), key=_family)
    rows = [zoo_row(entry, describe(entry.name)) for entry in entries]
    update_readme({"zoo": "\n".join([HEADER, *rows])}, CHECK.value)


def zoo_row(entry: ModelEntry, profile: Profile) -> str:
    """Returns the line of one network."""
    authors, _, rest = entry.paper.partition(":")
    first, *others = authors.split(", ")
    cells = [
        f"`{entry.name}`",
        f"{first}{' et al.' if others else ''} {rest[-4:]}",
        f"{profile.params:,}",
        f"{profile.macs / 1e9:.2f} G" if profile.macs >= 1e9 else f"{profile.macs / 1e6:.1f} M",
        "x".join(map(str, entry.input_shape)),
        str(entry.smallest_input),
        entry.torchvision or "-",
        entry.keras_applications or "-",
    ]
    return f"| {' | '.join(cells)} |"


def _family(entry: ModelEntry) -> int:
    return FAMILIES.index(entry.builder.__module__.rpartition(".")[2])


if __name__ == "__main__":
    run(main)
