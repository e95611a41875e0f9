"""One side of the benchmark `gpu`, in a process of its own, which gets its `Case` in JSON.

All data stays on the device.

Both frameworks multiply float32 in TF32, which is JAX's default and torch's for convolutions. In
bfloat16 weights stay in float32: Keras's policy mixed_bfloat16, torch's autocast.
"""

import json
from contextlib import nullcontext

import numpy as np

from keras_classics.environment import current_environment
from keras_classics.errors import require
from reproduce.benchmark import baselines
from reproduce.benchmark.sides import Steps, serve

# What training needs, the same on all sides.
RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-4


def batch_of(network: str, count: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns random images, labels and the number of classes for a network."""
    side, classes = (32, 10) if network == "resnet20" else (224, 1000)
    images = np.random.default_rng(0).normal(size=(count, side, side, 3)).astype("float32")
    return images, np.arange(count) % classes, classes


def keras_jax(network: str, work: str, precision: str, batch: int) -> Steps:
    """Returns the steps of this package's network: a compiled function, or `fit`."""
    jax = require("jax", "jax")
    import keras

    from keras_classics.models import get_model

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    # torchvision's ResNet-50 has the stride of v1.5.
    arguments = {"version": "v1.5"} if network == "resnet50" else {}
    model = get_model(network, classifier_activation=None, **arguments)
    images, labels, _ = batch_of(network, batch)
    images, labels = jax.device_put(images), jax.device_put(labels.astype("int32"))
    if work == "infer":
        state = [
            [v.value for v in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
        infer = jax.jit(lambda state, x: model.stateless_call(*state, x, training=False)[0])

        def run(steps: int) -> None:
            for _ in range(steps):
                scores = infer(state, images)
            jax.block_until_ready(scores)

        return run
    model.compile(
        optimizer=keras.optimizers.SGD(RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def same_batch():
        while True:
            yield images, labels

    return lambda steps: model.fit(same_batch(), steps_per_epoch=steps, shuffle=False, verbose=0)


def torch_side(network: str, work: str, precision: str, batch: int, compiled: bool) -> Steps:
    """Returns the steps of torchvision's network, or of a ResNet-20 in torch, in channels_last."""
    torch = require("torch", "torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    images, labels, _ = batch_of(network, batch)
    model = baselines.torch_network(network)
    model = model.to(device, memory_format=torch.channels_last).train(work == "train")
    network_call = torch.compile(model) if compiled else model
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(labels).to(device)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    loss = torch.nn.CrossEntropyLoss()

    def scores():
        half = precision == "bfloat16"
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            return network_call(x)

    def infer() -> None:
        with torch.inference_mode():
            scores()

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(scores().float(), y).backward()
        optimizer.step()

    step = infer if work == "infer" else train

    def run(steps: int) -> None:
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def main(case: str) -> None:
    """Compiles, describes the process, and runs the steps that it is told to."""
    arguments = json.loads(case)
    side = arguments.pop("side")
    if side == "keras_jax":
        run = keras_jax(**arguments)
    else:
        run = torch_side(**arguments, compiled=side == "torch_compile")
    run(2)
    environment = current_environment()
    versions = environment["versions"]
    description = {name: environment[name] for name in ("device", "commit", "python")}
    serve(run, description | {name: versions[name] for name in ("keras", "jax", "torch")})
