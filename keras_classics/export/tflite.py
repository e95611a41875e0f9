"""TFLite: one file for LiteRT, with built-in operations only.

Input: images as the network takes them, shape (1, height, width, channels). Output: their
probabilities, shape (1, classes). Both are float32, or int8 with `io="int8"`: a real number is then
(integer - zero point) times scale, as the file says of its input and output.

    quantize   weights    computes in
    none       float32    float32
    float16    float16    float32
    dynamic    int8       int8 where it multiplies matrices, float32 elsewhere
    int8       int8       int8, but for the operations that TFLite has in float32 alone
    int16x8    int8       int16, the same

Behind the network the file is a zip archive too, as TFLite's tools expect what belongs to a
network: `labels.txt`, a class a line, and `preprocessing.json`, the layer and its arguments. Any
unzip opens it.
"""

import contextlib
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.errors import UserError, require, unknown_name
from keras_classics.export.saved_model import write_out
from keras_classics.export.source import Source, check_uint8, prepared
from keras_classics.export.verify import BOUNDS, Check, Run, check, processors, written

QUANTIZATIONS = tuple(BOUNDS)
# What takes the ranges of its values from images.
CALIBRATED = ("int8", "int16x8")
IO = ("float32", "int8")
# As many images are enough for ranges to settle.
CALIBRATION_IMAGES = 200
CALIBRATION_SEED = 0
# Names of the files behind the network.
ATTACHED = ("labels.txt", "preprocessing.json")


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    quantize: str = "none",
    calibration: np.ndarray | None = None,
    io: str = "float32",
    batch: int | None = 1,
    images: np.ndarray | None = None,
    image_labels: np.ndarray | None = None,
    overwrite: bool = False,
) -> Check:
    """Writes a `.tflite` file, runs it in LiteRT and compares it with the model.

    Args:
        model: A network with its top.
        path: File to write.
        preprocessing: The layer that the network was trained with.
        labels: Name of each class.
        quantize: `"none"`, `"float16"`, `"dynamic"`, `"int8"` or `"int16x8"`.
        calibration: For the last two: uint8 images like those that the network will see, but not
            those that it is compared on, shape (count, height, width, channels). At most
            `CALIBRATION_IMAGES` are taken, drawn with a fixed seed.
        io: What the file takes and gives: `"float32"`, or for `quantize="int8"` also `"int8"`.
        batch: Images at a time: 1, or None for any number.
        images: uint8 images to compare on, shape (count, height, width, channels); generated ones
            if None.
        image_labels: Class of each image, if known, shape (count,).
        overwrite: Whether to replace what is there.

    Returns:
        How well the two agree, how long it takes, and the operations of the file.

    Raises:
        UserError: The file is there, the arguments do not fit the model or each other, the runtime
            is not installed, or TFLite lacks an operation that the network needs.
        VerificationError: The two disagree; nothing is left.
    """
    check_arguments(quantize, calibration, io, batch)
    with written(path, overwrite) as aside:
        source = Source(model, preprocessing, labels, images, image_labels)
        return write(source, aside, quantize, calibration, io, batch)


def check_arguments(
    quantize: str, calibration: np.ndarray | None, io: str = "float32", batch: int | None = 1
) -> None:
    """Raises a `UserError` where the arguments of `tflite` do not fit each other."""
    require("ai_edge_litert.interpreter", "export")
    if quantize not in QUANTIZATIONS:
        raise unknown_name("quantization", quantize, QUANTIZATIONS)
    if io not in IO or (io == "int8" and quantize != "int8"):
        raise UserError(
            "io must be 'float32', or for quantize='int8' also 'int8'. "
            f"Received: io={io!r} for quantize={quantize!r}."
        )
    if batch not in (1, None):
        raise UserError(f"batch must be 1, or None for any number. Received: {batch}.")
    if quantize in CALIBRATED:
        if calibration is None:
            raise UserError(
                f"quantize={quantize!r} takes the ranges of its values from images. Received: "
                "calibration=None. Give some of the training images, uint8."
            )
        check_uint8("calibration", np.asarray(calibration))


