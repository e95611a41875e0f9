"""The register of all networks: who is there, from which paper, and how to build one by name."""

import fnmatch
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import keras

from keras_classics.analysis.profile import Profile, profile
from keras_classics.errors import natural_key, unknown_name
from keras_classics.models.builder import ModelBuilder
from keras_classics.weights import builder_arguments

Member = TypeVar("Member")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class ModelEntry:
    """One registered network.

    Attributes:
        name: Name of the network and of its builder.
        builder: Function that returns the network as a `keras.Model`.
        paper: Authors, title and year of the publication.
        input_shape: Height, width and channels that the paper trained on.
        smallest_input: Least height and width that the network takes, with its top.
        classes: Number of classes in the paper.
        torchvision: Network of torchvision that it equals, and the arguments that it takes to.
        keras_applications: The same of `keras.applications`.
    """

    name: str
    builder: Callable[..., keras.Model]
    paper: str
    input_shape: tuple[int, int, int]
    smallest_input: int
    classes: int
    torchvision: str = ""
    keras_applications: str = ""


_MODELS: dict[str, ModelEntry] = {}


def register(**facts: Any) -> Callable[[Callable[Arguments, keras.Model]], Callable]:
    """Enters the decorated builder under its own name. See `ModelEntry` for the arguments."""

    def enter(builder: Callable[Arguments, keras.Model]) -> Callable[Arguments, keras.Model]:
        name = builder.__name__

        @functools.wraps(builder)
        def build(**arguments: Any) -> keras.Model:
            return builder(**builder_arguments(name, arguments))

        build.__signature__ = _whole_signature(builder)
        _MODELS[name] = ModelEntry(name, build, **facts)
        return build

    return enter


def member(
    family: Callable[Concatenate[Member, Arguments], keras.Model],
    which: Member,
    *,
    name: str,
    summary: str,
    facts: dict[str, Any],
    **defaults: Any,
) -> Callable[Arguments, keras.Model]:
    """Makes and enters the builder of one network of a family.

    Args:
        family: Builder of the whole family; its first argument says which network, and it takes
            a `default_shape`.
        which: That first argument.
        name: Name of the network.
        summary: First line of its docstring.
        facts: See `ModelEntry`.
        **defaults: Defaults of this network, where they are not the family's.

    Returns:
        A function of the family's other arguments.
    """
    defaults = {"classes": facts["classes"], "name": name, **defaults}

    def build(**arguments: Any) -> keras.Model:
        return family(which, default_shape=facts["input_shape"], **{**defaults, **arguments})

    build.__name__ = build.__qualname__ = name
    build.__module__ = family.__module__
    build.__doc__ = f"{summary}\n\nThe rest is of the whole family:\n\n{inspect.getdoc(family)}"
    build.__signature__ = _member_signature(family, defaults)
    return register(**facts)(build)


def _member_signature(family: Callable, defaults: dict[str, Any]) -> inspect.Signature:
    """The family's signature without what says which network, with this network's defaults."""
    signature = inspect.signature(family)
    parameters = [
        parameter.replace(default=defaults.get(parameter.name, parameter.default))
        for parameter in list(signature.parameters.values())[1:]
        if parameter.name != "default_shape"
    ]
    return signature.replace(parameters=parameters)


def _whole_signature(builder: Callable) -> inspect.Signature:
    """The builder's signature with the common arguments by name, in the place of `**common`."""
    signature = inspect.signature(builder)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    common = [
        parameter
        for parameter in inspect.signature(ModelBuilder).parameters.values()
        if parameter.default is not parameter.empty
    ]
    return signature.replace(parameters=[*common, *own])


def list_models(pattern: str = "*") -> list[str]:
    """Lists the networks whose names match a glob pattern, such as `"vgg*"`, by name and depth."""
    return sorted(fnmatch.filter(_MODELS, pattern), key=natural_key)


def find_model(name: str) -> ModelEntry:
    """Returns the entry of a network.

    Raises:
        UserError: No network has that name.
    """
    if name not in _MODELS:
        raise unknown_name("model", name, _MODELS)
    return _MODELS[name]


def get_model(name: str, **arguments: Any) -> keras.Model:
    """Builds a network by its name: `get_model("vgg16", classes=10)`.

    Args:
        name: One of `list_models()`.
        **arguments: What the network's builder takes.

    Raises:
        UserError: No network has that name, or an argument is wrong.
    """
    return find_model(name).builder(**arguments)


def describe(model: str | keras.Model, **arguments: Any) -> Profile:
    """Describes a network layer by layer: `print(describe("alexnet"))`.

    Args:
        model: A name in `list_models()`, or a network.
        **arguments: With a name, what the network's builder takes.

    Returns:
        A table that prints, with `rows`, `params`, `macs` and shares.

    Raises:
        UserError: No network has that name, or its image's size is not known.
    """
    if isinstance(model, str):
        model = get_model(model, **{"input_shape": find_model(model).input_shape, **arguments})
    return profile(model)
