"""Evaluates networks by a paper's protocol, alone or as an ensemble, or compares two.

keras-classics evaluate --model=resnet50 --dataset=imagenet2012 --protocol=ten
keras-classics evaluate --model=vgg16 --dataset=folder:images --protocol=dense --scales=256,384
keras-classics evaluate --model=runs/a --model=runs/b --dataset=fashion_mnist --flip --out=both
keras-classics evaluate --compare=one,both

A model is the folder of a finished run, or the name of a network with known weights. --out names a
folder for the predictions, which --compare reads, the figures and two plots.
"""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.cli._exif import with_exif
from keras_classics.cli._networks import Network, networks
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path, define_path_list
from keras_classics.cli._progress import progress_bar
from keras_classics.data import load_test
from keras_classics.data.splits import AnySplit
from keras_classics.environment import current_environment
from keras_classics.errors import UserError, unknown_name
from keras_classics.evaluation import ClassMetrics, Dense, Evaluation, Evaluator, Views, average
from keras_classics.evaluation.evaluate import BATCH_SIZE as MOST_VIEWS
from keras_classics.evaluation.predictions import Predictions, check_same_images, digest
from keras_classics.evaluation.statistics import mcnemar, wilson
from keras_classics.evaluation.views import LAYOUTS
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.training import make_strategy
from keras_classics.training.strategy import strategy_metadata

PROTOCOLS = (*LAYOUTS, "dense")

DATASET = flags.DEFINE_string(
    "dataset", None, "digits, folder:PATH, or a name of TensorFlow Datasets. The run's if unset."
)
DATA_DIR = define_path("data_dir", None, "Folder of TensorFlow Datasets; its default if unset.")
PROTOCOL = flags.DEFINE_list(
    "protocol", ["single"], f"Protocols: {', '.join(PROTOCOLS)}. Several are averaged."
)
SCALES = flags.DEFINE_list(
    "scales", [], "Short sides that images are scaled to; the protocol's if unset."
)
FLIP = flags.DEFINE_bool(
    "flip", None, "Whether to add mirror images of the views; the protocol's choice if unset."
)
RESIZE = flags.DEFINE_enum(
    "resize", "bilinear", ["bilinear", "bicubic", "area", "nearest"], "How images are scaled."
)
ANTIALIAS = flags.DEFINE_bool("antialias", True, "Whether downscaling is antialiased.")
ENSEMBLE_WEIGHTS = flags.DEFINE_list(
    "ensemble_weights",
    [],
    "Weights of the members of an ensemble: model after model, each with all protocols.",
)
LIMIT_TEST = flags.DEFINE_integer(
    "limit_test", None, "Use at most this many images.", lower_bound=1
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Batch size. If unset: 1 for dense, otherwise the images of 128 views.",
    lower_bound=1,
)
STRATEGY = flags.DEFINE_enum(
    "strategy", "auto", ["auto", "one_device", "mirrored"], "Devices of this machine to use."
)
NUM_REPLICAS = flags.DEFINE_integer(
    "num_replicas",
    None,
    "Number of GPUs (or logical CPUs) for --strategy=mirrored.",
    lower_bound=1,
)
OUT = define_path("out", None, "Folder to write; it must not exist yet.")
COMPARE = define_path_list("compare", "Two folders written by --out.")

# Number of classes that are printed; if there are more, those with the lowest recall.
PRINTED_CLASSES = 20
# The metrics that are printed beside the errors; `evaluation.json` and --json have all.
METRICS = {
    "balanced_accuracy": "bal. accuracy",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted",
    "roc_auc": "ROC-AUC",
}

Row = dict[str, Any]


def main() -> None:
    """Evaluates networks, or compares two evaluations."""
    if COMPARE.value:
        comparison = _comparison(COMPARE.value)
        if JSON.value:
            print_json(comparison)
        else:
            print(_comparison_report(comparison))
        return
    if OUT.value:
        files.refuse_existing(Path(OUT.value))
        files.refuse_unwritable(Path(OUT.value))
    for name in PROTOCOL.value:
        if name not in PROTOCOLS:
            raise unknown_name("protocol", name, PROTOCOLS)
    strategy = make_strategy(STRATEGY.value, NUM_REPLICAS.value)
    with strategy.scope():
        nets = networks()
    protocols = [[_protocol(name, net) for name in PROTOCOL.value] for net in nets]
    dataset = _dataset(nets)
    start = time.perf_counter()
    everything, class_names = _images(dataset, nets)
    split = everything.limited(LIMIT_TEST.value)
    members = []
    pairs = [(net, shown) for net, its in zip(nets, protocols, strict=True) for shown in its]
    with progress_bar(len(pairs) * len(split)) as bar:
        for net, shown in pairs:
            members.append(_evaluation(net, shown, split, strategy, bar.update))
    evaluation = average(
        members, _numbers("ensemble_weights", ENSEMBLE_WEIGHTS.value, float) or None
    )
    predictions = Predictions(
        evaluation.probabilities,
        evaluation.labels,
        dataset,
        digest(split),
        class_names,
        " + ".join(dict.fromkeys(str(shown) for its in protocols for shown in its)),
        " + ".join(net.model.name for net in nets),
    )
    row = _row(nets, evaluation, predictions)
    row |= {"test_images": len(everything), "seconds": time.perf_counter() - start}
    if JSON.value:
        print_json({**row, "classes": _classes(evaluation, class_names)})
    else:
        print(_report(evaluation, predictions, row))
    if OUT.value:
        row["environment"] = current_environment() | strategy_metadata(strategy)
        _write(Path(OUT.value), evaluation, predictions, row, split)
        if not JSON.value:
            print(f"files   {Path(OUT.value)}/")


