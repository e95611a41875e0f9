"""Benchmarks of training, updating and building networks."""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf

from keras_classics.data import load
from keras_classics.models import alexnet, lenet5, resnet20, resnet50, resnet152, transfer
from keras_classics.models.layers import TowerConv2D
from keras_classics.training import Momentum, checkpoint, make_strategy, recipes
from keras_classics.training.optimizer import values
from keras_classics.training.trainer import Trainer
from reproduce.benchmark.steps import step_of_the_loop
from reproduce.benchmark.turns import DATA_DIR, DATASET, TURNS, Turn, compare

# A turn of `loop` trains on about this many images, whatever the data set.
TURN_IMAGES = 20_000


def benchmark_loop() -> None:
    """Compares the compiled loop with `model.fit`."""
    recipe = dataclasses.replace(recipes.LENET5_MODERN, dataset=DATASET.value, epochs=10**6)
    preprocess = recipe.make_preprocessing()
    data = load(recipe.dataset, DATA_DIR.value, preprocess.resize)
    data = data.limited(TURN_IMAGES, None)
    epochs = max(1, TURN_IMAGES // len(data.train))
    images = epochs * (len(data.train) // recipe.batch_size) * recipe.batch_size
    trainer = Trainer(recipe, data, preprocess, tf.distribute.get_strategy())
    sides = {
        "compiled loop": _loop(trainer, epochs),
        "model.fit": _fit(recipe, data, preprocess, epochs),
    }
    compare(sides, images, "images/s")


def benchmark_replicas() -> None:
    """Compares two logical CPUs with one device that has both cores."""
    two = make_strategy("mirrored", 2)
    sides = {}
    for batch_norm in ("train", "synchronized"):
        with two.scope():
            model = resnet20()
        transfer.unfreeze(model, batch_norm)
        sides[f"2 replicas, {batch_norm}"] = step_of_the_loop(model, batch=128, strategy=two)
    sides["one device"] = step_of_the_loop(resnet20(), batch=128)
    compare(sides, 128, "images/s")


def benchmark_optimizer() -> None:
    """Compares one update of AlexNet's 61 million weights with Keras's SGD."""
    model = alexnet()
    weights = model.trainable_variables
    gradients = [1e-3 * tf.random.stateless_normal(w.shape, seed=(0, 0)) for w in weights]
    updater = Momentum(momentum=0.9, weight_decay=5e-4).start(model, None)
    rates = [tf.constant(0.01)] * len(weights)
    keras_sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    keras_sgd.build(weights)
    decays = [5e-4 if weight.name == "kernel" else 0.0 for weight in weights]

    @tf.function
    def with_keras() -> None:
        coupled = [
            g + decay * w if decay else g
            for g, w, decay in zip(gradients, values(weights), decays, strict=True)
        ]
        keras_sgd.apply(coupled, weights)

    sides = {
        "momentum": tf.function(lambda: updater.update(gradients, rates)),
        "Keras's SGD": with_keras,
    }
    compare(sides, 1, "updates/s")


def benchmark_checkpoint() -> None:
    """Measures the fraction of the time that a checkpoint of ResNet-50 every minute takes."""
    model = resnet50()
    updater = Momentum().start(model, None)
    variables = [*values(model.variables), *updater.variables]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(TURNS.value):
            start = time.perf_counter()
            checkpoint.save(Path(folder), turn, variables, progress={}, digest="")
            seconds.append(time.perf_counter() - start)
    print(f"{'a checkpoint':<24}{statistics.median(seconds):>10.2f} s")
    print(f"{'fraction of a minute':<24}{statistics.median(seconds) / 60:>10.2%}")


def benchmark_towers() -> None:
    """Compares AlexNet's towers with the grouped convolutions of Keras."""
    model = alexnet()

    def with_groups(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = keras.layers.Conv2D if isinstance(layer, TowerConv2D) else type(layer)
        return kind.from_config(layer.get_config())

    grouped = keras.models.clone_model(model, clone_function=with_groups)
    grouped.set_weights(model.get_weights())
    sides = {
        "alexnet": step_of_the_loop(model, batch=32),
        "with groups=2": step_of_the_loop(grouped, batch=32),
    }
    compare(sides, 32, "images/s")


def benchmark_build() -> None:
    """Compares the time to build ResNet-152 with `keras.applications`."""
    sides = {
        "resnet152": resnet152,
        "keras.applications": lambda: keras.applications.ResNet152(weights=None),
    }
    compare(sides, 1, "builds/s")


def _loop(trainer: Trainer, epochs: int) -> Turn:
    blocks = trainer.blocks()

    def train() -> None:
        for _ in range(epochs):
            for _ in range(trainer.plan.blocks_of(0)):
                trainer.train_block(blocks)
            trainer.progress.block = 0

    return train


def _fit(recipe, data, preprocess, epochs: int) -> Turn:
    """The same network, optimiser and metrics; the images of `fit` are preprocessed beforehand."""
    model = lenet5(classes=len(data.class_names))
    model.compile(
        optimizer=keras.optimizers.SGD(recipe.schedule.rate, momentum=recipe.optimizer.momentum),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    full = len(data.train) // recipe.batch_size * recipe.batch_size
    images = preprocess(tf.constant(data.train.images[:full])).numpy()
    labels = data.train.labels[:full]
    return lambda: model.fit(images, labels, batch_size=recipe.batch_size, epochs=epochs, verbose=0)
