"""BatchNormalization after only the first convolution makes a stuck VGG-16 train."""

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import tensorflow as tf

from keras_classics.analysis import plots, signals
from keras_classics.data import ImageData, pipeline
from keras_classics.models.builder import scores_and_probabilities
from keras_classics.training import Adam, FinishedRun, Momentum, Recipe, initial_network
from keras_classics.training.schedules import Constant
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import Counts, Steps
from reproduce.claims.results import Results
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import NOT_RUN, Row, markdown, spread

# Guessing among six classes has a loss of ln 6, 1.79. Below this loss a network has left it.
LEFT = 1.5

# Training images that outputs and gradients are measured on.
IMAGES = 256

# The convolutions that BatchNormalization follows.
PLACES = {
    "none": ("no BN", None),
    "first": ("first", "first"),
    "two": ("first of blocks 1, 2", ("block1_conv1", "block2_conv1")),
    "all": ("all 13", "all"),
}
# Optimiser and schedule; None is that of the recipe, whose rate --search changes.
OPTIMIZERS = {
    "sgd": ("SGD", Momentum(momentum=0.9), None),
    "adam": ("Adam", Adam(), Constant(0.0001)),
}
TRAINED = {"start": "before training", "end": "after training"}
INITIALIZERS = {"glorot": ("Glorot", "glorot_uniform"), "he": ("He", "he_fan_in")}
# About as many as in the blog's data, and more.
TRAIN_IMAGES = (1000, 6000)

CONDITIONS = tuple(product(TRAIN_IMAGES, OPTIMIZERS, INITIALIZERS))

FASHION = Recipe(
    name="fashion",
    model="vgg16_mini",
    dataset="fashion_mnist",
    # T-shirt, trouser, sandal, sneaker, bag and boot; not the classes that resemble a T-shirt.
    only_classes=(0, 1, 5, 7, 8, 9),
    limit_train=max(TRAIN_IMAGES),
    # Evaluated after each of up to 24 epochs.
    limit_test=1000,
    steps=480,
    batch_size=50,
    optimizer=Momentum(momentum=0.9),
    schedule=Constant(0.01),
    preprocessing="canvas",
    preprocessing_arguments={
        "size": 64,
        "border": 0,
        "channels": 3,
        "background": 0.0,
        "foreground": 1.0,
    },
)


def _variant(recipe: Recipe, place: str, optimizer: str, start: str, images: int) -> Recipe:
    _, batch_norm = PLACES[place]
    _, method, schedule = OPTIMIZERS[optimizer]
    _, initializer = INITIALIZERS[start]
    return dataclasses.replace(
        recipe,
        model_arguments={"batch_norm": batch_norm, "kernel_initializer": initializer},
        optimizer=method,
        schedule=schedule or recipe.schedule,
        limit_train=min(images, recipe.limit_train),
    )


def _name(place: str, images: int, optimizer: str, start: str) -> str:
    return f"{place}_{optimizer}_{start}_{images}"


VARIANTS = {
    _name(place, images, optimizer, start): partial(
        _variant, place=place, optimizer=optimizer, start=start, images=images
    )
    for (images, optimizer, start), place in product(CONDITIONS, PLACES)
}


def _title(images: int, optimizer: str, start: str) -> str:
    return f"{OPTIMIZERS[optimizer][0]}, {INITIALIZERS[start][0]}, {images:,} images"


def epochs_to_leave(history: list[Row]) -> int | None:
    """Returns the first epoch whose training loss is below `LEFT`, or None.

    Args:
        history: Rows of the epochs of a run.
    """
    below = [int(row["epoch"]) for row in history if float(row["train_loss"]) < LEFT]
    return below[0] if below else None


def _leaves(results: Results, variant: str) -> list[bool]:
    """Whether each run left the plateau."""
    return [epochs_to_leave(history) is not None for history in results.histories(variant)]


def _steps_to_leave(results: Results, variant: str) -> list[tuple[float, bool]]:
    """Steps until each run left the plateau, at the end of an epoch, and whether it did."""
    runs = []
    for history in results.histories(variant):
        left = epochs_to_leave(history)
        last = history[-1 if left is None else left - 1]
        runs.append((float(last["step"]), left is not None))
    return runs


def _left(results: Results, variant: str) -> str:
    """How many runs left the plateau, and after how many epochs on average."""
    epochs = [epochs_to_leave(history) for history in results.histories(variant)]
    if not epochs:
        return NOT_RUN
    left = [number for number in epochs if number is not None]
    return f"{len(left)} of {len(epochs)}" + (f", {mean(left):.1f}" if left else ", -")


def _gradient(results: Results, variant: str) -> str:
    """Root mean square of the gradient of the first convolution before training."""
    runs = results.layers_of(variant, "gradient", "start")
    sizes = [layers["block1_conv1"] for layers in runs]
    return f"{mean(sizes):.1e}" if sizes else NOT_RUN


def _table(results: Results) -> str:
    def of_all(head: str, cell: Callable[[str], str]) -> str:
        rows = [
            [_title(*condition), *(cell(_name(place, *condition)) for place in PLACES)]
            for condition in CONDITIONS
        ]
        return markdown([head, *(name for name, _ in PLACES.values())], rows)

    def error(variant: str) -> str:
        return spread(results.errors(variant), digits=1)

    return "\n\n".join(
        [
            f"Runs whose training loss fell below {LEFT} (guessing is ln 6, 1.79), and the mean "
            "number of epochs until then, by the convolutions that BatchNormalization follows:",
            of_all("left the plateau", partial(_left, results)),
            "Test error of all runs, %:",
            of_all("test error", error),
            "Root mean square of the first kernel's gradient before training:",
            of_all("first gradient", partial(_gradient, results)),
        ]
    )


