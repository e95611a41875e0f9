"""Lists all networks, or describes one layer by layer.

keras-classics zoo --pattern='vgg*'
keras-classics zoo --model=alexnet
keras-classics zoo --model=resnet50 --side=299 --classes=10
keras-classics zoo --json

Parameters and multiply-adds are those with the input size and the classes of the paper.
"""

from absl import flags

from keras_classics.analysis.tables import aligned
from keras_classics.cli._output import JSON, print_json
from keras_classics.errors import UserError
from keras_classics.models import describe, find_model, list_models
from keras_classics.models.costs import Costs, published_costs, short_macs
from keras_classics.models.registry import ModelEntry
from keras_classics.weights.records import weights_names

PATTERN = flags.DEFINE_string("pattern", "*", "Networks to list, such as 'resnet*'.")
MODEL = flags.DEFINE_string("model", None, "Network to describe.")
SIDE = flags.DEFINE_integer(
    "side", None, "Height and width of its images; the paper's if unset.", lower_bound=1
)
CLASSES = flags.DEFINE_integer(
    "classes", None, "Number of its classes; the paper's if unset.", lower_bound=1
)

HEAD = ("network", "paper", "input", "parameters", "multiply-adds", "weights")


def main() -> None:
    """Prints the list or the description."""
    if MODEL.value:
        _describe()
    else:
        _list()


def _describe() -> None:
    entry = find_model(MODEL.value)
    side = SIDE.value or entry.input_shape[0]
    shape = (side, side, entry.input_shape[2])
    classes = CLASSES.value or entry.classes
    profile = describe(entry.name, input_shape=shape, classes=classes)
    if not JSON.value:
        print(profile)
        print(f"\n{entry.paper}")
        return
    layers = [
        {
            "layer": row.layer,
            "kind": row.kind,
            "output_shape": row.output_shape,
            "parameters": row.params,
            "multiply_adds": row.macs,
            "receptive_field": row.receptive_field,
            "stride": row.stride,
        }
        for row in profile.rows
    ]
    content = _content(entry, Costs(profile.params, profile.macs))
    print_json({**content, "input_shape": shape, "classes": classes, "layers": layers})


def _list() -> None:
    names = list_models(PATTERN.value)
    if not names:
        raise UserError(
            f"No network matches --pattern={PATTERN.value!r}. Leave it out to list all."
        )
    costs = published_costs()
    entries = [find_model(name) for name in names]
    if JSON.value:
        print_json([_content(entry, costs[entry.name]) for entry in entries])
        return
    rows = [_row(entry, costs[entry.name]) for entry in entries]
    print(aligned(HEAD, rows, right=("parameters", "multiply-adds")))
    print("\nkeras-classics weights lists the weights, zoo --model=NAME describes a network.")


def _content(entry: ModelEntry, costs: Costs) -> dict:
    return {
        "network": entry.name,
        "paper": entry.paper,
        "input_shape": entry.input_shape,
        "smallest_input": entry.smallest_input,
        "classes": entry.classes,
        "parameters": costs.parameters,
        "multiply_adds": costs.multiply_adds,
        "weights": _own_names(entry.name),
    }


def _row(entry: ModelEntry, costs: Costs) -> list[str]:
    return [
        entry.name,
        # The first author and the year.
        f"{entry.paper.partition(':')[0].partition(',')[0]} {entry.paper[-4:]}",
        "x".join(map(str, entry.input_shape)),
        f"{costs.parameters:,}",
        short_macs(costs.multiply_adds),
        _short(_own_names(entry.name)),
    ]


def _own_names(model: str) -> list[str]:
    return [name for name in weights_names(model) if name != "imagenet"]


def _short(names: list[str]) -> str:
    """The names of weights; of those of ImageNet only the number."""
    of_imagenet = [name for name in names if name.startswith("imagenet_")]
    others = [name for name in names if name not in of_imagenet]
    return ", ".join([*([f"imagenet: {len(of_imagenet)}"] if of_imagenet else []), *others])