def _protocol(name: str, net: Network) -> Views | Dense:
    options: Row = {"method": RESIZE.value, "antialias": ANTIALIAS.value}
    if SCALES.value:
        options["scales"] = _numbers("scales", SCALES.value, int)
    if FLIP.value is not None:
        options["flip"] = FLIP.value
    if name == "dense":
        return Dense(net.preprocessing, **options)
    return Views(name, net.preprocessing, **options)


def _numbers(flag: str, values: Sequence[str], kind: type) -> list:
    try:
        numbers = [kind(value) for value in values]
    except ValueError:
        numbers = [-1]
    if not all(0 <= number < math.inf for number in numbers):
        raise UserError(f"--{flag} takes numbers, such as 256,384. Received: {','.join(values)}.")
    return numbers


def _dataset(nets: Sequence[Network]) -> str:
    known = {net.training.get("dataset") for net in nets}
    if not DATASET.value and (len(known) > 1 or None in known):
        raise UserError(
            "Name the data set with --dataset: the models are not runs on one data set."
        )
    return with_exif(DATASET.value or known.pop())


def _images(dataset: str, nets: Sequence[Network]) -> tuple[AnySplit, tuple[str, ...]]:
    """The test split, with the classes of all networks."""
    first = nets[0].preprocessing
    encoded = isinstance(first, ImagePreprocessing)
    if any(isinstance(net.preprocessing, ImagePreprocessing) != encoded for net in nets):
        raise UserError(
            "All networks of an ensemble must have the same kind of preprocessing, image or canvas."
        )
    split, class_names = load_test(dataset, DATA_DIR.value, first.resize, encoded=encoded)
    for net in nets:
        classes = net.model.output_shape[-1]
        if classes != len(class_names):
            raise UserError(
                f"{dataset} has {len(class_names)} classes. Received: {net.model.name} with "
                f"{classes}. Use a network that was trained on these classes."
            )
    return split, class_names


