"""Classifies images with a trained network, or with an exported one in its own runtime.

keras-classics predict --model=runs/finetune_resnet18_folder_my_images_seed0 cat.jpg dog.png
keras-classics predict --model=lenet5 --weights=digits digit.png
keras-classics predict --model_path=served/model_int8.tflite cat.jpg

An export is a folder that `keras-classics export` wrote, or a format in it: saved_model, .tflite,
.onnx or .keras. Photos are turned upright if the network was trained on such, or with --exif.
"""

from pathlib import Path

import numpy as np

from keras_classics.cli._exif import EXIF
from keras_classics.cli._networks import MODEL, Network, network_of_run, one_network
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.data.image_files import fault_of, upright
from keras_classics.data.names import is_upright
from keras_classics.errors import UserError, one_line
from keras_classics.export import load_exported
from keras_classics.export.exported import Exported, of_network
from keras_classics.files import read_bytes
from keras_classics.training.run_directory import is_run

MODEL_PATH = define_path("model_path", None, "Exported network, or the folder of a run.")

TOP = 5


def main(*images: str) -> None:
    """Prints the most probable classes of each image."""
    network = _network()
    turn = EXIF.value or network.upright
    encoded = [_read(Path(image), network.max_pixels, turn) for image in images]
    width = max(map(len, network.labels))
    found = []
    for image, probabilities in zip(images, network.predict(encoded), strict=True):
        best = [
            {"class": int(i), "label": network.labels[i], "probability": float(probabilities[i])}
            for i in np.argsort(-probabilities, kind="stable")[:TOP]
        ]
        found.append({"image": image, "predictions": best})
        if not JSON.value:
            print(one_line(image))
            for of in best:
                print(f"  {of['label']:<{width}}  {100 * of['probability']:6.2f} %")
    if JSON.value:
        print_json(found)


def _network() -> Exported:
    """Returns the network that --model or --model_path names."""
    path = MODEL_PATH.value
    if bool(path) == bool(MODEL.value):
        raise UserError(
            "Name one network: --model=RUN_OR_NETWORK, or --model_path=EXPORT. Received: "
            f"{'both' if path else 'neither'}."
        )
    if path:
        return _in_keras(network_of_run(path)) if is_run(path) else load_exported(path)
    return _in_keras(one_network("predict"))


def _in_keras(net: Network) -> Exported:
    labels = net.class_names or [f"class {i}" for i in range(net.model.output_shape[-1])]
    upright = is_upright(net.training.get("dataset"))
    return of_network(net.model, net.preprocessing, labels, upright)


def _read(path: Path, max_pixels: int, turn: bool) -> bytes:
    # Uncompressed, an image takes at most four channels of two bytes.
    encoded = read_bytes(path, 8 * max_pixels)
    fault = fault_of(encoded, path, max_pixels)
    if fault is not None and fault.fatal:
        raise UserError(f"{path} cannot be used: {fault.fault}.")
    return upright(encoded, max_pixels) if turn else encoded
