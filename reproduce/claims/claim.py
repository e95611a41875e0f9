"""A claim of a paper, and the runs that test it."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from keras_classics.data import ImageData
from keras_classics.data.packaged import FOLDS, MNIST_5000
from keras_classics.training import FinishedRun, Recipe
from reproduce.claims.results import Results, read_results
from reproduce.claims.verdicts import NOT_SEARCHED, Hypothesis, Judgement, judge
from reproduce.harness.tables import Row


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, the runs that test it, and how their results are shown.

    Attributes:
        name: Name of its result files and of its figure.
        title: Its heading.
        says: The paper's statement, with section or figure.
        paper: The paper's figures, in a few words.
        program: Name of the program, with the flags that make it test this claim.
        recipes: Recipes by name; the first is the one run here, the others are the papers' own.
        variants: The networks or trainings that are compared: functions that change a recipe, by
            name.
        seeds: Number of runs of each variant.
        table: Returns a Markdown table of the results.
        draw: Draws the results into a PNG file.
        reading: The outcome in a few sentences, without figures.
        hypotheses: The statements that the rows decide, the primary one first.
        rates: Learning rates that --search tries, by variant.
        rate_of: Returns how the rate of an arm was found, or `NOT_SEARCHED`, if not by `rates`.
        starts_from: Variants that start from the weights of another, of the same seed.
        measure: Measures the layers of a finished run. It takes the run, its recipe and its data,
            and returns rows with `when`, `layer`, `quantity` and `value`. None measures nothing.
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
    hypotheses: Sequence[Hypothesis]
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    rate_of: Callable[[Results, str], str] | None = None
    starts_from: Mapping[str, str] = field(default_factory=dict)
    measure: Callable[[FinishedRun, Recipe, ImageData], list[dict[str, Any]]] | None = None

    def recipe_of(self, variant: str, recipe: Recipe, seed: int) -> Recipe:
        """Returns the recipe of one run. Of a data set with folds, the seed chooses the fold."""
        changed = self.variants[variant](recipe)
        if changed.dataset == MNIST_5000:
            changed = dataclasses.replace(changed, dataset=f"{MNIST_5000}/{seed % FOLDS}")
        return dataclasses.replace(
            changed, tags={"claim": self.name, "variant": variant}, seed=seed
        )

    def results(self) -> Results:
        """Reads the result rows of this claim."""
        return read_results(self.name)

    def chosen_rate(self, results: Results, variant: str) -> float | None:
        """Returns the rate with the smallest error on images held out of training.

        None if not all of the variant's rates were tried with the recipe for here.
        """
        errors = results.held_out_errors(variant, next(iter(self.recipes)))
        tried = variant in self.rates and set(self.rates[variant]) <= errors.keys()
        return min(errors, key=lambda rate: fmean(errors[rate])) if tried else None

    def rate(self, results: Results, variant: str, recipe: Recipe) -> float | None:
        """Returns the rate of a variant's runs: the chosen one, or else the recipe's own.

        A run's command names it, because a later search changes what a command without it trains.
        None if the claim has no rates of the variant to try.
        """
        if variant not in self.rates:
            return None
        chosen = self.chosen_rate(results, variant)
        return rate_of(recipe) if chosen is None else chosen

    def judgements(self, results: Results) -> list[Judgement]:
        """Returns the verdict on each hypothesis."""
        return judge(self.hypotheses, results, self.seeds, self.rate_of or self._searched)

    def _searched(self, results: Results, variant: str) -> str:
        rate = self.chosen_rate(results, variant)
        if rate is None or {self._rate_of_run(run) for run in results.of(variant)} - {rate}:
            return NOT_SEARCHED
        return f"{rate:g} of {', '.join(f'{tried:g}' for tried in self.rates[variant])}"

    def _rate_of_run(self, run: Row) -> float:
        """The rate in a run's command; commands of older rows leave out the recipe's own."""
        given = re.findall(r"--learning_rate=(\S+)", run["command"])
        return float(given[-1]) if given else rate_of(next(iter(self.recipes.values())))


def rate_of(recipe: Recipe) -> float:
    """Returns the rate of a recipe whose schedule has one."""
    return recipe.to_json()["schedule"]["rate"]


def on_images_of(recipe: Recipe, other: Recipe) -> Recipe:
    """Returns a recipe with the data, length and name of another."""
    shared = ("name", "dataset", "epochs", "steps", "limit_train", "limit_test")
    return dataclasses.replace(recipe, **{field: getattr(other, field) for field in shared})
