"""TFLite export for LiteRT, with built-in operations only.

Input: preprocessed images, shape (1, height, width, channels). Output: probabilities, shape
(1, classes). Both are float32, or int8 with `io="int8"`. A real value is then
(integer - zero point) * scale, with the parameters that the file stores for its input and output.

    quantize   weights    activations
    none       float32    float32
    float16    float16    float32
    dynamic    int8       int8 in matrix products, float32 elsewhere
    int8       int8       int8, except in operations that TFLite has only in float32
    int16x8    int8       int16, with the same exceptions

The file is also a zip archive with the network's metadata, as TFLite's tools expect: `labels.txt`,
one class per line, and `metadata.json` with `input`, `output` and `preprocessing` as in
`manifest.json`. Any unzip program opens it.
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
from keras_classics.errors import UserError, require, short_reason, unknown_name
from keras_classics.export.calibration import (
    CALIBRATED,
    calibration_sample,
    check_calibration,
)
from keras_classics.export.interface import Block
from keras_classics.export.saved_model import write_out
from keras_classics.export.source import Source
from keras_classics.export.verify import BOUNDS, Check, Run, check, output, processors

QUANTIZATIONS = tuple(BOUNDS)
IO = ("float32", "int8")
# Names of the metadata files in the archive.
ATTACHED = ("labels.txt", "metadata.json")
# Names of input and output in the file's signature.
ENDS = {"input": "images", "output": "probabilities"}


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
    """Writes a `.tflite` file, runs it in LiteRT, and compares it with the model.

    Args:
        model: A network with its top.
        path: File to write.
        preprocessing: The preprocessing layer that the network was trained with.
        labels: Name of each class.
        quantize: `"none"`, `"float16"`, `"dynamic"`, `"int8"` or `"int16x8"`.
        calibration: For `"int8"` and `"int16x8"`: uint8 images of the kind that the network will
            see, but other than `images`, shape (count, height, width, channels). At most
            `CALIBRATION_IMAGES` are used, sampled with a fixed seed.
        io: Type of input and output: `"float32"`, or for `quantize="int8"` also `"int8"`.
        batch: Batch size: 1, or None for any size.
        images: uint8 images to compare on, shape (count, height, width, channels); generated images
            if None.
        image_labels: Class of each image, if known, shape (count,).
        overwrite: Whether to replace an existing file.

    Returns:
        The agreement with the model, the latency, and the operations in the file.

    Raises:
        UserError: If the file exists, the arguments do not match the model or each other, the
            runtime is not installed, or TFLite lacks an operation of the network.
        VerificationError: If the export disagrees with the model; nothing is then written.
    """
    check_arguments(quantize, calibration, io, batch)
    with output(path, overwrite) as aside:
        source = Source(model, preprocessing, labels, images, image_labels)
        return write(source, aside, quantize, calibration, io, batch)


def check_arguments(
    quantize: str, calibration: np.ndarray | None, io: str = "float32", batch: int | None = 1
) -> None:
    """Raises a `UserError` if arguments of `tflite` are wrong or do not match each other."""
    require("ai_edge_litert.interpreter", "export")
    if quantize not in QUANTIZATIONS:
        raise unknown_name("quantization", quantize, QUANTIZATIONS)
    if io not in IO or (io == "int8" and quantize != "int8"):
        raise UserError(
            "io must be 'float32', or for quantize='int8' also 'int8'. "
            f"Received: io={io!r} for quantize={quantize!r}."
        )
    if batch not in (1, None):
        raise UserError(f"batch must be 1, or None for any size. Received: {batch}.")
    check_calibration(quantize, calibration)


def write(
    source: Source,
    path: Path,
    quantize: str = "none",
    calibration: np.ndarray | None = None,
    io: str = "float32",
    batch: int | None = 1,
    saved: Path | None = None,
) -> Check:
    """Writes a `.tflite` file of a network, and verifies it. For the arguments see `build`.

    Raises:
        UserError: If TFLite lacks an operation of the network.
        VerificationError: If the export disagrees with the model.
    """
    inputs = None
    if quantize in CALIBRATED:
        inputs = source.prepare(calibration_sample(calibration))
    details = build(source, path, quantize, inputs, io, batch, saved)
    threads = processors()
    run = runtime(path, threads)
    # The converter may choose a type for which the runtime does not implement an operation.
    try:
        run(source.inputs[:1])
    except RuntimeError as error:
        raise _unsupported(source, quantize, error) from error
    return check(
        source,
        run,
        quantize=quantize,
        threads=threads,
        format="tflite",
        io=io,
        batch=batch,
        **details,
        calibration_images=0 if inputs is None else len(inputs),
    )


def build(
    source: Source,
    path: Path,
    quantize: str = "none",
    calibration: np.ndarray | None = None,
    io: str = "float32",
    batch: int | None = 1,
    saved: Path | None = None,
) -> dict[str, Any]:
    """Writes a `.tflite` file of a network.

    Args:
        source: The network.
        path: File to write.
        quantize: See `tflite`.
        calibration: Calibration images as the source prepares them.
        io: See `tflite`.
        batch: See `tflite`.
        saved: What `saved_network` wrote of the network, if several files are written of it.

    Returns:
        What is in the file: `operations` and `float_operations`, see `operations_of`, and `input`
        and `output`, as a manifest states them.

    Raises:
        UserError: If TFLite lacks an operation of the network.
    """
    whole = contextlib.nullcontext(saved) if saved else saved_network(source, path, batch)
    with whole as saved:
        content = _convert(source, saved, quantize, calibration, io)
    operations, float_operations = operations_of(content)
    ends = _ends(content)
    blocks = {"input": source.input | ends["input"], "output": source.output | ends["output"]}
    path.write_bytes(content)
    _append(path, source, blocks)
    return {"operations": operations, "float_operations": float_operations, **blocks}


def runtime(path: str | os.PathLike, threads: int | None = None) -> Run:
    """Loads a `.tflite` file into LiteRT.

    Args:
        path: A file that `tflite` wrote.
        threads: Number of threads that it may use; by default the number of processors.

    Returns:
        A function from any number of preprocessed images to their probabilities. Both are float32,
        even if input and output of the file are int8.

    Raises:
        UserError: If the file is damaged or was not written by `tflite`, or the runtime is not
            installed.
    """
    library = require("ai_edge_litert.interpreter", "export")
    # LiteRT does not check whether a file is complete, and may crash the process if it is not.
    read_metadata(path)
    interpreter = library.Interpreter(os.fspath(path), num_threads=threads or processors())
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run_batch(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], _to_stored(images, source))
        interpreter.invoke()
        return _to_float(interpreter.get_tensor(target["index"]), target)

    def run(images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        if source["shape_signature"][0] == 1:
            return np.concatenate([run_batch(image[np.newaxis]) for image in images])
        if interpreter.get_input_details()[0]["shape"][0] != len(images):
            interpreter.resize_tensor_input(source["index"], images.shape)
            interpreter.allocate_tensors()
        return run_batch(images)

    return run


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the metadata in a file.

    Args:
        path: A file that `tflite` wrote.

    Returns:
        `labels`, a list with the name of each class; `input` and `output` as in `manifest.json`;
        and `preprocessing`, the layer's class and arguments.

    Raises:
        UserError: If the file is damaged, or was not written by `tflite`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            labels, metadata = (archive.read(name).decode() for name in ATTACHED)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{os.fspath(path)} must be an intact file that export.tflite wrote. "
            f"Received: {' '.join(str(error).split())}. Export it again."
        ) from error
    return {"labels": labels.splitlines(), **json.loads(metadata)}


@contextlib.contextmanager
def saved_network(source: Source, path: Path, batch: int | None = 1) -> Iterator[Path]:
    """Writes a network as the converter takes it, and removes it at the end.

    Args:
        source: The network.
        path: The file to write, or one of them. The network stands beside it and not in the
            system's temporary folder, so that after a crash the next writer removes it.
        batch: See `tflite`.
    """
    network, folder = source.network, path.with_name(f"{path.name}.parts")
    shape = (batch, *source.inputs.shape[1:])
    signature = tf.TensorSpec(shape, source.inputs.dtype, ENDS["input"])
    # For a Keras 3 model, the converter finds variables only in a SavedModel.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default", lambda x: {ENDS["output"]: network(x, training=False)}, [signature]
    )
    files.remove(folder)
    try:
        write_out(archive, folder)
        yield folder
    finally:
        files.remove(folder)


def _convert(
    source: Source,
    saved: Path,
    quantize: str,
    calibration: np.ndarray | None,
    io: str,
) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    _quantize(converter, quantize, calibration)
    if source.inputs.dtype == np.float32:
        converter.inference_input_type = tf.as_dtype(io)
    converter.inference_output_type = tf.as_dtype(io)
    try:
        return converter.convert()
    except Exception as error:  # The converter's exceptions have no public class.
        raise _unsupported(source, quantize, error) from error


def _quantize(
    converter: tf.lite.TFLiteConverter, quantize: str, calibration: np.ndarray | None
) -> None:
    kinds = tf.lite.OpsSet
    # Includes float32, for operations without an integer implementation.
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


def _unsupported(source: Source, quantize: str, error: Exception) -> UserError:
    reason = short_reason(error, 300)
    others = ", ".join(name for name in QUANTIZATIONS if name != quantize)
    return UserError(
        f"TFLite has no built-in operation for a layer of {source.model.name} with "
        f"quantize={quantize!r}. Received: {reason}. Use one of {others}."
    )


def operations_of(content: bytes) -> tuple[dict[str, int], list[str]]:
    """Returns the operations in a TFLite file.

    Args:
        content: The file's bytes.

    Returns:
        The count of each operation, by name, and the names of operations with float32 outputs,
        except DEQUANTIZE, which only converts to float32.

    Raises:
        UserError: If an operation is not built into the runtime.
    """
    schema = require("ai_edge_litert.schema_py_generated", "export")
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(content, 0)
    counts: Counter[str] = Counter()
    in_float: set[str] = set()
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            # Codes above 127 do not fit into the older, deprecated field.
            name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if name == "CUSTOM":
                raise UserError(
                    "A TFLite file must contain only operations that are built into the runtime. "
                    f"Received: {code.CustomCode().decode()}."
                )
            counts[name] += 1
            kinds = {graph.Tensors(i).Type() for i in operator.OutputsAsNumpy()}
            if schema.TensorType.FLOAT32 in kinds and name != "DEQUANTIZE":
                in_float.add(name)
    return dict(sorted(counts.items())), sorted(in_float)


def _ends(content: bytes) -> dict[str, Block]:
    """Returns name, type and shape of a file's input and output, and how integers stand for values.

    The value of an integer is (integer - zero point) * scale.
    """
    schema = require("ai_edge_litert.schema_py_generated", "export")
    types = {number: name.lower() for name, number in vars(schema.TensorType).items()}
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    blocks = {}
    for end, number in {"input": graph.Inputs(0), "output": graph.Outputs(0)}.items():
        tensor = graph.Tensors(number)
        # The signature contains -1 for a free axis; the shape has 1 there.
        shape = tensor.ShapeSignatureAsNumpy() if tensor.ShapeSignatureLength() else None
        shape = tensor.ShapeAsNumpy() if shape is None else shape
        blocks[end] = {
            "name": ENDS[end],
            "dtype": types[tensor.Type()],
            "shape": [None if side < 0 else int(side) for side in shape],
        }
        stored = tensor.Quantization()
        if stored is not None and stored.ScaleLength():
            scale, zero_point = float(stored.Scale(0)), int(stored.ZeroPoint(0))
            blocks[end]["quantization"] = {"scale": scale, "zero_point": zero_point}
    return blocks


def _append(path: Path, source: Source, blocks: dict[str, Block]) -> None:
    """Appends the metadata to a file."""
    texts = (
        "".join(f"{label}\n" for label in source.labels),
        json.dumps({**blocks, "preprocessing": source.preprocessing_config}),
    )
    # The network is read from the start of the file, a zip archive from its end.
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in zip(ATTACHED, texts, strict=True):
            # Without the current time, so that the same network gives the same file.
            archive.writestr(zipfile.ZipInfo(name), text)


def _to_stored(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Converts real values to the type of an input tensor."""
    scale, zero_point = tensor["quantization"]
    # float32, or pixels.
    if not scale:
        return values
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(
        tensor["dtype"]
    )


def _to_float(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Converts the values of an output tensor to real values."""
    scale, zero_point = tensor["quantization"]
    if not scale:
        return values
    return (values.astype("float32") - zero_point) * np.float32(scale)
