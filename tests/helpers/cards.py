"""Model cards, read back."""

from typing import Any

import yaml


def head(card: str) -> dict[str, Any]:
    """Returns the YAML head of a card."""
    assert card.startswith("---\n")
    return yaml.safe_load(card[4:].partition("\n---\n")[0])


def accuracies(card: str) -> dict[tuple[str, str], float]:
    """Returns the accuracies in the head of a card, by data set and name."""
    (index,) = head(card)["model-index"]
    return {
        (result["dataset"]["name"], metric["name"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
