"""The page of a diagnosis: one HTML file that needs no network and no script."""

import base64
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.analysis.page import END, head, text
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.charts import Series, bars, line_chart, number
from keras_classics.diagnosis.findings import Diagnosis, Finding, json_value
from keras_classics.diagnosis.progress import Epochs, guessing
from keras_classics.diagnosis.rates import rate_test
from keras_classics.diagnosis.trial import Trial

PAGE, CONTENT = "index.html", "diagnosis.json"

# Images that are shown, and the longer side at which they are.
IMAGES = 8
SIDE = 96
# Most layers that have a bar.
LAYERS = 60

# Rules after those of all pages.
STYLE = """
:root { --one: #3b7dd8; --two: #c2410c; --three: #4d7c0f; --four: #7c3aed; }
@media (prefers-color-scheme: dark) { :root { --one: #6ea8fe; --two: #fb923c; --three: #a3e635;
  --four: #c4b5fd; } }
body { max-width: 60rem; }
h3 { margin: 1.5rem 0 .25rem; font-size: 1.05rem; } code { font-size: .9em; color: var(--warn); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { opacity: .7; } dd { margin: 0; overflow-wrap: anywhere; }
section.finding { border-left: 3px solid var(--warn); padding-left: 1rem; margin: 1.5rem 0; }
th, td { padding: .1rem .75rem .1rem 0; }
td.bar { width: 20rem; } td.bar span { display: block; height: .7rem; background: var(--one); }
.columns, .images { display: flex; flex-wrap: wrap; gap: 1rem 2rem; } .images { gap: .75rem; }
.columns table { font-size: .85rem; } .columns td.bar { width: 10rem; }
figure { width: 6.5rem; font-size: .8rem; }
figure img { width: 6rem; height: auto; image-rendering: pixelated; margin-bottom: .25rem; }
svg polyline { fill: none; stroke-width: 1.8; }
svg .mark { stroke: currentColor; stroke-dasharray: 4 3; } svg .band { fill: var(--line); }
svg .one { stroke: var(--one); } svg .two { stroke: var(--two); }
svg .three { stroke: var(--three); } svg .four { stroke: var(--four); }
.legend { margin: 0; font-size: .85rem; } .legend span { margin-right: 1.5rem; }
.legend i { display: inline-block; width: 1.5rem; height: .2rem; margin-right: .4rem;
  vertical-align: middle; } .legend .one { background: var(--one); }
.legend .two { background: var(--two); } .legend .three { background: var(--three); }
.legend .four { background: var(--four); }
"""


