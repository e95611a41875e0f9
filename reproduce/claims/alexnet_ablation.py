"""What normalisation, overlapping pooling, dropout and colour shifts each contribute."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from keras_classics.data.augment import CropFlip, WithColour
from keras_classics.data.colour import GreyShift, PCAColour
from keras_classics.training import Recipe
from keras_classics.training.optimizer import Momentum
from keras_classics.training.schedules import MultiStepDecay, PiecewiseConstant
from reproduce.claims import alexnet_relu
from reproduce.claims.alexnet_relu import DEVIATION, MEAN
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import Means
from reproduce.claims.results import ERRORS_HEAD, Results, draw_errors
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import markdown

BASELINE = "all"

# What a variant leaves out, and the points of top-1 and top-5 error that it is worth in the paper.
LEFT_OUT = {
    "no_lrn": ("response normalisation", "1.4, 1.2 (section 3.3)"),
    "no_overlap": ("overlapping pooling", "0.4, 0.3 (section 3.4)"),
    "no_dropout": ("dropout", "no figure (section 4.2)"),
    "no_colour": ("colour shift", "over 1, - (section 4.1)"),
}

FASHION = Recipe(
    name="fashion",
    model="cuda_convnet",
    dataset="fashion_mnist",
    limit_train=3000,
    limit_test=5000,
    epochs=30,
    batch_size=32,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0005),
    schedule=MultiStepDecay(rate=0.01, at=(0.6, 0.85), factor=0.1, unit="fraction"),
    model_arguments={"input_shape": (28, 28, 1), "hidden": (512,), "dropout": 0.5},
    preprocessing=alexnet_relu.FASHION.preprocessing,
    preprocessing_arguments=alexnet_relu.FASHION.preprocessing_arguments,
    augmentation=WithColour(CropFlip(padding=2, fill=-MEAN), GreyShift(pixels=DEVIATION)),
)

PAPER = dataclasses.replace(
    FASHION,
    name="paper",
    dataset="cifar10",
    limit_train=None,
    limit_test=None,
    epochs=140,
    batch_size=128,
    schedule=PiecewiseConstant(rates=(0.001, 0.0001, 0.00001), epochs=(120, 10, 10)),
    model_arguments={"hidden": (512,), "dropout": 0.5},
    preprocessing=alexnet_relu.PAPER.preprocessing,
    preprocessing_arguments=alexnet_relu.PAPER.preprocessing_arguments,
    augmentation=WithColour(CropFlip(padding=4), PCAColour()),
    sources={
        "epochs": "cuda-convnet, the notes on its net of 18 % errors",
        "batch_size": "Krizhevsky et al. 2012, section 5",
        "optimizer": "Krizhevsky et al. 2012, section 5",
        "schedule": "cuda-convnet, the notes on its net of 18 % errors",
        "model_arguments": "Krizhevsky et al. 2012, sections 3.3, 3.4 and 4.2, but for the widths",
        "preprocessing_arguments": "Krizhevsky et al. 2012, section 2: minus the mean image",
        "augmentation": "Krizhevsky et al. 2012, section 4.1, but for the crops",
    },
)


def _with(recipe: Recipe, **arguments: Any) -> Recipe:
    return dataclasses.replace(recipe, model_arguments={**recipe.model_arguments, **arguments})


def _without_colour(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, augmentation=recipe.augmentation.first)


VARIANTS: dict[str, Callable[[Recipe], Recipe]] = {
    BASELINE: _with,
    "no_lrn": partial(_with, lrn=None),
    "no_overlap": partial(_with, overlapping=False),
    "no_dropout": partial(_with, dropout=0.0),
    "no_colour": _without_colour,
}


def _table(results: Results) -> str:
    rows = []
    for variant, (name, paper) in {BASELINE: ("nothing", "-"), **LEFT_OUT}.items():
        more = "-" if variant == BASELINE else results.gain(variant, BASELINE)
        cells = [name, paper, *results.error_cells(variant), more]
        rows.append([*cells, str(len(results.of(variant)) or "-")])
    head = ["left out", "paper: points of top-1, top-5", *ERRORS_HEAD]
    return markdown([*head, "more test error, points (95 %)", "seeds"], rows, left=2)


def _draw(results: Results, path: Path) -> None:
    panels = {
        f"without {name}": [
            *results.error_lines(BASELINE, "with all"),
            *results.error_lines(variant, "without"),
        ]
        for variant, (name, _) in LEFT_OUT.items()
    }
    panels = {title: lines for title, lines in panels.items() if lines}
    draw_errors(panels, path, columns=2)


CLAIM = Claim(
    name="alexnet_ablation",
    title="What normalisation, overlap, dropout and colour are worth",
    says="Krizhevsky et al. 2012, sections 3.3, 3.4, 4.1 and 4.2: response normalisation, "
    "overlapping pooling, dropout and shifts of the colours each lower AlexNet's error.",
    paper="response normalisation lowers top-1 and top-5 error by 1.4 and 1.2 points (on CIFAR-10, "
    "with a network of four layers, from 13 % to 11 %), 3/2 instead of 2/2 pooling by 0.4 and 0.3; "
    "shifts of colour lower top-1 error by more than 1; without dropout substantial overfitting",
    program="alexnet_ablation",
    recipes={"fashion": FASHION, "paper": PAPER},
    variants=VARIANTS,
    seeds=5,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis(f"without {name} more errors", variant, BASELINE, Means())
        for variant, (name, _) in LEFT_OUT.items()
    ],
    rates=dict.fromkeys(VARIANTS, (0.0025, 0.005, 0.01)),
    reading="These runs do not show what the parts are worth. All variants train at the rate that "
    "suits the whole network. Without response normalisation the network does not learn "
    "at rates that it bears with it, as the rates of ReLU above show; at half the rate, "
    "in trials without rows, it was as good as the whole network. The epochs are few and "
    "the images easy, so that nothing overfits, which is what dropout and shifts of "
    "colour are for.",
)
