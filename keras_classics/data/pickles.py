"""Pickles of arrays, lists and strings. Nothing in them is executed.

Python's own reader calls what a pickle names. Here a pickle may name only what NumPy writes for an
array, and gets stand-ins for it: a pickle never reaches NumPy, whose arrays trust their state.
"""

import functools
import io
import pickle
import pickletools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_classics.errors import UserError, short_reason


def read_pickle(content: bytes) -> Any:
    """Returns what a pickle holds: containers, numbers, and arrays of whole numbers.

    Strings of Python 2 are returned as bytes.

    Raises:
        UserError: If it is damaged, or holds something else; the message says what only.
    """
    try:
        _check_memory(content)
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except UserError:
        raise
    except Exception as error:
        # Wrong bytes lead to any exception of pickle.
        raise UserError(f"it is not an intact pickle ({short_reason(error)})") from error


def array_of(value: Any) -> np.ndarray | None:
    """Returns an array or a list of whole numbers in a pickle as an array; of others, None."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, list) and all(type(item) is int for item in value):
        try:
            return np.array(value, "int64")
        except OverflowError:
            return None
    return None


def _check_memory(content: bytes) -> None:
    """Refuses pickles for which Python takes more memory than they have.

    Ten bytes can ask for 64 GB: for an object with a large number, or for a long string that the
    file does not hold, which `genops` notices.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > count:
            raise UserError("it is not an intact pickle (an object has too large a number)")


class _Dtype:
    """Stands for NumPy's type of an array."""

    def __init__(self, name: str | bytes, *_: Any):
        self.name, self.byte_order = _text(name), "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.byte_order = _text(state[1])

    def values(self, content: bytes) -> np.ndarray:
        """Returns the numbers in some bytes.

        Raises:
            UserError: If they are not whole numbers.
        """
        dtype = np.dtype(self.name).newbyteorder(self.byte_order)
        if dtype.kind not in "iu":
            raise UserError(f"its arrays must be of whole numbers. Received: {dtype}")
        return np.frombuffer(content, dtype)


class _Array:
    """Stands for an array."""

    values: np.ndarray | None = None

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, dtype, is_fortran, content = state
        self.values = dtype.values(content).reshape(shape, order="F" if is_fortran else "C")


def _array(*_: Any) -> _Array:
    return _Array()


def _array_of_buffer(buffer: bytes, dtype: _Dtype, shape: Any, order: str) -> _Array:
    array = _Array()
    array.values = dtype.values(buffer).reshape(shape, order=order)
    return array


def _scalar(dtype: _Dtype, content: bytes) -> int:
    return int(dtype.values(content)[0])


def _encoded(text: str, encoding: str) -> bytes:
    if _text(encoding) != "latin1":
        raise UserError(f"its bytes must be stored as latin1. Received: {encoding!r}")
    return text.encode("latin1")


def _text(text: str | bytes) -> str:
    return text.decode("latin1") if isinstance(text, bytes) else text


# What NumPy 1 and 2 name in pickles of all protocols, and Python 3 for bytes in old ones.
STAND_INS: dict[tuple[str, str], Callable] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _array,
    ("_codecs", "encode"): _encoded,
    **{
        (f"numpy.{core}.{name}", function): stand_in
        for core in ("core", "_core")
        for name, function, stand_in in (
            ("multiarray", "_reconstruct", _array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _array_of_buffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in for what a pickle names."""
        stand_in = STAND_INS.get((module, name))
        if stand_in is None:
            raise UserError(
                f"it contains {module}.{name}, which is not executed: it must hold arrays, lists "
                "and strings alone"
            )
        # A new object each time, because a pickle can set attributes of what it gets.
        return functools.partial(stand_in)
