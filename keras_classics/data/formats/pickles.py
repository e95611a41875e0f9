"""Pickles of arrays, lists and strings. Nothing in them is executed.

Python's own reader calls what a pickle names, takes as much memory as a pickle asks for, and
overflows its stack for deep keys. This one knows the operations that such pickles consist of, and
has stand-ins for what NumPy names: a pickle never reaches NumPy, whose arrays trust their state.
"""

import pickletools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_classics.errors import UserError, short_reason

# Operations, by what they push: what they hold themselves; a string of Python 2, which is bytes; or
# always the same.
HOLDING = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
OF_PYTHON_2 = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NUMBERING, NUMBERED = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}


def read_pickle(content: bytes) -> Any:
    """Returns what a pickle holds: containers, numbers, strings, and arrays of whole numbers.

    Strings of Python 2 are returned as bytes.

    Raises:
        UserError: If it is damaged, or holds something else; the message says what only.
    """
    try:
        machine = _Machine()
        for opcode, argument, _ in pickletools.genops(content):
            machine.step(opcode.name, argument)
        (found,) = machine.stack
        return found
    except UserError:
        raise
    except Exception as error:
        # Wrong bytes lead to any exception.
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


class _Dtype:
    """Stands for NumPy's type of an array."""

    def __init__(self, name: str | bytes, *_: Any):
        if not isinstance(name, str | bytes):
            raise UserError("it is not an intact pickle (a type has no name)")
        self.name, self.byte_order = _text(name), "="

    def set_state(self, state: Sequence[Any]) -> None:
        """Sets the byte order."""
        self.byte_order = _text(state[1])

    def values(self, content: bytes) -> Any:
        """Returns the numbers in some bytes, an array.

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

    def set_state(self, state: Sequence[Any]) -> None:
        """Sets the values."""
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


class _Machine:
    """The stack of a pickle that is read, and its objects by their numbers."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.numbered: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carries out one operation.

        Raises:
            UserError: If it is not one of these.
        """
        stack = self.stack
        if name in HOLDING:
            stack.append(argument)
        elif name in OF_PYTHON_2:
            stack.append(argument.encode("latin1"))
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in NUMBERING:
            self.numbered[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.numbered[len(self.numbered)] = stack[-1]
        elif name in NUMBERED:
            stack.append(self.numbered[argument])
        elif name in TUPLES:
            stack.append(tuple(self._taken(TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        else:
            self._step_of_containers(name, argument)

    def _step_of_containers(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "MARK":
            self.marks.append(len(stack))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("LIST", "DICT"):
            items = self._marked()
            stack.append(items if name == "LIST" else {})
            if name == "DICT":
                self._set(items)
        elif name in ("APPEND", "APPENDS"):
            items = self._taken(1) if name == "APPEND" else self._marked()
            self._top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            self._set(self._taken(2) if name == "SETITEM" else self._marked())
        elif name == "GLOBAL":
            stack.append(_stand_in(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            names = self._taken(2)
            if not all(isinstance(part, str) for part in names):
                raise UserError("it is not an intact pickle (a name is no string)")
            stack.append(_stand_in(*names))
        elif name == "REDUCE":
            function, arguments = self._taken(2)
            if function not in STAND_INS.values():
                raise UserError("it calls what is no function")
            stack.append(function(*arguments))
        elif name == "BUILD":
            (state,) = self._taken(1)
            self._top((_Dtype, _Array)).set_state(state)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise UserError(f"it has the operation {name}, which no array, list or string needs")

    def _taken(self, count: int) -> list[Any]:
        """Removes the last objects of the stack and returns them."""
        if len(self.stack) < count:
            raise UserError("it is not an intact pickle (its stack is empty)")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _marked(self) -> list[Any]:
        """Removes the objects of the stack after the last mark and returns them."""
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _top(self, kind: Any) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise UserError("it is not an intact pickle (it changes an object of another kind)")
        return self.stack[-1]

    def _set(self, items: Sequence[Any]) -> None:
        keys, values = items[::2], items[1::2]
        if not all(isinstance(key, str | bytes) for key in keys):
            raise UserError("its keys must be strings")
        self._top(dict).update(zip(keys, values, strict=True))


def _stand_in(module: str, name: str) -> Callable:
    """Returns the stand-in for what a pickle names."""
    stand_in = STAND_INS.get((module, name))
    if stand_in is None:
        raise UserError(
            f"it contains {module}.{name}, which is not executed: it must hold arrays, lists "
            "and strings alone"
        )
    return stand_in
