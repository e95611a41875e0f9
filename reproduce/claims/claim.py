"""A claim of a paper, and the runs that test it."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_classics.data import ImageData
from keras_classics.training import FinishedRun, Recipe
from reproduce.claims.results import Results, read_results


@dataclass(frozen=True)
class Claim:
    """What a paper says, the runs that test it, and how their outcome is shown.

    Attributes:
        name: Name of the files of its results and of its figure.
        title: Its heading.
        says: What the paper says, with the place.
        paper: The paper's figures, in a few words.
        program: Name of the program, and what tells it to test this claim.
        recipes: Recipes by name; the first is what is run here, the others a paper's own.
        variants: What is compared: by name, what a variant makes of a recipe.
        seeds: Number of runs of each variant.
        table: Makes a Markdown table of the results.
        draw: Draws them into a PNG file.
        reading: What came out, in a few sentences without figures.
        starts_from: For a variant, the one whose weights of the same seed it starts from.
        measure: Looks into the layers of a finished run: makes rows with `when`, `layer`,
            `quantity` and `value` of the run, its recipe and its data. None: nothing is looked at.
    """

    name: str
    title: str
    says: str
    paper: str
    program: str
    recipes: Mapping[str, Recipe]
    variants: Mapping[str, Callable[[Recipe], Recipe]]
    seeds: int
    table: Callable[[Results], str]
    draw: Callable[[Results, Path], None]
    reading: str
    starts_from: Mapping[str, str] = field(default_factory=dict)
    measure: Callable[[FinishedRun, Recipe, ImageData], list[dict[str, Any]]] | None = None

    def recipe_of(self, variant: str, recipe: Recipe, seed: int) -> Recipe:
        """Returns the recipe of one run."""
        changed = self.variants[variant](recipe)
        return dataclasses.replace(
            changed, tags={"claim": self.name, "variant": variant}, seed=seed
        )

    def results(self) -> Results:
        """Reads the result rows of this claim."""
        return read_results(self.name)


def on_images_of(recipe: Recipe, other: Recipe) -> Recipe:
    """Returns a recipe on the images of another, seen as often, and under its name."""
    shared = ("name", "dataset", "epochs", "steps", "limit_train", "limit_test")
    return dataclasses.replace(recipe, **{field: getattr(other, field) for field in shared})
