"""The page that `features` writes: a map of the images in one HTML file that needs no network."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.analysis import page
from keras_classics.analysis.page import text
from keras_classics.data import image_files
from keras_classics.evaluation.feature_files import StoredFeatures
from keras_classics.evaluation.projection import PCA, project
from keras_classics.files import read_bytes

# Most images on the map: at 1 to 2 KB each, the file stays small enough to send.
POINTS = 2000

# Longer side of an image on the map, and of those below it.
SMALL, LARGE = 48, 160

SCRIPT = Path(__file__).with_name("_features_map.js")

STYLE = """
#map { position: relative; border: 1px solid var(--line); height: 34rem; }
#map canvas { width: 100%; height: 100%; display: block; touch-action: none; cursor: grab; }
#shown { position: absolute; pointer-events: none; max-width: 16rem; padding: .4rem;
  background: Canvas; border: 1px solid var(--line); font-size: .85rem; overflow-wrap: anywhere; }
#shown img { display: block; width: 6rem; image-rendering: pixelated; }
#buttons { position: absolute; right: .5rem; top: .5rem; }
button { font: inherit; font-size: .85rem; margin: .15rem; padding: .1rem .5rem; cursor: pointer; }
#classes button { border: 1px solid var(--line); border-left-width: .8rem; background: none;
  color: inherit; } #classes button[aria-pressed=false] { opacity: .35; }
"""

EXPLANATIONS = {
    PCA: "The two principal components of the features: distances keep their meaning.",
    "tsne": "t-SNE of the features: images that are near each other are similar; the sizes of "
    "groups and the distances between them mean little.",
}


def write_page(
    path: Path,
    stored: StoredFeatures,
    image: Callable[[int], np.ndarray | None],
    method: str,
    report: Sequence[str],
    query: tuple[str, Sequence[dict[str, Any]]] | None,
) -> None:
    """Writes the page.

    Args:
        path: HTML file to write.
        stored: The features.
        image: Returns an image, given its number among all images; None if it cannot be read.
        method: A method of `project`.
        report: Lines about the features.
        query: Path of a query, and the rows of the images that are most similar to it, or None.
    """
    content = "\n".join(_page(stored, image, method, report, query))
    with files.atomic_write(path) as aside:
        aside.write_text(content + "\n", encoding="utf-8")


def _page(
    stored: StoredFeatures,
    image: Callable[[int], np.ndarray | None],
    method: str,
    report: Sequence[str],
    query: tuple[str, Sequence[dict[str, Any]]] | None,
) -> Iterator[str]:
    about = stored.about
    script = SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = f"Features of {about['dataset'] or 'images'} by {about['model']}"
    # Of all scripts, this one alone runs.
    yield page.head(title, STYLE, [f"script-src 'sha256-{digest}'"])
    yield f"<p>{text(about['model'])} with the weights {text(about['weights'])}, features "
    yield f"{text(about['level'])}.</p>\n<ul>"
    yield from (f"<li>{text(line)}</li>" for line in report)
    yield "</ul>"
    similar = query[1] if query else []
    rows = _chosen(len(stored.features), [found["row"] for found in similar])
    if query:
        yield from _similar(stored, image, *query)
    yield f"<h2>Map</h2>\n<p>{EXPLANATIONS[method]}"
    if len(rows) < len(stored.features):
        yield f"It shows {len(rows):,} of {len(stored.features):,} images, drawn at random."
    if stored.parts.any():
        yield "Circles are training images, squares test images."
    yield "Scroll to zoom, drag to move; of few images the map shows the pictures.</p>"
    yield '<div id="classes"></div>\n<div id="map"><canvas></canvas><div id="buttons">'
    yield '<button id="closer" title="Closer">+</button><button id="farther" title="Farther">'
    yield '&minus;</button><button id="all">All</button></div><div id="shown" hidden></div></div>'
    content = json.dumps(_points(stored, image, method, rows, similar), separators=(",", ":"))
    # Whatever the names of files hold, the element does not end early.
    content = content.replace("<", "\\u003c")
    yield f'<script type="application/json" id="points">{content}</script>'
    yield f"<script>{script}</script>"
    yield page.END


def _chosen(count: int, wanted: Sequence[int]) -> np.ndarray:
    """Returns the rows on the map, sorted: those wanted, and a choice by the count alone."""
    order = np.random.default_rng(0).permutation(count)
    rest = order[~np.isin(order, wanted)]
    return np.sort(np.concatenate([np.array(wanted, int), rest])[:POINTS].astype(int))


def _points(
    stored: StoredFeatures,
    image: Callable[[int], np.ndarray | None],
    method: str,
    rows: np.ndarray,
    similar: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    places = project(stored.features[rows], method)
    places = places - places.min(0)
    # One scale for both axes.
    places /= places.max() or 1
    classes = sorted({stored.row_classes[row] for row in rows}, key=lambda name: (len(name), name))
    number_of = {name: number for number, name in enumerate(classes)}
    marked = {found["row"] for found in similar}
    return {
        "classes": classes,
        "points": [
            {
                "x": round(float(x), 4),
                "y": round(float(y), 4),
                "class": number_of[stored.row_classes[row]],
                "part": str(stored.parts[row]),
                "name": stored.all_images[stored.numbers[row]],
                "marked": int(row) in marked,
                "image": _address(image(int(stored.numbers[row]))),
            }
            for (x, y), row in zip(places, rows.tolist(), strict=True)
        ],
    }


def _address(image: np.ndarray | None) -> str:
    return "" if image is None else page.thumbnail(image, SMALL).address


def _similar(
    stored: StoredFeatures,
    image: Callable[[int], np.ndarray | None],
    path: str,
    similar: Sequence[dict[str, Any]],
) -> Iterator[str]:
    yield "<h2>Most similar images</h2>\n<div class='group'>"
    yield _figure(image_files.decode(read_bytes(path)).numpy(), "query", path)
    for found in similar:
        label = f"{found['similarity']:.4f} {found['class']}".strip()
        yield _figure(image(int(stored.numbers[found["row"]])), label, found["image"])
    yield "</div>"


def _figure(image: np.ndarray | None, label: str, name: str) -> str:
    shown = "<p>(cannot be read any more)</p>"
    if image is not None:
        shown = page.thumbnail(image, LARGE).element(LARGE)
    return f"<figure>{shown}<figcaption><b>{text(label)}</b>{text(name)}</figcaption></figure>"
