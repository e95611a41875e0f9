"""Writes a web site on which an exported network answers in the visitor's browser.

keras-classics demo --export=runs/lenet5_digits/export --out=site
python -m http.server --directory=site

The visitor draws, or gives a picture; no picture leaves the browser. The first call lets npm bring
LiteRT for the web into ~/.keras. Any web server can serve the site, which takes nothing from
elsewhere.
"""

from pathlib import Path

from absl import flags

from keras_classics.demo import write_site

EXPORT = flags.DEFINE_string(
    "export", None, "Folder of an exported network, with model.tflite.", required=True
)
OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
RUN = flags.DEFINE_string("run", None, "Run that was exported, if --export does not lie in it.")
DATASET = flags.DEFINE_string(
    "dataset", None, "What the network was trained on, if the run does not say it."
)


def main() -> None:
    """Writes the site and says how to see it."""
    out = Path(OUT.value).expanduser()
    run = Path(RUN.value).expanduser() if RUN.value else None
    facts = write_site(Path(EXPORT.value).expanduser(), out, run=run, dataset=DATASET.value)
    print(f"{facts['title']} is in {out}. To see it: python -m http.server --directory={out}")
