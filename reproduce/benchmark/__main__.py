"""How fast, beside the peers: each figure a ratio measured in one run.

    python -m reproduce.benchmark --what=train

`loop`: images a second that the compiled loop trains, against `model.fit` with its defaults, on
LeNet-5, batches of 32, the same images.
`train`: training steps of ResNet-20, batches of 128, against the same network in torch
(channels_last), and of ResNet-50 at 224x224, batches of 16, against `keras.applications`'.
`precision`: training steps of ResNet-50 and VGG-16 at 224x224, batches of 16, in mixed_bfloat16
against float32.
`replicas`: training steps of ResNet-20, batches of 128, on two logical CPUs, batch normalisation
synchronised and not, against one device.
`optimizer`: one update of AlexNet's weights, momentum and coupled decay, against Keras's SGD.
`input`: pictures of 500x375 that come out cut, mirrored and normalised at 224x224, against what
their bare decoding reaches, and from 20,000 files against 2,000.
`eval`: views a second that ResNet-50 answers of ten a picture, against one; multiply-adds a second
of VGG-16 sliding over pictures with a short side of 384, against single views of 224x224.
`export`: answers to one image of ResNet-50's SavedModel, against that of `keras.applications`' own
export; of ResNet-50 and VGG-16 in TFLite, int8 against float32, and float32 against ONNX Runtime.
Each runtime may take all processors: `taskset -c 0,1` leaves two.
`export_cost`: seconds and memory that VGG-16's export to SavedModel and TFLite takes, verification
apart, against Keras's export and TensorFlow's converter called bare.
`checkpoint`: steps of ResNet-50 with a checkpoint every minute, against none.
`towers`: training steps of AlexNet, batches of 32, against the same with Keras's `groups=2`.
`build`: building ResNet-152, against `keras.applications`'.

The sides take turns, so that a machine whose speed drifts treats all alike; the median of the
turns counts.
"""

import dataclasses
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from keras_classics import export
from keras_classics.analysis.profile import profile
from keras_classics.cli._program import run
from keras_classics.data import FileSplit, load, pipeline
from keras_classics.data.augment import ScaleJitter
from keras_classics.errors import unknown_name
from keras_classics.evaluation import Dense, Evaluator, Views, fully_convolutional
from keras_classics.export.onnx import runtime as onnx_runtime
from keras_classics.export.saved_model import build as build_saved_model
from keras_classics.export.source import Source
from keras_classics.export.tflite import build as build_tflite
from keras_classics.export.tflite import runtime as tflite_runtime
from keras_classics.export.verify import Run
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import alexnet, lenet5, resnet20, resnet50, resnet152, transfer, vgg16
from keras_classics.models.layers import TowerConv2D
from keras_classics.models.losses import SmoothedCrossEntropy
from keras_classics.training import Momentum, checkpoint, make_strategy, recipes
from keras_classics.training.loop import Trainer
from keras_classics.training.optimizer import values
from keras_classics.training.step import Step, compiled_block
from reproduce.benchmark import baselines, export_cost
from reproduce.harness import synthetic_images

WHAT = flags.DEFINE_string("what", "loop", "What to measure, see above.")
DATASET = flags.DEFINE_string("dataset", "digits", "Data set of `loop`.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets; its own if unset.")
TURNS = flags.DEFINE_integer("turns", 7, "Turns of each side.", lower_bound=1)

# A turn of `loop` trains on about as many images, whatever the data set.
TURN_IMAGES = 20_000
# Pictures of a turn of `input`, and of `eval`.
TURN_PICTURES = 1_280
EVALUATED_PICTURES = 16
# Images of a turn of `export`.
ANSWERS = 5
# Images that ranges are taken from where the answers do not matter.
CALIBRATED_ON = 8

# A turn: does some work. Its name leads the line of its figure.
Turn = Callable[[], object]


def main() -> None:
    """Measures what the flag names."""
    if WHAT.value not in BENCHMARKS:
        raise unknown_name("benchmark", WHAT.value, BENCHMARKS)
    BENCHMARKS[WHAT.value]()


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
    _compare(sides, images, "images/s")


