"""The page that `check_images` writes: one HTML file that needs no network and no script."""

import base64
import functools
import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_classics import files
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
from keras_classics.errors import UserError, one_line

# Most groups of copies of each kind, images of a group, faults, classes of a part, and sizes.
GROUPS = 60
MEMBERS = 6
FAULTS = 200
CLASSES = 100
SIZES = 1500

# Longer side of an image on the page, and its JPEG quality.
SIDE = 160
QUALITY = 80

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

# Nothing is loaded and no script runs, whatever the names of files hold.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b7dd8; --warn: #b54708; }
@media (prefers-color-scheme: dark) { :root { --bar: #6ea8fe; --warn: #ffb454; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; font-size: 1.25rem; }
table { border-collapse: collapse; } caption { text-align: left; font-weight: 600; }
th, td { padding: .15rem .75rem .15rem 0; text-align: left; font-weight: normal; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.bar { width: 20rem; } td.bar span { display: block; height: .7rem; background: var(--bar); }
.warning { color: var(--warn); font-weight: 600; }
.group { display: flex; flex-wrap: wrap; gap: 1rem; padding: 1rem 0; }
.group + .group { border-top: 1px solid var(--line); }
figure { margin: 0; width: 12rem; font-size: .85rem; overflow-wrap: anywhere; }
figure img { display: block; max-width: 100%; border: 1px solid var(--line); }
figure .small { image-rendering: pixelated; width: 6rem; }
figcaption b { display: block; }
svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: currentColor; }
svg line { stroke: var(--line); } svg circle { fill: var(--bar); fill-opacity: .6; }
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
    text = "\n".join(_page(found, faults, read))
    with files.atomic_write(path) as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def _page(found: Survey, faults: Sequence[Fault], read: Callable[[int], bytes]) -> Iterator[str]:
    title = f"Images of {_text(str(found.root))}"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{title}</h1>"
    yield from _summary(found, faults)
    for meaning, (heading, explanation) in SECTIONS.items():
        yield from _copies(found, meaning, heading, explanation, read)
    yield from _faults(found, faults)
    yield from _classes(found)
    if found.names:
        yield from _sizes(found)
        yield "<h2>Colour modes</h2>"
        yield from _bars("Images by colour mode", found.mode_counts())
    yield "</main>\n</body>\n</html>"


def _summary(found: Survey, faults: Sequence[Fault]) -> Iterator[str]:
    fatal = sum(fault.fatal for fault in faults)
    yield "<ul>"
    yield f"<li>{len(found.names):,} images can be read, {fatal:,} cannot.</li>"
    for (part, earlier), count in found.leaks().items():
        yield (
            f'<li class="warning">{count:,} of {found.parts.count(part):,} images of {_text(part)} '
            f"are in {_text(earlier)} too.</li>"
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
    rows = [f"<b>{_text(copy.kind or 'first')}</b>{_text(name)}"]
    place = [
        f"{title} {_text(value)}"
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
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    if scale < 1:
        image = tf.cast(tf.round(tf.image.resize(image, small, method="area")), tf.uint8)
    content = base64.b64encode(tf.io.encode_jpeg(image, quality=QUALITY).numpy()).decode()
    kind = ' class="small"' if max(small) <= SIDE // 2 else ""
    return (
        f'<img{kind} src="data:image/jpeg;base64,{content}" width="{small[1]}" '
        f'height="{small[0]}" alt="">'
    )


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
        name = _text(str(fault.path.relative_to(found.root)))
        yield f"<tr{kind}><td>{name}</td><td>{_text(fault.fault)}</td></tr>"
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
                f'<p class="warning">The largest class{f" of {_text(part)}" if part else ""} has '
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
    yield f"<table><caption>{_text(caption)}</caption>"
    for name, count in counts.items():
        yield (
            f'<tr><th scope="row">{_text(name)}</th><td class="number">{count:,}</td>'
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


def _text(text: str) -> str:
    """Text of a user on one line, for HTML."""
    return html.escape(one_line(text))
