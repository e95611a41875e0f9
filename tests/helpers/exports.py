"""What the tests give to exports."""

import json
from pathlib import Path

import keras
import tensorflow as tf

import keras_classics as kc
from keras_classics.export import export_model
from keras_classics.image_preprocessing import with_channels
from keras_classics.models.layers import LocalResponseNormalization
from keras_classics.weights import find_weights


@keras.saving.register_keras_serializable("tests")
class Centred(keras.layers.Layer):
    """Brings images to any sides, and 0..255 to -scale..scale."""

    def __init__(self, sides: tuple[int, int, int], scale: float, **kwargs):
        super().__init__(dtype="float32", autocast=False, **kwargs)
        self.sides = sides
        self.scale = scale

    def call(self, images):
        *sides, channels = self.sides
        images = tf.image.resize(with_channels(images, channels), sides)
        return (images / 128.0 - 1.0) * self.scale

    def get_config(self):
        return {"sides": self.sides, "scale": self.scale}


def arguments(model: keras.Model) -> dict:
    """What every export takes."""
    normalizes = any(isinstance(layer, LocalResponseNormalization) for layer in model.layers)
    # On values near 1, response normalisation does nothing. Without it, scores grow with the
    # images, and their rounding with them.
    scale = 128.0 if normalizes else 2.0
    return {
        "preprocessing": Centred(model.input_shape[1:], scale),
        "labels": [f"class {i}" for i in range(model.output_shape[-1])],
    }


def export_of_weights(folder: Path, name: str, weights: str, **options) -> Path:
    """Exports known weights to TFLite, and returns the folder of the export."""
    record = find_weights(f"{name}/{weights}")
    export_model(
        kc.get_model(name, weights=weights),
        folder / "export",
        preprocessing=record.preprocessing(),
        labels=record.labels,
        formats=["tflite"],
        origin={"trained_on": weights},
        **options,
    )
    return folder / "export"


def change_manifest(export: Path, **changes) -> None:
    path = export / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
