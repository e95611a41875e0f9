"""ResNet, He, Zhang, Ren, Sun 2015, for ImageNet and for CIFAR-10; `variant` for the other depths.

All recipes of the paper differ from it in the last layer, which starts from Glorot's weights.

ImageNet. `paper` differs in
- the validation split, which the paper does not name: `VALIDATION_IMAGES` of the training images;
- the number of drops, which the paper does not print: at most three;
- colour: the shift is along standard deviations, as in AlexNet's program. See `PCAColour`;
- the images whose exact statistics replace the moving averages after training: their number and
  their central crops are ours; the authors' README says only that it was a large training batch;
- the figure: the paper's is of ten views; a run's is of one.
The authors trained on eight GPUs with 32 images each (README of
github.com/KaimingHe/deep-residual-networks), so 32 images are normalised together, on any number of
replicas that have a multiple of 32. The ten crops of the paper, and its average over scales, are in
`evaluation`; where they lie and how they are averaged are readings of one sentence of section 3.4.
`torchvision` is the recipe of torchvision's first weights, with their figures, which are of one
view, as a run's. `modern` adds what has since become usual.

CIFAR-10. The paper trained with 128 images on two GPUs, so probably normalised 64 together; here a
replica's images are, 128 on one device. `paper` is the schedule that the paper found with 45,000
images and then used on all 50,000. Padding follows the subtraction of the mean, so it has the mean
colour; the paper does not say. `paper_110` is its warm-up for 110 layers: 400 steps, in which,
according to the paper, the training error falls below 80 %. `torch` is fb.resnet.torch's: its
epochs 81 and 122 begin after 80 and 121 finished epochs.

Weight decay: the paper decays "just the weights of the convolution layers", according to
fb.resnet.torch's README, whose own program decays all parameters, as torchvision's. Here all
kernels decay in `paper`, including the last layer's.
"""

import dataclasses
import re

from keras_classics.data.augment import CropFlip
from keras_classics.data.colour import PCAColour
from keras_classics.data.random_crops import RandomResizedCrop, ScaleJitter
from keras_classics.models import find_model
from keras_classics.training.optimizer import Momentum
from keras_classics.training.recipe import Paper, Recipe
from keras_classics.training.recipes import imagenet
from keras_classics.training.schedules import Cosine, MultiStepDecay, Plateau, Warmup

# Training images over which the paper's recipe takes exact statistics after the last step.
EXACT_IMAGES = 12_800

# Keys: network, shortcut, version. Tables 2 and 3, top-1 error of ten views.
TEN_VIEWS = {
    ("plain18", "none", "v1"): 0.2794,
    ("plain34", "none", "v1"): 0.2854,
    ("resnet18", "A", "v1"): 0.2788,
    ("resnet34", "A", "v1"): 0.2503,
    ("resnet34", "B", "v1"): 0.2452,
    ("resnet34", "C", "v1"): 0.2419,
    ("resnet50", "B", "v1"): 0.2285,
    ("resnet101", "B", "v1"): 0.2175,
    ("resnet152", "B", "v1"): 0.2143,
}
# torchvision's IMAGENET1K_V1, one view, 224 from 256.
TORCHVISION = {
    ("resnet18", "B", "v1.5"): 0.30242,
    ("resnet34", "B", "v1.5"): 0.26686,
    ("resnet50", "B", "v1.5"): 0.23870,
    ("resnet101", "B", "v1.5"): 0.22626,
    ("resnet152", "B", "v1.5"): 0.21688,
}
# Table 6; for 110 layers, the mean of five runs.
TABLE_6 = {
    ("resnet20", "A", "v1"): 0.0875,
    ("resnet32", "A", "v1"): 0.0751,
    ("resnet44", "A", "v1"): 0.0717,
    ("resnet56", "A", "v1"): 0.0697,
    ("resnet110", "A", "v1"): 0.0661,
}
FIGURES = (
    (
        "He et al. 2015, Tables 2 and 3: ten views, where a run's figure is of one",
        "imagenet2012",
        TEN_VIEWS,
    ),
    ("torchvision's weights IMAGENET1K_V1: one view, as in a run", "imagenet2012", TORCHVISION),
    ("He et al. 2015, Table 6", "cifar10", TABLE_6),
)