def write(
    source: Source,
    path: Path,
    quantize: str = "none",
    calibration: np.ndarray | None = None,
    io: str = "float32",
    batch: int | None = 1,
) -> Check:
    """Writes a `.tflite` file of a network, and checks it.

    Raises:
        UserError: TFLite lacks an operation that the network needs.
        VerificationError: It disagrees with the model.
    """
    inputs = None
    if quantize in CALIBRATED:
        chosen = _drawn(np.asarray(calibration))
        inputs = prepared(chosen, source.preprocessing, source.model)
    operations, float_operations = build(source, path, quantize, inputs, io, batch)
    threads = processors()
    run = runtime(path, threads)
    # Some operations are converted to a type that the runtime does not have them in.
    try:
        run(source.inputs[:1])
    except RuntimeError as error:
        raise _lacking(source, quantize, error) from error
    return check(
        source,
        run,
        quantize=quantize,
        threads=threads,
        format="tflite",
        io=io,
        batch=batch,
        operations=operations,
        float_operations=float_operations,
        calibration_images=0 if inputs is None else len(inputs),
    )


def build(
    source: Source,
    path: Path,
    quantize: str = "none",
    calibration: np.ndarray | None = None,
    io: str = "float32",
    batch: int | None = 1,
) -> tuple[dict[str, int], list[str]]:
    """Writes a `.tflite` file of a network. Calibration is on images as the network takes them.

    Returns:
        The operations of the file. See `operations_of`.

    Raises:
        UserError: TFLite lacks an operation that the network needs.
    """
    # Where the next writer finds what a crash left, and not in the system's folder for such.
    with _scratch(path.with_name(f"{path.name}.parts")) as folder:
        content = _convert(source, folder, quantize, calibration, io, batch)
    operations = operations_of(content)
    path.write_bytes(content)
    _append(path, source)
    return operations


def runtime(path: str | os.PathLike, threads: int | None = None) -> Run:
    """Loads a written network into LiteRT.

    Args:
        path: A file that `tflite` wrote.
        threads: Threads that it may take; by default as many as there are processors.

    Returns:
        A function from any number of images, as the network takes them, to their probabilities.
        Both are float32, also where those of the file are int8.

    Raises:
        UserError: The file is not whole, not one of `tflite`'s, or the runtime is not installed.
    """
    library = require("ai_edge_litert.interpreter", "export")
    # LiteRT does not look whether a file is whole, and may end the process over one that is not.
    read_metadata(path)
    interpreter = library.Interpreter(os.fspath(path), num_threads=threads or processors())
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run_some(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], _to_stored(images, source))
        interpreter.invoke()
        return _to_float(interpreter.get_tensor(target["index"]), target)

    def run(images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        if source["shape_signature"][0] == 1:
            return np.concatenate([run_some(image[np.newaxis]) for image in images])
        if interpreter.get_input_details()[0]["shape"][0] != len(images):
            interpreter.resize_tensor_input(source["index"], images.shape)
            interpreter.allocate_tensors()
        return run_some(images)

    return run


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Reads what a written file says of its network.

    Args:
        path: A file that `tflite` wrote.

    Returns:
        `labels`, a list with the name of each class, and `preprocessing`, the layer's class and
        arguments.

    Raises:
        UserError: The file is not whole, or not one of `tflite`'s.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            labels, preprocessing = (archive.read(name).decode() for name in ATTACHED)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{os.fspath(path)} must be a whole file that export.tflite wrote "
            f"({' '.join(str(error).split())}). Export it again."
        ) from error
    return {"labels": labels.splitlines(), "preprocessing": json.loads(preprocessing)}


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    files.remove(folder)
    try:
        yield folder
    finally:
        files.remove(folder)


