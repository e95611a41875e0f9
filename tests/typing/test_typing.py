"""The file that type checkers read calls every builder with all of its arguments."""

import inspect
import os
from pathlib import Path

import keras_classics as kc

PATH = Path(__file__).with_name("builders.py")

HEAD = '''"""Every builder with all of its arguments, for the type checkers of `make lint`. Not run.

Written by `REFRESH_GOLDEN=1 python -m pytest tests/typing`.
"""

# ruff: noqa: E501
# fmt: off
from typing import assert_type

import keras

import keras_classics as kc

'''


def written() -> str:
    """The text of the file, a network a line."""
    lines = []
    for name in kc.list_models():
        parameters = inspect.signature(getattr(kc, name)).parameters.values()
        arguments = ", ".join(f"{p.name}={p.default!r}" for p in parameters)
        lines.append(f"assert_type(kc.{name}({arguments}), keras.Model)\n".replace("'", '"'))
    return HEAD + "".join(lines)


def test_builders():
    if os.environ.get("REFRESH_GOLDEN"):
        PATH.write_text(written())
    assert PATH.read_text() == written()


def test_public_names_are_spelt_out():
    assert set(kc.list_models()) < set(kc.__all__)
