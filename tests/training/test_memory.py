"""Memory stays flat however long a run is."""

import dataclasses
import gc
import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import FileSplit, ImageData, plan
from keras_classics.data.random_crops import ScaleJitter
from keras_classics.training import Momentum, Recipe
from keras_classics.training.schedules import Constant
from keras_classics.training.trainer import Trainer
from tests.helpers.images import photograph
from tests.helpers.runs import MODERN

PAGE = resource.getpagesize()


def resident() -> float:
    """Mebibytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def growth(trainer: Trainer, epochs: int) -> float:
    """Trains, evaluating after each pass; mebibytes that the last four fifths added."""
    blocks = trainer.blocks()
    for epoch in range(epochs):
        for _ in range(trainer.plan.blocks_of(epoch)):
            trainer.train_block(blocks)
        trainer.end_epoch()
        if epoch == epochs // 5:
            before = resident()
    return resident() - before


@pytest.mark.slow
def test_two_thousand_steps_of_images_in_memory(digits, monkeypatch):
    monkeypatch.setattr(plan, "BLOCK_STEPS", 20)
    recipe = dataclasses.replace(MODERN, epochs=20, limit_train=None)
    trainer = Trainer(recipe, digits, recipe.make_preprocessing(), tf.distribute.get_strategy())
    assert trainer.plan.steps == 20 * 119
    assert growth(trainer, 20) < 16


@pytest.mark.slow
def test_two_thousand_steps_of_images(tmp_path):
    images = photograph()
    paths = []
    for i in range(64):
        part = images[i : i + 96, 2 * i : 2 * i + 128]
        (tmp_path / f"{i}.jpg").write_bytes(tf.io.encode_jpeg(part).numpy())
        paths.append(str(tmp_path / f"{i}.jpg"))
    split = FileSplit(np.array(paths), np.arange(64, dtype="int32") % 10)
    recipe = Recipe(
        name="images",
        model="resnet20",
        dataset="folder:",
        epochs=125,
        batch_size=4,
        optimizer=Momentum(),
        schedule=Constant(0.001),
        preprocessing="image",
        preprocessing_arguments={"resize": 36, "crop": 32},
        augmentation=ScaleJitter(32, 40, size=32),
    )
    data = ImageData("folder:", split, split.limited(8), tuple("abcdefghij"))
    trainer = Trainer(recipe, data, recipe.make_preprocessing(), tf.distribute.get_strategy())
    assert trainer.plan.steps == 2000
    assert growth(trainer, 125) < 16
