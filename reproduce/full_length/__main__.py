"""Plain and residual networks, 20 and 56 layers, trained as long as in the paper, on one GPU.

Claim: He, Zhang, Ren, Sun 2015, Figure 6 and Table 6: with the CIFAR recipe at its full length, a
plain network of 56 layers has larger errors than one of 20, a residual one smaller errors.

    python -m reproduce.full_length --from_idx=DIR
    python -m reproduce.full_length --from_idx=DIR --networks=resnet56 --seeds=0
    python -m reproduce.full_length --smoke

The recipe is section 4.2's: 64,000 steps of 128 images, rate 0.1, divided by 10 after 32,000 and
48,000 steps, momentum 0.9, weight decay 0.0001, 4 pixels of padding, random crops and flips. It
differs from the paper in its data, Fashion-MNIST, whose 28x28 pixels stand in the middle of 32x32,
and as reproduce.resnet_cifar10 does.

Networks run in Keras on JAX; TensorFlow need not be installed. Images and augmentation stay on the
device, which does 500 steps in a call. In float32, a GPU multiplies in TF32, as JAX does by
default. Several networks or seeds train at the same time on the same GPU, each in a process of its
own. Repeat the command to resume what was interrupted. A CPU then ends with the same bits; a GPU's
convolutions do not add up in one order.

`python -m reproduce.report --add=RUN_DIR` adds the rows, which docs/networks/resnet.md shows.
--smoke trains for four steps on generated images.
"""

import dataclasses
import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

from absl import flags

from keras_classics.cli._paths import define_path
from keras_classics.cli._program import default_run_dir, run
from keras_classics.errors import UserError, require, unknown_name

NETWORKS = ("plain20", "plain56", "resnet20", "resnet56")
STEPS_PER_BLOCK = 500

# Where `make data` has put the files that Debian ships.
DEBIAN = "build/fashion-mnist/usr/share/datasets/fashion-mnist"

NAMES = flags.DEFINE_list("networks", list(NETWORKS), "Networks to train.")
SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds of the initial weights, the order and the crops.")
FROM_IDX = define_path(
    "from_idx", DEBIAN, "Folder of Fashion-MNIST's four IDX files; that of `make data` if unset."
)
RUN_DIR = define_path("run_dir", None, "Folder of the runs; runs/full_length if unset.")
STEPS = flags.DEFINE_integer(
    "steps",
    None,
    f"Steps, a multiple of {STEPS_PER_BLOCK}; the paper's 64,000 if unset. The rate falls at the "
    "same fractions of the run.",
    lower_bound=1,
)
DTYPE_POLICY = flags.DEFINE_enum(
    "dtype_policy", "float32", ["float32", "mixed_bfloat16"], "Dtype policy of the networks."
)
MAX_MINUTES = flags.DEFINE_float(
    "max_minutes",
    None,
    "Stop after this many minutes; repeat the command to resume.",
    lower_bound=0,
)
SMOKE = flags.DEFINE_bool("smoke", False, "Short run of seconds that tests all parts.")


def main() -> None:
    """Trains one network, or starts a process for each."""
    for name in NAMES.value:
        if name not in NETWORKS:
            raise unknown_name("network", name, NETWORKS)
    if not all(seed.isdecimal() and int(seed) < 2**32 for seed in SEEDS.value):
        raise UserError(f"--seeds must be whole numbers. Received: {','.join(SEEDS.value)}.")
    runs = list(itertools.product(NAMES.value, SEEDS.value))
    if not runs:
        raise UserError("--networks and --seeds must name at least one each.")
    require("jax", "jax")
    # Before Keras is imported.
    os.environ["KERAS_BACKEND"] = "jax"
    if len(runs) == 1:
        _train(runs[0][0], int(runs[0][1]))
        return
    # Several processes share the GPU's memory; each takes what it needs.
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, "-m", "reproduce.full_length", *sys.argv[1:]]
    processes = [
        subprocess.Popen([*command, f"--networks={name}", f"--seeds={seed}"], env=environment)
        for name, seed in runs
    ]
    # All are waited for; the first status that is not 0 counts.
    statuses = [process.wait() for process in processes]
    sys.exit(next(filter(None, statuses), 0))


def _train(name: str, seed: int) -> None:
    # They import Keras and JAX, for which the environment must be ready.
    recipes = importlib.import_module("reproduce.full_length.recipe")
    training = importlib.import_module("reproduce.full_length.training")
    recipe = dataclasses.replace(
        recipes.recipe_of(name), seed=seed, dtype_policy=DTYPE_POLICY.value
    )
    if SMOKE.value:
        recipe = dataclasses.replace(training.shortened(recipe, 4), batch_size=4)
        data, block = recipes.generated_images(), 2
    else:
        recipe = training.shortened(recipe, STEPS.value or recipe.steps)
        data, block = recipes.fashion_mnist(Path(FROM_IDX.value)), STEPS_PER_BLOCK
    words = ["full_length", *(["smoke"] if SMOKE.value else [])]
    folder = Path(RUN_DIR.value or default_run_dir(*words)) / f"{name}_seed{seed}"
    result = training.train(
        recipe,
        data,
        folder,
        steps_per_block=block,
        max_minutes=MAX_MINUTES.value,
        on_block=lambda row: print(_line(name, seed, row, recipe.steps), flush=True),
    )
    print(
        f"{name}, seed {seed}: test error {100 * result['test_error']:.2f} %, training error "
        f"{100 * result['train_error']:.2f} %, {result['seconds']:,.0f} s"
    )


def _line(name: str, seed: int, row: dict[str, float], steps: int) -> str:
    return (
        f"{name} seed {seed}: step {row['step']:>6,.0f} of {steps:,}, training loss "
        f"{row['train_loss']:.4f}, test error {100 * row['test_error']:.2f} %, "
        f"{row['seconds']:,.0f} s"
    )


if __name__ == "__main__":
    run(main)
