"""The kind of shortcut, and the order of layers within a unit."""

import dataclasses
from functools import partial
from pathlib import Path

from keras_classics.training import Recipe, recipes
from keras_classics.training.recipes.resnet import variant
from keras_classics.training.schedules import MultiStepDecay
from reproduce.claims import resnet_depth
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import Equal, Means
from reproduce.claims.results import ERRORS_HEAD, Results, draw_errors
from reproduce.claims.verdicts import Hypothesis
from reproduce.harness.tables import markdown

# By variant: depth, shortcut, version, and a description.
NETWORKS = {
    "20_A": (20, "A", "v1", "A: identity, zeros for new maps"),
    "20_B": (20, "B", "v1", "B: a projection where the size changes"),
    "20_C": (20, "C", "v1", "C: projections everywhere"),
    "20_v2": (20, "A", "v2", "A, v2: normalisation and ReLU before each convolution"),
    "56_A": (56, "A", "v1", "A"),
    "56_v2": (56, "A", "v2", "A, v2"),
}

FASHION = dataclasses.replace(
    resnet_depth.FASHION,
    limit_train=10_000,
    epochs=8,
    schedule=MultiStepDecay(rate=0.1, at=(4, 6), factor=0.1, unit="epochs"),
)


def _variant(recipe: Recipe, name: str) -> Recipe:
    return variant(recipe, *NETWORKS[name][:3])


def _base(name: str) -> str:
    return f"{NETWORKS[name][0]}_A"


def _table(results: Results) -> str:
    rows = []
    for name, (depth, _, _, what) in NETWORKS.items():
        errors = results.error_cells(name)
        more = "-" if name == _base(name) else results.gain(name, _base(name))
        rows.append([str(depth), what, *errors, more, str(len(results.of(name)) or "-")])
    head = ["layers", "shortcut and order", *ERRORS_HEAD]
    return markdown([*head, "more test error than A, points (95 %)", "seeds"], rows, left=2)


def _draw(results: Results, path: Path) -> None:
    panels = {"20 layers": [], "56 layers": []}
    for name, (depth, shortcut, version, _) in NETWORKS.items():
        label = shortcut if version == "v1" else f"{shortcut}, {version}"
        panels[f"{depth} layers"] += results.error_lines(name, label)
    draw_errors(panels, path)


CLAIM = Claim(
    name="resnet_shortcuts",
    title="Which shortcut, and in which order, matters less than that there is one",
    says="He et al. 2015, section 4.1: B is slightly better than A, C slightly better than B; "
    "projections are not essential. He et al. 2016, section 4: with normalisation and ReLU before "
    "the convolutions (v2), networks of 110 and more layers make fewer test errors; at 164 layers "
    "their training loss ends slightly higher, and the ease of training is of 1,001 layers.",
    paper="ResNet-34 on ImageNet, ten views, top-1 error: A 25.03, B 24.52, C 24.19 % (He et al. "
    "2015, Table 3); 110 layers on CIFAR-10, v1 and v2: 6.61 and 6.37 % (He et al. 2016, Table 3)",
    program="resnet_cifar10 --compare=shortcuts",
    recipes={"fashion": FASHION, "paper": recipes.RESNET_CIFAR10_PAPER},
    variants={name: partial(_variant, name=name) for name in NETWORKS},
    seeds=3,
    table=_table,
    draw=_draw,
    hypotheses=[
        Hypothesis("56 layers: v1 has more errors than v2", "56_A", "56_v2", Means()),
        Hypothesis("20 layers: A and B make as many errors", "20_A", "20_B", Equal(0.5)),
        Hypothesis("20 layers: A and C make as many errors", "20_A", "20_C", Equal(0.5)),
    ],
    rates=dict.fromkeys(NETWORKS, resnet_depth.RATES),
    reading="These runs decide nothing. With 20 layers no difference is beyond that between "
    "seeds. With 56 layers the mean error of v2 is lower than that of v1, but the "
    "interval of the difference includes zero, and the runs end after few steps. The "
    "paper says that v2 eases the training of very deep networks; for the shallower ones "
    "it reports fewer test errors and no lower training loss.",
)
