"""Parts of pages: HTML files of one piece, which need no network."""

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_classics.backend import tf
from keras_classics.errors import one_line

# Nothing is loaded, and no script runs, whatever the names of files hold. A page with a script of
# its own names it by a number that is drawn for it.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b7dd8; --warn: #b54708; }
@media (prefers-color-scheme: dark) { :root { --bar: #6ea8fe; --warn: #ffb454; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; font-size: 1.25rem; }
table { border-collapse: collapse; } caption { text-align: left; font-weight: 600; }
th, td { padding: .15rem .75rem .15rem 0; text-align: left; font-weight: normal; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.warning { color: var(--warn); font-weight: 600; }
.group { display: flex; flex-wrap: wrap; gap: 1rem; padding: 1rem 0; }
.group + .group { border-top: 1px solid var(--line); }
figure { margin: 0; width: 12rem; font-size: .85rem; overflow-wrap: anywhere; }
figure img { display: block; max-width: 100%; border: 1px solid var(--line); }
figure .small { image-rendering: pixelated; width: 6rem; }
figcaption b { display: block; }
svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: currentColor; }
svg line { stroke: var(--line); }
"""

END = "</main>\n</body>\n</html>"

# JPEG quality of thumbnails.
QUALITY = 80


class Thumbnail(NamedTuple):
    """A small image for a page.

    Attributes:
        address: A `data:` address with its content.
        height: In pixels.
        width: In pixels.
    """

    address: str
    height: int
    width: int

    def element(self, side: int) -> str:
        """Returns an `img` element; one much smaller than `side` is shown larger."""
        kind = ' class="small"' if max(self.height, self.width) <= side // 2 else ""
        return (
            f'<img{kind} src="{self.address}" width="{self.width}" height="{self.height}" alt="">'
        )


def head(title: str, style: str = "", policy: Sequence[str] = ()) -> str:
    """Returns the beginning of a page, up to its heading.

    Args:
        title: Its title, any text.
        style: Rules after those of `STYLE`.
        policy: Directives of its content security policy after those of `POLICY`.
    """
    rules = "; ".join([POLICY, *policy])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{text(title)}</h1>"
    )


def text(content: str) -> str:
    """Returns the text of a user on one line, for HTML."""
    return html.escape(one_line(content))


def thumbnail(image: np.ndarray, side: int) -> Thumbnail:
    """Returns an image as a JPEG of at most `side` x `side` pixels.

    Args:
        image: uint8, shape (height, width, 1 or 3).
        side: Longest side.
    """
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    if scale < 1:
        image = tf.cast(tf.round(tf.image.resize(image, small, method="area")), tf.uint8)
    content = base64.b64encode(tf.io.encode_jpeg(image, quality=QUALITY).numpy()).decode()
    return Thumbnail(f"data:image/jpeg;base64,{content}", *small)
