"""Benchmark of the forms in which data lie on disks."""

import logging
import tempfile
from pathlib import Path

from keras_classics.data import load
from reproduce.benchmark.images import TURN_IMAGES, cropped
from reproduce.benchmark.turns import compare
from reproduce.harness import synthetic_images
from reproduce.harness.data_forms import write_forms


def benchmark_forms() -> None:
    """Compares the whole pipeline on every form with that on a folder."""
    logging.getLogger("keras_classics").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        classes = synthetic_images.generate(root / "generated", 10, 160, 1) / "train"
        sides = {}
        for form, name in write_forms(classes, root / "forms").items():
            split = load(name, str(root / "forms"), encoded=True).train
            sides[form] = cropped(split)
        # The ratios are to the last one.
        sides["folder"] = sides.pop("folder")
        compare(sides, TURN_IMAGES, "images/s")
