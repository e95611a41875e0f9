"""VGGs of 11 to 19 layers, and how the deep ones are initialized."""

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from keras_classics.analysis import plots
from keras_classics.data.augment import CropFlip
from keras_classics.models.vgg import FILTERS
from keras_classics.training import Momentum, Recipe
from keras_classics.training.recipes.vgg import CONFIGS, TABLE_3
from keras_classics.training.schedules import MultiStepDecay
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import Equal, Means
from reproduce.claims.results import ERRORS_HEAD, Results, draw_errors
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import markdown

# Filters of each block and units of the dense layers: 1/8 and 1/32 of the paper's.
NARROW = {"filters": (8, 16, 32, 64, 64), "hidden": (128, 128)}

# Standard deviation of normal weights with these filters; with other filters it is scaled to keep
# each layer's gain. The paper's 0.01 for 512 filters would be 0.028 here, but with that even A
# stayed at the loss of guessing: its dense layers have 64 or more inputs, the paper's 4096 or more.
# Chosen by trial, so that A trains; no rows of the trials were kept.
DEVIATION = 0.04

FASHION = Recipe(
    name="fashion",
    model="vgg11",
    dataset="fashion_mnist",
    limit_train=10_000,
    epochs=15,
    batch_size=64,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0005),
    schedule=MultiStepDecay(rate=0.01, at=(0.6, 0.85), factor=0.1, unit="fraction"),
    model_arguments={**NARROW, "input_shape": (32, 32, 1)},
    preprocessing="canvas",
    # Scales to mean 0 and standard deviation 1; on the canvas these are 56 and 85 of 255.
    preprocessing_arguments={
        "size": 32,
        "border": 2,
        "channels": 1,
        "background": -56 / 85,
        "foreground": 199 / 85,
    },
    augmentation=CropFlip(padding=2, fill=-56 / 85),
)

CIFAR10 = dataclasses.replace(
    FASHION,
    name="cifar10",
    dataset="cifar10",
    limit_train=None,
    epochs=75,
    model_arguments={
        "filters": FILTERS,
        "hidden": (512, 512),
        "input_shape": (32, 32, 3),
    },
    # Mean 121 and standard deviation 64 of 255, over all colours.
    preprocessing_arguments={
        "size": 32,
        "border": 0,
        "channels": 3,
        "background": -121 / 64,
        "foreground": 134 / 64,
    },
    augmentation=CropFlip(padding=4),
)

RECIPES = {recipe.name: recipe for recipe in (FASHION, CIFAR10)}


def _of_config(recipe: Recipe, config: str) -> Recipe:
    return dataclasses.replace(recipe, model=CONFIGS[config])


def _normal(recipe: Recipe, config: str, **changes: Any) -> Recipe:
    """The paper's start: normal weights, and images not divided by their standard deviation."""
    filters = recipe.model_arguments["filters"]
    deviation = DEVIATION * math.sqrt(NARROW["filters"][-1] / filters[-1])
    start = {"class_name": "RandomNormal", "config": {"stddev": deviation}}
    arguments = recipe.preprocessing_arguments
    scale = 255 / (arguments["foreground"] - arguments["background"])
    pixels = {name: scale * arguments[name] for name in ("background", "foreground")}
    return dataclasses.replace(
        _of_config(recipe, config),
        model_arguments={**recipe.model_arguments, "kernel_initializer": start},
        preprocessing_arguments={**arguments, **pixels},
        augmentation=dataclasses.replace(
            recipe.augmentation, fill=scale * recipe.augmentation.fill
        ),
        **changes,
    )


# Points within which two networks count as equal.
MARGIN = 0.5

RATES = (0.005, 0.01, 0.02)

FROM_A = {"initial_model": CONFIGS["A"]}
VARIANTS = {config: partial(_of_config, config=config) for config in CONFIGS} | {
    "A_normal": partial(_normal, config="A"),
    "D_normal": partial(_normal, config="D"),
    "E_normal": partial(_normal, config="E"),
    "D_from_A": partial(_normal, config="D", **FROM_A),
    "E_from_A": partial(_normal, config="E", **FROM_A),
}

# The start of a variant, by the part of its name after the configuration.
STARTS = {"": "He", "normal": "normal", "from_A": "normal, layers of A"}

# Pairs that are compared, and what the difference shows.
COMPARISONS = (
    ("A-LRN", "A", "response normalisation"),
    ("B", "A", "deeper: 13 against 11 layers"),
    ("C", "B", "1x1 added to each of the last blocks"),
    ("D", "B", "3x3 added instead"),
    ("D", "C", "3x3 against 1x1"),
    ("E", "D", "deeper: 19 against 16 layers"),
    ("D_from_A", "D", "D from A's layers against He's start"),
    ("E_from_A", "E", "E from A's layers against He's start"),
)


