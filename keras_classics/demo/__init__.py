"""Demo: a static site that runs an exported network in the visitor's browser."""

from keras_classics.demo.write import write_site

__all__ = ["write_site"]