def variant(
    recipe: Recipe,
    depth: int | str | None = None,
    shortcut: str | None = None,
    version: str | None = None,
) -> Recipe:
    """Returns a recipe for another network of its family, with its published figure, if any.

    Args:
        recipe: One of `RESNET_IMAGENET` or `RESNET_CIFAR10`.
        depth: Depth of the network, or None for the recipe's.
        shortcut: `"A"`, `"B"`, `"C"`, `"none"` for a plain network, or None for the recipe's.
        version: `"v1"`, `"v1.5"`, `"v2"`, or None for the recipe's.

    Raises:
        UserError: If there is no such network.
    """
    arguments = dict(recipe.model_arguments)
    arguments["shortcut"] = shortcut or arguments["shortcut"]
    arguments["version"] = version or arguments["version"]
    plain = arguments["shortcut"] == "none"
    if plain:
        # With all branches zero and no shortcuts, the network would compute nothing.
        arguments.pop("zero_init_residual", None)
    depth = depth or re.search(r"\d+", recipe.model)[0]
    model = find_model(f"{'plain' if plain else 'resnet'}{depth}").name
    network = (model, arguments["shortcut"], arguments["version"])
    papers = [
        Paper("test_error", errors[network], dataset, source)
        for source, dataset, errors in FIGURES
        if network in errors and dataset == recipe.dataset
    ]
    return dataclasses.replace(
        recipe, model=model, model_arguments=arguments, paper=papers[0] if papers else None
    )


RESNET_IMAGENET_PAPER = variant(
    Recipe(
        name="paper",
        model="resnet50",
        dataset="imagenet2012",
        steps=600_000,
        batch_size=256,
        optimizer=Momentum(momentum=0.9, weight_decay=0.0001),
        schedule=Plateau(rate=0.1, factor=0.1, drops=3),
        model_arguments={"shortcut": "B", "version": "v1"},
        preprocessing="image",
        preprocessing_arguments={"resize": 256, "crop": 224, "mean": "per_pixel"},
        augmentation=ScaleJitter(low=256, high=480, size=224, colour=PCAColour()),
        validation=imagenet.VALIDATION_IMAGES,
        batch_norm_group=32,
        exact_batch_norm=EXACT_IMAGES,
        sources={
            "steps": "section 3.4: up to 60 x 10^4 iterations",
            "batch_size": "section 3.4",
            "optimizer": "section 3.4; that biases and normalisations do not decay: see above",
            "schedule": "section 3.4: 0.1, divided by 10 when the error plateaus",
            "model_arguments": "section 4.1: projections where the size changes",
            "preprocessing_arguments": "section 3.4: minus the mean of each pixel",
            "augmentation": "section 3.4: shorter side in [256, 480], 224 x 224, flip, colour",
            "batch_norm_group": "the authors' README: 32 images on each of eight GPUs",
            "exact_batch_norm": "the authors' README: averages over a large training batch",
        },
    )
)

RESNET_IMAGENET_TORCHVISION = variant(
    Recipe(
        name="torchvision",
        model="resnet50",
        dataset="imagenet2012",
        epochs=90,
        batch_size=256,
        optimizer=Momentum(momentum=0.9, weight_decay=0.0001, decayed="all"),
        schedule=MultiStepDecay(rate=0.1, at=(30, 60), factor=0.1, unit="epochs"),
        model_arguments={
            "shortcut": "B",
            "version": "v1.5",
            "kernel_initializer": "he_fan_out",
        },
        preprocessing="image",
        preprocessing_arguments={
            "resize": 256,
            "crop": 224,
            "mean": imagenet.MEAN,
            "std": imagenet.STD,
        },
        augmentation=RandomResizedCrop(size=224),
        sources=dict.fromkeys(
            (
                "epochs",
                "batch_size",
                "optimizer",
                "schedule",
                "model_arguments",
                "preprocessing_arguments",
                "augmentation",
            ),
            "torchvision: references/classification, models/resnet.py",
        ),
    )
)

