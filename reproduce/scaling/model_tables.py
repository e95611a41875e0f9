"""Tables of the model: networks, GPUs, links, and the efficiency of training."""

from collections.abc import Sequence

from reproduce.harness.tables import markdown
from reproduce.scaling.model import (
    A100,
    A100_MIXED,
    BATCH,
    ETHERNET,
    MACHINE,
    NVLINK,
    NVLINK_V100,
    P100_IMAGES,
    SOCKETS,
    STEP_PASSES,
    V100,
    Cluster,
    all_reduce_seconds,
    batch_for,
    cluster_of,
    cost,
    efficiency,
    modelled,
    p100_flops,
    published,
    relative_rate,
)

NETWORKS = (
    "lenet5",
    "alexnet",
    "vgg16",
    "resnet18",
    "resnet50",
    "resnet152",
    "resnet20",
    "resnet110",
)
# Large networks with most of their parameters in dense layers.
DENSE = ("alexnet", "vgg16")

GPUS = (8, 64, 1024)


def model_tables() -> dict[str, str]:
    """Returns the tables that need no measurement, by name."""
    return {
        "scaling_costs": _costs_table(),
        "scaling_constants": _constants_table(),
        "scaling_balance": _balance_table(),
        "scaling_efficiency": _efficiency_table(overlap=False),
        "scaling_overlap": _efficiency_table(overlap=True),
        "scaling_dense": _dense_table(),
        "scaling_gpus": _gpus_table(),
        "scaling_remedies": _remedies_table(),
        "scaling_shared": _shared_table(),
        "scaling_model_parallel": _model_parallel_table(),
        "scaling_rates": _rates_table(),
        "scaling_published": _published_table(),
    }


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _costs_table() -> str:
    header = ["network", "image", "parameters", "MB a step", "G multiply-adds an image"]
    header.append(f"operations a byte, {BATCH} images")
    rows = []
    for name in NETWORKS:
        one = cost(name)
        rows.append(
            [
                f"`{name}`",
                "x".join(map(str, one.image)),
                f"{one.profile.params:,}",
                f"{one.bytes / 1e6:,.2f}",
                f"{STEP_PASSES * one.profile.macs / 1e9:,.3f}",
                f"{BATCH * one.flop / one.bytes:,.0f}",
            ]
        )
    return markdown(header, rows)


def _constants_table() -> str:
    rows = []
    for gpu in (A100, A100_MIXED, V100):
        source = f"{gpu.images:,} images/s of ResNet-50: {gpu.source}"
        rows.append([gpu.name, f"{gpu.flops() / 1e12:.1f} TFLOP/s", source])
    for link in (NVLINK, NVLINK_V100, ETHERNET, SOCKETS):
        value = f"{link.bandwidth / 1e9:g} GB/s; {link.ring * 1e6:g} µs, {link.tree * 1e6:g} µs"
        rows.append([link.name, value, link.source])
    lines = ["| what | value | source |", "|---|--:|---|", *map(_line, rows)]
    return "\n".join(lines)


def _balance_table() -> str:
    rows = []
    for gpu in (V100, A100, A100_MIXED):
        links = (gpu.nvlink, ETHERNET, SOCKETS)
        rows.append([gpu.name, *(f"{2 * gpu.flops() / link.bandwidth:,.0f}" for link in links)])
    header = ["operations while a byte is summed", "its NVLink", ETHERNET.name, SOCKETS.name]
    return markdown(header, rows)


def _rates_table() -> str:
    rows = [
        [
            f"`{name}`",
            f"{images:,}",
            f"{p100_flops(name) / 1e12:.1f}",
            f"{relative_rate(name):.2f}",
        ]
        for name, images in P100_IMAGES.items()
    ]
    return markdown(["network", "images/s of a P100", "TFLOP/s", "times ResNet-50's"], rows)


