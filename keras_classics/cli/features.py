"""Computes features of images, and what they are good for: a linear probe, neighbours, a map.

keras-classics features --model=resnet50 my_photos --out=photos.npy
keras-classics features --model=resnet50 --dataset=folder:flowers --out=flowers.npy --probe --knn
keras-classics features --from=flowers.npy --page=flowers.html --map=tsne
keras-classics features --from=photos.npy --model=resnet50 --query=cat.jpg

IMAGES are those of `predict`: files, folders, patterns in quotes, and - for paths on standard
input. --dataset takes the training and test images of a data set with their labels instead.

--out=F.npy gets the features, float32 of shape (images, channels), F.csv the image, part, label and
class of each row, and F.json the network and its weights. numpy.load(F.npy, mmap_mode="r") reads
rows without reading all. An image that cannot be read has its fault in F.csv and no row. --from
takes such files in place of images; nothing is computed again.

--probe trains a linear classifier on the training images' features, --knn lets the most similar
training images vote. Each chooses its setting on a fifth of the training images, then takes all of
them, and is tested once. Errors have 95 % intervals.

--page=FILE.html shows the images on a map, one file that needs no network. --query prints the
images that are most similar to another one.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import flags

from keras_classics import files
from keras_classics.cli import _bad_images, _feature_images
from keras_classics.cli._answer_files import refuse_ending
from keras_classics.cli._bad_images import BadImage
from keras_classics.cli._data_flags import VALIDATION_SHARE, given_class_names
from keras_classics.cli._dataset_flags import define_data_dir, define_dataset, define_limit
from keras_classics.cli._exif import EXIF, with_exif
from keras_classics.cli._feature_images import Images, features_of_image
from keras_classics.cli._features_page import write_page
from keras_classics.cli._image_arguments import named_images
from keras_classics.cli._networks import MODEL, Network, one_network
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.cli._progress import optional_bar
from keras_classics.data.names import is_upright
from keras_classics.data.parts import TRAIN
from keras_classics.errors import UserError, one_line
from keras_classics.evaluation.embeddings import POOL, feature_network, weights_digest
from keras_classics.evaluation.feature_files import StoredFeatures, write_features
from keras_classics.evaluation.held_out import held_out_images
from keras_classics.evaluation.neighbours import most_similar, nearest_neighbours
from keras_classics.evaluation.probe import linear_probe
from keras_classics.evaluation.projection import PCA, TSNE
from keras_classics.evaluation.statistics import wilson

# Images that are most similar to a query.
SIMILAR = 10

DATASET = define_dataset()
DATA_DIR = define_data_dir()
LIMIT_TRAIN = define_limit("train")
LIMIT_TEST = define_limit("test")
LEVEL = flags.DEFINE_string(
    "level",
    POOL,
    "Which features: pool, what the last layer with weights takes; or a level of the network, 0 to "
    "5, averaged over its positions.",
)
OUT = define_path("out", None, "File of features to write, FILE.npy.")
FROM = define_path("from", None, "File of features that --out wrote, in place of images.")
PROBE = flags.DEFINE_bool("probe", False, "Train and test a linear classifier of the features.")
KNN = flags.DEFINE_bool("knn", False, "Test a classifier by the most similar training images.")
PAGE = define_path("page", None, "HTML file to write: a map of the images.")
MAP = flags.DEFINE_enum("map", PCA, [PCA, TSNE], "How the map of --page places the images.")
QUERY = define_path("query", None, "An image, to print those that are most similar.")

# Flags for data sets alone.
OF_DATASET = ("data_dir", "limit_train", "limit_test", "validation_share", "classes")

Row = dict[str, Any]


def main(image: str | None = None, *images: str) -> None:
    """Computes features or reads them, and shows what they are good for."""
    named = [image, *images] if image is not None else []
    _check_flags(named)
    net = None if FROM.value and not MODEL.value else one_network("features")
    bad: list[BadImage] = []
    row: Row = {}
    if FROM.value:
        stored, shown = StoredFeatures.open(FROM.value), None
    else:
        assert net is not None
        shown = _images(named, net)
        row |= _write(Path(OUT.value), shown, net, bad)
        stored = StoredFeatures.open(OUT.value)
    for name, classify in CLASSIFIERS.items():
        if flags.FLAGS[name].value:
            row[name] = _tested(stored, classify)
    if QUERY.value:
        assert net is not None
        row["similar"] = _similar(stored, QUERY.value, net)
    if PAGE.value:
        shown = shown or _feature_images.of_stored(stored)
        query = (QUERY.value, row["similar"]) if QUERY.value else None
        tested = list(_tested_lines(row))
        write_page(Path(PAGE.value), stored, shown.image, MAP.value, tested, query)
        row["page"] = PAGE.value
    if JSON.value:
        print_json(row)
    else:
        sys.stdout.writelines(f"{one_line(line)}\n" for line in _report(row))
    _bad_images.tell(bad, len(stored.all_images))


def _check_flags(images: Sequence[str]) -> None:
    sources = {"IMAGES": images, "--dataset": DATASET.value, "--from": FROM.value}
    given = [name for name, value in sources.items() if value]
    if len(given) != 1:
        raise UserError(
            "Name what to take features of: IMAGES, --dataset=NAME, or with --from=FILE.npy those "
            f"that are stored. Received: {' and '.join(given) or 'none of them'}."
        )
    unused = [name for name in OF_DATASET if flags.FLAGS[name].value is not None]
    if unused and not DATASET.value:
        raise UserError(
            f"--{unused[0]} is for --dataset. Received: {given[0]} instead. Leave it out."
        )
    if FROM.value and OUT.value:
        raise UserError("--out is for new features. Received: --from too. Leave one out.")
    if not FROM.value:
        if not OUT.value:
            raise UserError("Features need a file to be written to: --out=FILE.npy.")
        refuse_ending(Path(OUT.value), [".npy"])
    if (PROBE.value or KNN.value) and images:
        raise UserError(
            "--probe and --knn need images with labels: --dataset=NAME, such as folder:PATH. "
            "Received: IMAGES."
        )
    if QUERY.value and FROM.value and not MODEL.value:
        raise UserError("--query needs the network that wrote --from. Name it with --model.")
    for path in filter(None, (OUT.value, PAGE.value)):
        if Path(path).is_dir():
            raise UserError(f"{path} is a folder. Name a file in it.")
        files.refuse_unwritable(Path(path))


def _images(named: Sequence[str], net: Network) -> Images:
    trained_on = net.training.get("dataset")
    if named:
        upright = EXIF.value or is_upright(trained_on)
        return _feature_images.of_arguments(named_images(named), upright)
    limits = (LIMIT_TRAIN.value, LIMIT_TEST.value)
    return _feature_images.of_dataset(
        with_exif(DATASET.value),
        DATA_DIR.value,
        VALIDATION_SHARE.value,
        given_class_names(),
        limits,
    )


def _write(path: Path, images: Images, net: Network, bad: list[BadImage]) -> Row:
    """Computes features and writes them as they come."""
    network = feature_network(net.model, LEVEL.value)
    about = {
        **_of_network(net, network, LEVEL.value),
        "dataset": images.dataset or None,
        "data_dir": DATA_DIR.value,
        "validation_share": VALIDATION_SHARE.value,
        "limit_train": LIMIT_TRAIN.value,
        "limit_test": LIMIT_TEST.value,
        "upright": images.upright,
    }
    channels, start = network.output_shape[-1], time.perf_counter()
    with optional_bar(len(images)) as update:
        lines = _feature_images.rows(images, network, net.preprocessing, bad, update)
        write_features(path, lines, len(images), channels, about)
    return {
        "out": str(path),
        "images": len(images) - len(bad),
        "channels": channels,
        "faults": len(bad),
        "seconds": time.perf_counter() - start,
    }


def _of_network(net: Network, network: keras.Model, level: str) -> Row:
    """Returns what must agree between stored features and those of a query."""
    return {
        "model": net.name,
        "weights": net.weights,
        "level": level,
        "digest": weights_digest(network),
    }


def _network_of(stored: StoredFeatures, net: Network) -> keras.Model:
    """Returns the network from images to features like those stored.

    Raises:
        UserError: If it is not the one that these are of.
    """
    level = stored.about["level"]
    network = feature_network(net.model, level)
    given = _of_network(net, network, level)
    for name, value in given.items():
        if stored.about[name] != value:
            raise UserError(
                f"A query needs the network that wrote {stored.path}, with {name} "
                f"{stored.about[name]}. Received: {value}."
            )
    return network


def _tested(stored: StoredFeatures, classify: Callable) -> Row:
    """Trains a classifier of the features of the training images, and tests it once."""
    labels = stored.labels
    if labels is None:
        raise UserError(
            "--probe and --knn need one label for each image. Received: "
            f"{stored.path}, with images of none or several."
        )
    train = stored.parts == TRAIN
    if train.all() or not train.any():
        raise UserError(
            f"--probe and --knn need training and test images. Received: {stored.path}, with "
            f"{train.sum():,} and {(~train).sum():,}."
        )
    start = time.perf_counter()
    names = [name for name, chosen in zip(stored.images, train, strict=True) if chosen]
    held_out = held_out_images(names)
    setting, predictions, errors = classify(
        stored.features[train], labels[train], held_out, stored.features[~train]
    )
    wrong, count = int((predictions != labels[~train]).sum()), int((~train).sum())
    low, high = wilson(wrong, count)
    return {
        "error": wrong / count,
        "low": low,
        "high": high,
        "test_images": count,
        "train_images": int(train.sum()),
        "held_out_images": int(held_out.sum()),
        **setting,
        "held_out_errors": {f"{value:g}": error for value, error in errors.items()},
        "seconds": time.perf_counter() - start,
    }


def _by_probe(features, labels, held_out, test) -> tuple[Row, np.ndarray, Mapping]:
    probe = linear_probe(features, labels, held_out)
    return {"C": probe.strength}, probe.predict(test), probe.held_out_errors


def _by_neighbours(features, labels, held_out, test) -> tuple[Row, np.ndarray, Mapping]:
    neighbours = nearest_neighbours(features, labels, held_out)
    return {"k": neighbours.k}, neighbours.predict(test), neighbours.held_out_errors


CLASSIFIERS = {"probe": _by_probe, "knn": _by_neighbours}


def _similar(stored: StoredFeatures, query: str, net: Network) -> list[Row]:
    """Returns the images that are most similar to an image, the most similar first."""
    network = _network_of(stored, net)
    features = features_of_image(query, stored.about["upright"], network, net.preprocessing)
    (rows,), (similarities,) = most_similar(stored.features, features, SIMILAR)
    return [
        {
            "row": int(row),
            "image": stored.all_images[stored.numbers[row]],
            "class": stored.row_classes[row],
            "similarity": float(similarity),
        }
        for row, similarity in zip(rows, similarities, strict=True)
    ]


def _report(row: Row) -> Iterator[str]:
    if "out" in row:
        index = Path(row["out"]).with_suffix(".csv")
        rate = (row["images"] + row["faults"]) / row["seconds"]
        yield (
            f"files   {row['out']} and {index}: {row['images']:,} images, {row['channels']:,} "
            f"channels, {rate:,.1f} a second"
        )
    yield from _tested_lines(row)
    if "similar" in row:
        yield f"similar to {QUERY.value}"
        for found in row["similar"]:
            label = f"{found['class']}  " if found["class"] else ""
            yield f"  {found['similarity']:.4f}  {label}{found['image']}"
    if "page" in row:
        yield f"page    {row['page']}"


def _tested_lines(row: Row) -> Iterator[str]:
    for name, setting in (("probe", "C"), ("knn", "k")):
        if name not in row:
            continue
        found = row[name]
        error, low, high = (100 * found[figure] for figure in ("error", "low", "high"))
        yield (
            f"{name:<7} error {error:.2f} % ({low:.2f} to {high:.2f}) of {found['test_images']:,} "
            f"test images, {setting}={found[setting]:g} chosen on {found['held_out_images']:,} of "
            f"{found['train_images']:,} training images; {found['seconds']:.1f} s"
        )