def write_diagnosis(folder: Path, diagnosis: Diagnosis, trials: Sequence[Trial] = ()) -> None:
    """Writes `index.html` and `diagnosis.json`.

    Args:
        folder: The folder; it is made if there is none.
        diagnosis: The diagnosis.
        trials: What `try_mends` returned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = diagnosis.to_json()
    if trials:
        content["trials"] = [json_value(trial.to_json()) for trial in trials]
    files.write_json(folder / CONTENT, content)
    page = "\n".join(_page(diagnosis, trials))
    with files.atomic_write(folder / PAGE) as aside:
        aside.write_text(page + "\n", encoding="utf-8")


def _page(diagnosis: Diagnosis, trials: Sequence[Trial]) -> Iterator[str]:
    case = diagnosis.case
    yield head(f"Diagnosis of {case.model.name}", STYLE)
    yield from _summary(diagnosis)
    for finding in diagnosis.findings:
        yield from _finding(finding, [trial for trial in trials if trial.finding is finding])
    yield from _images(case)
    yield from _signals(case)
    yield from _rates(case)
    yield from _curves(case)
    yield END


def _summary(diagnosis: Diagnosis) -> Iterator[str]:
    case, count = diagnosis.case, len(diagnosis.findings)
    yield (
        f"<p>{len(case.data.train):,} training images of {text(case.data.name)}, "
        f"{len(case.data.class_names):,} classes. {len(diagnosis.checks)} checks"
    )
    if not count:
        yield " found nothing.</p>"
        return
    yield f" found {count} thing{'s' if count > 1 else ''} that may be wrong:</p><ol>"
    for finding in diagnosis.findings:
        yield f"<li><code>{text(finding.check)}</code>: {text(finding.mend)}</li>"
    yield "</ol>"


def _finding(finding: Finding, trials: Sequence[Trial]) -> Iterator[str]:
    place = "" if finding.layer is None else f" in {text(finding.layer)}"
    yield f'<section class="finding">\n<h2><code>{text(finding.check)}</code>{place}</h2>\n<dl>'
    for name in ("measured", "expected", "mend"):
        yield f"<dt>{name}</dt><dd>{text(getattr(finding, name))}</dd>"
    yield "</dl>"
    for trial in trials:
        yield "<h3>The mend, tried</h3>"
        yield from line_chart(
            [
                Series(name, range(1, len(results) + 1), [result.loss for result in results])
                for name, results in (("as it is", trial.before), ("mended", trial.after))
            ],
            "step",
            "training loss",
        )
        yield f"<p>{text(str(trial))}</p>"
    yield "</section>"


def _images(case: Case) -> Iterator[str]:
    yield "<section>\n<h2>What the network sees</h2>"
    inputs, labels = case.inputs()[:IMAGES], case.labels()[:IMAGES]
    finite = inputs[np.isfinite(inputs)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    yield (
        f"<p>Training images after preprocessing, from {number(low)} (black) to {number(high)} "
        f"(white); mean {number(float(finite.mean()) if finite.size else math.nan)}."
        f"{' The first channel is shown in red.' if inputs.shape[-1] == 3 else ''}</p>"
        '<div class="images">'
    )
    for image, label in zip(inputs, labels, strict=True):
        shown = np.nan_to_num((image - low) / max(high - low, 1e-12))
        caption = text(_names(case, label))
        yield f"<figure>{_image(shown)}<figcaption>{caption}</figcaption></figure>"
    yield "</div>\n</section>"


def _names(case: Case, label: np.ndarray) -> str:
    numbers = np.flatnonzero(label) if np.ndim(label) else [label]
    return ", ".join(case.data.class_names[int(i)] for i in numbers)


def _image(values: np.ndarray) -> str:
    """An image of values from 0 to 1 as an element with its content."""
    channels = values.shape[-1]
    if channels not in (1, 3):
        values = values.mean(axis=-1, keepdims=True)
    pixels = np.clip(np.round(255 * values), 0, 255).astype("uint8")
    if max(pixels.shape[:2]) > SIDE:
        scale = SIDE / max(pixels.shape[:2])
        small = [max(1, round(side * scale)) for side in pixels.shape[:2]]
        pixels = tf.cast(tf.image.resize(pixels, small, method="area"), tf.uint8).numpy()
    content = base64.b64encode(tf.io.encode_png(pixels).numpy()).decode()
    height, width = pixels.shape[:2]
    return f'<img src="data:image/png;base64,{content}" width="{width}" height="{height}" alt="">'


def _signals(case: Case) -> Iterator[str]:
    layers = case.signals().weighted[:LAYERS]
    if not layers:
        return
    yield "<section>\n<h2>What reaches each layer</h2>"
    yield (
        "<p>In one pass before the next step: how much the outputs of a layer differ between "
        "images, and the gradient of its kernel, both as root mean squares, on logarithmic bars."
        "</p>"
        '<div class="columns">'
    )
    outputs = {signal.layer.name: signal.after for signal in layers}
    gradients = {s.layer.name: s.gradient for s in layers if s.gradient is not None}
    dead = {s.layer.name: s.dead for s in layers if s.dead}
    yield from bars("Differences between images", outputs, log=True)
    if gradients:
        yield from bars("Gradients", gradients, log=True)
    if dead:
        yield from bars("Share of units that are 0 for all images", dead)
    yield "</div>\n</section>"


def _rates(case: Case) -> Iterator[str]:
    test = rate_test(case)
    if test is None or not test.range.losses:
        return
    tested = test.range
    yield "<section>\n<h2>Learning rate</h2>"
    marks = {f"compiled: {number(test.rate)}": test.rate}
    band = None
    if tested.suggested is not None and tested.low is not None and tested.high is not None:
        marks[f"suggested: {number(tested.suggested)}"] = tested.suggested
        band = tested.low, tested.high
    yield from line_chart(
        [Series("loss", tested.rates, tested.losses)],
        "learning rate, which grows from step to step",
        "loss, smoothed",
        logx=True,
        marks=marks,
        band=band,
    )
    if band is None:
        yield "<p>The loss falls at no rate.</p></section>"
        return
    yield (
        f"<p>A range test from the start of training: the loss falls at rates from "
        f"{number(band[0])} to {number(band[1])} (shaded).</p>"
    )
    yield from line_chart(
        [
            Series(f"at the {name} rate", range(1, len(r) + 1), [s.loss for s in r])
            for name, r in (("compiled", test.given), ("suggested", test.suggested))
        ],
        "step",
        "training loss",
    )
    yield "</section>"


def _curves(case: Case) -> Iterator[str]:
    epochs = Epochs.of(case.history or ())
    if not len(epochs):
        return
    numbers = range(1, len(epochs) + 1)
    yield "<section>\n<h2>Training so far</h2>"
    for name, pairs in (
        ("loss", (epochs.loss, epochs.held_out_loss)),
        ("accuracy", (epochs.accuracy, epochs.held_out_accuracy)),
    ):
        lines = [
            Series(label, numbers, values.tolist())
            for label, values in zip(("training", "held out"), pairs, strict=True)
            if np.isfinite(values).any()
        ]
        if lines:
            yield from line_chart(lines, "epoch", name, zero=True)
    loss, accuracy = guessing(case)
    yield f"<p>Guessing has a loss of {number(loss)} and an accuracy of {accuracy:.0%}.</p>"
    yield "</section>"
