"""The LeNet-5 of 1998 compared with today's."""

import dataclasses
from functools import partial
from pathlib import Path

from keras_classics.training import Recipe, recipes
from reproduce.claims.claim import Claim, on_images_of
from reproduce.claims.evidence import Means
from reproduce.claims.results import ERRORS_HEAD, Results, draw_errors
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import markdown, spread

NAMES = {
    "1998": "LeNet-5 of 1998: ±2.4/F, mu 0.5",
    "1998_sqrt": "LeNet-5 of 1998: ±2.4/√F, mu 0.02",
    "today": "today's LeNet-5",
}

# As long as the paper's training, on a quarter of the images.
FASHION = dataclasses.replace(
    recipes.LENET5_MODERN,
    name="fashion",
    dataset="fashion_mnist",
    epochs=recipes.LENET5_PAPER.epochs,
    limit_train=15_000,
)
PAPER = dataclasses.replace(FASHION, name="paper", dataset="mnist", limit_train=None)


OF_1998 = {"1998": recipes.LENET5_APPENDIX_A, "1998_sqrt": recipes.LENET5_PAPER}


def _training(recipe: Recipe, variant: str) -> Recipe:
    return on_images_of(OF_1998[variant], recipe) if variant in OF_1998 else recipe


def _table(results: Results) -> str:
    rows = []
    for variant, name in NAMES.items():
        runs = results.of(variant)
        errors = results.error_cells(variant)
        more = "-" if variant == "today" else results.gain(variant, "today")
        seconds = spread([float(run["seconds"]) for run in runs], digits=0, none="-")
        parameters = f"{int(runs[0]['parameters']):,}" if runs else "-"
        rows.append([name, parameters, *errors, more, seconds, str(len(runs) or "-")])
    head = ["network and training", "parameters", *ERRORS_HEAD]
    return markdown([*head, "more than today's, points (95 %)", "seconds", "seeds"], rows)


def _draw(results: Results, path: Path) -> None:
    both = [line for name, label in NAMES.items() for line in results.error_lines(name, label)]
    draw_errors({"LeNet-5": both}, path)


CLAIM = Claim(
    name="lenet5_networks",
    title="LeNet-5 of 1998 beside what is taught under its name",
    says="LeCun et al. 1998, sections II and III: trainable subsampling, a sparse third layer and "
    "an output of distances to drawn digits, trained one image at a time with approximate second "
    "derivatives. The network taught today has average pooling, full connections and a softmax, "
    "and is trained with momentum in batches. Here both train on the same images for the same "
    "number of epochs.",
    paper="0.95 % on MNIST (LeCun et al. 1998, Figure 9)",
    program="lenet5_mnist --compare=networks",
    recipes={"fashion": FASHION, "paper": PAPER},
    variants={variant: partial(_training, variant=variant) for variant in NAMES},
    seeds=5,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis("the network of 1998 makes more errors than today's", "1998", "today", Means()),
        Hypothesis(
            "±2.4/F with mu 0.5 makes more errors than ±2.4/√F with mu 0.02",
            "1998",
            "1998_sqrt",
            Means(),
        ),
    ],
    rates={"today": (0.02, 0.05, 0.1)},
    reading="All three are whole recipes with a rate each that nobody searched on these "
    "images, so the differences are those of these trainings, not of the networks. The first "
    "has the weights as Appendix A prints them and a mu of our own, the second the mu that is "
    "printed and wider weights: on these images its errors differ far more from seed to seed, "
    "in training too, and are not smaller. The training of 1998 takes longer because it takes "
    "a step for each image; today's takes a step for each batch. Training errors are means over "
    "the last epoch, while the weights change.",
)
