"""What all training programs share: the flags, the run, the closing table."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import flags

from keras_classics import export
from keras_classics.cli._program import default_run_dir, run
from keras_classics.cli._progress import ProgressLine
from keras_classics.data import ImageData, pipeline
from keras_classics.errors import UserError, require, unknown_name
from keras_classics.training import Recipe, RunOptions, load_data, load_run, make_strategy, train
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.schedules import Schedule, Warmup
from keras_classics.training.strategy import STRATEGIES, is_chief
from reproduce.harness import synthetic_images

__all__ = ["run", "run_recipe", "smoke_on_pictures", "smoke_run"]

RECIPE = flags.DEFINE_string("recipe", None, "Name of the recipe; the first one if unset.")
DATASET = flags.DEFINE_string(
    "dataset", None, "digits, a name of TensorFlow Datasets, or folder:PATH. The recipe's if unset."
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets; its own if unset.")
RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "Folder of the run; runs/PROGRAM_DATASET_RECIPE_SEED if unset."
)
EPOCHS = flags.DEFINE_integer("epochs", None, "Passes over the training split.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", None, "Steps of the run, in place of passes.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Images a step.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", None, "Seed of the initial weights and the order.")
STRATEGY = flags.DEFINE_string(
    "strategy",
    "auto",
    f"{', '.join(STRATEGIES)}. multi_worker: the machines of TF_CONFIG, or of Slurm's job.",
)
NUM_REPLICAS = flags.DEFINE_integer(
    "num_replicas", None, "GPUs, or logical CPUs, that mirrored takes.", lower_bound=1
)
DTYPE_POLICY = flags.DEFINE_string(
    "dtype_policy", None, "float32, mixed_bfloat16, or mixed_float16 (one device)."
)
JIT_COMPILE = flags.DEFINE_bool("jit_compile", None, "Whether XLA compiles the loop.")
BATCH_NORM = flags.DEFINE_enum(
    "batch_norm",
    None,
    ["train", "synchronized"],
    "Whether replicas normalise each by its own images, or all by those of all.",
)
GRADIENT_ACCUMULATION_STEPS = flags.DEFINE_integer(
    "gradient_accumulation_steps",
    None,
    "Number of micro-batches into which each replica splits its part of a batch, to save memory.",
    lower_bound=1,
)
INITIAL_WEIGHTS = flags.DEFINE_string(
    "initial_weights", None, "File of the weights that the run starts from."
)
VALIDATION = flags.DEFINE_integer(
    "validation",
    None,
    "Training images that are held out, for a rate that waits for a plateau.",
    lower_bound=0,
)
LIMIT_TRAIN = flags.DEFINE_integer("limit_train", None, "Training images at most.", lower_bound=1)
LIMIT_TEST = flags.DEFINE_integer("limit_test", None, "Test images at most.", lower_bound=1)
CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes", 1.0, "A checkpoint as often, and after each pass.", lower_bound=0
)
CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps", None, "A checkpoint after as many steps too.", lower_bound=1
)
MAX_MINUTES = flags.DEFINE_float(
    "max_minutes", None, "Stop after so long; the same command goes on.", lower_bound=0
)
MAX_BAD_IMAGES = flags.DEFINE_integer(
    "max_bad_images",
    0,
    "Look at all pictures first, and leave out those that cannot be read: at most so many.",
    lower_bound=0,
)
SMOKE = flags.DEFINE_bool("smoke", False, "A run of seconds that shows that all parts work.")
EXPORT = flags.DEFINE_bool("export", False, "Export the trained network into the run directory.")

# Classes of the pictures that --smoke makes where a recipe is for ImageNet.
SMOKE_CLASSES = 8


def smoke_run(recipe: Recipe, train: int = 512, test: int = 256, **changes: Any) -> Recipe:
    """Returns what --smoke makes of a recipe, unless another flag says otherwise: two short passes.

    Args:
        recipe: The recipe.
        train: Training images at most; what is held out for validation is an eighth of them.
        test: Test images at most.
        **changes: Other values of the recipe.
    """
    return dataclasses.replace(
        recipe,
        epochs=2,
        steps=None,
        limit_train=train,
        limit_test=test,
        validation=min(recipe.validation, train // 8),
        **changes,
    )


def smoke_on_pictures(recipe: Recipe, train: int, test: int, batch_size: int) -> Recipe:
    """Returns what --smoke makes of a recipe for ImageNet: as `smoke_run`, on generated JPEG files.

    They are of ImageNet's form, in eight classes, and are kept beside the folder of the run. Rates
    shrink with the batch (Goyal et al. 2017, section 2.1), or some losses would not stay finite.
    """
    folder = Path(RUN_DIR.value).parent if RUN_DIR.value else Path("runs")
    folder = folder / f"pictures_{train}_{test}"
    synthetic_images.generate(folder, SMOKE_CLASSES, train // SMOKE_CLASSES, test // SMOKE_CLASSES)

    def slower(schedule: Schedule) -> Schedule:
        return Warmup(schedule, epochs=2, first=batch_size / recipe.batch_size, jump=True)

    return smoke_run(
        recipe,
        train,
        test,
        dataset=f"folder:{folder}",
        batch_size=batch_size,
        schedule=slower(recipe.schedule),
        schedules={pattern: slower(schedule) for pattern, schedule in recipe.schedules.items()},
    )


def run_recipe(
    program: str,
    recipes: Mapping[str, Recipe],
    smoke: Callable[[Recipe], Recipe] = smoke_run,
) -> RunDirectory:
    """Trains by the recipe that the flags name and change, and prints the closing table.

    Args:
        program: Name of the program, for the default run directory.
        recipes: The program's recipes by name; the first is the default.
        smoke: What --smoke makes of a recipe.

    Returns:
        The folder of the run, which holds its result.

    Raises:
        UserError: A flag is wrong. And all that `train` and `export_model` raise.
    """
    recipe = recipe_of_flags(recipes, smoke)
    if EXPORT.value:
        require("ai_edge_litert", "export")
    run_directory = RunDirectory(RUN_DIR.value or _default_run_dir(program, recipe))
    strategy = make_strategy(STRATEGY.value, NUM_REPLICAS.value)
    finished = is_chief(strategy) and run_directory.result.exists()
    result = train_as_flags_say(recipe, run_directory, strategy)
    # On several machines the first one speaks for all.
    if not is_chief(strategy):
        return run_directory
    if finished:
        print(f"{run_directory.path} holds this run, finished.")
    exports = run_directory.path / "export"
    if EXPORT.value and not exports.exists():
        _export(recipe, run_directory)
    print(_table(result, run_directory, exports if exports.exists() else None))
    return run_directory


def train_as_flags_say(
    recipe: Recipe,
    run_directory: RunDirectory,
    strategy: tf.distribute.Strategy,
    data: ImageData | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Trains, and shows how far it is. See `training.train`."""
    with ProgressLine() if is_chief(strategy) else nullcontext() as line:
        show = {"on_progress": line.show} if line else {}
        return train(
            recipe,
            run_directory.path,
            strategy,
            data=data,
            data_dir=DATA_DIR.value,
            max_bad_images=MAX_BAD_IMAGES.value,
            options=RunOptions(CHECKPOINT_MINUTES.value, CHECKPOINT_STEPS.value, MAX_MINUTES.value),
            command=command,
            **show,
        )


