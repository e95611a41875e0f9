"""One side of the benchmarks `train`, `infer` and `latency`, in a process of its own.

It gets its `Case` in JSON. Images are random, the same in each step, and in memory. ResNet-50 is
v1.5 here as in torchvision. In bfloat16 weights stay in float32: Keras's policy mixed_bfloat16,
torch's autocast.
"""

import importlib.metadata
import json

import numpy as np

from keras_classics.errors import require
from reproduce.benchmark.gpu_sides import batch_of, torch_side
from reproduce.benchmark.peer_rows import APPLICATIONS
from reproduce.benchmark.sides import Steps, serve

# Rows and columns of the matrices whose product is the limit.
SIZE = 2048


def keras_classics(network: str, work: str, precision: str, batch: int, xla: bool = False) -> Steps:
    """Returns the steps of this package: of the training loop, or calls of a compiled function.

    Predictions are those of the network with its normalisations folded, as in exports.
    """
    import keras

    from keras_classics.export.fold import fold_batch_norm
    from keras_classics.models import get_model

    _set_precision(keras, precision)
    model = get_model(network, **network_arguments(network))
    if work == "train":
        from reproduce.benchmark.steps import step_of_the_loop

        return _repeated(step_of_the_loop(model, batch))
    return _calls(fold_batch_norm(model), network, batch, xla)


def keras_classics_xla(network: str, work: str, precision: str, batch: int) -> Steps:
    """Returns the same calls, compiled by XLA."""
    return keras_classics(network, work, precision, batch, xla=True)


def keras_applications(network: str, work: str, precision: str, batch: int) -> Steps:
    """Returns the same steps of keras.applications and Keras's optimiser."""
    import keras

    _set_precision(keras, precision)
    model = getattr(keras.applications, APPLICATIONS[network])(weights=None)
    if work == "train":
        from reproduce.benchmark.steps import step_with_keras

        return _repeated(step_with_keras(model, batch))
    return _calls(model, network, batch)


def torch_trace(network: str, work: str, precision: str, batch: int) -> Steps:
    """Returns calls of torch's network as a frozen trace."""
    torch = require("torch", "torch")
    from reproduce.benchmark import baselines

    images, _, _ = batch_of(network, batch)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    model = baselines.torch_network(network).to(memory_format=torch.channels_last).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, precision == "bfloat16"):
        traced = torch.jit.freeze(torch.jit.trace(model, x))

    def run(steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                traced(x)

    return run


def torch_eager(network: str, work: str, precision: str, batch: int) -> Steps:
    """Returns the steps of torch's network, eager in channels_last."""
    kind = "train" if work == "train" else "infer"
    return torch_side(network, kind, precision, batch, compiled=False)


def product_tensorflow(network: str, work: str, precision: str, batch: int) -> Steps:
    """Returns products of two matrices by TensorFlow."""
    tf = require("tensorflow", "tensorflow")
    values = tf.cast(tf.random.stateless_normal((SIZE, SIZE), (0, 0)), precision)
    product = tf.function(lambda a: tf.linalg.matmul(a, a))

    def run(steps: int) -> None:
        for _ in range(steps):
            last = product(values)
        last[0, 0].numpy()

    return run


def product_torch(network: str, work: str, precision: str, batch: int) -> Steps:
    """Returns products of two matrices by torch."""
    torch = require("torch", "torch")
    values = torch.randn(SIZE, SIZE).to(getattr(torch, precision))

    def run(steps: int) -> None:
        for _ in range(steps):
            values @ values

    return run


def network_arguments(network: str) -> dict[str, str]:
    """Returns the arguments with which a network is that of torchvision."""
    return {"version": "v1.5"} if network == "resnet50" else {}


def _set_precision(keras, precision: str) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")


def _repeated(step) -> Steps:
    def run(steps: int) -> None:
        for _ in range(steps):
            step()

    return run


def _calls(model, network: str, batch: int, xla: bool = False) -> Steps:
    """Returns calls of a compiled function, whose answers arrive in NumPy."""
    import tensorflow as tf

    images = tf.constant(batch_of(network, batch)[0])
    predict = tf.function(lambda images: model(images, training=False), jit_compile=xla)

    def run(steps: int) -> None:
        for _ in range(steps):
            np.asarray(predict(images))

    return run


# The module that each product of two matrices needs.
PRODUCTS = {"product_tensorflow": "tensorflow", "product_torch": "torch"}

SIDES = {
    "keras_classics": (keras_classics, "keras"),
    "keras_classics_xla": (keras_classics_xla, "keras"),
    "keras": (keras_applications, "keras"),
    "torch": (torch_eager, "torch"),
    "torch_trace": (torch_trace, "torch"),
    "product_tensorflow": (product_tensorflow, "tensorflow"),
    "product_torch": (product_torch, "torch"),
}


def main(case: str) -> None:
    """Compiles, says its version, and runs the steps that it is told to."""
    arguments = json.loads(case)
    make, package = SIDES[arguments.pop("side")]
    run = make(**arguments)
    run(2)
    serve(run, {"version": f"{package} {importlib.metadata.version(package)}"})