def _efficiency_table(overlap: bool) -> str:
    """Columns: NVLink throughout, each GPU with a network card of its own, machines of eight."""
    ways = {
        "NVLink": lambda gpus: Cluster(gpus=gpus),
        "Ethernet": lambda gpus: Cluster(machines=gpus),
        "machines of 8": cluster_of,
    }
    counts = {way: GPUS[1:] if way == "machines of 8" else GPUS for way in ways}
    header = ["network", *(f"{way}: {n:,}" for way in ways for n in counts[way])]
    rows = [
        [
            f"`{name}`",
            *(
                _percent(modelled(name, of(gpus), overlap=overlap))
                for way, of in ways.items()
                for gpus in counts[way]
            ),
        ]
        for name in NETWORKS
    ]
    return markdown(header, rows)


def _dense_table() -> str:
    header = ["network", "of the parameters, %", "of the multiply-adds, %"]
    rows = []
    for name in (*DENSE, "resnet50"):
        one = cost(name).profile
        shares = (one.dense_fraction_of_params, 1 - one.convolution_fraction_of_macs)
        rows.append([f"`{name}`", *(f"{100 * share:.2f}" for share in shares)])
    return markdown(header, rows)


def _gpus_table() -> str:
    names = (*DENSE, "resnet50", "resnet152")
    rows = []
    for link in (ETHERNET, SOCKETS):
        for gpu in (V100, A100, A100_MIXED):
            cluster = Cluster(8, MACHINE, gpu.nvlink, link)
            cells = [_percent(modelled(name, cluster, gpu=gpu)) for name in names]
            rows.append([f"{gpu.name}; {link.name}", *cells])
    return markdown(["64 GPUs in machines of 8", *(f"`{name}`" for name in names)], rows)


def _remedies_table() -> str:
    cluster = cluster_of(GPUS[-1])
    ways = [{}, {"overlap": True}, {"shrink": 2}, {"overlap": True, "shrink": 2}]
    header = ["network", "as it is", "overlap", "half the bytes", "both", "images a GPU for 90 %"]
    rows = []
    for name in NETWORKS:
        cells = [_percent(modelled(name, cluster, **way)) for way in ways]
        rows.append([f"`{name}`", *cells, f"{batch_for(0.9, name, cluster):,}"])
    return markdown(header, rows)


def _shared_table() -> str:
    cases = [(256, 8), (256, 64), (8192, 64), (8192, 1024)]
    header = ["network", *(f"{batch:,} images on {gpus:,}" for batch, gpus in cases)]
    rows = []
    for name in NETWORKS:
        speeds = [
            gpus * modelled(name, cluster_of(gpus), batch=batch / gpus) for batch, gpus in cases
        ]
        rows.append([f"`{name}`", *(f"{speed:,.1f}" for speed in speeds)])
    return markdown(header, rows)


def _model_parallel_table() -> str:
    """Data parallel: each GPU sends 2 (n - 1) / n of the dense layers' gradients.

    Model parallel: it sends what its images put into each dense layer to all others, and gets as
    much of gradients.
    """
    header = ["network", "dense parameters", "numbers into them", "pays below, images of all GPUs"]
    header += ["MB, data parallel", "MB, 8 x 32 images", f"MB, 8 x {BATCH} images"]
    rows = []
    for name in DENSE:
        params, width = cost(name).dense
        data = 2 * (MACHINE - 1) / MACHINE * 4 * params
        model = [2 * (MACHINE - 1) * 4 * width * batch for batch in (32, BATCH)]
        cells = [f"{params:,}", f"{width:,}", f"{params // width:,}"]
        cells += [f"{size / 1e6:,.0f}" for size in (data, *model)]
        rows.append([f"`{name}`", *cells])
    return markdown(header, rows)


def _published_table() -> str:
    lines = [
        "| network | on | published, % | model, % | with overlap, % | source |",
        "|---|---|--:|--:|--:|---|",
    ]
    for one in published():
        compute = one.batch / one.images
        reduce = all_reduce_seconds(cost(one.network).bytes, one.cluster)
        shares = [one.efficiency, *(efficiency(compute, reduce, way) for way in (False, True))]
        cells = [f"`{one.network}`", one.where, *map(_percent, shares), one.source]
        lines.append(_line(cells))
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if 0.995 <= share < 0.9995 else f"{100 * share:.0f}"
