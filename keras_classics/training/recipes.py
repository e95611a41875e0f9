"""The recipes by name: those of the papers, value by value, and modern ones beside them."""

from keras_classics.training.optimizer import LevenbergMarquardt, Momentum
from keras_classics.training.recipe import Paper, Recipe
from keras_classics.training.schedules import Cosine, PerPass

LENET5_PAPER = Recipe(
    name="paper",
    model="lenet5_1998",
    dataset="mnist",
    epochs=20,
    batch_size=1,
    optimizer=LevenbergMarquardt(mu=0.02, samples=500),
    schedule=PerPass(
        rates=(0.0005, 0.0002, 0.0001, 0.00005, 0.00001),
        passes=(2, 3, 3, 4, 8),
    ),
    loss="discriminative_map",
    preprocessing_arguments={"background": -0.1, "foreground": 1.175},
    reshuffle=False,
    jit_compile=True,
    paper=Paper("test_error", 0.0095, "mnist", "LeCun et al. 1998, Figure 9"),
    sources={
        "epochs": "section III-B",
        "batch_size": "Appendix C: one pattern at a time",
        "optimizer": "Appendix C; mu in section III-B",
        "schedule": "section III-B",
        "loss": "section II-C, equation 9; the paper prints no value of j",
        "preprocessing_arguments": "section II-B",
        "reshuffle": "section III-B: the patterns come in a constant random order",
    },
)

LENET5_MODERN = Recipe(
    name="modern",
    model="lenet5",
    dataset="mnist",
    epochs=30,
    batch_size=32,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0005),
    schedule=Cosine(rate=0.02),
    preprocessing_arguments={"background": -0.1, "foreground": 1.175},
    paper=Paper("test_error", 0.0095, "mnist", "LeCun et al. 1998, Figure 9"),
    sources={"preprocessing_arguments": "section II-B"},
)

LENET5 = {recipe.name: recipe for recipe in (LENET5_MODERN, LENET5_PAPER)}
