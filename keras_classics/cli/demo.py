"""Writes a web site that runs an exported network in the visitor's browser.

keras-classics demo --export=runs/lenet5_digits/export --out=site
python -m http.server --directory=site

Visitors draw or choose an image; no image leaves the browser. The first call downloads LiteRT for
the web into ~/.keras with npm. Any web server can serve the site. It loads no external resources.
"""

from pathlib import Path

from absl import flags

from keras_classics.demo import write_site

EXPORT = flags.DEFINE_string(
    "export", None, "Folder of an exported network that contains model.tflite.", required=True
)
OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
RUN = flags.DEFINE_string(
    "run", None, "Run that was exported, if the export is not inside its folder."
)
DATASET = flags.DEFINE_string(
    "dataset", None, "Data set that the network was trained on, if the run does not say."
)


def main() -> None:
    """Writes the site and prints how to open it."""
    out = Path(OUT.value).expanduser()
    run = Path(RUN.value).expanduser() if RUN.value else None
    metadata = write_site(Path(EXPORT.value).expanduser(), out, run=run, dataset=DATASET.value)
    print(f"{metadata['title']} is in {out}. To see it: python -m http.server --directory={out}")
