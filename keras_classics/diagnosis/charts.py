"""Charts as SVG text for a page that needs no script: lines, and bars by layer."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_classics.analysis.page import text

# Width and height of a chart, and its margins: left, top, right, bottom.
SIZE = (640, 300)
MARGINS = (64, 14, 18, 46)
# Most marks of an axis.
TICKS = 6
# Classes of lines in the page's style, in their order.
COLOURS = ("one", "two", "three", "four")


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        label: Its name.
        x: Positions.
        y: Values; those that are not finite leave a gap.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Axis:
    """A scale from values to positions, linear or logarithmic, that includes all given values."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], log: bool = False, zero: bool = False) -> "Axis":
        """Returns the axis of some values.

        Args:
            values: Those that are not finite, or not positive on a logarithmic axis, do not count.
            log: Whether it is logarithmic.
            zero: Whether a linear axis begins at 0 at the latest.
        """
        numbers = [v for v in map(float, values) if math.isfinite(v) and (v > 0 or not log)]
        low, high = (min(numbers), max(numbers)) if numbers else (1.0, 2.0)
        if zero and not log:
            low, high = min(low, 0.0), 1.05 * high
        if low == high:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        return cls(low, high, log)

    def fraction(self, value: float) -> float:
        """Returns where a value lies, 0 at the low end and 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        """Whether a value can be drawn."""
        return math.isfinite(value) and self.low <= value <= self.high

    def ticks(self) -> list[float]:
        """Returns round values from one end to the other."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(1, -(-(last - first + 1) // TICKS))
            return [10.0**power for power in range(first, last + 1, every)]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (m * step) <= TICKS)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first
        return [round((first + i) * step, 12) for i in range(count + 1)]


def line_chart(
    series: Sequence[Series],
    xlabel: str,
    ylabel: str,
    *,
    logx: bool = False,
    marks: Mapping[str, float] | None = None,
    band: tuple[float, float] | None = None,
    zero: bool = False,
) -> Iterator[str]:
    """Yields a chart of lines with a legend.

    Args:
        series: The lines.
        xlabel: What the positions are.
        ylabel: What the values are.
        logx: Whether the axis of the positions is logarithmic.
        marks: Vertical lines at some positions, by their label.
        band: A shaded range of positions.
        zero: Whether the axis of values begins at 0.
    """
    marks = {name: x for name, x in (marks or {}).items() if math.isfinite(x)}
    xs = [x for line in series for x in line.x]
    horizontal = Axis.over([*xs, *marks.values()], logx)
    vertical = Axis.over([y for line in series for y in line.y], zero=zero)
    left, top, right, bottom = MARGINS
    width, height = SIZE

    def across(x: float) -> float:
        return left + (width - left - right) * horizontal.fraction(x)

    def down(y: float) -> float:
        return height - bottom - (height - top - bottom) * vertical.fraction(y)

    yield (
        f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{text(ylabel)} by {text(xlabel)}">'
    )
    if band is not None:
        begin, end = (min(max(x, horizontal.low), horizontal.high) for x in band)
        yield (
            f'<rect class="band" x="{across(begin):.1f}" y="{top}" '
            f'width="{across(end) - across(begin):.1f}" height="{height - top - bottom}"/>'
        )
    for x in horizontal.ticks():
        yield f'<line x1="{across(x):.1f}" y1="{top}" x2="{across(x):.1f}" y2="{height - bottom}"/>'
        yield _label(across(x), height - bottom + 18, number(x))
    for y in vertical.ticks():
        yield f'<line x1="{left}" y1="{down(y):.1f}" x2="{width - right}" y2="{down(y):.1f}"/>'
        yield _label(left - 6, down(y) + 4, number(y), "end")
    yield _label((left + width - right) / 2, height - 8, xlabel)
    middle = (top + height - bottom) / 2
    yield (
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        f"{text(ylabel)}</text>"
    )
    for line, colour in zip(series, COLOURS, strict=False):
        for part in _unbroken(line, horizontal, vertical):
            points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in part)
            yield f'<polyline class="{colour}" points="{points}"/>'
    for index, (name, x) in enumerate(marks.items()):
        yield (
            f'<line class="mark" x1="{across(x):.1f}" y1="{top}" x2="{across(x):.1f}" '
            f'y2="{height - bottom}"/>'
        )
        end = horizontal.fraction(x) > 0.6
        yield _label(
            across(x) + (-5 if end else 5), top + 12 + 16 * index, name, "end" if end else "start"
        )
    yield "</svg>"
    if len(series) > 1:
        names = zip(series, COLOURS, strict=False)
        keys = [
            f'<span><i class="{colour}"></i>{text(line.label)}</span>' for line, colour in names
        ]
        yield f'<p class="legend">{"".join(keys)}</p>'


def _unbroken(
    line: Series, horizontal: Axis, vertical: Axis
) -> Iterator[list[tuple[float, float]]]:
    """Yields the parts of a line between values that cannot be drawn."""
    part: list[tuple[float, float]] = []
    for x, y in zip(line.x, line.y, strict=True):
        if horizontal.holds(x) and vertical.holds(y):
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _label(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'


def bars(caption: str, values: Mapping[str, float], log: bool = False) -> Iterator[str]:
    """Yields a table with a bar for each value; zeros of a logarithmic one have none.

    Args:
        caption: What the values are.
        values: A value for each name, not negative.
        log: Whether the length of a bar stands for the logarithm of its value.
    """
    positive = [v for v in values.values() if math.isfinite(v) and v > 0]
    axis = Axis.over(positive, log, zero=not log)
    if log:
        # The smallest value has a bar, too.
        axis = Axis(axis.low / 3, axis.high, log=True)
    yield f'<table class="bars"><caption>{text(caption)}</caption>'
    for name, value in values.items():
        drawn = math.isfinite(value) and value > 0
        width = 100 * axis.fraction(value) if drawn else 0.0
        yield (
            f'<tr><th scope="row">{text(name)}</th><td class="number">{number(value)}</td>'
            f'<td class="bar"><span style="width:{width:.1f}%"></span></td></tr>'
        )
    yield "</table>"


def number(value: float) -> str:
    """Returns a number in at most three digits."""
    if not np.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.2g}".replace("e+0", "e")
    return re.sub(r"e-0?", "e-", f"{value:.3g}")
