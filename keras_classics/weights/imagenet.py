"""ImageNet's 1,000 classes, sorted by WordNet ID, as in all published weights."""

from pathlib import Path

_LINES = (Path(__file__).parent / "imagenet_classes.txt").read_text().splitlines()

# WordNet IDs, such as n01440764, and names, such as tench.
IDS, CLASSES = zip(*(line.split(" ", 1) for line in _LINES), strict=True)