RESNET_IMAGENET_MODERN = dataclasses.replace(
    RESNET_IMAGENET_TORCHVISION,
    name="modern",
    epochs=100,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0001, decayed="kernels"),
    schedule=Warmup(Cosine(rate=0.1), epochs=5),
    model_arguments={**RESNET_IMAGENET_TORCHVISION.model_arguments, "zero_init_residual": True},
    loss_arguments={"smoothing": 0.1},
    average=0.9999,
    sources={
        "schedule": "warm-up of 5 epochs: Goyal et al. 2017, section 2.2",
        "model_arguments": "branches from zero: Goyal et al. 2017, section 5.1",
        "loss_arguments": "Szegedy et al. 2016, section 7",
        "augmentation": "Szegedy et al. 2015, section 6",
    },
)

RESNET_IMAGENET = {
    r.name: r for r in (RESNET_IMAGENET_PAPER, RESNET_IMAGENET_TORCHVISION, RESNET_IMAGENET_MODERN)
}

RESNET_CIFAR10_PAPER = variant(
    Recipe(
        name="paper",
        model="resnet20",
        dataset="cifar10",
        steps=64_000,
        batch_size=128,
        optimizer=Momentum(momentum=0.9, weight_decay=0.0001),
        schedule=MultiStepDecay(rate=0.1, at=(32_000, 48_000), factor=0.1, unit="steps"),
        model_arguments={"shortcut": "A", "version": "v1"},
        preprocessing="image",
        preprocessing_arguments={"resize": 32, "crop": 32, "mean": "per_pixel"},
        augmentation=CropFlip(padding=4),
        sources={
            "steps": "section 4.2: 64k iterations",
            "batch_size": "section 4.2",
            "optimizer": "section 4.2; that biases and normalisations do not decay: see above",
            "schedule": "section 4.2: 0.1, divided by 10 at 32k and 48k iterations",
            "model_arguments": "section 4.2: option A in all cases",
            "preprocessing_arguments": "section 4.2: minus the mean of each pixel",
            "augmentation": "section 4.2: 4 pixels on each side, 32 x 32 crop, flip",
        },
    )
)

RESNET_CIFAR10_PAPER_110 = dataclasses.replace(
    variant(RESNET_CIFAR10_PAPER, depth=110),
    name="paper_110",
    schedule=Warmup(RESNET_CIFAR10_PAPER.schedule, steps=400, first=0.1, jump=True),
    sources={
        **RESNET_CIFAR10_PAPER.sources,
        "schedule": "section 4.2: 0.01 for about 400 iterations, then as the others",
    },
)

_CIFAR10_STD = {
    **RESNET_CIFAR10_PAPER.preprocessing_arguments,
    "mean": (125.3, 123.0, 113.9),
    "std": (63.0, 62.1, 66.7),
}

RESNET_CIFAR10_TORCH = dataclasses.replace(
    RESNET_CIFAR10_PAPER,
    name="torch",
    steps=None,
    epochs=164,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0001, nesterov=True, decayed="all"),
    schedule=MultiStepDecay(rate=0.1, at=(80, 121), factor=0.1, unit="epochs"),
    model_arguments={"shortcut": "A", "version": "v1", "kernel_initializer": "he_fan_out"},
    preprocessing_arguments=_CIFAR10_STD,
    sources={
        "epochs": "fb.resnet.torch, opts.lua",
        "batch_size": "section 4.2; the program's TRAINING.md",
        "optimizer": "fb.resnet.torch, train.lua and README.md",
        "schedule": "fb.resnet.torch, train.lua",
        "model_arguments": "fb.resnet.torch, models/resnet.lua",
        "preprocessing_arguments": "fb.resnet.torch, datasets/cifar10.lua",
        "augmentation": "section 4.2; the program's datasets/cifar10.lua",
    },
)

RESNET_CIFAR10_MODERN = dataclasses.replace(
    RESNET_CIFAR10_TORCH,
    name="modern",
    epochs=200,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0005, nesterov=True, decayed="kernels"),
    schedule=Warmup(Cosine(rate=0.1), epochs=5),
    model_arguments={**RESNET_CIFAR10_TORCH.model_arguments, "zero_init_residual": True},
    loss_arguments={"smoothing": 0.1},
    average=0.999,
    sources={
        "loss_arguments": "Szegedy et al. 2016, section 7",
        "augmentation": "section 4.2",
    },
)

RESNET_CIFAR10 = {
    r.name: r
    for r in (
        RESNET_CIFAR10_PAPER,
        RESNET_CIFAR10_PAPER_110,
        RESNET_CIFAR10_TORCH,
        RESNET_CIFAR10_MODERN,
    )
}
