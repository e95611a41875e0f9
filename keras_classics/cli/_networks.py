"""The flags that select trained networks, and the networks that they select."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
from absl import flags

from keras_classics.cli._paths import define_paths
from keras_classics.cli._weights import known_weights
from keras_classics.data.names import OF_IMAGE_FILES, form_of
from keras_classics.data.parts import VALIDATION_SHARE
from keras_classics.errors import UserError
from keras_classics.models import find_model, find_weights, get_model, list_models
from keras_classics.models.losses import BinaryCrossEntropy, SmoothedCrossEntropy
from keras_classics.models.registry import arguments_for_weights
from keras_classics.training import load_run
from keras_classics.weights import list_weights, load_weights
from keras_classics.weights.identify import read_metadata
from keras_classics.weights.load import means_file
from keras_classics.weights.location import on_this_machine

MODEL = define_paths(
    "model",
    [],
    "Folder of a finished run or fine-tuning, or name of a network. Several form an ensemble.",
)
WEIGHTS = define_paths(
    "weights",
    [],
    "For networks given by name: known weights, a file or hf://ORG/REPO, once for all or once for "
    "each; imagenet, or a network's only known weights, if unset.",
)
IMAGES = flags.DEFINE_string(
    "images",
    None,
    "For a file that does not say it: MODEL/WEIGHTS, known weights that take the same images.",
)

FLAG_GROUPS = {"Networks": (MODEL, WEIGHTS, IMAGES)}


@dataclass(frozen=True)
class Network:
    """A trained network and what is needed to use it.

    Attributes:
        model: The network.
        preprocessing: The layer from uint8 images to what the network takes.
        loss: A loss on its scores.
        class_names: Names of the classes, or None for a file of weights, which has none.
        weights: Description of its weights.
        arguments: Arguments of its builder.
        name: Its name in the registry.
        training: For a run: `dataset`, `validation_share`, `train_images`, `epochs`, `seed`.
        answers: If it answers with some of its classes alone: how many, such as `10 of 1000`.
    """

    model: keras.Model
    preprocessing: keras.layers.Layer
    loss: keras.losses.Loss
    class_names: tuple[str, ...] | None
    weights: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    answers: str | None = None


def networks() -> list[Network]:
    """Builds the networks that the flags select.

    Raises:
        UserError: A network or its weights do not exist.
    """
    if not MODEL.value:
        raise UserError("Name at least one --model: the folder of a finished run, or a network.")
    count = sum(not _is_run(name) for name in MODEL.value)
    given = WEIGHTS.value or [None]
    weights = given * count if len(given) == 1 else given
    if len(weights) != count:
        raise UserError(
            "Give --weights once, or once for each --model that is the name of a network. "
            f"Received: {len(weights)} for {count}."
        )
    left = iter(weights)
    return [network_of_run(n) if _is_run(n) else _of_name(n, next(left)) for n in MODEL.value]


def one_network(command: str) -> Network:
    """Builds the only network that the flags select, for a command that takes no ensemble.

    Raises:
        UserError: They select several, or the network or its weights do not exist.
    """
    net, *others = networks()
    if others:
        raise UserError(f"{command} takes one --model. Received: {1 + len(others)}.")
    return net


def _is_run(name: str) -> bool:
    return name not in list_models() and (Path(name).is_dir() or "/" in name)


def network_of_run(path: str) -> Network:
    """Loads the network of a finished run, or of a fine-tuning.

    Raises:
        UserError: There is none.
    """
    run = load_run(path)
    known = ("dataset", "train_images", "epochs", "seed")
    share = run.recipe.get("validation_share")
    if form_of(run.result["dataset"]) in OF_IMAGE_FILES:
        share = share or VALIDATION_SHARE
    return Network(
        run.model,
        run.preprocessing,
        run.loss,
        run.class_names,
        weights=f"recipe {run.result['recipe']}",
        name=run.result["model"],
        arguments=run.result["model_arguments"],
        training={**{name: run.result[name] for name in known}, "validation_share": share},
    )


def _of_name(name: str, weights: str | None) -> Network:
    name = find_model(name).name
    named = weights or known_weights(name)
    weights = on_this_machine(named)
    if not Path(weights).suffix and not means_file(name, weights):
        record = find_weights(f"{name}/{weights}")
        model = get_model(name, weights=record.name, classes=len(record.labels))
        return Network(
            model,
            record.preprocessing(),
            SmoothedCrossEntropy(),
            record.labels,
            weights=record.name,
            name=name,
            arguments=dict(record.arguments),
        )
    said = read_metadata(Path(weights))
    if IMAGES.value is not None:
        preprocessing = find_weights(IMAGES.value).preprocessing()
    else:
        preprocessing = said and said.make_preprocessing()
    if preprocessing is None:
        raise UserError(
            "This file of weights does not say which images they take. Received: "
            f"--weights={weights}. Name known weights that take the same, such as "
            f"--images={(list_weights(f'{name}/*') or list_weights())[0]}."
        )
    class_names = said and said.class_names and tuple(said.class_names)
    classes = {"classes": len(class_names)} if class_names else {}
    arguments = arguments_for_weights(name, {**classes, "weights": weights})
    del arguments["weights"]
    model = get_model(name, **arguments)
    load_weights(model, weights, strict=True)
    several = arguments.get("classifier_activation") == "sigmoid"
    loss = BinaryCrossEntropy() if several else SmoothedCrossEntropy()
    description = Path(weights).name if weights == named else named
    return Network(model, preprocessing, loss, class_names, description, name, arguments)
