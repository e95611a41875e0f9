"""A worker of a training that the tests share out over replicas and processes.

    python -m tests.helpers.distributed KIND OUT

KIND is `steps`: twenty steps by hand, everything about them written to OUT; or `run`: a whole run
in the folder OUT, where the worker that the environment variable DIES names kills itself after as
many blocks as it says, as in DIES=1:4. The devices are those of STRATEGY and REPLICAS.
"""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import numpy as np

from keras_classics.data import load, plan
from keras_classics.data.augment import CropFlip
from keras_classics.errors import StoppedError
from keras_classics.training import Momentum, Recipe, RunOptions, make_strategy, train
from keras_classics.training.optimizer import copies
from keras_classics.training.schedules import Constant
from keras_classics.training.strategy import is_chief
from keras_classics.training.trainer import Trainer

STEPS = 20

# Without batch normalisation, whose statistics are those of a replica; with all else that draws.
PLAIN = Recipe(
    name="plain",
    model="vgg9",
    dataset="digits",
    steps=STEPS,
    batch_size=24,
    optimizer=Momentum(momentum=0.9, weight_decay=0.001),
    schedule=Constant(0.02),
    model_arguments={
        "filters": (4, 8, 8, 8),
        "hidden": (32,),
        "dropout": 0.5,
        "kernel_initializer": "he_normal",
    },
    preprocessing_arguments={"channels": 3},
    augmentation=CropFlip(padding=2, fill=-0.1),
    average=0.9,
    limit_train=96,
    limit_test=40,
)
NORMALIZED = dataclasses.replace(
    PLAIN,
    name="normalized",
    model_arguments={**PLAIN.model_arguments, "batch_norm": "all"},
)
RECIPES = {recipe.name: recipe for recipe in (PLAIN, NORMALIZED)}


def local(strategy, value) -> list[np.ndarray]:
    return [np.asarray(part) for part in strategy.experimental_local_results(value)]


def steps(recipe: Recipe, strategy) -> dict[str, np.ndarray]:
    """Takes the steps, blocks of one, and returns losses, labels and weights of each replica."""
    data = load(recipe.dataset).limited(recipe.limit_train, recipe.limit_test)
    trainer = Trainer(recipe, data, recipe.make_preprocessing(), strategy)
    losses, labels, blocks = [], [], trainer.blocks()
    for _ in range(recipe.steps):
        inputs, block_labels = next(blocks)
        labels.append(local(strategy, block_labels))
        before = trainer.progress.loss_sum
        trainer.train_block(iter([(inputs, block_labels)]))
        losses.append((trainer.progress.loss_sum - before) / recipe.batch_size)
        if trainer.progress.block == trainer.plan.blocks_of(trainer.progress.epoch):
            trainer.end_epoch()
    # Steps, replicas, images.
    written = {"losses": np.array(losses), "labels": np.array(labels)[:, :, 0]}
    for i, variable in enumerate(trainer.variables):
        written[f"variable_{i}"] = np.stack([copy.numpy() for copy in copies(variable)])
    written["test_loss"] = np.array([row["test_loss"] for row in trainer.progress.history])
    return written


def run(recipe: Recipe, strategy, run_dir: Path) -> None:
    """Trains, or dies on the way."""
    worker, _, blocks = os.environ.get("DIES", "-1:-1").partition(":")
    chief = is_chief(strategy)
    seen = []

    def watch(progress, plan):
        seen.append(progress)
        if int(worker) == (0 if chief else 1) and len(seen) == int(blocks):
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        train(recipe, run_dir, strategy, options=RunOptions(checkpoint_steps=3), on_progress=watch)
    except StoppedError as error:
        print(error)
        sys.exit(error.status)


def main() -> None:
    kind, out = sys.argv[1:]
    plan.BLOCK_STEPS = 1
    replicas = os.environ.get("REPLICAS")
    strategy = make_strategy(os.environ.get("STRATEGY", "auto"), replicas and int(replicas))
    recipe = RECIPES[os.environ.get("RECIPE", "plain")]
    if kind == "run":
        run(recipe, strategy, Path(out))
    else:
        number = 0 if strategy.cluster_resolver is None else strategy.cluster_resolver.task_id
        np.savez(f"{out}/{number}.npz", **steps(recipe, strategy))


if __name__ == "__main__":
    main()
