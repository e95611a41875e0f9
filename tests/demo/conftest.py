"""Exports to write sites of, and a browser."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_classics as kc
from keras_classics.export import export_model
from keras_classics.weights import find_weights
from tests.helpers.browser import Browser


def exported(folder: Path, name: str, weights: str, **options) -> Path:
    record = find_weights(f"{name}/{weights}")
    export_model(
        kc.get_model(name, weights=weights),
        folder,
        preprocessing=record.preprocessing(),
        labels=record.labels,
        formats=["tflite"],
        origin={"trained_on": weights},
        **options,
    )
    return folder


def change_manifest(export: Path, **changes) -> None:
    path = export / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(scope="module")
def digits_export(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("digits") / "export", "lenet5", "digits")


@pytest.fixture(scope="module")
def fashion_export(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("fashion") / "export", "resnet20", "fashion_mnist")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    window = Browser()
    yield window
    window.close()
