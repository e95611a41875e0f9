"""Averaging more networks makes fewer errors."""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from keras_classics.analysis import plots
from keras_classics.data import ImageData
from keras_classics.errors import require
from keras_classics.evaluation import Evaluation, Evaluator, average, one_view
from keras_classics.training import FinishedRun, Recipe, recipes
from reproduce.claims import resnet_shortcuts
from reproduce.claims.claim import Claim, on_images_of
from reproduce.claims.evidence import Resampled
from reproduce.claims.results import Results
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import NOT_RUN, markdown

NETWORKS = {"lenet5": "LeNet-5", "resnet20": "ResNet-20"}
SIZES = (1, 2, 3, 4, 5)

# Bootstrap samples of the test images.
SAMPLES = 2000

# The file that later runs average with their own probabilities.
PROBABILITIES = "probabilities.npy"


def _lenet5(recipe: Recipe) -> Recipe:
    return on_images_of(recipes.LENET5_MODERN, recipe)


def _resnet20(recipe: Recipe) -> Recipe:
    return recipe


def _averages(run: FinishedRun, recipe: Recipe, data: ImageData) -> list[dict[str, Any]]:
    """Errors of this network averaged with each choice of networks of smaller seeds."""
    own = Evaluator(run.model, run.loss, data.test, one_view(run.preprocessing))()
    np.save(run.path / PROBABILITIES, own.probabilities)
    name, _, seed = run.path.name.rpartition("seed")
    files = {s: run.path.with_name(f"{name}seed{s}") / PROBABILITIES for s in range(int(seed))}
    others = {
        s: Evaluation(np.load(file), own.losses, own.labels)
        for s, file in files.items()
        if file.exists()
    }
    errors = [
        {
            "when": "end",
            "layer": "+".join(map(str, [*seeds, seed])),
            "quantity": "error",
            "value": 1 - average([*(others[s] for s in seeds), own]).accuracy,
        }
        for size in range(len(others) + 1)
        for seeds in combinations(others, size)
    ]
    return errors + _gains([*others.values(), own], errors[-1]["layer"]) if others else errors


def _gains(members: Sequence[Evaluation], layer: str) -> list[dict[str, Any]]:
    """By how much the average of all has a smaller error than its members, with standard errors.

    The best member is the best on these test images, which favours it.
    """
    wrong = [e.probabilities.argmax(axis=1) != e.labels for e in (*members, average(members))]
    *alone, together = np.array(wrong, float)
    bootstrap = require("scipy.stats", "train").bootstrap
    references = {"mean": np.mean(alone, axis=0), "best": min(alone, key=np.mean)}
    rows = []
    for name, reference in references.items():
        gain = reference - together
        error = bootstrap((gain,), np.mean, n_resamples=SAMPLES, rng=0).standard_error
        for quantity, value in ((f"gain_{name}", gain.mean()), (f"gain_{name}_error", error)):
            rows.append({"when": "end", "layer": layer, "quantity": quantity, "value": value})
    return rows


def _gain(results: Results, reference: str, network: str) -> tuple[float, float] | None:
    """The gain of the largest average over the mean or the best member, and its standard error."""
    gains, errors = (
        {layer: 100 * value for run in runs for layer, value in run.items()}
        for runs in (
            results.layers_of(network, f"gain_{reference}{end}", "end") for end in ("", "_error")
        )
    )
    if not gains:
        return None
    largest = max(gains, key=lambda layer: layer.count("+"))
    return gains[largest], errors[largest]


def _errors(results: Results, network: str, size: int) -> list[float]:
    """Errors of all choices of `size` networks, in per cent."""
    return [
        100 * error
        for of_run in results.layers_of(network, "error", "end")
        for seeds, error in of_run.items()
        if seeds.count("+") + 1 == size
    ]


def _table(results: Results) -> str:
    rows = []
    for network, name in NETWORKS.items():
        seeds = len(results.of(network))
        cells = [
            f"{mean(errors):.2f}" if len(errors := _errors(results, network, size)) else NOT_RUN
            for size in SIZES
        ]
        choices = ", ".join(str(math.comb(seeds, size)) for size in SIZES) if seeds else "-"
        best = f"{min(results.errors(network)):.2f}" if seeds else NOT_RUN
        rows.append([name, best, *cells, choices])
    head = ["test error, % of", "the best", *(f"{size} network{'s'[: size > 1]}" for size in SIZES)]
    return markdown([*head, "choices"], rows)


def _draw(results: Results, path: Path) -> None:
    panels = {}
    for network, name in NETWORKS.items():
        errors = [_errors(results, network, size) for size in SIZES]
        if errors[0]:
            known = [(size, mean(e)) for size, e in zip(SIZES, errors, strict=True) if e]
            sizes, means = zip(*known, strict=True)
            panels[name] = [plots.Line("mean of all choices", [means], x=sizes)]
    solid = f"all choices among {max(SIZES)} networks that differ in their seeds"
    plots.lines(panels, "networks averaged", "test error, %", path, solid=solid)


CLAIM = Claim(
    name="ensemble",
    title="Several networks averaged make fewer errors than one",
    says="Krizhevsky et al. 2012, section 6, Simonyan and Zisserman 2015, section 4.4, He et al. "
    "2015, section 4.1: averaging the probabilities of several networks lowers the error.",
    paper="AlexNet on ILSVRC-2012, top-1 and top-5 error: 40.7 and 18.2 % for one network, 38.1 "
    "and 16.4 % for five",
    program="ensemble",
    recipes={"fashion": resnet_shortcuts.FASHION, "paper": recipes.RESNET_CIFAR10_PAPER},
    variants={"lenet5": _lenet5, "resnet20": _resnet20},
    seeds=5,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis(
            "five ResNet-20 averaged make fewer errors than one on average",
            "mean",
            "resnet20",
            Resampled(_gain),
        ),
        Hypothesis(
            "five LeNet-5 averaged make fewer errors than one on average",
            "mean",
            "lenet5",
            Resampled(_gain),
        ),
        Hypothesis(
            "five ResNet-20 averaged make fewer errors than the best of them",
            "best",
            "resnet20",
            Resampled(_gain),
        ),
    ],
    rate_of=lambda results, arm: "the same networks",
    reading="Averaged over all choices, each further network lowers the mean error. That is not to "
    "say that an average beats the best single network: one ResNet-20 alone makes fewer errors "
    "than all five averaged. Choices share their networks and images, so they are no independent "
    "runs, and there is only one group of five of each network.",
    measure=_averages,
)