def benchmark_train() -> None:
    """Compares ResNet-20 with torch's, and ResNet-50 with that of `keras.applications`."""
    images = np.random.default_rng(0).normal(size=(128, 32, 32, 3)).astype("float32")
    labels = np.arange(128) % 10
    sides = {
        "resnet20": _step_of_the_loop(resnet20(), batch=128),
        "torch": baselines.torch_resnet20_step(images, labels),
    }
    _compare(sides, 128, "images/s")
    sides = {
        "resnet50": _step_of_the_loop(resnet50(), batch=16),
        "keras.applications": _step_with_keras(keras.applications.ResNet50(weights=None), batch=16),
    }
    _compare(sides, 16, "images/s")


def benchmark_precision() -> None:
    """Compares mixed_bfloat16 with float32."""
    for build in (resnet50, vgg16):
        sides = {}
        for policy in ("mixed_bfloat16", "float32"):
            keras.config.set_dtype_policy(policy)
            sides[f"{build.__name__} {policy}"] = _step_of_the_loop(build(), batch=16)
        _compare(sides, 16, "images/s")


def benchmark_replicas() -> None:
    """Compares two logical CPUs with one device that has both cores."""
    two = make_strategy("mirrored", 2)
    sides = {}
    for batch_norm in ("train", "synchronized"):
        with two.scope():
            model = resnet20()
        transfer.unfreeze(model, batch_norm)
        sides[f"2 replicas, {batch_norm}"] = _step_of_the_loop(model, batch=128, strategy=two)
    sides["one device"] = _step_of_the_loop(resnet20(), batch=128)
    _compare(sides, 128, "images/s")


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
    _compare(sides, 1, "updates/s")


def benchmark_input() -> None:
    """Compares what comes out of the pipeline with bare decoding, and many files with few."""
    train = _pictures()
    # The same files under as many names as a large set has.
    many = train.take(np.tile(np.arange(len(train)), 10))
    sides = {
        f"cut, of {len(train):,}": _cut(train),
        f"cut, of {len(many):,}": _cut(many),
        "bare decoding": _decoded(train),
    }
    _compare(sides, TURN_PICTURES, "images/s")


def benchmark_eval() -> None:
    """Compares ten views with one, and dense evaluation with what its multiply-adds would say."""
    split = _pictures().limited(EVALUATED_PICTURES)
    preprocessing = ImagePreprocessing()
    model = resnet50()
    kinds = ("ten", "single")
    sides = {kind: _evaluation(model, Views(kind, preprocessing), split) for kind in kinds}
    _compare(sides, {"ten": 10 * len(split), "single": len(split)}, "views/s")
    model = vgg16()
    # As large as pictures of 500x375 become.
    dense = Dense(preprocessing, scales=[384], flip=False)
    whole = keras.models.clone_model(
        fully_convolutional(model), input_tensors=keras.Input((384, 512, 3))
    )
    sides = {
        "dense at 384": _evaluation(model, dense, split),
        "single at 224": _evaluation(model, Views("single", preprocessing), split),
    }
    macs = [profile(net).macs / 1e9 * len(split) for net in (whole, model)]
    _compare(sides, dict(zip(sides, macs, strict=True)), "G MAC/s")