def _paper(variant: str) -> float | None:
    return 100 * TABLE_3[variant]["256"] if variant in TABLE_3 else None


def _table(results: Results) -> str:
    return f"{_errors_table(results)}\n\n{_comparison_table(results)}"


def _errors_table(results: Results) -> str:
    rows = []
    for variant in VARIANTS:
        config, _, start = variant.partition("_")
        paper = _paper(variant)
        errors = results.error_cells(variant)
        paper = f"{paper:.1f}" if paper else "-"
        seeds = str(len(results.of(variant)) or "-")
        rows.append([config, STARTS[start], paper, *errors, seeds])
    head = ["configuration", "start", "paper, ImageNet, %", *ERRORS_HEAD]
    return markdown([*head, "seeds"], rows, left=2)


def _comparison_table(results: Results) -> str:
    rows = []
    for a, b, question in COMPARISONS:
        papers = _paper(a), _paper(b)
        paper = "-" if None in papers else f"{papers[0] - papers[1]:+.1f}"
        rows.append([f"{a} - {b}", question, paper, results.gain(a, b)])
    head = ["difference", "what it shows", "paper, points", "here, points (95 %)"]
    return markdown(head, rows, left=2)


def _draw(results: Results, path: Path) -> None:
    def panel(variants: Mapping[str, str]) -> list[plots.Line]:
        return [
            line
            for variant, label in variants.items()
            for line in results.error_lines(variant, label)
        ]

    def starts(config: str) -> dict[str, str]:
        return {f"{config}_{start}".rstrip("_"): name for start, name in STARTS.items()}

    panels = {f"{config}, from He's weights": _beside_others(results, config) for config in CONFIGS}
    panels |= {f"{config}, by start": panel(starts(config)) for config in ("D", "E")}
    draw_errors(panels, path)


def _beside_others(results: Results, config: str) -> list[plots.Line]:
    """The errors of a configuration, and faintly the test errors of the others."""
    others = [
        dataclasses.replace(line, label="test error of the others", faint=True)
        for other in CONFIGS
        if other != config
        for line in results.error_lines(other, other)
        if not line.dashed
    ]
    return [*results.error_lines(config, config), *others]


CLAIM = Claim(
    name="vgg_depth",
    title="Deeper VGGs are better up to a point, and response normalisation does not help",
    says="Simonyan and Zisserman 2015, Table 3 and section 4.1: errors fall from A to D, but not "
    "from D to E; A-LRN is no better than A; C, with 1x1 convolutions, is better than B, and D, "
    "with 3x3 instead, is better than C. Section 3.1: the deep networks started from a trained A, "
    "because they do not train from normal weights.",
    paper="top-1 errors on ILSVRC-2012 at S = 256 from Table 3, see the table below",
    program="vgg_depth",
    recipes=RECIPES,
    variants=VARIANTS,
    starts_from={"D_from_A": "A_normal", "E_from_A": "A_normal"},
    seeds=5,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis("A has more errors than D", "A", "D", Means()),
        Hypothesis("A has more errors than B", "A", "B", Means()),
        Hypothesis("B has more errors than C", "B", "C", Means()),
        Hypothesis("C has more errors than D", "C", "D", Means()),
        Hypothesis("E and D make as many errors", "E", "D", Equal(MARGIN)),
        Hypothesis("A-LRN and A make as many errors", "A-LRN", "A", Equal(MARGIN)),
        *(
            Hypothesis(
                f"{config} makes fewer errors from A's layers than from normal weights alone",
                f"{config}_normal",
                f"{config}_from_A",
                Means(),
            )
            for config in ("D", "E")
        ),
    ],
    rates=dict.fromkeys(VARIANTS, RATES),
    reading="From normal weights of the deviation here, D and E stay at guessing to the end, and "
    "they train when they start from the layers of a trained A. That deviation was chosen "
    "by trial so that A trains, so this is no test of the paper's weights. Among A to E "
    "from He's weights these runs decide nothing: the networks are narrow, the epochs "
    "few, all have one rate, and a linear classifier makes about as many errors on these "
    "images. Images have a standard deviation of one, at which response normalisation is "
    "nearly a constant factor: A-LRN is no test of it. Training errors are means over the "
    "last epoch, with dropout and augmentation; those of inference on the same images are "
    "lower.",
)
