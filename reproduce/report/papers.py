"""The papers' figures, and which evaluations measure them.

papers.csv holds one row per line of a paper's table, with errors in per cent. Its columns:

    paper, table, row  where the figure is; a table without a number is named by its subject
    model, arguments   the network here and its builder's arguments as JSON; empty: not in this
                       package. Averaged networks are joined by " + "; one name stands for all
    members            number of averaged networks
    training           in the paper's words, if its rows differ in training
    weights            recipes and known weights that were trained in this way; empty: any
    dataset            its name in TensorFlow Datasets
    protocol           as protocols print it; empty: the paper's is not known
    quantity           error, or reduction: by how many points a technique lowers an error
    statistic          empty: one network; otherwise over which runs
    *_error            of the test images; of imagenet2012's validation images
    test_top5_error    of ILSVRC-2012's test images, whose labels are not public
    deviation          of top1_error over runs
    source             section or table of the paper, or another source of the figure
"""

import functools
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_classics.models import find_model
from keras_classics.models.builder import CommonArguments
from reproduce.harness.tables import Row, spread

HERE = Path(__file__).parents[1]
PAPERS = HERE / "papers.csv"
EVALUATIONS = HERE / "results" / "evaluations.csv"

# Joins networks, and protocols, whose probabilities are averaged.
AND = " + "

# Arguments that do not change the network: input and top, name, initial weights.
_ASIDE = {
    *CommonArguments.__annotations__,
    "classes",
    "name",
    "kernel_initializer",
    "bias_init",
    "zero_init_residual",
}

_WHICH_VIEWS = re.compile(r"(no )?flip|scales? [\d ]+")

# Columns that are equal in evaluations that differ only in their seeds.
_ALIKE = (
    "dataset",
    "protocol",
    "model",
    "arguments",
    "weights",
    "members",
    "train_images",
    "epochs",
    "images",
)


def measured(paper: Row, evaluations: Iterable[Row]) -> list[list[Row]]:
    """Returns the evaluations that measure a paper's row, grouped by training."""
    return by_training(row for row in evaluations if measures(row, paper))


def measures(evaluation: Row, paper: Row) -> bool:
    """Whether an evaluation has a paper's network, data and protocol, and matching weights."""
    weights = set(_of_each(evaluation["weights"], 1))
    fitting = set(paper["weights"].split(", ")) if paper["weights"] else weights
    return (
        measurable(paper)
        and evaluation["dataset"] == paper["dataset"]
        and views(evaluation["protocol"]) == views(paper["protocol"])
        and networks(evaluation) == networks(paper)
        and weights <= fitting
    )


def measurable(paper: Row) -> bool:
    """Whether a paper's row is an error of a network of this package, by a known protocol.

    The best of several runs cannot be compared with a single run.
    """
    known = paper["model"] and paper["protocol"]
    return bool(known) and paper["quantity"] == "error" and "best" not in paper["statistic"]


def views(protocol: str) -> list[tuple[str, ...]]:
    """Returns what the network sees: kind, mirror images and scales of each part of a protocol.

    Args:
        protocol: As protocols print it. The side of the views and the resize method are left out,
            because no paper's rows differ in them.
    """
    parts = [view.split(", ") for view in protocol.split(AND)]
    return sorted((kind, *filter(_WHICH_VIEWS.fullmatch, rest)) for kind, *rest in parts)


def networks(row: Row) -> list[tuple[str, str]]:
    """Returns the name and all arguments of each averaged network, in any order."""
    arguments = _of_each(row["arguments"], int(row["members"]))
    pairs = zip(names(row), arguments, strict=True)
    return sorted((name, _all_arguments(name, given)) for name, given in pairs)


def names(row: Row) -> list[str]:
    """Returns the name of each averaged network."""
    models = row["model"].split(AND)
    return models * int(row["members"]) if len(models) == 1 else models


def _of_each(text: str, members: int) -> list[Any]:
    """A row's values for its members: a JSON list, or one value for all."""
    value = json.loads(text) if text.startswith(("[", "{")) else text
    return value if isinstance(value, list) else [value] * members


def _all_arguments(name: str, given: Mapping[str, Any]) -> str:
    """All arguments that define the network, as JSON: the given ones, else the defaults."""
    arguments = {**_defaults(name), **given}
    kept = {key: value for key, value in arguments.items() if key not in _ASIDE}
    return json.dumps(kept, sort_keys=True)


@functools.cache
def _defaults(model: str) -> Mapping[str, Any]:
    parameters = inspect.signature(find_model(model).builder).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def by_training(evaluations: Iterable[Row]) -> list[list[Row]]:
    """Groups evaluations that differ only in their seeds, in the order of the first."""
    groups: dict[tuple, list[Row]] = {}
    for row in evaluations:
        groups.setdefault(tuple(row[name] for name in _ALIKE), []).append(row)
    return list(groups.values())


def error(group: Sequence[Row], metric: str) -> str:
    """Returns an error in per cent: one with its 95 % interval, several as mean ± deviation.

    Args:
        group: Evaluations that differ only in their seeds.
        metric: `"top1"` or `"top5"`.

    Returns:
        Text; empty if the error was not measured.
    """
    values = [100 * float(row[f"{metric}_error"]) for row in group if row[f"{metric}_error"]]
    if not values:
        return ""
    if len(values) > 1:
        return spread(values)
    low, high = (100 * float(group[0][f"{metric}_{end}"]) for end in ("low", "high"))
    return f"{values[0]:.2f} ({low:.2f} to {high:.2f})"
