"""One program for each claim of a paper: python -m reproduce.NAME --flags."""

# First of all, because it keeps TensorFlow's native chatter out of the terminal.
import keras_classics.cli._program  # noqa: F401
