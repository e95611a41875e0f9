"""How far training scales over many GPUs: the tables and the figure of docs/scaling.md.

    python -m reproduce.scaling             render them: costs of the networks and a model, seconds
    python -m reproduce.scaling --check     fail where a table is out of date
    python -m reproduce.scaling --measure   measure workers on this machine first, some 3 minutes
                                            on two cores that have nothing else to do

The formulas and what they are fed with are in model.py, the workers in loopback.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from keras_classics.analysis import plots
from keras_classics.cli._program import run
from reproduce.harness.result_table import RESULTS, ResultTable
from reproduce.harness.tables import ENVIRONMENT, Row, markdown, update_pages
from reproduce.scaling import loopback
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
    fitted,
    interpolated,
    modelled,
    p100_flops,
    published,
    relative_rate,
    ring_seconds,
)

MEASURE = flags.DEFINE_bool("measure", False, "Measure workers on this machine first.")
CHECK = flags.DEFINE_bool("check", False, "Write nothing; fail where a table is out of date.")

HERE = Path(__file__).parents[1]
DOC = HERE.parent / "docs" / "scaling.md"
FIGURE = DOC.with_name("scaling.png")

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
# Those whose dense layers hold most of the parameters of a large network.
DENSE = ("alexnet", "vgg16")

# Those whose lines the figure has room for.
DRAWN = ("lenet5", *DENSE, "resnet50", "resnet20")

GPUS = (8, 64, 1024)
# Workers of a measurement on this machine.
WORKERS = (1, 2, 4)
# Load of a machine that has next to nothing else to do.
QUIET = 0.5
COLUMNS = (
    "what",
    "workers",
    "network",
    "batch",
    "bytes",
    "seconds",
    "turns",
    "seed",
    "load",
    *ENVIRONMENT,
)

NOT_RUN = "not run"


def _identity(row: Row) -> tuple:
    return row["what"], row["workers"], row["network"], row["bytes"]


MEASURED = ResultTable(RESULTS / "scaling.csv", COLUMNS, _identity)


def main() -> None:
    """Measures if asked to, then renders or checks."""
    if MEASURE.value:
        MEASURED.write(loopback.measure(WORKERS))
    update_pages(tables(MEASURED.read()), CHECK.value)
    if not CHECK.value:
        _draw()


def tables(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns all tables of the page by name.

    Args:
        rows: What was measured on this machine.
    """
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
        "scaling_all_reduces": _all_reduces_table(rows),
        "scaling_measured": _measured_table(rows),
        "scaling_machine": _machine_line(rows),
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


def _alone(rows: Sequence[Mapping[str, str]], workers: int) -> dict[int, float]:
    """Seconds of the all-reduces that were measured alone, by bytes."""
    return {
        int(row["bytes"]): float(row["seconds"])
        for row in rows
        if row["what"] == "all_reduce" and int(row["workers"]) == workers
    }


def _all_reduces_table(rows: Sequence[Mapping[str, str]]) -> str:
    header = ["workers", "latency, µs", "GB/s", *(_size_name(size) for size in loopback.SIZES)]
    lines = []
    for workers in WORKERS[1:]:
        measured = _alone(rows, workers)
        if not measured:
            lines.append([str(workers), *[NOT_RUN] * (len(header) - 1)])
            continue
        link = fitted(measured, workers)
        cells = [str(workers), f"{link.ring * 1e6:,.0f}", f"{link.bandwidth / 1e9:.2f}"]
        for size, seconds in measured.items():
            formula = ring_seconds(size, workers, link)
            cells.append(f"{_ms(seconds)} / {_ms(formula)}")
        lines.append(cells)
    return markdown(header, lines)


def _size_name(size: int) -> str:
    return f"{size // 10**6} MB" if size >= 10**6 else f"{size // 10**3} kB"


def _measured_table(rows: Sequence[Mapping[str, str]]) -> str:
    header = ["network", "workers", "MB a step", "apart, ms", "together, ms", "difference, ms"]
    header += ["as many bytes alone, ms", "formula, ms", "efficiency, %", "formula, %"]
    lines = []
    for load in loopback.LOADS:
        for workers in WORKERS:
            cells = _measured_cells(rows, load.network, workers)
            lines.append([f"`{load.network}`", str(workers), *cells])
    return markdown(header, lines)


def _measured_cells(rows: Sequence[Mapping[str, str]], network: str, workers: int) -> list[str]:
    sides = {
        row["what"]: row
        for row in rows
        if (row["network"], row["workers"]) == (network, str(workers))
    }
    if not sides:
        return [NOT_RUN] * 8
    size = int(sides["together"]["bytes"])
    apart, together = (float(sides[side]["seconds"]) for side in ("apart", "together"))
    alone = formula = 0.0
    if workers > 1:
        measured = _alone(rows, workers)
        alone = interpolated(measured, size)
        formula = ring_seconds(size, workers, fitted(measured, workers))
    times = map(_ms, (apart, together, together - apart, alone, formula))
    shares = (apart / together, efficiency(apart, formula))
    return [f"{size / 1e6:,.2f}", *times, *(f"{100 * share:.0f}" for share in shares)]


def _ms(seconds: float) -> str:
    digits = 0 if abs(seconds) >= 0.1 else 1 if abs(seconds) >= 0.01 else 2
    return f"{1e3 * seconds:,.{digits}f}"


def _machine_line(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return NOT_RUN
    row = rows[0]
    commit = (row["commit"] or "-")[:8]
    line = (
        f"{row['device']}, TensorFlow {row['tensorflow']}, Keras {row['keras']}, commit {commit}, "
        f"medians of {row['turns']} turns; load before the start {row['load']}."
    )
    if float(row["load"]) > QUIET:
        line += " **Other work ran at the same time: these times are not to be relied on.**"
    return line


def _draw() -> None:
    """Draws the efficiencies in machines of eight."""
    counts = [2**power for power in range(11)]
    panels = {
        title: {
            name: [modelled(name, cluster_of(gpus), overlap=overlap) for gpus in counts]
            for name in DRAWN
        }
        for title, overlap in (
            ("gradients summed after the backward pass", False),
            ("gradients summed while it runs, at best", True),
        )
    }
    plots.scaling(panels, counts, DENSE, FIGURE)


if __name__ == "__main__":
    run(main)
