"""The shortest command that repeats a program."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags


def repeating_command(arguments: Sequence[str] = (), **values: Any) -> str | None:
    """Returns a command that repeats this process, for a shell, or None for `python -c`.

    It names the program and, in alphabetical order, the flags whose values are not their defaults.

    Args:
        arguments: The positional arguments.
        **values: Values of flags in place of those given; None leaves a flag out.
    """
    program = _program()
    if program is None:
        return None
    words = [*program, *_flags(values)]
    # Without it, an argument that starts with a dash would be read as a flag.
    dashes = ["--"] if any(argument.startswith("-") for argument in arguments) else []
    return shlex.join([*words, *dashes, *arguments])


def _program() -> list[str] | None:
    """What starts the program: `keras-classics COMMAND`, or `python -m MODULE`."""
    module = sys.modules["__main__"].__spec__
    name = "" if module is None else module.name.removesuffix(".__main__")
    if name == "keras_classics.cli" or Path(sys.argv[0]).stem == "keras-classics":
        return ["keras-classics", *sys.argv[1:2]]
    return ["python", "-m", name] if name else None


def _flags(values: dict[str, Any]) -> Iterator[str]:
    of_absl = {
        flag.name
        for module, defined in flags.FLAGS.flags_by_module_dict().items()
        if module.startswith("absl.")
        for flag in defined
    }
    for name in sorted(set(flags.FLAGS) - of_absl):
        flag = flags.FLAGS[name]
        value = values.get(name, flag.value)
        # A flag may also be known by its short name.
        if name == flag.name and value is not None and value != flag.default:
            yield from _written(flag, value)


def _written(flag: flags.Flag, value: Any) -> Iterator[str]:
    if flag.boolean:
        yield f"--{flag.name}" if value else f"--no{flag.name}"
        return
    for one in value if isinstance(flag, flags.MultiFlag) else [value]:
        yield f"--{flag.name}={flag.serializer.serialize(one)}"
