"""Demo: a static site on which an exported network answers in the visitor's own browser."""

from keras_classics.demo.write import write_site

__all__ = ["write_site"]