def _draw(results: Results, path: Path) -> None:
    _draw_losses(results, path)
    _draw_layers(results, path.with_name(f"{path.stem}_layers.png"))


def _draw_losses(results: Results, path: Path) -> None:
    """Losses over the steps: a row for each training, a column for each place."""
    panels: dict[str, list[plots.Line]] = {}
    for (optimizer, start), place in product(product(OPTIMIZERS, INITIALIZERS), PLACES):
        training = f"{OPTIMIZERS[optimizer][0]}, {INITIALIZERS[start][0]}"
        panels[f"{training}\n{_caption(place)}"] = several = []
        for images in TRAIN_IMAGES:
            if histories := results.histories(_name(place, images, optimizer, start)):
                steps = [int(row["step"]) for row in histories[0]]
                losses = [[float(row["train_loss"]) for row in h] for h in histories]
                several.append(plots.Line(f"{images:,} images", losses, x=steps))
    plots.lines(panels, "step", "training loss", path, columns=4, solid="training loss")


def _caption(place: str) -> str:
    name, batch_norm = PLACES[place]
    return f"BN: {name}" if batch_norm else name


def _draw_layers(results: Results, path: Path) -> None:
    """Sizes from layer to layer with SGD and the most images, the case of the claim.

    A row for each quantity, a column for each place of the normalisation.
    """
    panels = {}
    for (when, trained), quantity in product(TRAINED.items(), ("output", "gradient")):
        for place in PLACES:
            panels[f"{_caption(place)}\n{quantity} {trained}"] = several = []
            for start, (weights, _) in INITIALIZERS.items():
                variant = _name(place, max(TRAIN_IMAGES), "sgd", start)
                several += results.layer_lines(variant, weights, quantity, when)
    plots.lines(panels, "layer", "root mean square", path, log=True, columns=4, sharey="row")


def _sizes(run: FinishedRun, recipe: Recipe, data: ImageData) -> list[dict[str, Any]]:
    """Sizes of each layer's output and of its kernel's gradient before and after training."""
    images, labels = pipeline.resized(data.train.limited(IMAGES), run.preprocessing.resize)
    images = run.preprocessing(images)
    labels = tf.constant(labels)

    def loss(outputs) -> tf.Tensor:
        return tf.reduce_mean(run.loss.call(labels, outputs[0]))

    rows = []
    for when, network in (("start", initial_network(recipe, data)), ("end", run.model)):
        sizes = signals.sizes(scores_and_probabilities(network), images, loss)
        for quantity, of_layers in zip(("output", "gradient"), sizes, strict=True):
            rows += [
                {"when": when, "layer": layer, "quantity": quantity, "value": value}
                for layer, value in of_layers.items()
            ]
    return rows


CLAIM = Claim(
    name="vgg_first_bn",
    title="BatchNormalization after the first convolution alone makes a stuck VGG-16 train",
    says="A blog reports on a small VGG-16 for 64x64 images of six hand signs (SIGNS, 1,080 "
    "training images): its loss stayed at that of guessing, and BatchNormalization after only the "
    "first convolution made it train. The text says one layer; the code has two, after the first "
    "convolutions of blocks 1 and 2. Initial weights were Glorot's. SIGNS could not be downloaded "
    "here; six classes of Fashion-MNIST at 64x64 replace it.",
    paper="none that could be checked",
    program="vgg_first_bn",
    recipes={"fashion": FASHION},
    variants=VARIANTS,
    seeds=10,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis(
            "SGD, Glorot, 1,000 images: more runs leave the plateau with one than without",
            "first_sgd_glorot_1000",
            "none_sgd_glorot_1000",
            Counts(_leaves),
        ),
        Hypothesis(
            "the same with two",
            "two_sgd_glorot_1000",
            "none_sgd_glorot_1000",
            Counts(_leaves),
        ),
        Hypothesis(
            "without it they take more steps to leave it than with one",
            "none_sgd_glorot_1000",
            "first_sgd_glorot_1000",
            Steps(_steps_to_leave),
        ),
        Hypothesis(
            "without it they take more steps to leave it than with two",
            "none_sgd_glorot_1000",
            "two_sgd_glorot_1000",
            Steps(_steps_to_leave),
        ),
    ],
    rates=dict.fromkeys(
        (_name(place, 1000, "sgd", "glorot") for place in PLACES), (0.003, 0.01, 0.03)
    ),
    reading="With Glorot's weights, SGD and the fewer images, one normalisation takes all runs "
    "off the plateau, two do the same, and without them most stay. Each of the three has the best "
    "of three rates: one normalisation the smallest, two the largest, none the middle one. In the "
    "search of none, one of two runs left the plateau at the smallest and at the middle one, so "
    "that choice is weak, and none was not compared at the smallest. With SGD, the other lines of "
    "the tables have the middle rate. With Adam all runs leave it. Mean test errors of runs of "
    "which some train and some do not say little, so they have no interval here. With Glorot's "
    "weights the outputs shrink from layer to layer before training; each normalisation makes the "
    "first gradient several times larger. In one run, with normalisation everywhere, He's weights "
    "and SGD, all ReLUs of the first layer died.",
    measure=_sizes,
)
