"""The flags of all training programs, and the recipe that they describe."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics.cli._data_flags import VALIDATION_SHARE, given_class_names
from keras_classics.cli._dataset_flags import define_data_dir, define_dataset, define_limit
from keras_classics.cli._device_flags import define_num_replicas, define_strategy
from keras_classics.cli._exif import with_exif
from keras_classics.cli._paths import define_path
from keras_classics.cli._recipe_flags import set_fields
from keras_classics.data.names import is_multilabel
from keras_classics.errors import UserError, unknown_name
from keras_classics.training import Recipe, read_recipe
from keras_classics.training.recipe import MULTILABEL
from keras_classics.training.run_directory import run_folder

RECIPE = define_path(
    "recipe",
    None,
    "Name of a recipe of the program, or of one that `keras-classics recipes` lists for "
    "`keras-classics train`; or the recipe.json of a run, which is then run again.",
)
EPOCHS = flags.DEFINE_integer("epochs", None, "Epochs of the run.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", None, "Steps of the run, instead of epochs.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Global batch size.", lower_bound=1)
LEARNING_RATE = flags.DEFINE_float(
    "learning_rate",
    None,
    "Learning rate of the recipe's schedule, short for --set=schedule.rate=X. Groups of variables "
    "with a schedule of their own keep theirs.",
    lower_bound=0,
)
SEED = flags.DEFINE_integer(
    "seed", None, "Seed of the initial weights, the order of the images and the augmentation."
)
DTYPE_POLICY = flags.DEFINE_string(
    "dtype_policy", None, "float32, mixed_bfloat16, or mixed_float16 (one device only)."
)
JIT_COMPILE = flags.DEFINE_bool("jit_compile", None, "Whether XLA compiles the training loop.")
BATCH_NORM = flags.DEFINE_enum(
    "batch_norm",
    None,
    ["train", "synchronized"],
    "Whether batch normalisation takes its statistics from the images of one replica or of all.",
)
GRADIENT_ACCUMULATION_STEPS = flags.DEFINE_integer(
    "gradient_accumulation_steps",
    None,
    "Number of micro-batches into which each replica splits its part of a batch, to save memory.",
    lower_bound=1,
)
INITIAL_WEIGHTS = define_path("initial_weights", None, "File of weights that the run starts from.")

DATASET = define_dataset("The recipe's if unset.")
DATA_DIR = define_data_dir()
LIMIT_TRAIN = define_limit("train")
LIMIT_TEST = define_limit("test")
VALIDATION = flags.DEFINE_integer(
    "validation",
    None,
    "Number of training images held out for validation. A schedule that waits for a plateau needs "
    "some.",
    lower_bound=0,
)
MAX_BAD_IMAGES = flags.DEFINE_integer(
    "max_bad_images",
    0,
    "Check all image files first and leave out up to this many that cannot be read.",
    lower_bound=0,
)

RUN_DIR = define_path(
    "run_dir", None, "Folder of the run; runs/PROGRAM_DATASET_RECIPE_SEED if unset."
)
CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes",
    1.0,
    "Minutes between checkpoints. Each epoch ends with one, too.",
    lower_bound=0,
)
CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps", None, "Steps between checkpoints, in addition.", lower_bound=1
)
MAX_MINUTES = flags.DEFINE_float(
    "max_minutes",
    None,
    "Stop after this many minutes; repeat the command to resume.",
    lower_bound=0,
)
EXPORT = flags.DEFINE_bool("export", False, "Export the trained network into the run directory.")

STRATEGY = define_strategy()
NUM_REPLICAS = define_num_replicas()

FLAG_GROUPS = {
    "Recipe": (
        RECIPE,
        EPOCHS,
        STEPS,
        BATCH_SIZE,
        LEARNING_RATE,
        SEED,
        DTYPE_POLICY,
        JIT_COMPILE,
        BATCH_NORM,
        GRADIENT_ACCUMULATION_STEPS,
        INITIAL_WEIGHTS,
    ),
    "Data": (DATASET, DATA_DIR, LIMIT_TRAIN, LIMIT_TEST, VALIDATION, MAX_BAD_IMAGES),
    "Run": (RUN_DIR, CHECKPOINT_MINUTES, CHECKPOINT_STEPS, MAX_MINUTES, EXPORT),
    "Devices": (STRATEGY, NUM_REPLICAS),
}

# Flags that replace the field of the same name in the recipe.
FIELDS = (
    DATASET,
    BATCH_SIZE,
    SEED,
    DTYPE_POLICY,
    JIT_COMPILE,
    BATCH_NORM,
    GRADIENT_ACCUMULATION_STEPS,
    INITIAL_WEIGHTS,
    VALIDATION,
    VALIDATION_SHARE,
    LIMIT_TRAIN,
    LIMIT_TEST,
)


# Fields in which a run may differ from the published recipe and still be compared with the paper.
NOT_CHANGES = {
    "seed",
    "dtype_policy",
    "jit_compile",
    "gradient_accumulation_steps",
    "initial_weights",
    "paper",
    "sources",
    "tags",
}


def stored_recipe(recipes: Mapping[str, Recipe]) -> Path | None:
    """Returns the file that --recipe names, or None if it is a recipe's name or unset.

    Args:
        recipes: The recipes that --recipe may name. If their names are FAMILY/NAME, so is every
            name that begins with a family and leads to no file.
    """
    name = RECIPE.value
    if name is None or name in recipes or not ("/" in name or name.endswith(".json")):
        return None
    path = Path(name)
    families = {known.partition("/")[0] for known in recipes if "/" in known}
    if name.partition("/")[0] in families and not path.exists():
        return None
    return run_folder(path) / "recipe.json" if path.is_dir() else path


def named_recipe(recipes: Mapping[str, Recipe], default: str) -> Recipe:
    """Returns the recipe that --recipe names, as it is published or stored.

    Args:
        recipes: The recipes that --recipe may name.
        default: Name of the one to take if it is unset.

    Raises:
        UserError: If there is no such recipe.
    """
    if path := stored_recipe(recipes):
        return read_recipe(path)
    name = RECIPE.value or default
    if name not in recipes:
        raise unknown_name("recipe", name, recipes)
    return recipes[name]


def given_fields() -> set[str]:
    """Returns the fields of the recipe that flags set."""
    return {flag.name for flag in FIELDS if flag.value is not None} | {*set_fields()}


def with_flags(recipe: Recipe) -> Recipe:
    """Returns a recipe as the flags change it.

    Raises:
        UserError: A flag does not fit the recipe, or the file of its initial weights is missing.
    """
    changes = {flag.name: flag.value for flag in FIELDS if flag.value is not None}
    if EPOCHS.value or STEPS.value:
        changes |= {"epochs": EPOCHS.value, "steps": STEPS.value}
    recipe = dataclasses.replace(recipe, **changes)
    class_names = given_class_names() or recipe.class_names
    dataset = with_exif(recipe.dataset)
    recipe = dataclasses.replace(recipe, dataset=dataset, class_names=class_names)
    if is_multilabel(recipe.dataset) and "loss" not in given_fields():
        recipe = dataclasses.replace(recipe, loss=MULTILABEL, loss_arguments={})
    if fields := settings(recipe):
        recipe = recipe.with_fields(fields)
    if recipe.initial_weights is not None and not Path(recipe.initial_weights).is_file():
        raise UserError(
            f"Recipe {recipe.name} starts from the weights of another run, and there is no file "
            f"{recipe.initial_weights}. Name the other run's final.weights.h5 with "
            "--initial_weights=PATH."
        )
    return recipe


def changed_fields(recipe: Recipe, published: Recipe | None) -> list[str]:
    """Returns the fields in which a recipe differs from the published one.

    Seeds, starting points and fields that only affect speed or memory do not count.

    Args:
        recipe: The recipe.
        published: The published recipe for the same network; None if there is none.
    """
    if published is None:
        return ["name"]
    names = {field.name for field in dataclasses.fields(Recipe)} - NOT_CHANGES
    return sorted(name for name in names if getattr(recipe, name) != getattr(published, name))


def published_of(recipe: Recipe, recipes: Iterable[Recipe]) -> Recipe | None:
    """Returns the published recipe that a stored one comes from: the nearest of the same name."""
    candidates = []
    for published in recipes:
        if recipe.paper != published.paper:
            # Of another network of the family, whose figure came with it.
            network = {name: getattr(recipe, name) for name in ("model", "model_arguments")}
            published = dataclasses.replace(published, **network)
        if published.name == recipe.name:
            candidates.append(published)
    return min(candidates, key=lambda known: len(changed_fields(recipe, known)), default=None)


def settings(recipe: Recipe) -> dict[str, Any]:
    """Returns the fields that --learning_rate and --set name, as `Recipe.with_fields` takes them.

    Raises:
        UserError: A --set has no value, or --learning_rate is given for a schedule of many rates.
    """
    fields = set_fields()
    if LEARNING_RATE.value is not None:
        fields = {rate_field("schedule", recipe.schedule): LEARNING_RATE.value, **fields}
    return fields


def rate_field(path: str, schedule: Any) -> str:
    """Returns the path of the rate of a schedule, or of the schedule inside of it.

    Raises:
        UserError: The schedule has many rates.
    """
    fields = {field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}
    if "rate" in fields:
        return f"{path}.rate"
    for name, value in fields.items():
        if dataclasses.is_dataclass(value):
            return rate_field(f"{path}.{name}", value)
    raise UserError(
        f"--learning_rate needs a schedule with one rate. Received: {type(schedule).__name__}. "
        f"Set its rates with --set='{path}.rates=[...]'."
    )
