"""Networks that are layers of a saved network, such as the backbone of a classifier.

Keras 3 numbers layers by their class in a file; which layer has which number, the configuration of
the saved network says.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_classics.errors import UserError


@dataclass(frozen=True)
class Part:
    """A network that is a layer of another.

    Attributes:
        group: Path of its layers in a file of Keras 3.
        config: Its configuration, as `keras.Model.get_config` returns it.
    """

    group: str
    config: Mapping[str, Any]


def numbered_names(classes: list[str]) -> list[str]:
    """Returns the names that Keras 3 gives layers in a file: `conv2d`, `conv2d_1`, ...

    Args:
        classes: Name of the class of each layer, in their order.
    """
    counts: Counter[str] = Counter()
    names = []
    for name in classes:
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<!^)(?=[A-Z][a-z])", "_", name).lower()
        names.append(f"{kind}_{counts[kind]}" if counts[kind] else kind)
        counts[kind] += 1
    return names


def parts_of(config: Mapping[str, Any], group: str = "layers", within: str = "") -> dict[str, Part]:
    """Returns the networks that are layers of a network, by name; those in them as `NAME/NAME`.

    Args:
        config: The configuration of the network; any that is none has no parts.
        group: Path of its layers in a file.
        within: Names of the networks that it is in.
    """
    layers = config.get("layers", ()) if isinstance(config, Mapping) else ()
    found = {}
    try:
        for layer, number in zip(
            layers, numbered_names([layer["class_name"] for layer in layers]), strict=True
        ):
            inner = layer["config"]
            if isinstance(inner.get("layers"), list):
                name = f"{within}{inner['name']}"
                found[name] = Part(f"{group}/{number}/layers", inner)
                found |= parts_of(inner, f"{group}/{number}/layers", f"{name}/")
    except (KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return found


def part_of(config: Mapping[str, Any], name: str) -> Part:
    """Returns the network that is a layer of another, by its name.

    Raises:
        UserError: If there is none of that name.
    """
    found = parts_of(config)
    if name not in found:
        has = f"but {', '.join(found)}" if found else "and none that is a network"
        raise UserError(f"it has no network {name!r} as a layer, {has}")
    return found[name]
