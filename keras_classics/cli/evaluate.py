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
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.cli._data_flags import VALIDATION_SHARE, given_class_names
from keras_classics.cli._dataset_flags import define_data_dir, define_dataset, define_limit
from keras_classics.cli._device_flags import define_num_replicas, define_strategy
from keras_classics.cli._evaluation_report import class_rows, comparison_report, report
from keras_classics.cli._exif import with_exif
from keras_classics.cli._networks import Network, networks
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path, define_path_list
from keras_classics.cli._progress import progress_bar
from keras_classics.data import load_test
from keras_classics.data.splits import AnySplit
from keras_classics.environment import current_environment
from keras_classics.errors import UserError, unknown_name
from keras_classics.evaluation import Dense, Evaluation, Evaluator, Views, average
from keras_classics.evaluation.answers import labels_in_network
from keras_classics.evaluation.evaluate import BATCH_SIZE as MOST_VIEWS
from keras_classics.evaluation.predictions import Predictions, check_same_images, digest
from keras_classics.evaluation.statistics import mcnemar, wilson
from keras_classics.evaluation.views import LAYOUTS
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models.losses import BinaryCrossEntropy
from keras_classics.models.transfer import with_classes
from keras_classics.training import make_strategy
from keras_classics.training.strategy import is_chief, strategy_metadata

PROTOCOLS = (*LAYOUTS, "dense")

DATASET = define_dataset("The run's if unset.")
DATA_DIR = define_data_dir()
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
    "resize",
    None,
    ["bilinear", "bicubic", "area", "nearest"],
    "How images are scaled; as the network's preprocessing says if unset.",
)
ANTIALIAS = flags.DEFINE_bool("antialias", True, "Whether downscaling is antialiased.")
ENSEMBLE_WEIGHTS = flags.DEFINE_list(
    "ensemble_weights",
    [],
    "Weights of the members of an ensemble: model after model, each with all protocols.",
)
LIMIT_TEST = define_limit("test")
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Batch size. If unset: 1 for dense, otherwise the images of 128 views.",
    lower_bound=1,
)
STRATEGY = define_strategy()
NUM_REPLICAS = define_num_replicas()
OUT = define_path("out", None, "Folder to write; it must not exist yet.")
COMPARE = define_path_list("compare", "Two folders written by --out.")

Row = dict[str, Any]

logger = logging.getLogger(__name__)


def main() -> None:
    """Evaluates networks, or compares two evaluations."""
    if COMPARE.value:
        comparison = _comparison(COMPARE.value)
        if JSON.value:
            print_json(comparison)
        else:
            print(comparison_report(comparison))
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
    _check_kind(dataset, everything, nets)
    with strategy.scope():
        nets = [_answering(net, dataset, class_names) for net in nets]
    split = everything.limited(LIMIT_TEST.value)
    members = []
    pairs = [(net, shown) for net, its in zip(nets, protocols, strict=True) for shown in its]
    with progress_bar(len(pairs) * len(split), shown=is_chief(strategy)) as bar:
        for net, shown in pairs:
            members.append(_evaluation(net, shown, split, strategy, bar.update))
    # Every worker has all predictions; one reports them.
    if not is_chief(strategy):
        return
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
        print_json({**row, "classes": class_rows(evaluation, class_names)})
    else:
        print(report(evaluation, predictions, row))
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
    # A network is tested on what its own training held out.
    own = next((net for net in nets if net.training.get("dataset") == dataset), None)
    return load_test(
        dataset,
        DATA_DIR.value,
        first.resize,
        encoded,
        VALIDATION_SHARE.value or (own and own.training["validation_share"]),
        given_class_names() or (own and own.class_names),
    )


def _answering(net: Network, dataset: str, class_names: Sequence[str]) -> Network:
    """Returns a network that answers with the classes of a data set; says it if they are few."""
    classes = net.model.output_shape[-1]
    labels = labels_in_network(dataset, class_names, net.model.name, net.class_names, classes)
    if labels is None:
        return net
    logger.info(
        "%s answers with the %d classes of %s alone, of its %s",
        *(net.model.name, len(labels), dataset, f"{classes:,}"),
    )
    answers = f"{len(labels)} of {classes:,}"
    return replace(net, model=with_classes(net.model, labels), answers=answers)


def _check_kind(dataset: str, split: AnySplit, nets: Sequence[Network]) -> None:
    """Checks that images with several labels meet networks that were trained on such alone."""
    several = {True: "several labels for each image", False: "one label for each image"}
    for net in nets:
        if isinstance(net.loss, BinaryCrossEntropy) != split.multilabel:
            raise UserError(
                f"{dataset} has {several[split.multilabel]}. Received: {net.model.name}, trained "
                f"on {several[not split.multilabel]}. Use a network that was trained on such."
            )


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
        **({"answers": nets[0].answers} if nets[0].answers else {}),
        **({} if evaluation.multilabel else _errors(evaluation)),
        **evaluation.metrics,
    }


def _errors(evaluation: Evaluation) -> Row:
    """Top-1 and top-5 errors with their 95 % intervals; top-5 only of more than five classes."""
    figures: Row = {}
    for count in (1, 5) if evaluation.probabilities.shape[1] > 5 else (1,):
        hits = evaluation.in_top(count)
        low, high = wilson(len(hits) - hits.sum(), len(hits))
        figures |= {f"top{count}_error": 1 - hits.mean()}
        figures |= {f"top{count}_low": low, f"top{count}_high": high}
    return figures


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
        names = predictions.class_names
        classes = class_rows(evaluation, names)
        columns = tuple(classes[0]) if classes else ("class",)
        files.write_csv(aside / "classes.csv", columns, classes)
        if evaluation.multilabel:
            return
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
    if a.labels.ndim == 2:
        raise UserError(
            "--compare tests predictions of one label for each image. Received: "
            f"{a.dataset}, with several. Compare the metrics in their evaluation.json."
        )
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
