"""Settings of the site. `make docs` builds it into build/docs, without a network."""

import os
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_classics  # noqa: E402

project = "keras_classics"
version = release = keras_classics.__version__

extensions = [
    "myst_nb",  # Pages in Markdown, and the notebooks.
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]

# Sphinx reads what lies below docs/, so the notebooks are copied there; git ignores the copies.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
(HERE / "notebooks").mkdir()
for notebook in (HERE.parent / "notebooks").glob("*.ipynb"):
    shutil.copy2(notebook, HERE / "notebooks")

# Links to files of the repository, as GitHub follows them, and the pages that show those files.
REPOSITORY_LINKS = {
    "](../notebooks/": "](notebooks/",
    "](../../notebooks/": "](../notebooks/",
    "](../reproduce/README.md": "](reproductions.md",
    "](../CONTRIBUTING.md": "](how_it_is_built.md",
}

# `:::` around several paragraphs, and links to headings as GitHub has them.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# The notebooks are shown as they are stored. By default two scripts come from a CDN, for widgets.
nb_execution_mode = "off"
nb_ipywidgets_js = {}

# Docstrings put code in single backquotes.
default_role = "code"
autodoc_member_order = "bysource"
# Keras writes its docstrings in Markdown.
autodoc_inherit_docstrings = False
maximum_signature_line_length = 80

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "keras_classics"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False

# What a page loads by itself; a link to click may lead anywhere.
EXTERNAL = re.compile(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")


def follow_repository_links(app, name: str, source: list[str]) -> None:
    """Replaces links to files of the repository by links to their pages."""
    for link, page in REPOSITORY_LINKS.items():
        source[0] = source[0].replace(link, page)


def keep_blocks(app, what, name, obj, options, lines: list[str]) -> None:
    """Makes reStructuredText of the docstrings' few forms: indented tables, lists without a gap."""
    kept: list[str] = []
    block = False  # Inside an indented table or example.
    for line in lines:
        before = kept[-1] if kept else ""
        bullet = line.startswith("- ")
        if what == "module" and line.startswith("    ") and not (block or before):
            kept += [".. code-block:: text", ""]
            block = True
        elif line and not line.startswith(" "):
            block = False
            if before and (bullet != before.startswith(("- ", "  "))):
                kept.append("")
        # `*` of an unpacked tuple is no emphasis.
        kept.append(line if "`" in line else re.sub(r"(?<=[ (])\*(?=\w)", r"\*", line))
    lines[:] = kept


def refuse_external(app, error) -> None:
    """Fails the build if a page would load something from elsewhere."""
    if error or app.builder.name != "html":
        return
    for page in sorted(Path(app.outdir).rglob("*.html")):
        if match := EXTERNAL.search(page.read_text()):
            raise RuntimeError(f"{page} loads from elsewhere: {match[0]}")


def setup(app) -> None:
    """Registers the functions above."""
    app.connect("source-read", follow_repository_links)
    app.connect("autodoc-process-docstring", keep_blocks)
    app.connect("build-finished", refuse_external)