def benchmark_export() -> None:
    """Compares exported networks with each other and with those of others, an image at a time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forms = _exported(resnet50(), folder / "resnet50") | _exported(vgg16(), folder / "vgg16")
        peer = keras.applications.ResNet50(weights=None)
        peer.export(str(folder / "peer"), verbose=False)
        forms["keras.applications"] = _answering(_signature(folder / "peer"), peer)
    for pair in (
        ("resnet50 SavedModel", "keras.applications"),
        ("resnet50 TFLite int8", "resnet50 TFLite float32"),
        ("resnet50 TFLite float32", "resnet50 ONNX"),
        ("vgg16 TFLite int8", "vgg16 TFLite float32"),
        ("vgg16 TFLite float32", "vgg16 ONNX"),
    ):
        _compare({name: forms[name] for name in pair}, ANSWERS, "images/s")


def benchmark_export_cost() -> None:
    """Compares what exporting VGG-16 takes with what it takes bare."""
    costs = {side: [] for side in export_cost.SIDES}
    for _ in range(TURNS.value):
        for side, seen in costs.items():
            seen.append(export_cost.of_vgg16(side))
    for side, seen in costs.items():
        seconds, memory = (statistics.median(values) for values in zip(*seen, strict=True))
        print(f"{side:<28}{seconds:>10,.1f} s{memory:>10,.2f} GiB")


def benchmark_checkpoint() -> None:
    """Says what share of the time a checkpoint of ResNet-50 every minute takes."""
    model = resnet50()
    updater = Momentum().start(model, None)
    variables = [*values(model.variables), *updater.variables]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(TURNS.value):
            start = time.perf_counter()
            checkpoint.save(Path(folder), turn, variables, {})
            seconds.append(time.perf_counter() - start)
    print(f"{'a checkpoint':<24}{statistics.median(seconds):>10.2f} s")
    print(f"{'share of a minute':<24}{statistics.median(seconds) / 60:>10.2%}")


def benchmark_towers() -> None:
    """Compares AlexNet's towers with the grouped convolutions of Keras."""
    model = alexnet()

    def with_groups(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = keras.layers.Conv2D if isinstance(layer, TowerConv2D) else type(layer)
        return kind.from_config(layer.get_config())

    grouped = keras.models.clone_model(model, clone_function=with_groups)
    grouped.set_weights(model.get_weights())
    sides = {
        "alexnet": _step_of_the_loop(model, batch=32),
        "with groups=2": _step_of_the_loop(grouped, batch=32),
    }
    _compare(sides, 32, "images/s")


def benchmark_build() -> None:
    """Compares the time to build ResNet-152 with that of `keras.applications`."""
    sides = {
        "resnet152": resnet152,
        "keras.applications": lambda: keras.applications.ResNet152(weights=None),
    }
    _compare(sides, 1, "builds/s")


BENCHMARKS = {
    "loop": benchmark_loop,
    "train": benchmark_train,
    "precision": benchmark_precision,
    "replicas": benchmark_replicas,
    "optimizer": benchmark_optimizer,
    "input": benchmark_input,
    "eval": benchmark_eval,
    "export": benchmark_export,
    "export_cost": benchmark_export_cost,
    "checkpoint": benchmark_checkpoint,
    "towers": benchmark_towers,
    "build": benchmark_build,
}


def _pictures() -> FileSplit:
    """JPEG files of ImageNet's shape."""
    folder = Path(tempfile.gettempdir()) / "keras_classics_pictures"
    return load(f"folder:{synthetic_images.generate(folder, 10, 200, 1)}", encoded=True).train


def _evaluation(model: keras.Model, shown: Views | Dense, split: FileSplit) -> Turn:
    """One evaluation of a split, from its files to the answers."""
    batch_size = 1 if isinstance(shown, Dense) else max(1, len(split) // shown.views)
    return Evaluator(
        shown.network(model), SmoothedCrossEntropy(), split, shown, batch_size=batch_size
    )


def _exported(model: keras.Model, folder: Path) -> dict[str, Turn]:
    """Writes a network in its forms, and loads each in its runtime."""
    folder.mkdir()
    labels = [str(number) for number in range(model.output_shape[-1])]
    source = Source(model, ImagePreprocessing(), labels)
    saved, int8, float32, onnx = (
        folder / name for name in ("saved", "int8.tflite", "float32.tflite", "network.onnx")
    )
    build_saved_model(source, saved)
    build_tflite(source, int8, "int8", source.inputs[:CALIBRATED_ON])
    build_tflite(source, float32)
    export.onnx(source.network, onnx)
    runs = {
        "SavedModel": _signature(saved),
        "TFLite int8": tflite_runtime(int8),
        "TFLite float32": tflite_runtime(float32),
        "ONNX": onnx_runtime(onnx),
    }
    return {f"{model.name} {form}": _answering(run, model) for form, run in runs.items()}


def _answering(run: Run, model: keras.Model) -> Turn:
    """Answers to images, one at a time."""
    image = np.zeros((1, *model.input_shape[1:]), "float32")

    def turn() -> None:
        for _ in range(ANSWERS):
            run(image)

    return turn


def _signature(folder: Path) -> Run:
    """Runs a SavedModel by its signature, as a server does."""
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    return lambda images: serve(**{name: tf.constant(images)})


def _loop(trainer: Trainer, epochs: int) -> Turn:
    blocks = trainer.blocks()

    def train() -> None:
        for _ in range(epochs):
            for _ in range(trainer.plan.full_blocks_per_epoch):
                trainer.train_block(blocks)
            trainer.progress.block = 0

    return train


def _fit(recipe, data, preprocess, epochs: int) -> Turn:
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
    return lambda: model.fit(images, labels, batch_size=recipe.batch_size, epochs=epochs, verbose=0)


def _step_of_the_loop(
    model: keras.Model, batch: int, strategy: tf.distribute.Strategy | None = None
) -> Turn:
    """One step of the training loop on random images, the same for every network."""
    strategy = strategy or tf.distribute.get_strategy()
    loss = SmoothedCrossEntropy()
    with strategy.scope():
        updater = Momentum(momentum=0.9, weight_decay=1e-4).start(model, loss)
    step = Step(
        model,
        loss,
        updater,
        batch_size=batch,
        groups=[0] * len(model.trainable_variables),
        device_preprocess=lambda images: images,
    )
    block = compiled_block(step, strategy, jit_compile=False)
    share = batch // strategy.num_replicas_in_sync
    images = tf.random.stateless_normal((1, share, *model.input_shape[1:]), seed=(0, 0))
    labels = tf.range(share)[tf.newaxis] % model.output_shape[-1]
    of_replicas = [
        strategy.experimental_distribute_values_from_function(lambda _, value=value: value)
        for value in (images, labels)
    ]
    rates = tf.constant([[0.01]])
    return lambda: block(*of_replicas, rates, tf.constant(0.0)).numpy()


def _step_with_keras(model: keras.Model, batch: int) -> Turn:
    """One compiled step by Keras's own optimiser on random images."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)
    images = tf.random.stateless_normal((batch, *model.input_shape[1:]), seed=(0, 0))
    labels = tf.range(batch)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)

    return step


def _cut(split: FileSplit) -> Turn:
    """Pictures through the whole pipeline: read, decoded, cut, mirrored, normalised."""
    preprocess = ImagePreprocessing(mean=(123.68, 116.779, 103.939))
    plan = pipeline.Plan(
        images=len(split),
        batch_size=64,
        steps=10**6,
        steps_per_block=1,
        seed=0,
        augmentation=ScaleJitter(256, 256, colour=None),
    )
    blocks = pipeline.training_blocks(split, preprocess, plan, tf.distribute.get_strategy())
    device_preprocess = tf.function(pipeline.device_preprocess(split, preprocess))

    def turn() -> None:
        for inputs, _ in itertools.islice(blocks, TURN_PICTURES // 64):
            device_preprocess(tf.nest.map_structure(lambda values: values[0], inputs))

    return turn


def _decoded(split: FileSplit) -> Turn:
    """Pictures read and decoded whole, and nothing else."""
    paths = tf.constant(split.paths[:TURN_PICTURES])
    files = tf.data.Dataset.from_tensor_slices(paths)
    images = files.map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3),
        num_parallel_calls=tf.data.AUTOTUNE,
    )

    def turn() -> None:
        for _ in images:
            pass

    return turn


def _compare(sides: dict[str, Turn], amount: float | dict[str, float], unit: str) -> None:
    """Lets the sides take turns and prints the rate of each, and that over the last one's.

    Args:
        sides: What to run for a turn, by name. The first turn of each warms up.
        amount: How much a turn does, where they differ by name.
        unit: Of the rate.
    """
    seconds = {name: [] for name in sides}
    for turn in range(TURNS.value + 1):
        for name, work in sides.items():
            # Nobody pays for what the other side left behind.
            gc.collect()
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    amounts = amount if isinstance(amount, dict) else dict.fromkeys(sides, amount)
    rates = [amounts[name] / statistics.median(times) for name, times in seconds.items()]
    for name, rate in zip(sides, rates, strict=True):
        print(f"{name:<28}{rate:>10,.2f} {unit:<10}{rate / rates[-1]:>8.2f}")


if __name__ == "__main__":
    run(main)
