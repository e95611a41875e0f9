"""LeNet-5, LeCun, Bottou, Bengio, Haffner 1998.

`paper` differs from the paper in the initial weights: +-2.4 / sqrt(F), where Appendix A prints
+-2.4 / F. See `models.lenet`: with the printed weights the paper's mu of 0.02 saturates the network
within ten updates, because only mu bounds their steps, at 0.0005 / 0.02.

`appendix_a` has the weights as printed, and differs from the paper in mu: 0.5, at which they train.

The paper's loss has a constant j without a value; here it is 1. `distortions` has amounts of our
own.
"""

import dataclasses

from keras_classics.data.augment import AffineDistortion
from keras_classics.training.optimizer import LevenbergMarquardt, Momentum
from keras_classics.training.recipe import Paper, Recipe
from keras_classics.training.schedules import Cosine, PiecewiseConstant

LENET5_MODERN = Recipe(
    name="modern",
    model="lenet5",
    dataset="mnist",
    epochs=30,
    batch_size=32,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0005),
    schedule=Cosine(rate=0.05),
    preprocessing_arguments={"background": -0.1, "foreground": 1.175},
    paper=Paper("test_error", 0.0095, "mnist", "LeCun et al. 1998, Figure 9"),
    sources={"preprocessing_arguments": "section II-B"},
)

LENET5_DISTORTIONS = dataclasses.replace(
    LENET5_MODERN,
    name="distortions",
    augmentation=AffineDistortion(),
    paper=Paper("test_error", 0.008, "mnist", "LeCun et al. 1998, Figure 9, with distortions"),
    sources={
        **LENET5_MODERN.sources,
        "augmentation": "section III-C names the distortions and gives no amounts",
    },
)

LENET5_PAPER = Recipe(
    name="paper",
    model="lenet5_1998",
    dataset="mnist",
    epochs=20,
    batch_size=1,
    optimizer=LevenbergMarquardt(mu=0.02, samples=500),
    schedule=PiecewiseConstant(
        rates=(0.0005, 0.0002, 0.0001, 0.00005, 0.00001),
        epochs=(2, 3, 3, 4, 8),
    ),
    model_arguments={"fan_in_exponent": 0.5},
    loss="discriminative_map",
    preprocessing_arguments={"background": -0.1, "foreground": 1.175},
    reshuffle=False,
    jit_compile=True,
    paper=Paper("test_error", 0.0095, "mnist", "LeCun et al. 1998, Figure 9"),
    sources={
        "epochs": "section III-B",
        "batch_size": "Appendix C: one pattern at a time",
        "optimizer": "Appendix C; section III-B: mu is 0.02",
        "schedule": "section III-B",
        "loss": "section II-C, equation 9; the paper prints no value of j",
        "preprocessing_arguments": "section II-B",
        "reshuffle": "section III-B: the patterns come in a constant random order",
    },
)

LENET5_APPENDIX_A = dataclasses.replace(
    LENET5_PAPER,
    name="appendix_a",
    model_arguments={},
    optimizer=LevenbergMarquardt(mu=0.5, samples=500),
    sources={
        **LENET5_PAPER.sources,
        "optimizer": "Appendix C, but for mu",
        "model_arguments": "Appendix A: initial weights in +-2.4 / F",
    },
)

LENET5 = {r.name: r for r in (LENET5_MODERN, LENET5_DISTORTIONS, LENET5_PAPER, LENET5_APPENDIX_A)}
