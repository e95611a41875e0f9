"""Lists the known weights of all networks.

keras-classics weights --pattern='resnet50/*'
keras-classics weights --json

`network/NAME` is loaded by weights="NAME" in code and --weights=NAME on the command line.
Accuracies are the publishers', in per cent, with one view. --json adds origin, protocol, labels and
addresses.
"""

from absl import flags

from keras_classics.analysis.tables import aligned
from keras_classics.cli._output import JSON, print_json
from keras_classics.errors import UserError
from keras_classics.weights import WeightsRecord, find_weights, list_weights
from keras_classics.weights.download import RemoteFile

PATTERN = flags.DEFINE_string("pattern", "*", "Weights to list, such as 'resnet*' or '*/digits'.")

HEAD = ("weights", "top-1", "top-5", "on", "licence", "file")


def main() -> None:
    """Prints the list."""
    names = list_weights(PATTERN.value)
    if not names:
        raise UserError(f"No weights match --pattern={PATTERN.value!r}. Leave it out to list all.")
    records = [find_weights(name) for name in names]
    if JSON.value:
        print_json([_content(record) for record in records])
    else:
        print(aligned(HEAD, [_row(record) for record in records], right=("top-1", "top-5")))


def _row(record: WeightsRecord) -> list[str]:
    return [
        record.full_name,
        *("-" if top is None else f"{top:.2f}" for top in (record.top1, record.top5)),
        record.dataset,
        # Without whose statement it is.
        record.licence.partition(" (")[0],
        "download" if isinstance(record.file, RemoteFile) else "in package",
    ]


def _content(record: WeightsRecord) -> dict:
    remote = record.file if isinstance(record.file, RemoteFile) else None
    return {
        "weights": record.full_name,
        "network": record.model,
        "name": record.name,
        "origin": record.origin,
        "licence": record.licence,
        "dataset": record.dataset,
        "top1": record.top1,
        "top5": record.top5,
        "protocol": record.protocol,
        "arguments": dict(record.arguments),
        "labels": record.labels,
        "url": remote and remote.url,
        "digest": record.file.digest,
    }
