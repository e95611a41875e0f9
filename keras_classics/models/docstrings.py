"""Docstrings of builders: the common arguments are described once and joined to each family's."""

import inspect
import re
from collections.abc import Callable, Mapping

from keras_classics.models.builder import CommonArguments

# A section of a Google docstring: its title, and the indented lines below.
SECTION = r"^{title}:\n((?:    .*\n?|\n(?=    ))*)"


def builder_docstring(family: Callable, summary: str, arguments: Mapping[str, object]) -> str:
    """Returns the docstring of one network's builder.

    Args:
        family: Builder of the family. Its docstring has an Args section for its own arguments.
        summary: First line.
        arguments: Names of the network's arguments, in the order to describe them in.
    """
    text = inspect.getdoc(family) or ""
    described = {
        **_entries(inspect.getdoc(CommonArguments) or "", "Attributes"),
        **_entries(text, "Args"),
    }
    entries = [f"    {name}: {described[name]}" for name in arguments]
    _, _, body = text.partition("\n")
    section = "Args:\n" + "\n".join(entries) + "\n"
    pattern = re.compile(SECTION.format(title="Args"), re.M)
    return summary + "\n" + pattern.sub(lambda _: section, body)


def _entries(text: str, title: str) -> dict[str, str]:
    """Returns the descriptions in a section by argument, indented as they are there."""
    section = re.search(SECTION.format(title=title), text, re.M)
    parts = re.split(r"^    (\**\w+): ", section[1] if section else "", flags=re.M)
    return dict(zip(parts[1::2], (part.rstrip() for part in parts[2::2]), strict=True))
