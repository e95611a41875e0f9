"""The training of 1998 on MNIST's own digits, with two ranges of the initial weights."""

import dataclasses
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from keras_classics.data import ImageData, pipeline
from keras_classics.data.packaged import FOLDS, MNIST_5000
from keras_classics.evaluation import Evaluator, one_view
from keras_classics.training import FinishedRun, Recipe, initial_network, recipes
from keras_classics.training.levenberg_marquardt import diagonal_curvature
from reproduce.claims.claim import Claim, on_images_of
from reproduce.claims.evidence import Images, Means
from reproduce.claims.results import ERRORS_HEAD, Results, draw_errors
from reproduce.claims.verdicts import NOT_SEARCHED, Hypothesis
from reproduce.harness.tables import NOT_RUN, markdown, spread

# Recipe, and range of the initial weights and mu, by variant.
TRAININGS = {
    "1998": (recipes.LENET5_PAPER, "of 1998: ±2.4/√F, mu 0.02"),
    "appendix_a": (recipes.LENET5_APPENDIX_A, "of 1998: ±2.4/F, mu 0.5"),
    "today": (recipes.LENET5_MODERN, "today's"),
}

# Second derivatives below it leave a weight nearly the whole rate, rate / mu.
SMALL = 0.001

DIGITS = dataclasses.replace(
    recipes.LENET5_MODERN,
    name="digits",
    dataset=MNIST_5000,
    epochs=recipes.LENET5_PAPER.epochs,
)
PAPER = dataclasses.replace(DIGITS, name="paper", dataset="mnist")


def _training(recipe: Recipe, variant: str) -> Recipe:
    return recipe if variant == "today" else on_images_of(TRAININGS[variant][0], recipe)


def _table(results: Results) -> str:
    return "\n\n".join(
        [
            _errors_table(results),
            "Second derivatives of the loss before training, over all seeds. Appendix C says that "
            "those of the first layers may be very large:",
            _curvature_table(results),
        ]
    )


def _errors_table(results: Results) -> str:
    rows = []
    for variant, (_, name) in TRAININGS.items():
        errors = results.error_cells(variant)
        seconds = [float(run["seconds"]) for run in results.of(variant)]
        seeds = str(len(seconds) or "-")
        rows.append([name, *errors, spread(seconds, digits=0, none="-"), seeds])
    head = ["network and training", *ERRORS_HEAD, "seconds", "seeds"]
    return markdown(head, rows)


def _mistakes(results: Results, variant: str) -> dict[Hashable, bool]:
    """Whether each run of a variant misclassifies each of its test images, by seed and image."""
    return {
        (run["seed"], image): str(image) in wrong
        for run, wrong in results.layers_by_run(variant, "mistake", "end")
        for image in range(int(run["images"]))
    }


def _rate_of(results: Results, variant: str) -> str:
    """The statements name the paper's rates and a mu; today's rate was not searched."""
    return NOT_SEARCHED if variant == "today" else "part of the statement"


def _curvature_table(results: Results) -> str:
    rows = []
    for variant, (_, name) in TRAININGS.items():
        of_runs = {
            quantity: results.layers_of(variant, quantity, "start")
            for quantity in ("smallest", "median", "largest", "small")
        }
        for layer in of_runs["median"][0] if of_runs["median"] else ():
            values = {q: [run[layer] for run in runs] for q, runs in of_runs.items()}
            cells = [min(values["smallest"]), mean(values["median"]), max(values["largest"])]
            below = f"{100 * mean(values['small']):.0f}"
            rows.append([name, layer, *(f"{cell:.1e}" for cell in cells), below])
    head = ["training", "parameters", "smallest", "median", "largest", f"below {SMALL}, %"]
    return markdown(head, rows or [[NOT_RUN, "-", "-", "-", "-", "-"]], left=2)


def _draw(results: Results, path: Path) -> None:
    lines = [line for v, (_, name) in TRAININGS.items() for line in results.error_lines(v, name)]
    draw_errors({"MNIST's own digits": lines}, path)


def _measures(run: FinishedRun, recipe: Recipe, data: ImageData) -> list[dict[str, Any]]:
    """The test images that the network misclassifies, and its curvature before training."""
    found = Evaluator(run.model, run.loss, data.test, one_view(run.preprocessing))()
    rows = [
        {"when": "end", "layer": str(image), "quantity": "mistake", "value": 1}
        for image in np.flatnonzero(found.probabilities.argmax(axis=1) != found.labels)
    ]
    return rows if recipe.model != "lenet5_1998" else [*rows, *_curvature(run, recipe, data)]


def _curvature(run: FinishedRun, recipe: Recipe, data: ImageData) -> list[dict[str, Any]]:
    images, labels = pipeline.resized(
        data.train.limited(recipe.optimizer.samples), run.preprocessing.resize
    )
    network = initial_network(recipe, data)
    values = diagonal_curvature(network, run.loss, run.preprocessing(images), labels)
    rows = []
    for variable, value in zip(network.trainable_variables, values, strict=True):
        sizes = np.asarray(value)
        quantities = {
            "smallest": sizes.min(),
            "median": np.median(sizes),
            "largest": sizes.max(),
            "small": np.mean(sizes < SMALL),
        }
        rows += [
            {"when": "start", "layer": variable.path, "quantity": name, "value": float(size)}
            for name, size in quantities.items()
        ]
    return rows


CLAIM = Claim(
    name="lenet5_digits",
    title="The training of 1998 works as printed, but for the range of the initial weights",
    says="LeCun et al. 1998, section III-B and Appendices A and C: one image at a time, rates from "
    "the diagonal of the second derivatives with a mu of 0.02, initial weights in +-2.4 / F. Here "
    "5,000 of MNIST's own digits, each tested once: the seed chooses one of five folds.",
    paper="0.95 % on MNIST, with 60,000 training images (LeCun et al. 1998, Figure 9)",
    program="lenet5_mnist --compare=digits",
    recipes={"digits": DIGITS, "paper": PAPER},
    variants={variant: partial(_training, variant=variant) for variant in TRAININGS},
    seeds=FOLDS,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis(
            "±2.4/√F with mu 0.02 is no worse than ±2.4/F with mu 0.5 by more than a point",
            "appendix_a",
            "1998",
            Means(margin=-1.0),
        ),
        Hypothesis(
            "±2.4/F with mu 0.5 errs on more images than ±2.4/√F with mu 0.02",
            "appendix_a",
            "1998",
            Images(_mistakes),
        ),
        Hypothesis(
            "±2.4/√F with mu 0.02 errs on more images than today's",
            "1998",
            "today",
            Images(_mistakes),
        ),
    ],
    rate_of=_rate_of,
    reading="With a range over the root of F the paper's mu trains the network, and before "
    "training no second derivative of C1 and S2 is below a thousandth, where the paper says that "
    "they may be very large. With a range over F, as printed, nearly all are; a larger mu trains "
    "it too, and errs on more images. That is of these trained networks, one for each of three "
    "folds: McNemar's test does not see how other seeds would do. Against today's training nothing "
    "is decided.",
    measure=_measures,
)
