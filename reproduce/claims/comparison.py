"""Runs the comparisons of claims: each variant with each seed is one run.

All runs of a comparison have one folder. Repeat the command to resume them. A comparison has the
flags of all training programs, and --variant, --seeds, --search and --until.

--search trains each variant at each rate of its claim, with seeds of their own, and holds out a
fifth of the training images. `python -m reproduce.report --add=FOLDER` adds the rows; from then on
a variant trains at the rate with the smallest error on the images held out.

--until=decided adds seeds to those of the claim's design until the claim's verdict on its primary
hypothesis is reached, by the same rule as on the page, or its runs have taken --max_hours. Both
follow from the complete seeds of the folder alone, so that an interrupted command, repeated, comes
to the same verdict.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import keras
import tensorflow as tf
from absl import flags

from keras_classics import files
from keras_classics.cli import _training_flags as training_flags
from keras_classics.cli._command import repeating_command
from keras_classics.cli._program import default_run_dir
from keras_classics.cli._training import train_with_flags
from keras_classics.data import ImageData
from keras_classics.errors import UserError, unknown_name
from keras_classics.evaluation import Evaluator, one_view
from keras_classics.training import Recipe, load_data, load_run, make_strategy, typed_json
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.strategy import from_chief, is_chief
from reproduce.claims.claim import Claim
from reproduce.claims.results import (
    LAYER_COLUMNS,
    LAYERS,
    TRAINING_ERROR,
    results_of,
    runs_table,
    search_row,
    search_table,
)
from reproduce.claims.stopping import StoppingRule
from reproduce.harness.run import requested_recipe, run_recipe
from reproduce.harness.smoke import SMOKE, smoke_recipe

VARIANT = flags.DEFINE_list("variant", None, "Variants to run; all if unset.")
SEEDS = flags.DEFINE_integer(
    "seeds",
    None,
    "Runs of each variant, with the seeds 0, 1, ...; the claim's number if unset.",
    lower_bound=1,
)

SEARCH = flags.DEFINE_bool(
    "search", False, "Try the claim's learning rates on images held out of training."
)

UNTIL = flags.DEFINE_enum(
    "until",
    None,
    ["decided"],
    "Add seeds until the claim's primary hypothesis is decided; needs --max_hours.",
)
MAX_HOURS = flags.DEFINE_float(
    "max_hours",
    None,
    "With --until: start no more seeds after runs of so many hours in all.",
    lower_bound=0.0,
)

FLAG_GROUPS = {"Comparison": (VARIANT, SEEDS, SEARCH, UNTIL, MAX_HOURS)}

# Flags that the command of one run leaves out: those of several runs, and their folder, which is
# of the machine that they ran on.
_OF_SEVERAL_RUNS = {"seeds": None, "until": None, "max_hours": None, "run_dir": None}

# Number of variants that --smoke runs.
SMOKE_VARIANTS = 2

# Seeds that choose rates; no run that is compared has one of them.
SEARCH_SEEDS = (100, 101)
# A search holds out one of so many training images.
HELD_OUT = 5


def run_comparison(claim: Claim) -> None:
    """Runs all variants and seeds that the flags ask for, and prints a table of the results.

    If --recipe is a stored recipe, only that one is run.

    Raises:
        UserError: A flag is wrong; and the errors of `train`.
    """
    if training_flags.EXPORT.value:
        raise UserError("A comparison trains many networks and exports none. Leave out --export.")
    if training_flags.stored_recipe(claim.recipes):
        _run_stored_recipe(claim)
        return
    base = requested_recipe(claim.recipes, _smoke)
    variants = _variants(claim)
    smoke = ["smoke"] if SMOKE.value else []
    words = ["search"] * SEARCH.value + smoke
    folder = Path(
        training_flags.RUN_DIR.value or default_run_dir(claim.name, base.dataset, base.name, *words)
    )
    rule = _stopping_rule(claim, base, folder, variants)
    strategy = make_strategy(training_flags.STRATEGY.value, training_flags.NUM_REPLICAS.value)
    # Each run traces functions of its own; TensorFlow takes them for one that is traced too often.
    logging.getLogger("tensorflow").addFilter(_is_not_about_retracing)
    load = _DataLoader()
    done = []
    for seed in _seeds(claim):
        if rule and _is_over(rule, strategy):
            break
        for variant, rate in _arms(claim, variants, base):
            recipe = claim.recipe_of(variant, _at_rate(base, rate), seed)
            _check_settings(variant, base, recipe)
            if SEARCH.value:
                recipe = _holding_out(recipe, rate, load(recipe))
            if start := claim.starts_from.get(variant):
                recipe = _with_weights_of(recipe, _run_path(folder, start, seed, rate))
            run = RunDirectory(_run_path(folder, variant, seed, rate))
            if is_chief(strategy) and not run.result.exists():
                at = "" if rate is None else f", rate {rate:g}"
                print(f"{variant}, seed {seed}{at}")
            command = repeating_command(
                variant=[variant], seed=seed, learning_rate=rate, **_OF_SEVERAL_RUNS
            )
            data = None if run.result.exists() else load(recipe)
            train_with_flags(recipe, run, strategy, data, command)
            if is_chief(strategy) and not SEARCH.value:
                _measure(claim, recipe, run, load)
            done.append(run.path)
            # Frees the graphs of this run.
            keras.backend.clear_session()
    if is_chief(strategy):
        if rule:
            done = rule.runs
            print(f"\n{rule.verdict()}")
        print(f"\n{_shown(claim, variants, done)}\n\nfiles   {folder}/")


def _arms(
    claim: Claim, variants: Sequence[str], base: Recipe
) -> Iterator[tuple[str, float | None]]:
    """Variants and rates that each seed trains."""
    for variant in variants:
        for rate in _rates(claim, variant, base):
            yield variant, rate


def _stopping_rule(
    claim: Claim, base: Recipe, folder: Path, variants: Sequence[str]
) -> StoppingRule | None:
    """The rule of --until, or None without it."""
    if not UNTIL.value:
        if MAX_HOURS.value is not None:
            raise UserError(
                "--max_hours is for --until=decided. Add --until=decided, or leave out --max_hours."
            )
        return None
    if MAX_HOURS.value is None:
        raise UserError("--until=decided needs an end if nothing is decided. Add --max_hours.")
    if SEARCH.value or SEEDS.value or training_flags.SEED.value is not None:
        raise UserError("--until=decided adds seeds. Leave out --search, --seeds and --seed.")
    if not _is_here(claim, base):
        raise UserError(
            "--until=decided decides a claim on the data of its rows. Leave out --recipe, "
            "--dataset and --smoke."
        )
    rule = StoppingRule(claim, folder, variants, MAX_HOURS.value)
    rule.check()
    return rule


def _is_over(rule: StoppingRule, strategy: tf.distribute.Strategy) -> bool:
    """Asks the rule on the chief, whose runs are complete, and tells all workers."""
    over = b"over" if is_chief(strategy) and rule.is_over() else b""
    return bool(from_chief(strategy, over))


def _shown(claim: Claim, variants: Sequence[str], done: Sequence[Path]) -> str:
    """The table of the runs of this command."""
    if SEARCH.value:
        return search_table([search_row(run) for run in done])
    results = results_of(done)
    return claim.table(results) if set(variants) == set(claim.variants) else runs_table(results)


def _rates(claim: Claim, variant: str, base: Recipe) -> Sequence[float | None]:
    """The rates of the runs of a variant; None stands for the recipe's own."""
    if (given := training_flags.LEARNING_RATE.value) is not None:
        return (given,)
    if SEARCH.value:
        if variant not in claim.rates:
            raise UserError(
                f"--search has no rates for {variant}. Name other variants with --variant, or one "
                "rate with --learning_rate."
            )
        return claim.rates[variant]
    return (claim.rate(claim.results(), variant, base) if _is_here(claim, base) else None,)


