"""The register of all networks: their names, their papers, and how to build one by name."""

import fnmatch
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

import keras

from keras_classics.analysis.profile import Profile, profile
from keras_classics.errors import UserError, natural_key, unknown_name
from keras_classics.models.builder import CommonArguments, ModelBuilder, ModelMetadata
from keras_classics.models.docstrings import builder_docstring
from keras_classics.models.unseen import decided, report_assumed
from keras_classics.weights import WeightsRecord, builder_arguments
from keras_classics.weights.identify import read_metadata

Config = TypeVar("Config")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, kw_only=True)
class Variant(ModelMetadata, Generic[Config]):
    """One network of a family.

    Attributes:
        config: What tells it from the others, such as VGG's `"D"` or the depth of a ResNet.
    """

    config: Config


@dataclass(frozen=True, kw_only=True)
class ModelEntry(ModelMetadata):
    """One registered network.

    Attributes:
        builder: Function that returns the network as a `keras.Model`.
        family: Function that builds all networks of its family.
        config: See `Variant`; None for a network without a family.
    """

    builder: Callable[..., keras.Model]
    family: Callable[..., keras.Model]
    config: Any = None


_MODELS: dict[str, ModelEntry] = {}


def register(
    *, paper: str, input_shape: tuple[int, int, int], smallest_input: int, classes: int
) -> Callable[
    [Callable[Concatenate[ModelMetadata, Arguments], keras.Model]], Callable[Arguments, keras.Model]
]:
    """Registers the decorated builder under its own name.

    The builder takes the metadata of its network first; callers do not pass it.

    Args:
        paper: See `ModelMetadata`, like all that follow.
        input_shape: See there.
        smallest_input: See there.
        classes: See there.
    """

    def decorate(
        builder: Callable[Concatenate[ModelMetadata, Arguments], keras.Model],
    ) -> Callable[Arguments, keras.Model]:
        metadata = ModelMetadata(
            name=builder.__name__,
            summary=(inspect.getdoc(builder) or "").partition("\n")[0],
            paper=paper,
            input_shape=input_shape,
            smallest_input=smallest_input,
            classes=classes,
        )
        return _register(builder, metadata, {})

    return decorate


def register_variant(
    family: Callable[Concatenate[Variant[Config], Arguments], keras.Model],
    variant: Variant[Config],
    *_: Arguments.args,
    **defaults: Arguments.kwargs,
) -> Callable[Arguments, keras.Model]:
    """Registers one network of a family.

    Args:
        family: Builder of the whole family. It takes a `Variant` first, then arguments by name.
        variant: The network.
        **defaults: Arguments of the family whose defaults differ in this network.

    Returns:
        The network's builder, a function of the family's arguments.
    """
    return _register(family, variant, defaults)


def _register(family: Callable, metadata: ModelMetadata, defaults: dict[str, Any]) -> Callable:
    name = metadata.name
    signature = _signature(family, {**defaults, "classes": metadata.classes, "name": name})

    def build(*positional: Any, **arguments: Any) -> keras.Model:
        _check_names(name, positional, arguments, list(signature.parameters))
        return family(metadata, **{**defaults, **arguments_for_weights(name, arguments)})

    build.__name__ = build.__qualname__ = name
    build.__module__ = family.__module__
    build.__doc__ = builder_docstring(family, metadata.summary, signature.parameters)
    build.__signature__ = signature  # type: ignore[attr-defined]
    known = {field: getattr(metadata, field) for field in ModelMetadata.__dataclass_fields__}
    config = metadata.config if isinstance(metadata, Variant) else None
    _MODELS[name] = ModelEntry(builder=build, family=family, config=config, **known)
    return build


def _signature(family: Callable, defaults: dict[str, Any]) -> inspect.Signature:
    """Returns the signature of a builder: the common arguments by name, then the family's own."""
    of_all = inspect.signature(ModelBuilder).parameters
    common = [
        of_all[name].replace(annotation=annotation)
        for name, annotation in get_type_hints(CommonArguments).items()
    ]
    signature = inspect.signature(family)
    own = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    parameters = [p.replace(default=defaults.get(p.name, p.default)) for p in [*common, *own]]
    return signature.replace(parameters=parameters)


def _check_names(name: str, positional: tuple, arguments: dict[str, Any], known: list[str]) -> None:
    if positional:
        raise UserError(
            f"{name} takes its arguments by name, such as {name}(classes=10). Received: "
            f"{positional[0]!r} without a name."
        )
    for argument in arguments:
        if argument not in known:
            raise unknown_name(f"{name} argument", argument, known)


def list_models(pattern: str = "*") -> list[str]:
    """Returns the names that match a glob pattern, such as `"vgg*"`, sorted by name and depth."""
    return sorted(fnmatch.filter(_MODELS, pattern), key=natural_key)


def all_models() -> list[ModelEntry]:
    """Returns the entries of all networks, in the order of the papers' files."""
    return list(_MODELS.values())


def find_model(name: str) -> ModelEntry:
    """Returns the entry of a network.

    Raises:
        UserError: No network has that name.
    """
    if name not in _MODELS:
        raise unknown_name("model", name, _MODELS)
    return _MODELS[name]


def get_model(model: str, /, **arguments: Any) -> keras.Model:
    """Builds a network by its name: `get_model("vgg16", classes=10)`.

    Args:
        model: One of `list_models()`.
        **arguments: Arguments of the network's builder.

    Raises:
        UserError: No network has that name, or an argument is wrong.
    """
    return find_model(model).builder(**arguments)


def arguments_for_weights(model: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the arguments that the weights imply to the arguments of a network's builder.

    A file that says what its network computes decides the arguments that are not given. For one
    that does not, a warning says which were assumed.

    Args:
        model: Name of the network.
        arguments: Arguments of its builder; `weights` may be a name, a record or a file.

    Raises:
        UserError: The weights are unknown, or an argument contradicts their record.
    """
    used = builder_arguments(model, dict(arguments))
    weights = used.get("weights")
    if weights is None or isinstance(weights, WeightsRecord):
        return used
    entry = find_model(model)
    metadata = read_metadata(weights)
    if metadata is not None:
        return decided(entry.builder, used, metadata)
    report_assumed(model, inspect.signature(entry.builder).parameters, arguments, used)
    return used


def describe(model: str | keras.Model, /, **arguments: Any) -> Profile:
    """Describes a network layer by layer: `print(describe("alexnet"))`.

    Args:
        model: A name in `list_models()`, or a network.
        **arguments: With a name, arguments of the network's builder.

    Returns:
        A table that prints, with `rows`, `params`, `macs` and shares.

    Raises:
        UserError: No network has that name, or the size of its image is not known.
    """
    if isinstance(model, str):
        model = get_model(model, **{"input_shape": find_model(model).input_shape, **arguments})
    return profile(model)
