"""What `--help` prints: the program's docstring, then its flags in groups, with their defaults."""

import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from types import ModuleType

from absl import flags

HELP = ("h", "help", "helpfull", "helpshort", "helpxml")

# What stands for a flag's value, by the type that absl gives it.
VALUES = {
    "int": "N",
    "float": "X",
    "path": "PATH",
    "string": "TEXT",
    "multi path": "PATH",
    "multi string": "TEXT",
    "comma separated list of strings": "A,B",
}

# Column at which the descriptions of flags start.
INDENT = 28


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Returns whether the arguments of a program ask for its help."""
    flags_alone = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(
        argument.startswith("-") and argument.lstrip("-").partition("=")[0] in HELP
        for argument in flags_alone
    )


def help_text(main: Callable[..., None], command: str) -> str:
    """Returns the help of a program.

    The flags of the program's own module come first, those that it shares with others after them.
    A module that defines shared flags groups them in `FLAG_GROUPS`, a mapping from titles to flags.

    Args:
        main: The program.
        command: What to type to run it.
    """
    module = sys.modules[main.__module__]
    arguments = positional_names(list(inspect.signature(main).parameters.values()))
    usage = " ".join([command, *arguments, "[--FLAG=VALUE ...]"])
    width = min(100, shutil.get_terminal_size((100, 0)).columns)
    parts = [inspect.getdoc(module) or "", f"Usage: {usage}"]
    for title, group in _groups(module).items():
        parts.append("\n".join([f"{title}:", *(_lines(flag, width) for flag in group)]))
    return "\n\n".join(part for part in parts if part)


def positional_names(parameters: Sequence[inspect.Parameter]) -> list[str]:
    """Returns what stands for the positional arguments in the usage of a program.

    `image=None, *images` takes any number of arguments, also none.
    """
    names = []
    for parameter in parameters:
        name = parameter.name.upper()
        many = parameter.kind is parameter.VAR_POSITIONAL
        if many and names and names[-1].startswith("["):
            names[-1] = f"[{name}...]"
        elif many:
            names.append(f"{name}...")
        else:
            names.append(name if parameter.default is parameter.empty else f"[{name}]")
    return names


def _groups(own: ModuleType) -> dict[str, list[flags.Flag]]:
    """The flags by the title of their group."""
    by_module = flags.FLAGS.flags_by_module_id_dict()
    groups = {"Flags of this program": by_module[id(own)]} if id(own) in by_module else {}
    # Last imported first: the module that shares the most comes last.
    for module in reversed(list(sys.modules.values())):
        # Flags of modules without groups are absl's.
        if id(module) in by_module and module is not own:
            for title, holders in getattr(module, "FLAG_GROUPS", {}).items():
                shared = [flags.FLAGS[holder.name] for holder in holders]
                groups.setdefault(title, []).extend(shared)
    return groups


def _lines(flag: flags.Flag, width: int) -> str:
    """A flag, its description and its default."""
    name = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}={_value(flag)}"
    text = _description(flag)
    if note := _note(flag):
        text = f"{text} ({note})".replace("default: ", "default:\N{NO-BREAK SPACE}")
    lines = [
        line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(text, width - INDENT)
    ]
    if len(name) + 2 > INDENT:
        return "\n".join([name, *(" " * INDENT + line for line in lines)])
    return "\n".join([f"{name:<{INDENT}}{lines[0]}", *(" " * INDENT + line for line in lines[1:])])


def _value(flag: flags.Flag) -> str:
    choices = getattr(flag.parser, "enum_values", None)
    return "|".join(choices) if choices else VALUES[flag.flag_type()]


def _description(flag: flags.Flag) -> str:
    """The flag's help without what absl adds about its type."""
    text = flag.help.partition(";\n    repeat this option")[0]
    if getattr(flag.parser, "enum_values", None):
        text = text.partition(">: ")[2]
    return text.strip()


def _note(flag: flags.Flag) -> str:
    """The default, or that there is none and a value must be given."""
    if any("must have a value" in validator.message for validator in flag.validators):
        return "required"
    notes = ["can be repeated"] if flag.flag_type().startswith("multi") else []
    if flag.default not in (None, []):
        notes.append(f"default: {flag.default_as_str.strip(chr(39))}")
    return "; ".join(notes)
