"""An exported network alone in a process, so that its time and memory are those of its runtime.

A program of its own, which `measuring` starts: python -P runtime_process.py RUNTIME PATH THREADS
IMAGES. It imports NumPy and the runtime, neither Keras nor this package. It writes a JSON object a
line: first what it took to start, then the times that each line of its input, BATCH SECONDS, asks
for. What a runtime prints goes to standard error.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# The module of each runtime, by its name.
MODULES = {
    "TensorFlow": "tensorflow",
    "LiteRT": "ai_edge_litert.interpreter",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
}

# Least number of timed calls of a turn.
CALLS = 3

Run = Callable[[np.ndarray], np.ndarray]


def main(runtime: str, path: str, threads: str, images_path: str) -> None:
    """Loads an export, and times it as often as it is asked to."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        print(json.dumps({**values, "peak_mb": _peak_mb()}), file=answers, flush=True)

    images = np.load(images_path)
    start = time.perf_counter()
    library = importlib.import_module(MODULES[runtime])
    imported = time.perf_counter()
    run = LOADERS[runtime](library, path, int(threads))
    loaded = time.perf_counter()
    first = run(images[:1])
    answered = time.perf_counter()
    outputs = np.concatenate([first, *(run(image[np.newaxis]) for image in images[1:])])
    answer(
        import_s=imported - start,
        load_s=loaded - imported,
        first_s=answered - loaded,
        outputs=outputs.tolist(),
    )
    for line in sys.stdin:
        batch, seconds = line.split()
        answer(seconds=_times(run, images, int(batch), float(seconds)))


def _times(run: Run, images: np.ndarray, batch: int, seconds: float) -> list[float]:
    """Runs batches for some time, and returns the seconds of each."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < CALLS or time.perf_counter() < end:
        first = len(times) * batch
        chosen = images.take(range(first, first + batch), axis=0, mode="wrap")
        start = time.perf_counter()
        run(chosen)
        times.append(time.perf_counter() - start)
    return times


def _tensorflow(tf: Any, path: str, threads: int) -> Run:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    outputs = serve.structured_outputs
    output = "probabilities" if "probabilities" in outputs else next(iter(outputs))
    # Without a reference to what was loaded, its variables would be gone.
    serve.of = loaded
    return lambda images: serve(**{name: tf.constant(images)})[output].numpy()


def _litert(library: Any, path: str, threads: int) -> Run:
    interpreter = library.Interpreter(path, num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        outputs = []
        # Files take one image at a time.
        for image in images:
            interpreter.set_tensor(source["index"], image[np.newaxis])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(target["index"]))
        return np.concatenate(outputs)

    return run


def _onnxruntime(library: Any, path: str, threads: int) -> Run:
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    session = library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def _openvino(library: Any, path: str, threads: int) -> Run:
    # By default it computes in bfloat16 where the processor can.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    network = library.Core().compile_model(path, "CPU", settings)
    output = network.output(0)
    return lambda images: network([images])[output]


LOADERS: dict[str, Callable[[Any, str, int], Run]] = {
    "TensorFlow": _tensorflow,
    "LiteRT": _litert,
    "ONNX Runtime": _onnxruntime,
    "OpenVINO": _openvino,
}


def _peak_mb() -> float | None:
    """The most memory that this process has held, if the system says it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return None


if __name__ == "__main__":
    main(*sys.argv[1:])
