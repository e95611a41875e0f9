"""Exports a trained network to SavedModel, TFLite and ONNX, each checked in its own runtime.

keras-classics export --model=runs/lenet5_digits --out=served --quantize=none,int8
keras-classics export --model=resnet50 --out=served --formats=saved_model,onnx

The model is the folder of a finished run, or a network with known weights. Exports are compared
with the network on images of the data set's test split; images of its training split calibrate
int8. If an export disagrees with the network, the exit status is 4 and nothing is written.
"""

from pathlib import Path

from absl import flags

from keras_classics import export
from keras_classics.cli._exif import with_exif
from keras_classics.cli._networks import Network, networks
from keras_classics.cli._paths import define_path
from keras_classics.data import image_size, load, pipeline
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing

OUT = define_path("out", None, "Folder to write.", required=True)
FORMATS = flags.DEFINE_list(
    "formats", ["saved_model", "tflite"], f"Formats to write: {', '.join(export.FORMATS)}."
)
QUANTIZE = flags.DEFINE_list(
    "quantize", ["none"], f"TFLite files to write: {', '.join(export.QUANTIZATIONS)}."
)
DATASET = flags.DEFINE_string(
    "dataset", None, "digits, folder:PATH, or a name of TensorFlow Datasets. The run's if unset."
)
DATA_DIR = define_path("data_dir", None, "Folder of TensorFlow Datasets; its default if unset.")
LIMIT_TEST = flags.DEFINE_integer(
    "limit_test", export.COMPARED_IMAGES, "Compare on at most this many images.", lower_bound=1
)
MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    image_size.MAX_PIXELS,
    "Most pixels of an image file that the export decodes; larger ones are refused.",
    lower_bound=1,
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing export.")


def main() -> None:
    """Exports, and prints accuracy and latency of each format."""
    out = Path(OUT.value)
    export.check_export_folder(out, OVERWRITE.value)
    net, *others = networks()
    if others:
        raise UserError(f"export takes one --model. Received: {1 + len(others)}.")
    content = export.export_model(
        net.model,
        out,
        preprocessing=net.preprocessing,
        formats=FORMATS.value,
        quantize=QUANTIZE.value,
        origin={
            "weights": net.weights,
            "arguments": net.arguments,
            **net.training,
            **_dataset(net),
        },
        max_pixels=MAX_PIXELS.value,
        overwrite=OVERWRITE.value,
        **_images(net),
    )
    print(_report(content))
    print(f"files   {out}/")


def _dataset(net: Network) -> dict:
    name = DATASET.value or net.training.get("dataset")
    return {} if name is None else {"dataset": with_exif(name)}


def _images(net: Network) -> dict:
    """Class names, and images for comparison and calibration if there is a data set."""
    dataset = _dataset(net).get("dataset")
    if dataset is None:
        if net.class_names is None:
            raise UserError(
                "A file of weights has no class names. Name the data set with --dataset."
            )
        return {"labels": net.class_names}
    resize = net.preprocessing.resize
    encoded = isinstance(net.preprocessing, ImagePreprocessing) and dataset != "digits"
    data = load(dataset, DATA_DIR.value, resize, encoded)
    data = data.limited(export.CALIBRATION_IMAGES, LIMIT_TEST.value)
    images, labels = pipeline.resized(data.test, resize)
    return {
        "labels": data.class_names,
        "images": images,
        "image_labels": labels,
        "calibration": pipeline.resized(data.train, resize)[0],
    }


def _report(content: dict) -> str:
    """A line for each export: size, latency, and agreement with the network."""
    lines = [f"{'':<24}{'MB':>9}{'ms, p50':>10}{'p95':>9}{'same':>9}{'accuracy':>11}{'before':>9}"]
    for name, details in content["exports"].items():
        size = sum(file["bytes"] for file in details["files"].values()) / 1e6
        agreement, latency = details["agreement"], details["latency"]
        accuracies = [
            "-" if agreement[key] is None else f"{100 * agreement[key]:.2f} %"
            for key in ("accuracy", "model_accuracy")
        ]
        lines.append(
            f"{name:<24}{size:>9.2f}{latency['p50_ms']:>10.2f}{latency['p95_ms']:>9.2f}"
            f"{100 * agreement['same_prediction']:>7.2f} %{accuracies[0]:>11}{accuracies[1]:>9}"
        )
    return "\n".join(lines)
