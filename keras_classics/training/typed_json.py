"""Dataclasses as JSON and back, with types checked.

A nested dataclass becomes a mapping with its class name as `kind`, where its field allows several
classes. Sequences become lists, and lists become tuples again.
"""

import ast
import dataclasses
import difflib
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from keras_classics.errors import UserError, unknown_name

T = TypeVar("T")

KIND = "kind"

# What a value of a type is called in messages.
NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a string",
    type(None): "null",
}


@dataclass(frozen=True)
class Text:
    """A value as somebody typed it: a JSON or Python literal, or a bare string."""

    text: str

    def candidates(self) -> list[Any]:
        """Returns what the text may mean, the likelier meaning first."""
        for parse in (json.loads, _python_literal):
            try:
                return [parse(self.text), self.text]
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
        return [self.text]


def _python_literal(text: str) -> Any:
    """The value of a Python literal in the form that JSON gives it."""
    return json.loads(json.dumps(ast.literal_eval(text)))


def encode(value: Any) -> Any:
    """Returns a value as what JSON can hold."""
    if dataclasses.is_dataclass(value):
        return {KIND: type(value).__name__, **encode_fields(value)}
    if isinstance(value, Mapping):
        # JSON has no other keys than strings.
        return {str(key): encode(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [encode(entry) for entry in value]
    return value


def encode_fields(value: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass as what JSON can hold, without a `kind`."""
    return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}


def decode(hint: Any, content: Any, name: str = "") -> Any:
    """Returns the value that `encode` made the content from.

    Args:
        hint: Type of the value, as in an annotation. Types that JSON has no form for, such as
            layers, are not checked.
        content: What JSON held; in it, `Text` stands for what somebody typed.
        name: Name of the value in messages, such as `"schedule.rate"`.

    Raises:
        UserError: If the content is not of that type.
    """
    if isinstance(content, Text):
        return _decode_text(hint, content, name)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(hint, content, name)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(hint, content, name)
    if typing.is_typeddict(hint):
        return _decode_typed_dict(hint, content, name)
    if origin is typing.Literal:
        return _checked(content in arguments, hint, content, name)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _checked(isinstance(content, Mapping), hint, content, name)
        return {key: decode(arguments[1], v, _join(name, key)) for key, v in content.items()}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _decode_sequence(hint, content, name)
    if hint in NAMES:
        return _checked(_is(hint, content), hint, content, name)
    for path, value in numbers(content, name):
        if not is_number(value):
            raise _wrong(float, value, path)
    return _frozen(content)


def decode_arguments(taker: Callable, content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the keyword arguments of a function or class that `encode` made the content from.

    Args:
        taker: Takes the arguments. Its annotations say which types they have.
        content: What JSON held.
        name: Name of the arguments in messages, such as `"model_arguments"`.

    Raises:
        UserError: If there is no argument of some name, or one is of the wrong type.
    """
    parameters = _parameters(taker)
    for key in content:
        if key not in parameters:
            raise unknown_name("field", _join(name, key), [_join(name, p) for p in parameters])
    return {
        key: decode(parameters[key].annotation, value, _join(name, key))
        for key, value in content.items()
    }


def _parameters(taker: Callable) -> dict[str, inspect.Parameter]:
    """The named parameters of a function; of a class also those that its bases take."""
    bases = [cls.__init__ for cls in taker.__mro__] if isinstance(taker, type) else []
    signatures = [inspect.signature(function) for function in [taker, *bases]]
    return {
        parameter.name: parameter
        for signature in reversed(signatures)
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name != "self"
    }


def holds(content: Mapping[str, Any], path: str, value: Any) -> bool:
    """Returns whether nested mappings have a value at a path."""
    try:
        return value_at(content, path) == value
    except UserError:
        return False


def set_at(content: dict[str, Any], path: str, value: Any, mappings: Collection[str]) -> None:
    """Sets a value inside nested mappings.

    Args:
        content: A dataclass as `encode_fields` returns it.
        path: Where, such as `"schedule.rate"`.
        value: The value.
        mappings: Paths of the mappings that may get new keys, see `mapping_fields`.

    Raises:
        UserError: If there is no such path.
    """
    *parents, last = path.split(".")
    node = _descend(content, parents, path)
    if not isinstance(node, dict):
        raise UserError(f"{'.'.join(parents)} has no fields. Received: {path}.")
    if last not in node and ".".join(parents) not in mappings:
        raise _unknown_path(content, path)
    node[last] = value


def mapping_fields(cls: type) -> list[str]:
    """Returns the fields of a dataclass that are mappings."""
    hints = typing.get_type_hints(cls)
    return [name for name, hint in hints.items() if typing.get_origin(hint) is Mapping]


def value_at(content: Mapping[str, Any], path: str) -> Any:
    """Returns a value inside nested mappings, given its path, such as `"schedule.rate"`.

    Raises:
        UserError: If there is no such path.
    """
    return _descend(content, path.split("."), path)


def _descend(content: Mapping[str, Any], names: Sequence[str], path: str) -> Any:
    node, before = content, ""
    for name in names:
        if not isinstance(node, Mapping):
            raise UserError(f"{before} has no fields. Received: {path}.")
        if name not in node:
            raise _unknown_path(content, path)
        node, before = node[name], _join(before, name)
    return node


def _unknown_path(content: Mapping[str, Any], path: str) -> UserError:
    """The error with the paths that are spelt alike, or else with the fields at the top."""
    every = list(_paths(content))
    near = difflib.get_close_matches(path, every, n=1, cutoff=0.5)
    return unknown_name("field", path, every if near else content)


def _paths(content: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in content.items():
        yield _join(before, name)
        if isinstance(value, Mapping):
            yield from _paths(value, _join(before, name))


def _decode_text(hint: Any, content: Text, name: str) -> Any:
    errors = []
    for candidate in content.candidates():
        try:
            return decode(hint, candidate, name)
        except UserError as error:
            errors.append(error)
    raise errors[0]


def _decode_union(hint: Any, content: Any, name: str) -> Any:
    members = typing.get_args(hint)
    classes = {member.__name__: member for member in members if dataclasses.is_dataclass(member)}
    if classes and isinstance(content, Mapping):
        kind = content.get(KIND, next(iter(classes)) if len(classes) == 1 else None)
        kind = kind.text if isinstance(kind, Text) else kind
        if not (isinstance(kind, str) and kind in classes):
            raise unknown_name(_join(name, KIND), str(kind), classes)
        return _decode_dataclass(classes[kind], content, name)
    for member in members:
        try:
            return decode(member, content, name)
        except UserError:
            continue
    raise _wrong(hint, content, name)


def _decode_dataclass(cls: type[T], content: Any, name: str) -> T:
    _checked(isinstance(content, Mapping), cls, content, name)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in content:
        if key not in (*fields, KIND):
            known = [_join(name, field) for field in fields]
            raise unknown_name("field", _join(name, key), known)
    for key, field in fields.items():
        if key not in content and not _has_default(field):
            raise UserError(f"{_join(name, key)} is missing. {cls.__name__} has no default for it.")
    return cls(
        **{
            key: decode(hints[key], content[key], _join(name, key))
            for key in fields
            if key in content
        }
    )


def _decode_typed_dict(cls: type, content: Any, name: str) -> dict[str, Any]:
    """Decodes the fields that the class has; others stay, as files of other versions have them."""
    _checked(isinstance(content, Mapping), cls, content, name)
    hints = typing.get_type_hints(cls)
    for key in sorted(cls.__required_keys__ - content.keys()):
        raise UserError(f"{_join(name, key)} is missing.")
    return {
        key: decode(hints.get(key, Any), value, _join(name, key)) for key, value in content.items()
    }


def _has_default(field: dataclasses.Field) -> bool:
    return any(d is not dataclasses.MISSING for d in (field.default, field.default_factory))


def _decode_sequence(hint: Any, content: Any, name: str) -> tuple:
    arguments = typing.get_args(hint)
    _checked(isinstance(content, list | tuple), hint, content, name)
    if len(arguments) == 1 or arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(content)
    _checked(len(content) == len(arguments), hint, content, name)
    return tuple(
        decode(member, value, f"{name}[{i}]")
        for i, (member, value) in enumerate(zip(arguments, content, strict=True))
    )


def _is(kind: type, content: Any) -> bool:
    if kind is float:
        number = isinstance(content, int | float) and not isinstance(content, bool)
        return number and is_number(content)
    if kind is int:
        return isinstance(content, int) and not isinstance(content, bool) and is_number(content)
    return isinstance(content, kind)


def is_number(value: float) -> bool:
    """Returns whether a number is finite, and if it is whole, fits into 64 bits."""
    return -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yields all numbers inside dataclasses, mappings and sequences, each with its path."""
    if dataclasses.is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from numbers(entry, _join(name, str(key)))
    elif isinstance(value, tuple | list):
        for i, entry in enumerate(value):
            yield from numbers(entry, f"{name}[{i}]")
    elif isinstance(value, int | float):
        yield name, value


def _frozen(content: Any) -> Any:
    """A value whose type is not known: lists become tuples, as recipes hold them."""
    if isinstance(content, Text):
        return _frozen(content.candidates()[0])
    if isinstance(content, list | tuple):
        return tuple(_frozen(value) for value in content)
    if isinstance(content, Mapping):
        return {key: _frozen(value) for key, value in content.items()}
    return content


def _checked(right: bool, hint: Any, content: Any, name: str) -> Any:
    if not right:
        raise _wrong(hint, content, name)
    return content


def _wrong(hint: Any, content: Any, name: str) -> UserError:
    return UserError(f"{name} must be {described(hint)}. Received: {content!r}.")


def described(hint: Any) -> str:
    """Returns what a type allows, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        classes = [a.__name__ for a in arguments if dataclasses.is_dataclass(a)]
        others = [described(a) for a in arguments if not dataclasses.is_dataclass(a)]
        kinds = [f'a mapping whose "kind" is {_either(classes)}'] if classes else []
        return _either([*kinds, *others])
    if origin is typing.Literal:
        return _either([repr(value) for value in arguments])
    if dataclasses.is_dataclass(hint) or typing.is_typeddict(hint):
        return f"a mapping with the fields of {hint.__name__}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        open_ended = len(arguments) == 1 or arguments[-1] is Ellipsis
        entries = f"a list, each entry {described(arguments[0])}"
        return entries if open_ended else f"a list of {len(arguments)} entries"
    return NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