def _is_here(claim: Claim, base: Recipe) -> bool:
    """Whether a recipe is the one of the claim's rows."""
    here = next(iter(claim.recipes.values()))
    return (base.name, base.dataset) == (here.name, here.dataset)


def _at_rate(recipe: Recipe, rate: float | None) -> Recipe:
    if rate is None:
        return recipe
    return recipe.with_fields({training_flags.rate_field("schedule", recipe.schedule): rate})


def _holding_out(recipe: Recipe, rate: float, data: ImageData) -> Recipe:
    """The recipe of a search: a part of the training images is held out."""
    images = len(data.limited(recipe.limit_train, None).train)
    tags = {**recipe.tags, "rate": f"{rate:g}"}
    return dataclasses.replace(recipe, validation=images // HELD_OUT, tags=tags)


class _DataLoader:
    """Loads the data of recipes. Consecutive recipes with the same data share it."""

    def __init__(self):
        self._key = self._data = None

    def __call__(self, recipe: Recipe) -> ImageData:
        key = (
            recipe.dataset,
            recipe.preprocessing,
            recipe.to_json()["preprocessing_arguments"],
            recipe.crops_on_decode,
            recipe.only_classes,
        )
        if key != self._key:
            self._key, self._data = key, load_data(recipe, training_flags.DATA_DIR.value)
        return self._data


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    return "retracing" not in record.getMessage()


def _run_stored_recipe(claim: Claim) -> None:
    if VARIANT.value or SEEDS.value or UNTIL.value:
        raise UserError(
            "A stored recipe is one run already. Leave out --variant, --seeds and --until. "
            f"Received: --recipe={training_flags.RECIPE.value}."
        )
    run_recipe(claim.name, claim.recipes, _smoke)


def _check_settings(variant: str, base: Recipe, recipe: Recipe) -> None:
    """Raises a `UserError` if a variant replaces a field that --set or --learning_rate sets."""
    before, after = base.to_json(), recipe.to_json()
    for path in training_flags.settings(base):
        if not typed_json.holds(after, path, typed_json.value_at(before, path)):
            raise UserError(
                f"Variant {variant} sets {path} itself. Leave it out of --set and --learning_rate, "
                "or name other variants with --variant."
            )


def _run_path(folder: Path, variant: str, seed: int, rate: float | None) -> Path:
    tried = f"_rate{rate:g}" if SEARCH.value else ""
    return folder / f"{variant}{tried}_seed{seed}"


def _variants(claim: Claim) -> list[str]:
    names = VARIANT.value or list(claim.variants)
    for name in names:
        if name not in claim.variants:
            raise unknown_name("variant", name, claim.variants)
    return names[:SMOKE_VARIANTS] if SMOKE.value else names


def _seeds(claim: Claim) -> Iterable[int]:
    if UNTIL.value:
        return itertools.count()
    if training_flags.SEED.value is not None:
        return [training_flags.SEED.value]
    if SEARCH.value:
        return SEARCH_SEEDS[: 1 if SMOKE.value else SEEDS.value]
    return range(SEEDS.value or (1 if SMOKE.value else claim.seeds))


def _smoke(recipe: Recipe) -> Recipe:
    return smoke_recipe(recipe, train=128, test=64)


def _with_weights_of(recipe: Recipe, run: Path) -> Recipe:
    weights = RunDirectory(run).weights
    if not weights.exists():
        raise UserError(
            f"{recipe.tags['variant']} starts from the weights of {run}, which is not finished. "
            "Run that variant first."
        )
    return dataclasses.replace(recipe, initial_weights=str(weights))


def _measure(claim: Claim, recipe: Recipe, run: RunDirectory, load: _DataLoader) -> None:
    """Writes the training error in inference of a finished run, and what its claim measures."""
    path = run.path / LAYERS
    if path.exists():
        return
    data = load(recipe).limited(recipe.limit_train, recipe.limit_test)
    finished = load_run(run.path)
    view = one_view(finished.preprocessing)
    found = Evaluator(finished.model, finished.loss, data.train, view)()
    rows = [{**TRAINING_ERROR, "value": 1 - found.accuracy}]
    rows += claim.measure(finished, recipe, data) if claim.measure else []
    files.write_csv(path, LAYER_COLUMNS[3:], rows)
