"""Throughput of this package beside others: each figure is a ratio that one run measures.

    python -m reproduce.benchmark --what=train

`loop`: images per second that the compiled loop trains, against `model.fit` with its defaults, on
LeNet-5, batches of 32, the same images.
`train`: training steps of ResNet-20, batches of 128, against the same network in torch
(channels_last), and of ResNet-50 at 224x224, batches of 16, against `keras.applications`.
`precision`: training steps of ResNet-50 and VGG-16 at 224x224, batches of 16, in mixed_bfloat16
against float32.
`replicas`: training steps of ResNet-20, batches of 128, on two logical CPUs, with and without
synchronized batch normalisation, against one device.
`optimizer`: one update of AlexNet's weights with momentum and coupled decay, against Keras's SGD.
`input`: images of 500x375 that are decoded, cropped, flipped and normalised to 224x224, against
decoding alone, and from 20,000 files against 2,000.
`eval`: views per second of ResNet-50, ten per image against one; multiply-adds per second of
VGG-16 applied densely to images with a short side of 384, against single views of 224x224.
`export`: predictions for one image by ResNet-50's SavedModel, against the export of
`keras.applications`; by ResNet-50 and VGG-16 in TFLite, int8 against float32, and float32 against
ONNX Runtime. Each runtime may use all processors: `taskset -c 0,1` leaves two.
`export_cost`: seconds and memory of exporting VGG-16 to SavedModel and TFLite, without
verification, against Keras's export and TensorFlow's converter alone.
`checkpoint`: steps of ResNet-50 with a checkpoint every minute, against none.
`towers`: training steps of AlexNet, batches of 32, against the same with Keras's `groups=2`.
`build`: building ResNet-152, against `keras.applications`.

Both implementations run alternately, so that a machine whose speed drifts treats them alike. The
median of the turns counts.
"""

from absl import flags

from keras_classics.cli._program import run
from keras_classics.errors import unknown_name
from reproduce.benchmark import exports, images, training

WHAT = flags.DEFINE_string("what", "loop", "What to measure, see above.")

BENCHMARKS = {
    "loop": training.benchmark_loop,
    "train": training.benchmark_train,
    "precision": training.benchmark_precision,
    "replicas": training.benchmark_replicas,
    "optimizer": training.benchmark_optimizer,
    "input": images.benchmark_input,
    "eval": images.benchmark_eval,
    "export": exports.benchmark_export,
    "export_cost": exports.benchmark_export_cost,
    "checkpoint": training.benchmark_checkpoint,
    "towers": training.benchmark_towers,
    "build": training.benchmark_build,
}


def main() -> None:
    """Runs the benchmark that --what names."""
    if WHAT.value not in BENCHMARKS:
        raise unknown_name("benchmark", WHAT.value, BENCHMARKS)
    BENCHMARKS[WHAT.value]()


if __name__ == "__main__":
    run(main)
