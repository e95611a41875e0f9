"""Plain networks get worse with depth, residual networks get better."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from keras_classics.analysis import plots, signals
from keras_classics.data import ImageData, pipeline
from keras_classics.training import FinishedRun, Recipe, recipes
from keras_classics.training.recipes.resnet import variant
from keras_classics.training.schedules import MultiStepDecay
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import Means
from reproduce.claims.results import Results, draw_errors
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import markdown

DEPTHS = (20, 32, 44, 56)
KINDS = {"plain": "plain", "resnet": "residual"}
# Test images that responses are measured on; more of them change nothing.
IMAGES = 256

RATES = (0.03, 0.1, 0.3)

FASHION = dataclasses.replace(
    recipes.RESNET_CIFAR10_PAPER,
    name="fashion",
    dataset="fashion_mnist",
    limit_train=20_000,
    steps=None,
    epochs=16,
    schedule=MultiStepDecay(rate=0.1, at=(8, 12), factor=0.1, unit="epochs"),
    preprocessing=recipes.RESNET20_FASHION_MNIST.preprocessing,
    preprocessing_arguments=recipes.RESNET20_FASHION_MNIST.preprocessing_arguments,
    augmentation=recipes.RESNET20_FASHION_MNIST.augmentation,
    paper=None,
    sources={},
)


def _network(depth: int, shortcut: str) -> Callable[[Recipe], Recipe]:
    return partial(variant, depth=depth, shortcut=shortcut)


VARIANTS = {f"plain{depth}": _network(depth, "none") for depth in DEPTHS} | {
    f"resnet{depth}": _network(depth, "A") for depth in DEPTHS
}

# Pairs that are compared, and what the difference shows.
COMPARISONS = (
    ("plain56", "plain20", "depth without shortcuts"),
    ("resnet56", "resnet20", "depth with them"),
    ("resnet20", "plain20", "shortcuts with 20 layers"),
    ("resnet56", "plain56", "shortcuts with 56 layers"),
)


def _table(results: Results) -> str:
    return f"{_errors_table(results)}\n\n{_comparison_table(results)}"


def _errors_table(results: Results) -> str:
    rows = []
    for depth in DEPTHS:
        cells = [str(depth)]
        for kind in KINDS:
            cells += results.error_cells(f"{kind}{depth}")
        seeds = [len(results.of(f"{kind}{depth}")) for kind in KINDS]
        rows.append([*cells, ", ".join(map(str, seeds)) if any(seeds) else "-"])
    head = [
        "layers",
        "plain, training %",
        "plain, in inference %",
        "plain, test %",
        "residual, training %",
        "residual, in inference %",
        "residual, test %",
    ]
    return markdown([*head, "seeds of each"], rows)


def _comparison_table(results: Results) -> str:
    rows = [
        [f"{a} - {b}", question, *(results.gain(a, b, part) for part in ("training", "test"))]
        for a, b, question in COMPARISONS
    ]
    head = ["difference", "what it shows", "training, points (95 %)", "test, points (95 %)"]
    return markdown(head, rows, left=2)


def _draw(results: Results, path: Path) -> None:
    """Figures 6 and 7 of the paper; in the latter, layers keep their order."""
    errors, responses = {}, {}
    for kind, title in KINDS.items():
        errors[title], responses[title] = [], []
        for depth in DEPTHS:
            network = f"{kind}{depth}", f"{depth} layers"
            errors[title] += results.error_lines(*network)
            responses[title] += results.layer_lines(*network, "response")
    draw_errors(errors, path)
    layers = path.with_name(f"{path.stem}_layers.png")
    plots.lines(responses, "layer", "standard deviation of the response", layers, log=True)


def _responses(run: FinishedRun, recipe: Recipe, data: ImageData) -> list[dict[str, Any]]:
    images, _ = pipeline.resized(data.test.limited(IMAGES), run.preprocessing.resize)
    responses = signals.responses(run.model, run.preprocessing(images))
    return [
        {"when": "end", "layer": layer, "quantity": "response", "value": value}
        for layer, value in responses.items()
    ]


CLAIM = Claim(
    name="resnet_depth",
    title="Plain networks get worse with depth, residual ones better",
    says="He et al. 2015, Figures 1 and 6: a plain network of 56 layers has a higher training "
    "error, and so a higher test error, than one of 20 layers; with residual networks the deeper "
    "one has lower errors.",
    paper="CIFAR-10, residual networks of 20, 32, 44 and 56 layers: 8.75, 7.51, 7.17 and 6.97 % "
    "(Table 6); for plain networks no figures are printed",
    program="resnet_cifar10 --compare=depth",
    recipes={"fashion": FASHION, "paper": recipes.RESNET_CIFAR10_PAPER},
    variants=VARIANTS,
    seeds=3,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis(
            "plain: 56 layers have more training error than 20",
            "plain56",
            "plain20",
            Means(part="training"),
        ),
        Hypothesis(
            "residual: 56 layers make at most 0.5 points more errors than 20",
            "resnet20",
            "resnet56",
            Means(margin=-0.5),
        ),
        Hypothesis("56 layers: plain has more errors", "plain56", "resnet56", Means()),
    ],
    rates=dict.fromkeys(VARIANTS, RATES),
    reading="In these runs the plain network of 56 layers has higher training and test errors "
    "than that of 20. With 56 layers, the errors are lower with shortcuts than without. "
    "The residual network of 56 layers is worse than that of 20, unlike in the paper, "
    "whose training is far longer. There is one run each of 32 and of 44 layers, so "
    "nothing is said of them. All networks have the paper's rate, and it was not searched "
    "here.",
    measure=_responses,
)
