"""Stacks of 3x3 convolutions against single convolutions with the same receptive field."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from keras_classics.analysis.profile import profile
from keras_classics.data import ImageData
from keras_classics.training import FinishedRun, Recipe
from reproduce.claims import vgg_depth
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import Means
from reproduce.claims.results import ERRORS_HEAD, Results, draw_errors
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import markdown

# Network, whether its convolutions are stacked as in the paper, and the convolutions of a block.
KINDS = {
    "B": ("vgg13", True, "two 3x3"),
    "B_5x5": ("vgg13", False, "one 5x5"),
    "D": ("vgg16", True, "two or three 3x3"),
    "D_7x7": ("vgg16", False, "one 5x5 or 7x7"),
}


def _variant(recipe: Recipe, model: str, stacked: bool) -> Recipe:
    arguments = {**recipe.model_arguments, "stacked": stacked}
    return dataclasses.replace(recipe, model=model, model_arguments=arguments)


VARIANTS = {
    name: partial(_variant, model=model, stacked=stacked)
    for name, (model, stacked, _) in KINDS.items()
}


def _cost(results: Results, variant: str, quantity: str) -> str:
    """Parameters or multiply-adds of the network, which are the same in each run."""
    for layers in results.layers_of(variant, quantity, "end"):
        return f"{sum(layers.values()) / 1e6:.2f} M"
    return "-"


def _table(results: Results) -> str:
    rows = []
    for variant, (_, stacked, blocks) in KINDS.items():
        config = variant[0]
        costs = [_cost(results, variant, name) for name in ("parameters", "multiply_adds")]
        errors = results.error_cells(variant)
        more = "-" if stacked else results.gain(variant, config)
        seeds = str(len(results.of(variant)) or "-")
        rows.append([config, blocks, *costs, *errors, more, seeds])
    head = ["configuration", "each block", "parameters", "multiply-adds", *ERRORS_HEAD]
    head += ["more than stacked, points (95 %)", "seeds"]
    return markdown(head, rows, left=2)


def _draw(results: Results, path: Path) -> None:
    panels = {}
    for variant, (_, _, blocks) in KINDS.items():
        panel = panels.setdefault(f"configuration {variant[0]}", [])
        panel += results.error_lines(variant, blocks)
    draw_errors(panels, path)


def _costs(run: FinishedRun, recipe: Recipe, data: ImageData) -> list[dict[str, Any]]:
    """Parameters and multiply-adds of each layer that has any."""
    return [
        {"when": "end", "layer": row.layer, "quantity": quantity, "value": value}
        for row in profile(run.model).rows
        for quantity, value in (("parameters", row.params), ("multiply_adds", row.macs))
        if value
    ]


CLAIM = Claim(
    name="vgg_receptive_field",
    title="Stacked 3x3 convolutions beat single ones that see as much",
    says="Simonyan and Zisserman 2015, sections 2.3 and 4.1: two 3x3 convolutions have the "
    "receptive field of one 5x5, three that of one 7x7, with fewer parameters and more ReLUs; B "
    "with one 5x5 instead of each pair makes more errors.",
    paper="top-1 error higher by 7 points on ILSVRC-2012, centre crop (section 4.1); no figure for "
    "7x7",
    program="vgg_receptive_field",
    recipes=vgg_depth.RECIPES,
    variants=VARIANTS,
    seeds=5,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis("B with 5x5 makes more errors", "B_5x5", "B", Means()),
        Hypothesis("D with 5x5 or 7x7 makes more errors", "D_7x7", "D", Means()),
    ],
    rates=dict.fromkeys(VARIANTS, vgg_depth.RATES),
    reading="These runs do not decide the claim. They have the weaknesses of the runs on depth "
    "above: narrow networks, few epochs, one rate for all, and errors near those of a "
    "linear classifier. D with single convolutions makes fewer errors than with stacked "
    "ones at this rate and length. Stacks have fewer parameters, as the paper says, and "
    "about as many multiply-adds.",
    measure=_costs,
)
