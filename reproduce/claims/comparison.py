"""What the programs share that compare: each variant with each seed is one run.

All runs stand in one folder, and the same command goes on where it stopped. Beside the flags of all
training programs there are --variant and --seeds.
"""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import keras
from absl import flags

from keras_classics import files
from keras_classics.cli._program import default_run_dir
from keras_classics.data import ImageData
from keras_classics.environment import current_environment
from keras_classics.errors import UserError, unknown_name
from keras_classics.training import Recipe, load_data, load_run, make_strategy
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.strategy import is_chief
from reproduce.claims.claim import Claim
from reproduce.claims.results import LAYER_COLUMNS, results_of
from reproduce.harness import program

VARIANT = flags.DEFINE_list("variant", None, "Which of what is compared to run; all if unset.")
SEEDS = flags.DEFINE_integer(
    "seeds", None, "Runs of each variant, with the seeds 0, 1, ...", lower_bound=1
)

# Each run has functions of its own, of which TensorFlow thinks that one is traced too often.
logging.getLogger("tensorflow").addFilter(lambda said: "retracing" not in said.getMessage())

# Variants that --smoke runs.
SMOKE_VARIANTS = 2


class _Data:
    """The data of recipes. What one run after the other shares is loaded once."""

    def __init__(self):
        self._of = self._data = None

    def __call__(self, recipe: Recipe) -> ImageData:
        arguments = recipe.to_json()["preprocessing_arguments"]
        of = (
            recipe.dataset,
            recipe.preprocessing,
            arguments,
            recipe.crops_on_decode,
            recipe.only_classes,
        )
        if of != self._of:
            self._of, self._data = of, load_data(recipe, program.DATA_DIR.value)
        return self._data


def run_comparison(claim: Claim) -> None:
    """Does all runs that the flags ask for, and prints the table of them.

    Raises:
        UserError: A flag is wrong. And all that `train` raises.
    """
    if program.EXPORT.value:
        raise UserError("A comparison has many networks and exports none. Leave out --export.")
    base = program.recipe_of_flags(claim.recipes, _smoke)
    variants = _variants(claim)
    smoke = ["smoke"] if program.SMOKE.value else []
    folder = Path(
        program.RUN_DIR.value or default_run_dir(claim.name, base.dataset, base.name, *smoke)
    )
    strategy = make_strategy(program.STRATEGY.value, program.NUM_REPLICAS.value)
    load = _Data()
    process_command = current_environment()["command"]
    done = []
    for seed in _seeds(claim):
        for variant in variants:
            recipe = claim.recipe_of(variant, base, seed)
            if start := claim.starts_from.get(variant):
                recipe = _started(recipe, _place(folder, start, seed))
            run = RunDirectory(_place(folder, variant, seed))
            if is_chief(strategy) and not run.result.exists():
                print(f"{variant}, seed {seed}")
            command = f"{process_command} --variant={variant} --seed={seed}"
            data = None if run.result.exists() else load(recipe)
            program.train_as_flags_say(recipe, run, strategy, data, command)
            if claim.measure and is_chief(strategy):
                _look_into(claim, recipe, run, load)
            done.append(run.path)
            # Each run has graphs of its own, which nobody needs any more.
            keras.backend.clear_session()
    if is_chief(strategy):
        print(f"\n{claim.table(results_of(done))}\n\nfiles   {folder}/")


def _place(folder: Path, variant: str, seed: int) -> Path:
    return folder / f"{variant}_seed{seed}"


def _variants(claim: Claim) -> list[str]:
    names = VARIANT.value or list(claim.variants)
    for name in names:
        if name not in claim.variants:
            raise unknown_name("variant", name, claim.variants)
    return names[:SMOKE_VARIANTS] if program.SMOKE.value else names


def _seeds(claim: Claim) -> Sequence[int]:
    if program.SEED.value is not None:
        return [program.SEED.value]
    return range(SEEDS.value or (1 if program.SMOKE.value else claim.seeds))


def _smoke(recipe: Recipe) -> Recipe:
    return program.smoke_run(recipe, train=128, test=64, dataset="digits")


def _started(recipe: Recipe, run: Path) -> Recipe:
    weights = RunDirectory(run).weights
    if not weights.exists():
        raise UserError(
            f"{recipe.tags['variant']} starts from the weights of {run}, which is not finished. "
            "Run that variant first."
        )
    return dataclasses.replace(recipe, initial_weights=str(weights))


def _look_into(claim: Claim, recipe: Recipe, run: RunDirectory, load: _Data) -> None:
    path = run.path / "layers.csv"
    if not path.exists():
        data = load(recipe).limited(recipe.limit_train, recipe.limit_test)
        files.write_csv(path, LAYER_COLUMNS[3:], claim.measure(load_run(run.path), recipe, data))
