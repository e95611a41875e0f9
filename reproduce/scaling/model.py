"""A model of the time of a training step on many GPUs: computing, and a sum over all GPUs.

The cost of a step is computed from the networks. The speeds of GPUs and links are published figures
with their sources. The model is the usual one; docs/scaling.md explains it.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_classics.analysis.profile import Profile, profile
from keras_classics.models import get_model

# GPUs in a machine.
MACHINE = 8
# Batch size of each GPU.
BATCH = 128
# A training step is the forward pass and a backward pass of twice its cost: the gradients of a
# layer's inputs, and of its weights. A multiply-add is two operations.
STEP_PASSES = 3
BACKWARD = 2 / STEP_PASSES
FLOP = 2

TUNING = "NVIDIA/nccl, src/graph/tuning.cc"
TOPOLOGY = "NVIDIA/nccl, src/graph/topo.h"
RESNET_README = "NVIDIA/DeepLearningExamples, PyTorch ResNet-50 v1.5, README"
TF_BENCHMARKS = "tensorflow.org/performance/benchmarks, May 2017"
HOROVOD = "horovod/horovod, docs/benchmarks"


@dataclass(frozen=True)
class Link:
    """A connection between GPUs, or between machines.

    Attributes:
        name: For the tables.
        bandwidth: Bytes per second that each member sends, while it receives as many.
        ring: Latency of a step around a ring, in seconds.
        tree: Latency of a level of a tree, in seconds.
        source: Source of the figures.
    """

    name: str
    bandwidth: float
    ring: float
    tree: float
    source: str


NVLINK = Link("NVLink of an A100", 235e9, 3.4e-6, 28e-6, TUNING)
NVLINK_V100 = Link("NVLink of a V100", 6 * 20e9, 3.4e-6, 28e-6, f"six links, {TOPOLOGY}")
NVLINK_P100 = Link("NVLink of a P100", 4 * 18e9, 3.4e-6, 28e-6, f"four links, {TOPOLOGY}")
PCI = Link("PCI Express 3", 12e9, 5.7e-6, 28e-6, TOPOLOGY)
ETHERNET = Link("100 Gb/s Ethernet, RDMA", 12e9, 9.6e-6, 50e-6, f"{TOPOLOGY}, tuning.cc")
SOCKETS = Link("100 Gb/s Ethernet, TCP sockets", 5e9, 9.6e-6, 50e-6, "4 to 6 in NVIDIA/nccl#450")
ETHERNET_25 = Link("25 Gb/s Ethernet, RDMA", 3e9, 9.6e-6, 50e-6, "a quarter of that of 100 Gb/s")

# Bandwidth of a tree as a fraction of a ring's: tuning.cc.
TREE_BANDWIDTH = 0.9


@dataclass(frozen=True)
class Gpu:
    """A GPU and its speed in training ResNet-50 v1.5.

    Attributes:
        name: For the tables.
        images: Images per second.
        source: Source of the figure.
        nvlink: Its link to the GPUs of the same machine.
    """

    name: str
    images: float
    source: str
    nvlink: Link = NVLINK

    def flops(self, network: str = "resnet50") -> float:
        """Returns its operations per second when it trains a network."""
        return self.images * cost("resnet50", version="v1.5").flop * relative_rate(network)


A100 = Gpu("A100, float32 as TF32", 938, RESNET_README)
A100_MIXED = Gpu("A100, mixed precision", 2470, RESNET_README)
V100 = Gpu("V100, float32", 367, RESNET_README, NVLINK_V100)


@dataclass(frozen=True)
class Cluster:
    """Machines with some GPUs each.

    Attributes:
        machines: Number of machines.
        gpus: Number of GPUs in each.
        inside: Link between the GPUs of a machine; unused if it has one.
        between: Link between the machines; unused if there is one.
    """

    machines: int = 1
    gpus: int = 1
    inside: Link = NVLINK
    between: Link = ETHERNET


@dataclass(frozen=True)
class Cost:
    """Cost of a training step of a network.

    Attributes:
        profile: Its layers.
        image: Height, width and channels of an image.
        bytes: Bytes that are summed over the replicas.
    """

    profile: Profile
    image: tuple[int, int, int]
    bytes: int

    @property
    def flop(self) -> int:
        """Operations of a training step for one image."""
        return FLOP * STEP_PASSES * self.profile.macs

    @property
    def dense(self) -> tuple[int, int]:
        """Parameters of the dense layers, and the number of their inputs for one image."""
        rows = [row for row in self.profile.rows if row.macs and len(row.output_shape) == 1]
        return sum(row.params for row in rows), sum(row.macs // row.output_shape[0] for row in rows)


# Images per second of one P100, batches of 64, for AlexNet of 512: TF_BENCHMARKS, synthetic data.
# Their AlexNet is that of one weird trick.
P100_IMAGES = {"resnet50": 219, "resnet152": 91.8, "vgg16": 154, "alexnet_owt": 2987}
LIKE = {"alexnet": "alexnet_owt"}


def relative_rate(network: str) -> float:
    """Returns operations per second on a P100 relative to ResNet-50; 1 if not published."""
    network = LIKE.get(network, network)
    if network not in P100_IMAGES:
        return 1.0
    return p100_flops(network) / p100_flops("resnet50")


def p100_flops(network: str) -> float:
    """Returns the operations per second of a P100 that trains a network."""
    return P100_IMAGES[network] * cost(network).flop


@functools.cache
def cost(network: str, **arguments: Any) -> Cost:
    """Returns the cost of a training step of a network, which is built for that."""
    model = get_model(network, **arguments)
    return Cost(profile(model), model.input_shape[1:], reduced_bytes(model))


def reduced_bytes(model: keras.Model) -> int:
    """Returns the bytes that a training step sums over the replicas, see `training.step`.

    They are the gradients of the trained variables, the statistics of the normalisations, and three
    numbers, in float32.
    """
    statistics = [v for v in model.non_trainable_variables if v.synchronization == "on_read"]
    return 4 * (_numbers(model.trainable_variables) + _numbers(statistics) + 3)


def _numbers(variables: Sequence[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def ring_seconds(size: float, members: int, link: Link) -> float:
    """Returns the time of an all-reduce around a ring.

    The bytes are split into n parts; 2 (n - 1) times each member sends one part to the next.
    """
    steps = 2 * (members - 1)
    return steps * (link.ring + size / members / link.bandwidth)


def tree_seconds(size: float, members: int, link: Link) -> float:
    """Returns the time of an all-reduce up and down two trees, with half of the bytes each."""
    levels = math.ceil(math.log2(members))
    sent = 2 * size if members > 1 else 0
    return 2 * levels * link.tree + sent / (TREE_BANDWIDTH * link.bandwidth)


def all_reduce_seconds(size: float, cluster: Cluster) -> float:
    """Returns the time of an all-reduce within machines and between them.

    The GPUs of a machine sum, each a part of the bytes; the machines sum these over one network
    card each; the GPUs of a machine exchange the parts. Ring or tree, whichever is faster.
    """
    return sum(
        min(ring_seconds(size, members, link), tree_seconds(size, members, link))
        for members, link in (
            (cluster.gpus, cluster.inside),
            (cluster.machines, cluster.between),
        )
    )


def efficiency(compute: float, reduce: float, overlap: bool = False) -> float:
    """Returns the fraction of the time that is spent computing.

    Args:
        compute: Seconds that a step computes.
        reduce: Seconds of its all-reduce.
        overlap: Whether the all-reduce runs during the backward pass, in the best case all of it.
    """
    waits = max(0.0, reduce - BACKWARD * compute) if overlap else reduce
    return compute / (compute + waits)


def batch_for(wanted: float, network: str, cluster: Cluster) -> int:
    """Returns the batch size per GPU that gives an efficiency, without overlap."""
    one = cost(network)
    compute = wanted / (1 - wanted) * all_reduce_seconds(one.bytes, cluster)
    return math.ceil(compute * A100.flops(network) / one.flop)


def cluster_of(gpus: int) -> Cluster:
    """Returns a cluster of a power of two GPUs in machines of eight; up to eight fit in one."""
    return Cluster(max(1, gpus // MACHINE), min(gpus, MACHINE))


def modelled(
    network: str,
    cluster: Cluster,
    *,
    gpu: Gpu = A100,
    batch: float = BATCH,
    overlap: bool = False,
    shrink: float = 1.0,
) -> float:
    """Returns the efficiency of training a network.

    Args:
        network: Name of the network.
        cluster: The GPUs.
        gpu: Their kind.
        batch: Batch size of each GPU.
        overlap: See `efficiency`.
        shrink: Divisor of the bytes.
    """
    compute = batch * cost(network).flop / gpu.flops(network)
    reduce = all_reduce_seconds(cost(network).bytes / shrink, cluster)
    return efficiency(compute, reduce, overlap)


@dataclass(frozen=True)
class Published:
    """A published measurement.

    Attributes:
        network: Name of the network here.
        where: Description of the GPUs.
        images: Images per second of one GPU.
        batch: Batch size of each GPU.
        cluster: The GPUs.
        efficiency: The measured efficiency.
        source: Who measured.
    """

    network: str
    where: str
    images: float
    batch: int
    cluster: Cluster
    efficiency: float
    source: str


def published() -> list[Published]:
    """Returns published measurements, all of them with all-reduces."""
    a100, p100 = Cluster(gpus=8), Cluster(gpus=8, inside=NVLINK_P100)
    many = Cluster(128, 4, PCI, ETHERNET_25)
    # The rate of ResNet-101 is not published; ResNet-152's is scaled by the multiply-adds.
    resnet101 = P100_IMAGES["resnet152"] * cost("resnet152").flop / cost("resnet101").flop
    vgg16, owt = P100_IMAGES["vgg16"], P100_IMAGES["alexnet_owt"]
    return [
        Published("resnet50", "8 A100, TF32", 938, 256, a100, 7248 / (8 * 938), RESNET_README),
        Published("resnet50", "8 A100, mixed", 2470, 256, a100, 16621 / (8 * 2470), RESNET_README),
        Published("vgg16", "8 P100", vgg16, 64, p100, 1081 / (8 * vgg16), TF_BENCHMARKS),
        Published("alexnet_owt", "8 P100", owt, 512, p100, 17822 / (8 * owt), TF_BENCHMARKS),
        Published("resnet101", "128 x 4 P100, 25 Gb/s", resnet101, 64, many, 0.90, HOROVOD),
        Published("vgg16", "128 x 4 P100, 25 Gb/s", vgg16, 64, many, 0.68, HOROVOD),
    ]


def fitted(measured: Mapping[int, float], workers: int) -> Link:
    """Returns the constants of a ring that fit measured all-reduces best.

    It minimizes the sum of the squared relative errors, so that all sizes count alike.

    Args:
        measured: Seconds by bytes.
        workers: Number of workers.
    """
    sizes, seconds = np.array(list(measured)), np.array(list(measured.values()))
    steps = 2 * (workers - 1)
    columns = np.stack([steps * np.ones(len(sizes)), steps / workers * sizes], axis=1)
    (latency, per_byte), *_ = np.linalg.lstsq(
        columns / seconds[:, np.newaxis], np.ones(len(sizes)), rcond=None
    )
    return Link("loopback", 1 / per_byte, latency, latency, "measured")


def interpolated(measured: Mapping[int, float], size: int) -> float:
    """Returns the time of an all-reduce of a size between, or slightly beyond, measured sizes.

    The logarithm of the time is interpolated linearly in the logarithm of the bytes.
    """
    sizes = np.log(sorted(measured))
    seconds = np.log([measured[size] for size in sorted(measured)])
    place = int(np.clip(np.searchsorted(sizes, np.log(size)), 1, len(sizes) - 1))
    slope = (seconds[place] - seconds[place - 1]) / (sizes[place] - sizes[place - 1])
    return float(np.exp(seconds[place] + slope * (np.log(size) - sizes[place])))
