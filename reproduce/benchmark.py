"""How fast, beside the peers: each figure a ratio measured in one run.

    python -m reproduce.benchmark --what=loop

`loop`: images a second that the compiled loop trains, against `model.fit` with its defaults, on
LeNet-5, batches of 32, the same images. The two take turns, so that a machine whose speed drifts
treats both alike; the median of the turns counts.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable

import keras
import tensorflow as tf
from absl import flags

from keras_classics.cli._program import run
from keras_classics.data import load
from keras_classics.errors import unknown_name
from keras_classics.models import lenet5
from keras_classics.training import recipes
from keras_classics.training.loop import Trainer

WHAT = flags.DEFINE_string("what", "loop", "What to measure: loop.")
DATASET = flags.DEFINE_string("dataset", "digits", "Data set to train on.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets; its own if unset.")
TURNS = flags.DEFINE_integer("turns", 7, "Turns of each side.", lower_bound=1)

# A turn trains on about as many images, whatever the data set.
TURN_IMAGES = 20_000


def main() -> None:
    """Measures what the flag names."""
    if WHAT.value not in BENCHMARKS:
        raise unknown_name("benchmark", WHAT.value, BENCHMARKS)
    BENCHMARKS[WHAT.value]()


def benchmark_loop() -> None:
    """Compares the compiled loop with `model.fit`, and prints both and their ratio."""
    recipe = dataclasses.replace(recipes.LENET5_MODERN, dataset=DATASET.value, epochs=10**6)
    preprocess = recipe.make_preprocessing()
    data = load(recipe.dataset, DATA_DIR.value, preprocess.fit)
    data = data.limited(TURN_IMAGES, None)
    sides = {
        "compiled loop": _loop(Trainer(recipe, data, preprocess, tf.distribute.get_strategy())),
        "model.fit": _fit(recipe, data, preprocess),
    }
    epochs = max(1, TURN_IMAGES // len(data.train))
    images = epochs * (len(data.train) // recipe.batch_size) * recipe.batch_size
    rates = _take_turns(sides, epochs, images)
    for name, rate in rates.items():
        print(f"{name:<15}{rate:>10,.0f} images/s")
    print(f"{'ratio':<15}{rates['compiled loop'] / rates['model.fit']:>10.2f}")


BENCHMARKS = {"loop": benchmark_loop}


def _loop(trainer: Trainer) -> Callable[[int], None]:
    blocks = trainer.blocks()

    def train(epochs: int) -> None:
        for _ in range(epochs):
            for _ in range(trainer.plan.blocks_per_epoch):
                trainer.train_block(blocks)
            trainer.progress.block = 0

    return train


def _fit(recipe, data, preprocess) -> Callable[[int], None]:
    """The same network, optimiser and metrics; `fit` gets its images preprocessed beforehand."""
    model = lenet5(classes=len(data.class_names))
    model.compile(
        optimizer=keras.optimizers.SGD(recipe.schedule.rate, momentum=recipe.optimizer.momentum),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    full = len(data.train) // recipe.batch_size * recipe.batch_size
    images = preprocess(tf.constant(data.train.images[:full])).numpy()
    labels = data.train.labels[:full]
    return lambda epochs: model.fit(
        images, labels, batch_size=recipe.batch_size, epochs=epochs, verbose=0
    )


def _take_turns(
    sides: dict[str, Callable[[int], None]], epochs: int, images: int
) -> dict[str, float]:
    """Returns images a second of each side, the median over its turns. The first turn warms up."""
    seconds = {name: [] for name in sides}
    for turn in range(TURNS.value + 1):
        for name, train in sides.items():
            start = time.perf_counter()
            train(epochs)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: images / statistics.median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    run(main)
