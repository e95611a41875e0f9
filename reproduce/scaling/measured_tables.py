"""Tables of what was measured with several workers on one machine, beside the model."""

from collections.abc import Mapping, Sequence

from reproduce.harness.tables import NOT_RUN, markdown
from reproduce.scaling import loopback
from reproduce.scaling.model import efficiency, fitted, interpolated, ring_seconds

# Numbers of workers of a measurement.
WORKERS = (1, 2, 4)
# Load of a machine without other work.
QUIET = 0.5


def measured_tables(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns the tables of measurements by name, given their rows."""
    return {
        "scaling_all_reduces": all_reduces_table(rows),
        "scaling_measured": measured_table(rows),
        "scaling_machine": machine_line(rows),
    }


def _alone(rows: Sequence[Mapping[str, str]], workers: int) -> dict[int, float]:
    """Seconds of the all-reduces without training, by bytes."""
    return {
        int(row["bytes"]): float(row["seconds"])
        for row in rows
        if row["what"] == "all_reduce" and int(row["workers"]) == workers
    }


def all_reduces_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Returns the table of all-reduces without training: measured and by the formula."""
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


def measured_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Returns the table of training steps: workers apart, together, and by the formula."""
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


def machine_line(rows: Sequence[Mapping[str, str]]) -> str:
    """Returns a line about the machine, its versions and its load."""
    if not rows:
        return NOT_RUN
    row = rows[0]
    commit = (row["commit"] or "-")[:8]
    line = (
        f"{row['device']}, TensorFlow {row['tensorflow']}, Keras {row['keras']}, commit {commit}, "
        f"medians of {row['turns']} turns; load before the start {row['load']}."
    )
    if float(row["load"]) > QUIET:
        line += " **Other work ran at the same time: these times are not reliable.**"
    return line
