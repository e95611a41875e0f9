"""Exports a trained network to SavedModel, TFLite and ONNX, each checked in its own runtime.

keras-classics export --model=runs/lenet5_digits --out=served --quantize=none,int8
keras-classics export --model=resnet50 --out=served --formats=saved_model,onnx

The model is the folder of a finished run, or a network with known weights. Exports are compared
with the network on images of the data set's test split; images of its training split calibrate
int8 and int16x8. ONNX files are checked in OpenVINO too, if it is installed. If an export disagrees
with the network, the exit status is 4 and nothing is written. manifest.json in the folder states
what each export takes and returns; README.md is a model card.
"""

from pathlib import Path

from absl import flags

from keras_classics import export
from keras_classics.cli._dataset_flags import define_data_dir, define_dataset
from keras_classics.cli._exif import with_exif
from keras_classics.cli._networks import MODEL, Network, one_network
from keras_classics.cli._paths import define_path
from keras_classics.data import image_size, load, pipeline
from keras_classics.data.packaged import is_packaged
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import list_models
from keras_classics.weights.hub import is_address

OUT = define_path("out", None, "Folder to write.", required=True)
FORMATS = flags.DEFINE_list(
    "formats", ["saved_model", "tflite"], f"Formats to write: {', '.join(export.FORMATS)}."
)
QUANTIZE = flags.DEFINE_list(
    "quantize",
    ["none"],
    f"TFLite and ONNX files to write: {', '.join(export.QUANTIZATIONS)}; ONNX has none and int8.",
)
INPUTS = flags.DEFINE_enum(
    "inputs",
    "float32",
    export.INPUTS,
    "What TFLite and ONNX files take: float32, normalised values, or uint8, pixels 0..255.",
)
DATASET = define_dataset("The run's if unset.")
DATA_DIR = define_data_dir()
LIMIT_TEST = flags.DEFINE_integer(
    "limit_test", export.COMPARED_IMAGES, "Compare on at most this many test images.", lower_bound=1
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
    _check_calibration()
    net = one_network("export")
    images, test_images = _images(net)
    content = export.export_model(
        net.model,
        out,
        preprocessing=net.preprocessing,
        formats=FORMATS.value,
        quantize=QUANTIZE.value,
        inputs=INPUTS.value,
        origin={
            "network": net.name,
            "weights": net.weights,
            "arguments": net.arguments,
            "trained_on": _trained_on(net),
            **net.training,
            **_dataset(net),
            "test_images": test_images,
        },
        max_pixels=MAX_PIXELS.value,
        overwrite=OVERWRITE.value,
        **images,
    )
    print(_report(content))
    print(f"files   {out}/")


def _check_calibration() -> None:
    """Checks before weights are downloaded that there will be images to calibrate on."""
    calibrated = set(export.CALIBRATED).intersection(QUANTIZE.value)
    names = set(MODEL.value).intersection(list_models())
    files = {"tflite", "onnx"}.intersection(FORMATS.value)
    if files and calibrated and names and DATASET.value is None:
        raise UserError(
            f"--quantize={min(calibrated)} needs images to calibrate on. Received: "
            f"--model={min(names)} without --dataset. Add --dataset=NAME with a data set of the "
            "network's classes: digits, folder:PATH, or a name of TensorFlow Datasets."
        )


def _dataset(net: Network) -> dict:
    name = DATASET.value or net.training.get("dataset")
    return {} if name is None else {"dataset": with_exif(name)}


def _trained_on(net: Network) -> str | None:
    """The data set that a network was trained on; known weights are named after theirs."""
    if "dataset" in net.training:
        return net.training["dataset"]
    if Path(net.weights).suffix or is_address(net.weights):
        return None
    return "imagenet" if net.weights.startswith("imagenet") else net.weights


def _images(net: Network) -> tuple[dict, int | None]:
    """Class names, and if there is a data set, images to compare and calibrate on.

    Returns:
        Arguments of `export_model`, and the number of images in the test split.
    """
    dataset = _dataset(net).get("dataset")
    if dataset is None:
        if net.class_names is None:
            raise UserError(
                "A file of weights has no class names. Name the data set with --dataset."
            )
        return {"labels": net.class_names}, None
    resize = net.preprocessing.resize
    encoded = isinstance(net.preprocessing, ImagePreprocessing) and not is_packaged(dataset)
    own = dataset == net.training.get("dataset")
    data = load(
        dataset,
        DATA_DIR.value,
        resize,
        encoded,
        net.training["validation_share"] if own else None,
        net.class_names if own else None,
    )
    test_images = len(data.test)
    data = data.limited(export.CALIBRATION_IMAGES, LIMIT_TEST.value)
    images, labels = pipeline.resized(data.test, resize)
    return {
        "labels": data.class_names,
        "images": images,
        "image_labels": labels,
        "calibration": pipeline.resized(data.train, resize)[0],
    }, test_images


def _report(content: dict) -> str:
    """A line for each export: size, latency, and agreement with the network."""
    lines = [
        f"{content['model']} and its exports, compared on {_compared_on(content)}:",
        f"{'':<27}{'MB':>9}{'ms, p50':>10}{'p95':>9}{'same':>9}{'accuracy':>11}{'before':>9}",
    ]
    for name, details in content["exports"].items():
        size = sum(file["bytes"] for file in details["files"].values()) / 1e6
        lines.append(_line(name, size, details))
        if details.get("openvino"):
            lines.append(_line(f"{name}, OpenVINO", size, details["openvino"]))
    if any(details.get("openvino", True) is None for details in content["exports"].values()):
        lines.append("not checked in OpenVINO, which is not installed: pip install openvino")
    lines.append("same      images for which the export and the network predict the same class")
    if content["compared_on"]["labelled"]:
        lines.append("accuracy  of the export on these images; before: of the network itself")
    return "\n".join(lines)


def _line(name: str, size: float, checked: dict) -> str:
    """A line of the table, of an export in one runtime."""
    agreement, latency = checked["agreement"], checked["latency"]
    accuracies = [
        "-" if agreement[key] is None else f"{100 * agreement[key]:.2f} %"
        for key in ("accuracy", "model_accuracy")
    ]
    return (
        f"{name:<27}{size:>9.2f}{latency['p50_ms']:>10.2f}{latency['p95_ms']:>9.2f}"
        f"{100 * agreement['same_prediction']:>7.2f} %{accuracies[0]:>11}{accuracies[1]:>9}"
    )


def _compared_on(content: dict) -> str:
    """The number and origin of the images, such as `256 of 10,000 test images of mnist`."""
    count = f"{content['compared_on']['images']:,}"
    if "dataset" not in content["origin"]:
        return f"{count} generated images (name others with --dataset)"
    everything = content["origin"]["test_images"]
    name = content["origin"]["dataset"]
    if content["compared_on"]["images"] == everything:
        return f"all {count} test images of {name}"
    return f"{count} of {everything:,} test images of {name} (more with --limit_test)"
