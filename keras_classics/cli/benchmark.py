"""Measures an export on this machine, each form in its runtime, and names the one to take.

keras-classics benchmark --export=served
keras-classics benchmark --export=served my_photos 'more/*.jpg' --threads=1,4 --batches=1,8,32
keras-classics benchmark --export=served --out=measured --json

Each form of the folder that `keras-classics export` wrote is loaded in a process of its own, and
all take turns. IMAGES are files, folders, patterns in quotes, and - for paths on standard input;
generated images if there are none. If OpenVINO is installed, it runs ONNX files too, in float32 or
int8.

p50, p95   milliseconds of a call with one batch
load s     seconds to load the export, without the import of its runtime
peak MB    the most memory that the process has held
same       images here with the same prediction as of the first form
accuracy   of the export on the images that it was compared with the network on; without labels the
           part with the network's prediction

Recommended is the form that answers one image fastest, of those that lose at most half a point of
accuracy, or without labels, that predict the network's class for at least 99.5 % of those images.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.cli._image_arguments import named_images
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.data.image_files import fault_of, upright
from keras_classics.environment import current_environment, usable_processors
from keras_classics.errors import UserError
from keras_classics.export import measuring
from keras_classics.export.exported import read_manifest
from keras_classics.export.measuring import Measurement

EXPORT = define_path(
    "export", None, "Folder that `keras-classics export` wrote, or an export in it.", required=True
)
THREADS = flags.DEFINE_list(
    "threads", None, "Numbers of threads that a runtime may use; 1 and all processors if unset."
)
BATCHES = flags.DEFINE_list("batches", ["1", "16"], "Numbers of images of a call.")
TURNS = flags.DEFINE_integer("turns", 7, "Turns of each form, of 0.3 seconds each.", lower_bound=1)
# Most threads, and images of a call.
MOST = 1024

OUT = define_path("out", None, "Folder for benchmark.csv, benchmark.json and benchmark.png.")

FLAG_GROUPS = {"Export": (EXPORT,), "Measurement": (THREADS, BATCHES, TURNS), "Output": (OUT,)}


def main(image: str | None = None, *images: str) -> None:
    """Measures the forms, prints a table and writes the files."""
    threads = _numbers("threads", THREADS.value or {"1", str(usable_processors())})
    batches = _numbers("batches", BATCHES.value)
    if OUT.value:
        files.refuse_existing(Path(OUT.value))
        files.refuse_unwritable(Path(OUT.value))
    folder, forms, missing = _forms(Path(EXPORT.value))
    encoded, shown = _images(folder, [image, *images] if image is not None else [])
    rows, failed = measuring.measure(forms, encoded, threads, batches, TURNS.value)
    missing |= failed
    if not rows:
        raise UserError(f"No form of {folder} can be run here. Received: {_reasons(missing)}.")
    best = measuring.recommended(rows)
    content = {
        "model": read_manifest(folder).get("model"),
        "machine": current_environment()["device"],
        "images": shown,
        "recommended": None if best is None else dataclasses.asdict(best),
        "rows": [dataclasses.asdict(row) for row in rows],
        "not_measured": missing,
    }
    if OUT.value:
        _write(Path(OUT.value), content, rows)
    if JSON.value:
        print_json(content)
    else:
        print(_report(content, rows, best))


def _numbers(name: str, values: Collection[str]) -> list[int]:
    if not values or not all(value.isdecimal() and 0 < int(value) <= MOST for value in values):
        raise UserError(
            f"--{name} takes numbers from 1 to {MOST}, with commas between them. Received: "
            f"{','.join(values)!r}."
        )
    return sorted({int(value) for value in values})


def _forms(path: Path) -> tuple[Path, list[measuring.Form], dict[str, str]]:
    """Returns the folder of exports, the forms to measure, and what is left out and why."""
    folder = path if (path / "manifest.json").is_file() else path.parent
    forms, missing = measuring.forms_of(folder)
    if folder != path:
        forms = [form for form in forms if form.path == path]
        missing = {name: why for name, why in missing.items() if name.startswith(f"{path.name} ")}
    if not forms and not missing:
        raise UserError(
            f"--export names a folder of exports, or an export in it. Received: {path}, which is "
            f"none of {', '.join(read_manifest(folder)['exports'])}."
        )
    return folder, forms, missing


def _images(folder: Path, arguments: Sequence[str]) -> tuple[list[bytes], str]:
    """Returns encoded images, and what they are."""
    if not arguments:
        encoded = measuring.generated_files(folder)
        return encoded, f"{len(encoded)} generated images"
    named = named_images(arguments)[: measuring.MOST_IMAGES]
    encoded = [files.read_bytes(one.path) for one in named]
    manifest = read_manifest(folder)
    for one, content in zip(named, encoded, strict=True):
        fault = fault_of(content, one.path, manifest["max_pixels"])
        if fault is not None and fault.fatal:
            raise UserError(f"{one.path} cannot be used: {fault.fault}. Leave it out.")
    if manifest.get("exif_orientation") == "applied":
        encoded = [upright(content) for content in encoded]
    return encoded, f"{len(encoded)} images of {' '.join(arguments)}"


def _report(
    content: Mapping[str, Any], rows: Sequence[Measurement], best: Measurement | None
) -> str:
    width = max(len(row.name) for row in rows) + 1
    lines = [
        f"{content['model']} on {content['machine']}, {content['images']}:",
        f"{'':<{width}}{'threads':>8}{'batch':>6}{'p50 ms':>9}{'p95':>9}{'images/s':>10}"
        f"{'load s':>8}{'peak MB':>9}{'same':>9}{'accuracy':>10}",
    ]
    for row in rows:
        peak = "-" if row.peak_mb is None else f"{row.peak_mb:,.0f}"
        accuracy = row.same_prediction if row.accuracy is None else row.accuracy
        lines.append(
            f"{row.name:<{width}}{row.threads:>8}{row.batch:>6}{row.p50_ms:>9.2f}"
            f"{row.p95_ms:>9.2f}{row.images_per_second:>10,.1f}{row.load_s:>8.2f}{peak:>9}"
            f"{100 * row.same_here:>7.1f} %{100 * accuracy:>8.2f} %"
        )
    lines += [f"not measured  {name}: {why}" for name, why in content["not_measured"].items()]
    lines.append(f"recommended   {_recommendation(best)}")
    if OUT.value:
        lines.append(f"files         {OUT.value}/")
    return "\n".join(lines)


def _recommendation(best: Measurement | None) -> str:
    if best is None:
        return "none: each form loses more than half a point of accuracy"
    quality = f"{100 * best.same_prediction:.2f} % of the network's predictions"
    if best.accuracy is not None and best.model_accuracy is not None:
        accuracies = [f"{100 * one:.2f} %" for one in (best.accuracy, best.model_accuracy)]
        quality = f"{accuracies[0]} accuracy, the network {accuracies[1]}"
    threads = "1 thread" if best.threads == 1 else f"{best.threads} threads"
    return f"{best.name}, {threads}: {best.p50_ms:.2f} ms, {quality}"


def _reasons(missing: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in missing.items())


def _write(out: Path, content: Mapping[str, Any], rows: Sequence[Measurement]) -> None:
    """Writes the rows as CSV and JSON, and the plot."""
    with files.atomic_write(out) as aside:
        aside.mkdir()
        columns = [field.name for field in dataclasses.fields(Measurement)]
        files.write_csv(aside / "benchmark.csv", columns, map(dataclasses.asdict, rows))
        files.write_json(aside / "benchmark.json", content)
        with plots.optional(aside / "benchmark.png") as path:
            plots.lines(_panels(rows), "images of a call", "images a second", path, log=True)


def _panels(rows: Sequence[Measurement]) -> dict[str, list[plots.Line]]:
    """A panel for each number of threads, a line for each form."""
    panels: dict[str, dict[str, list[Measurement]]] = {}
    for row in rows:
        threads = "1 thread" if row.threads == 1 else f"{row.threads} threads"
        panels.setdefault(threads, {}).setdefault(row.name, []).append(row)
    return {
        title: [
            plots.Line(name, [[r.images_per_second for r in found]], [r.batch for r in found])
            for name, found in lines.items()
        ]
        for title, lines in panels.items()
    }
