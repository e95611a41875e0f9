"""Plots of training runs, comparisons and networks, written as image files."""

from keras_classics.analysis.plots.comparisons import Line, bars, error_by_size, lines, scaling
from keras_classics.analysis.plots.drawing import optional
from keras_classics.analysis.plots.networks import activations, diagram, filters, receptive_field
from keras_classics.analysis.plots.runs import confusion, curves, image_grid, mistakes

__all__ = [
    "Line",
    "activations",
    "bars",
    "confusion",
    "curves",
    "diagram",
    "error_by_size",
    "filters",
    "image_grid",
    "lines",
    "mistakes",
    "optional",
    "receptive_field",
    "scaling",
]
