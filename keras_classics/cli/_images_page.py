"""The page that `check_images` writes: one HTML file that needs no network and no script."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.analysis import page
from keras_classics.analysis.page import text
from keras_classics.data import image_files
from keras_classics.data.image_files import Fault
from keras_classics.data.survey import (
    ELONGATED,
    LABELS,
    LEAK,
    REPEATED,
    UNEQUAL,
    Copy,
    Survey,
)
from keras_classics.errors import UserError

# Most groups of copies of each kind, images of a group, faults, classes of a part, and sizes.
GROUPS = 60
MEMBERS = 6
FAULTS = 200
CLASSES = 100
SIZES = 1500

# Longer side of an image on the page.
SIDE = 160

# Width and height of the plot of sizes, and its margins: left, top, right, bottom.
PLOT = (640, 420)
MARGINS = (56, 12, 24, 44)

SECTIONS = {
    LEAK: (
        "Copies across parts",
        "Evaluation images that training has seen make results look better than they are. Remove "
        "them from one of the parts.",
    ),
    LABELS: (
        "Copies with different classes",
        "At least one of the labels is wrong, or the image belongs to several classes.",
    ),
    REPEATED: ("Copies within a class", "Each of these images counts more than once."),
}

STYLE = """
td.bar { width: 20rem; } td.bar span { display: block; height: .7rem; background: var(--bar); }
svg circle { fill: var(--bar); fill-opacity: .6; }
"""


def write_page(
    path: Path, found: Survey, faults: Sequence[Fault], read: Callable[[int], bytes]
) -> None:
    """Writes the page of a survey.

    Args:
        path: HTML file to write.
        found: The survey.
        faults: The faults of the same folder.
        read: Returns the file of an image, given its number among all images.
    """
    # A name that is not UTF-8 is escaped, so the text can be encoded.
    content = "\n".join(_page(found, faults, read))
    with files.atomic_write(path) as aside:
        aside.write_text(content + "\n", encoding="utf-8")


def _page(found: Survey, faults: Sequence[Fault], read: Callable[[int], bytes]) -> Iterator[str]:
    yield page.head(f"Images of {found.root}", STYLE)
    yield from _summary(found, faults)
    for meaning, (heading, explanation) in SECTIONS.items():
        yield from _copies(found, meaning, heading, explanation, read)
    yield from _faults(found, faults)
    yield from _classes(found)
    if found.names:
        yield from _sizes(found)
        yield "<h2>Colour modes</h2>"
        yield from _bars("Images by colour mode", found.mode_counts())
    yield page.END


def _summary(found: Survey, faults: Sequence[Fault]) -> Iterator[str]:
    fatal = sum(fault.fatal for fault in faults)
    yield "<ul>"
    yield f"<li>{len(found.names):,} images can be read, {fatal:,} cannot.</li>"
    for (part, earlier), count in found.leaks().items():
        yield (
            f'<li class="warning">{count:,} of {found.parts.count(part):,} images of {text(part)} '
            f"are in {text(earlier)} too.</li>"
        )
    for meaning, (heading, _) in SECTIONS.items():
        groups = found.groups(meaning)
        images = sum(map(len, groups))
        yield f"<li>{heading}: {images:,} images in {len(groups):,} groups.</li>"
    yield "</ul>"


def _copies(
    found: Survey, meaning: str, heading: str, explanation: str, read: Callable[[int], bytes]
) -> Iterator[str]:
    groups = found.groups(meaning)
    if not groups:
        return
    yield f"<section>\n<h2>{heading}</h2>\n<p>{explanation}</p>"
    if len(groups) > GROUPS:
        yield f"<p>The first {GROUPS:,} of {len(groups):,} groups:</p>"
    for group in groups[:GROUPS]:
        yield '<div class="group">'
        for copy in _shown(found, group):
            yield _figure(found, copy, read)
        if len(group) > MEMBERS:
            yield f"<p>and {len(group) - MEMBERS:,} images more</p>"
        yield "</div>"
    yield "</section>"


def _shown(found: Survey, group: Sequence[Copy]) -> list[Copy]:
    """Some images of a group, of as many parts and classes as possible."""
    places: dict[tuple[str, str], int] = {}
    rank = []
    for copy in group:
        place = (found.parts[copy.number], found.classes[copy.number])
        rank.append(places.setdefault(place, 0))
        places[place] += 1
    order = sorted(range(len(group)), key=lambda i: (rank[i], i))
    return [group[i] for i in sorted(order[:MEMBERS])]


def _figure(found: Survey, copy: Copy, read: Callable[[int], bytes]) -> str:
    name = found.names[copy.number]
    height, width = found.sizes[copy.number]
    rows = [f"<b>{text(copy.kind or 'first')}</b>{text(name)}"]
    place = [
        f"{title} {text(value)}"
        for title, value in (
            ("part", found.parts[copy.number]),
            ("class", found.classes[copy.number]),
        )
        if value
    ]
    rows.append(", ".join([*place, f"{width}x{height} pixels"]))
    image = _image(functools.partial(read, found.numbers[copy.number]))
    return f"<figure>{image}<figcaption>{'<br>'.join(rows)}</figcaption></figure>"


def _image(read: Callable[[], bytes]) -> str:
    """An image as an element with its content, made smaller."""
    try:
        image = image_files.decode(tf.constant(read()))
    except (OSError, UserError, tf.errors.OpError):  # It was changed since it was checked.
        return "<p>(cannot be read any more)</p>"
    return page.thumbnail(image, SIDE).element(SIDE)


def _faults(found: Survey, faults: Sequence[Fault]) -> Iterator[str]:
    if not faults:
        return
    yield "<section>\n<h2>Faults</h2>"
    # Those that stop training first.
    ordered = sorted(faults, key=lambda fault: not fault.fatal)
    if len(ordered) > FAULTS:
        yield f"<p>The first {FAULTS:,} of {len(ordered):,}:</p>"
    yield "<table><tr><th>image</th><th>fault</th></tr>"
    for fault in ordered[:FAULTS]:
        kind = ' class="warning"' if fault.fatal else ""
        name = text(str(fault.path.relative_to(found.root)))
        yield f"<tr{kind}><td>{name}</td><td>{text(fault.fault)}</td></tr>"
    yield "</table>\n</section>"


def _classes(found: Survey) -> Iterator[str]:
    counts = {part: found.class_counts(part) for part in found.part_names()}
    # The images of a part may lie in no folders of classes.
    counts = {part: classes for part, classes in counts.items() if classes}
    if not counts:
        return
    yield "<section>\n<h2>Classes</h2>"
    for part, classes in counts.items():
        if max(classes.values()) > UNEQUAL * min(classes.values()):
            yield (
                f'<p class="warning">The largest class{f" of {text(part)}" if part else ""} has '
                f"more than {UNEQUAL} times the images of the smallest.</p>"
            )
        shown = dict(sorted(classes.items(), key=lambda item: -item[1]))
        caption = f"Images of {part} by class" if part else "Images by class"
        if len(shown) > CLASSES:
            largest = list(shown.items())
            shown = dict(largest[: CLASSES // 2] + largest[-CLASSES // 2 :])
            caption += f": the {CLASSES // 2} largest and smallest of {len(classes):,}"
        yield from _bars(caption, shown)
    yield "</section>"


def _bars(caption: str, counts: Mapping[str, int]) -> Iterator[str]:
    most = max(counts.values())
    yield f"<table><caption>{text(caption)}</caption>"
    for name, count in counts.items():
        yield (
            f'<tr><th scope="row">{text(name)}</th><td class="number">{count:,}</td>'
            f'<td class="bar"><span style="width:{100 * count / most:.1f}%"></span></td></tr>'
        )
    yield "</table>"


def _sizes(found: Survey) -> Iterator[str]:
    sizes, counts = np.unique(found.sizes, axis=0, return_counts=True)
    yield "<section>\n<h2>Sizes</h2>"
    yield (
        f"<p>{len(sizes):,} different sizes. One side of {len(found.elongated()):,} images is more "
        f"than {ELONGATED} times the other. A larger dot stands for more images.</p>"
    )
    if len(sizes) > SIZES:
        yield f"<p>The {SIZES:,} most frequent ones:</p>"
        most = np.argsort(-counts, kind="stable")[:SIZES]
        sizes, counts = sizes[most], counts[most]
    yield from _scatter(sizes, counts)
    yield "</section>"


def _scatter(sizes: np.ndarray, counts: np.ndarray) -> Iterator[str]:
    """Widths and heights on logarithmic axes of one scale."""
    low = 2 ** math.floor(math.log2(sizes.min()))
    high = 2 ** max(math.ceil(math.log2(sizes.max())), math.log2(low) + 1)
    left, top, right, bottom = MARGINS
    width, height = PLOT

    def place(value: float, start: float, end: float) -> float:
        return start + (end - start) * math.log2(value / low) / math.log2(high / low)

    yield (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="Widths and heights of the images">'
    )
    for power in range(round(math.log2(low)), round(math.log2(high)) + 1):
        x = place(2**power, left, width - right)
        y = place(2**power, height - bottom, top)
        yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - bottom}"/>'
        yield f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}"/>'
        yield f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{2**power}</text>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{2**power}</text>'
    middle = (left + width - right) / 2
    yield f'<text x="{middle}" y="{height - 6}" text-anchor="middle">width, pixels</text>'
    middle = (top + height - bottom) / 2
    yield (
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        "height, pixels</text>"
    )
    for (rows, columns), count in zip(sizes.tolist(), counts.tolist(), strict=True):
        x, y = place(columns, left, width - right), place(rows, height - bottom, top)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2.5 + math.log10(count):.1f}"/>'
    yield "</svg>"
