"""The model card of an export: `README.md` in its folder, from its manifest."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_classics.models import list_models
from keras_classics.models.citations import citation
from keras_classics.weights import WeightsRecord, find_weights, list_weights
from keras_classics.weights.card import Facts, Measured, data_name, published, weights_name
from keras_classics.weights.metadata import preprocessing_of


def facts_of_export(content: Mapping[str, Any], preprocessing: keras.layers.Layer) -> Facts:
    """Returns what the manifest of an export says of the network and its files.

    Args:
        content: The content of `manifest.json`. Only `origin` says which network it is: a model's
            name is its user's.
        preprocessing: The layer from uint8 images to what the network takes.
    """
    origin, exports = content["origin"], content["exports"]
    network = _said(origin, "network", str)
    network = network if network in list_models() else None
    record = _record(network, origin.get("weights"))
    arguments = dict(_said(origin, "arguments", Mapping) or {})
    before = arguments.pop("weights", None)
    details = {
        "weights": origin.get("weights"),
        "arguments": arguments or None,
        "started from": network and before and weights_name(network, str(before)),
        "origin of the weights": record and record.origin,
        "training images": origin.get("train_images"),
        "epochs": origin.get("epochs"),
        "seed": origin.get("seed"),
        "files": ", ".join(["model.keras", *exports]),
    }
    trained_on = record.dataset if record else _said(origin, "trained_on", str)
    return Facts(
        name=network or content["model"],
        network=network,
        details=details,
        tags=sorted({export["format"] for export in exports.values()}),
        licence=record and record.licence,
        trained_on=data_name(trained_on),
        measured=[*_measured(content), *(published(record) if record else [])],
        preprocessing=preprocessing_of(preprocessing),
        class_names=content["output"]["labels"],
        citation=network and citation(network, arguments),
    )


def _said(origin: Mapping[str, Any], name: str, kind: type) -> Any:
    """Returns an entry of `origin`, which is the caller's; None if it is of another kind."""
    value = origin.get(name)
    return value if isinstance(value, kind) else None


def _record(network: str | None, weights: Any) -> WeightsRecord | None:
    name = f"{network}/{weights}"
    return find_weights(name) if name in list_weights() else None


def _measured(content: Mapping[str, Any]) -> list[Measured]:
    """Returns the accuracies of the network and of each export on labelled images."""
    if not content["compared_on"]["labelled"]:
        return []
    agreements = {name: export["agreement"] for name, export in content["exports"].items()}
    before = next(iter(agreements.values()))["model_accuracy"]
    origin, images = content["origin"], f"{content['compared_on']['images']:,}"
    everything = _said(origin, "test_images", int)
    protocol = f"{images} images" if everything is None else f"{images} of {everything:,} images"
    accuracies = {"model.keras": before}
    accuracies |= {name: agreement["accuracy"] for name, agreement in agreements.items()}
    return [Measured(accuracies, f"{protocol}, one view", data_name(_said(origin, "dataset", str)))]
