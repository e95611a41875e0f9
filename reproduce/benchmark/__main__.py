"""Throughput of this package beside others: each figure is a ratio that one run measures.

    python -m reproduce.benchmark --what=train

`loop`: images per second that the compiled loop trains, against `model.fit` with its defaults, on
LeNet-5, batches of 32, the same images.
`train`, `infer`, `latency`: training steps, predictions for batches, and the answer for one image
of --networks in --precisions, against each of --peers that is installed: keras.applications, torch
(eager in channels_last, and a frozen trace), and the exports in their runtimes. The product of two
matrices by the fastest library, in the same turns, is the limit. Rows go to --out.
`replicas`: training steps of ResNet-20, batches of 128, on two logical CPUs, with and without
synchronized batch normalisation, against one device.
`optimizer`: one update of AlexNet's weights with momentum and coupled decay, against Keras's SGD.
`input`: images of 500x375 that are decoded, cropped, flipped and normalised to 224x224, against
decoding alone, and from 20,000 files against 2,000.
`forms`: the same for a list, a zip and a tar archive, Parquet tables and the records of TensorFlow
Datasets, against a folder.
`eval`: views per second of ResNet-50, ten per image against one; multiply-adds per second of
VGG-16 applied densely to images with a short side of 384, against single views of 224x224.
`export`: predictions for one image by ResNet-50's SavedModel, against the export of
`keras.applications`; by ResNet-50 and VGG-16 in TFLite, int8 against float32, and float32 against
ONNX Runtime, each in a process of its own. Each runtime may use all processors: `taskset -c 0,1`
leaves two.
`export_cost`: seconds and memory of exporting VGG-16 to SavedModel and TFLite, without
verification, against Keras's export and TensorFlow's converter alone.
`checkpoint`: steps of ResNet-50 with a checkpoint every minute, against none.
`towers`: training steps of AlexNet, batches of 32, against the same with Keras's `groups=2`.
`build`: building ResNet-152, against `keras.applications`.
`explain`: Grad-CAM, and the gradient by the image, of ResNet-50 at 224x224, batches of 8, against a
forward and backward pass.
`gpu`: predictions and training steps of ResNet-50, VGG-16, AlexNet (one weird trick) and ResNet-20
in float32 and bfloat16, by Keras on JAX, by torch, and by torch compiled, each in a process of its
own. Needs jax or torch, and no TensorFlow; writes a row for each to --out. A side whose package is
missing is left out.

Both implementations run alternately, so that a machine whose speed drifts treats them alike. The
median of the turns counts.
"""

import importlib

from absl import flags

from keras_classics.cli._program import run
from keras_classics.environment import enable_onednn
from keras_classics.errors import unknown_name

# It defines flags.
from reproduce.benchmark import turns  # noqa: F401

WHAT = flags.DEFINE_string("what", "loop", "What to measure, see above.")

# The module of each benchmark. It is imported when it is asked for: `gpu` runs without TensorFlow.
BENCHMARKS = {
    "loop": "training",
    "train": "peers",
    "infer": "peers",
    "latency": "peers",
    "replicas": "training",
    "optimizer": "training",
    "input": "images",
    "forms": "forms",
    "eval": "images",
    "export": "exports",
    "export_cost": "exports",
    "checkpoint": "training",
    "towers": "training",
    "build": "training",
    "explain": "explanations",
    "gpu": "gpu",
}

# Those that take one image at a time, for which TensorFlow chooses the kernels.
ONE_IMAGE = ("latency", "export", "eval")


def main() -> None:
    """Runs the benchmark that --what names."""
    if WHAT.value not in BENCHMARKS:
        raise unknown_name("benchmark", WHAT.value, BENCHMARKS)
    if WHAT.value not in ONE_IMAGE:
        enable_onednn()
    module = importlib.import_module(f"reproduce.benchmark.{BENCHMARKS[WHAT.value]}")
    getattr(module, f"benchmark_{WHAT.value}")()


if __name__ == "__main__":
    run(main)