def recipe_of_flags(recipes: Mapping[str, Recipe], smoke: Callable[[Recipe], Recipe]) -> Recipe:
    """Returns the recipe that the flags name and change.

    Raises:
        UserError: There is none of that name, or its weights to start from are missing.
    """
    name = RECIPE.value or next(iter(recipes))
    if name not in recipes:
        raise unknown_name("recipe", name, recipes)
    recipe = smoke(recipes[name]) if SMOKE.value else recipes[name]
    length = {"epochs": EPOCHS.value, "steps": STEPS.value}
    changes = length if any(length.values()) else {}
    given = {
        "dataset": DATASET.value,
        "batch_size": BATCH_SIZE.value,
        "seed": SEED.value,
        "dtype_policy": DTYPE_POLICY.value,
        "jit_compile": JIT_COMPILE.value,
        "batch_norm": BATCH_NORM.value,
        "gradient_accumulation_steps": GRADIENT_ACCUMULATION_STEPS.value,
        "initial_weights": INITIAL_WEIGHTS.value,
        "validation": VALIDATION.value,
        "limit_train": LIMIT_TRAIN.value,
        "limit_test": LIMIT_TEST.value,
    }
    given = {key: value for key, value in given.items() if value is not None}
    recipe = dataclasses.replace(recipe, **changes, **given)
    if recipe.initial_weights is not None and not Path(recipe.initial_weights).is_file():
        raise UserError(
            f"Recipe {name} starts from weights of another run, and there is no "
            f"{recipe.initial_weights}. Name the other run's final.weights.h5 with "
            "--initial_weights=PATH."
        )
    return recipe


def _default_run_dir(program: str, recipe: Recipe) -> Path:
    path = default_run_dir(program, recipe.dataset, recipe.name, f"seed{recipe.seed}")
    return path.with_name(f"{path.name}_smoke") if SMOKE.value else path


def _export(recipe: Recipe, run_directory: RunDirectory) -> None:
    data = load_data(recipe, DATA_DIR.value)
    run = load_run(run_directory.path)
    compared = data.test.limited(export.COMPARED_IMAGES)
    images, labels = pipeline.resized(compared, run.preprocessing.resize)
    export.export_model(
        run.model,
        run_directory.path / "export",
        preprocessing=run.preprocessing,
        labels=data.class_names,
        images=images,
        image_labels=labels,
        origin={"weights": f"recipe {recipe.name}", "dataset": data.name},
    )


def _table(result: Mapping[str, Any], run_directory: RunDirectory, exports: Path | None) -> str:
    """The closing table: the paper's figure beside the measured one, images, seconds, files."""
    paper = result["paper"]
    there = f"{100 * paper['value']:.2f} on {paper['dataset']}" if paper else "-"
    rows = [
        ("", "paper", "measured"),
        ("test error, %", there, f"{100 * result['metrics']['test_error']:.2f}"),
        ("test accuracy, %", "", f"{100 * result['metrics']['test_accuracy']:.2f}"),
        ("training images", "", f"{result['train_images']:,}"),
        ("test images", "", f"{result['images']:,}"),
        ("seconds", "", f"{result['seconds']:,.1f}"),
    ]
    width = max(len(row[1]) for row in rows)
    lines = [f"{name:<18}{value:>{width}}  {measured:>10}" for name, value, measured in rows]
    head = f"{result['model']} on {result['dataset']}, recipe {result['recipe']}, "
    places = [f"paper   {paper['source']}"] if paper else []
    places += [f"files   {run_directory.path}/"] + ([f"export  {exports}/"] if exports else [])
    return "\n".join(
        ["", f"{head}seed {result['seed']}, {result['epochs']} epochs", *lines, *places]
    )
