"""Writes a web site that runs an exported network in the visitor's browser.

keras-classics demo --export=runs/lenet5_digits/export --out=site
python -m http.server --directory=site

Visitors choose a picture, or draw one if the network was trained on drawings; none leaves the
browser, and the network gets it as 'keras-classics predict' gives it. The samples are held-out
pictures of the training data, if these are on this machine. The first call downloads LiteRT for the
web into ~/.keras with npm. Any web server can serve the site. It loads no external resources.
"""

from pathlib import Path

from absl import flags

from keras_classics.cli._paths import define_path
from keras_classics.demo import write_site

EXPORT = define_path(
    "export", None, "Folder of an exported network that contains model.tflite.", required=True
)
OUT = define_path("out", None, "Folder to write.", required=True)
RUN = define_path("run", None, "Run that was exported, if the export is not inside its folder.")
DATASET = flags.DEFINE_string(
    "dataset", None, "Data set that the network was trained on, if the run does not say."
)


def main() -> None:
    """Writes the site and prints how to open it."""
    out = Path(OUT.value)
    run = Path(RUN.value) if RUN.value else None
    metadata = write_site(Path(EXPORT.value), out, run=run, dataset=DATASET.value)
    samples = metadata["samples"]
    if samples["pictures"]:
        print(f"The page holds {len(samples['pictures'])} samples: {samples['credit']}.")
    print(f"{metadata['title']} is in {out}. To see it: python -m http.server --directory={out}")