def _evaluation(net: Network, shown: Views | Dense, split: AnySplit, strategy, watch) -> Evaluation:
    with strategy.scope():
        network = shown.network(net.model)
    batch_size = BATCH_SIZE.value or max(1, MOST_VIEWS // shown.views)
    if isinstance(shown, Dense):
        batch_size = 1
    return Evaluator(network, net.loss, split, shown, strategy, batch_size)(watch)


def _row(nets: Sequence[Network], evaluation: Evaluation, predictions: Predictions) -> Row:
    """The figures, and what was evaluated."""

    def of_all(values: list) -> Any:
        return values[0] if all(value == values[0] for value in values) else values

    right = {1: evaluation.in_top(1), 5: evaluation.in_top(5)}
    figures = {}
    for count, hits in right.items():
        low, high = wilson(len(hits) - hits.sum(), len(hits))
        figures |= {f"top{count}_error": 1 - hits.mean()}
        figures |= {f"top{count}_low": low, f"top{count}_high": high}
    if evaluation.probabilities.shape[1] <= 5:
        figures = {name: value for name, value in figures.items() if name.startswith("top1")}
    known = ("train_images", "epochs", "seed")
    return {
        "model": predictions.model,
        "arguments": of_all([net.arguments for net in nets]),
        "weights": of_all([net.weights for net in nets]),
        "dataset": predictions.dataset,
        **{name: of_all([net.training.get(name) for net in nets]) for name in known},
        "images": len(predictions.labels),
        "images_digest": predictions.images,
        "protocol": predictions.protocol,
        "members": len(nets),
        **figures,
        **evaluation.metrics,
    }


def _report(evaluation: Evaluation, predictions: Predictions, row: Row) -> str:
    """The printed report: the errors, and each class."""
    images = f"{row['images']:,}"
    if row["test_images"] > row["images"]:
        images += f" of {row['test_images']:,}"
    lines = [
        "",
        f"{predictions.model} on {images} images of {predictions.dataset}: {predictions.protocol}",
    ]
    for top in ("top1", "top5"):
        if f"{top}_error" in row:
            error, low, high = (100 * row[f"{top}_{part}"] for part in ("error", "low", "high"))
            lines.append(
                f"{top[:3]}-{top[3]} error, %  {error:6.2f}   (95 %: {low:.2f} to {high:.2f})"
            )
    for name, words in METRICS.items():
        if name in row:
            lines.append(f"{words:<14}  {100 * row[name]:6.2f}")
    lines.append(f"seconds         {row['seconds']:6,.1f}")
    classes = _classes(evaluation, predictions.class_names)
    if len(classes) > PRINTED_CLASSES:
        classes = sorted(classes, key=lambda of: of["recall"])[:PRINTED_CLASSES]
        lines += ["", f"The {PRINTED_CLASSES} classes with the lowest recall:"]
    width = max(5, *(len(of["class"]) for of in classes))
    lines += [
        "",
        f"{'class':<{width}}  images  precision, %  recall, %   F1, %  "
        "most often predicted instead",
    ]
    for of in classes:
        taken = f"{of['taken_for']} ({of['times']})" if of["times"] else "-"
        precision, recall, f1 = (100 * of[name] for name in ("precision", "recall", "f1"))
        lines.append(
            f"{of['class']:<{width}}  {of['images']:>6,}  {precision:>12.1f}  {recall:>9.1f}  "
            f"{f1:>6.1f}  {taken}"
        )
    return "\n".join(lines)


def _classes(evaluation: Evaluation, names: Sequence[str]) -> list[Row]:
    """For each class with images: its metrics, and its most frequent wrong prediction."""
    rows = []
    metrics = ClassMetrics.of_confusion(evaluation.confusion)
    for label, counts in enumerate(evaluation.confusion):
        wrong = np.where(np.arange(len(counts)) == label, 0, counts)
        if counts.sum():
            rows.append(
                {
                    "class": names[label],
                    "images": int(counts.sum()),
                    "precision": float(metrics.precision[label]),
                    "recall": float(metrics.recall[label]),
                    "f1": float(metrics.f1[label]),
                    "taken_for": names[wrong.argmax()] if wrong.any() else "",
                    "times": int(wrong.max()),
                }
            )
    return rows


def _write(
    folder: Path, evaluation: Evaluation, predictions: Predictions, row: Row, split: AnySplit
) -> None:
    """Writes predictions, figures and plots, whole or not at all."""
    with files.atomic_write(folder) as aside:
        aside.mkdir(parents=True)
        predictions.save(aside / "predictions.npz")
        content = (aside / "predictions.npz").read_bytes()
        row = row | {"predictions_sha256": hashlib.sha256(content).hexdigest()}
        (aside / "evaluation.json").write_text(json.dumps(row, indent=2) + "\n")
        classes = _classes(evaluation, predictions.class_names)
        files.write_csv(aside / "classes.csv", tuple(classes[0]), classes)
        names = predictions.class_names
        with plots.optional(aside / "confusion.png") as path:
            plots.confusion(evaluation.confusion, names, path)
        with plots.optional(aside / "mistakes.png") as path:
            labels, probabilities = evaluation.labels, evaluation.probabilities
            plots.mistakes(split.image, labels, probabilities, names, path)


def _stored_predictions(folder: str) -> Predictions:
    """Reads what --out wrote."""
    path = Path(folder) / "predictions.npz"
    if not path.is_file():
        network = folder if (Path(folder) / "result.json").is_file() else "NETWORK"
        raise UserError(
            f"--compare takes folders that --out wrote. Received: {folder}, which has no "
            f"{path.name}. Write one with keras-classics evaluate --model={network} --out=FOLDER."
        )
    return Predictions.load(path)


def _comparison(folders: Sequence[str]) -> Row:
    """Tests whether two networks differ significantly on the same images."""
    if len(folders) != 2:
        raise UserError(f"--compare takes two folders. Received: {','.join(folders)}.")
    a, b = map(_stored_predictions, folders)
    check_same_images(a, b)
    hits = [p.probabilities.argmax(axis=1) == p.labels for p in (a, b)]
    test = mcnemar(*hits)
    return {
        "dataset": a.dataset,
        "images": len(a.labels),
        "compared": [
            {
                "folder": folder,
                "model": p.model,
                "protocol": p.protocol,
                "top1_error": 1 - float(right.mean()),
            }
            for right, p, folder in zip(hits, (a, b), folders, strict=True)
        ],
        "only_first_right": int(test.only_a),
        "only_second_right": int(test.only_b),
        "p_value": float(test.p_value),
    }


def _comparison_report(row: Row) -> str:
    """The printed comparison: the two errors, and what the test says of their difference."""
    only_a, only_b, p_value = (
        row[name] for name in ("only_first_right", "only_second_right", "p_value")
    )
    lines = [
        f"{letter}  {100 * of['top1_error']:6.2f} %  {of['model']}: {of['protocol']}  "
        f"({of['folder']})"
        for letter, of in zip("AB", row["compared"], strict=True)
    ]
    verdict = "no difference is shown" if p_value >= 0.05 else "the difference is real"
    verdict += f": {'A' if only_a > only_b else 'B'} is better" if p_value < 0.05 else ""
    return "\n".join(
        [
            f"top-1 error on {row['images']:,} images of {row['dataset']}",
            *lines,
            f"only A is right {only_a:,} times, only B {only_b:,} times",
            f"McNemar's exact test: p = {p_value:.2g}, {verdict} (at 0.05)",
        ]
    )