def _convert(
    source: Source,
    folder: Path,
    quantize: str,
    calibration: np.ndarray | None,
    io: str,
    batch: int | None,
) -> bytes:
    network = source.network
    signature = tf.TensorSpec((batch, *source.inputs.shape[1:]), tf.float32, "images")
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default", lambda x: {"probabilities": network(x, training=False)}, [signature]
    )
    # The converter finds a Keras 3 model's variables only in a SavedModel.
    write_out(archive, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    _quantize(converter, quantize, calibration, io)
    try:
        return converter.convert()
    except Exception as error:  # The converter's errors have no public class.
        raise _lacking(source, quantize, error) from error


def _quantize(
    converter: tf.lite.TFLiteConverter, quantize: str, calibration: np.ndarray | None, io: str
) -> None:
    kinds = tf.lite.OpsSet
    # In float32 as well: that is where an operation stays which has no integer form.
    operations = [kinds.TFLITE_BUILTINS]
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        operations.append(kinds.TFLITE_BUILTINS_INT8)
    if quantize == "int16x8":
        operations.append(kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8)
    if calibration is not None:
        converter.representative_dataset = lambda: ([x[np.newaxis]] for x in calibration)
    converter.target_spec.supported_ops = operations
    converter.inference_input_type = converter.inference_output_type = tf.as_dtype(io)


def _lacking(source: Source, quantize: str, error: Exception) -> UserError:
    said = " ".join(str(error).split())[:300].rstrip(".")
    others = ", ".join(name for name in QUANTIZATIONS if name != quantize)
    return UserError(
        f"TFLite lacks an operation of {source.model.name} for quantize={quantize!r}, built in. "
        f"Received from it: {said}. Take another of {others}."
    )


def _drawn(images: np.ndarray) -> np.ndarray:
    """Some images, all of them where they are few."""
    generator = np.random.default_rng(CALIBRATION_SEED)
    number = min(CALIBRATION_IMAGES, len(images))
    return images[np.sort(generator.choice(len(images), number, replace=False))]


def operations_of(content: bytes) -> tuple[dict[str, int], list[str]]:
    """Reads what a TFLite file computes with.

    Args:
        content: The file's bytes.

    Returns:
        How often each operation is in it, by name, and the names of those whose results are
        float32, other than DEQUANTIZE, which only leads to them.

    Raises:
        UserError: One of them is not built into the runtime.
    """
    schema = require("ai_edge_litert.schema_py_generated", "export")
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(content, 0)
    counts, in_float = Counter(), set()
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            # Numbers above 127 do not fit the field that came first.
            name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if name == "CUSTOM":
                raise UserError(
                    "A TFLite file must hold operations alone that are built into the runtime. "
                    f"Received: {code.CustomCode().decode()}."
                )
            counts[name] += 1
            kinds = {graph.Tensors(i).Type() for i in operator.OutputsAsNumpy()}
            if schema.TensorType.FLOAT32 in kinds and name != "DEQUANTIZE":
                in_float.add(name)
    return dict(sorted(counts.items())), sorted(in_float)


def _append(path: Path, source: Source) -> None:
    texts = ("".join(f"{label}\n" for label in source.labels), json.dumps(source.preprocessed))
    # Readers find the network at the front of a file, and an archive at its end.
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in zip(ATTACHED, texts, strict=True):
            # Without the hour, so that the same network makes the same file.
            archive.writestr(zipfile.ZipInfo(name), text)


def _to_stored(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Values as a tensor of the file holds them."""
    scale, zero_point = tensor["quantization"]
    if tensor["dtype"] == np.float32:
        return values
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(
        tensor["dtype"]
    )


def _to_float(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    scale, zero_point = tensor["quantization"]
    if tensor["dtype"] == np.float32:
        return values
    return (values.astype("float32") - zero_point) * np.float32(scale)
