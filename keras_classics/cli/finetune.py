"""Fine-tunes known weights on your own images: first a new last layer, then all layers.

keras-classics finetune --model=resnet18 --weights=imagenet --dataset=folder:my_images
keras-classics finetune --model=vgg16 --dataset=folder:my_images --side=96 --epochs=3
keras-classics finetune --model=vgg16 --dataset=folder:my_images --set=optimizer.momentum=0.95

my_images holds a folder of images a class, in train and validation or not, or is a zip or tar of
that; lists, Parquet and .npz files are read too: docs/data.md shows all forms.

Batch size and epochs come from the number of training images, unless flags give them. Repeat the
command to resume. --set changes the recipes of both runs, --set=head.FIELD=VALUE and
--set=whole.FIELD=VALUE that of one.
"""

import logging
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import flags

from keras_classics.cli._data_flags import VALIDATION_SHARE, given_class_names
from keras_classics.cli._dataset_flags import define_data_dir, define_dataset
from keras_classics.cli._described import print_input
from keras_classics.cli._exif import with_exif
from keras_classics.cli._paths import define_path
from keras_classics.cli._program import default_run_dir
from keras_classics.cli._progress import ProgressLine
from keras_classics.cli._recipe_flags import with_set_fields
from keras_classics.cli._weights import known_weights
from keras_classics.models import find_model
from keras_classics.models.transfer import BATCH_NORMS
from keras_classics.training import (
    Recipe,
    RunResult,
    finetune,
    finetuning_recipes,
    load_data,
    make_strategy,
    train,
    warnings_about,
)

STAGES = ("the new last layer", "all layers")

logger = logging.getLogger(__name__)

MODEL = flags.DEFINE_string("model", None, "Name of the network.", required=True)
WEIGHTS = define_path(
    "weights",
    None,
    "Name of known weights of it, a file or hf://ORG/REPO; imagenet, or its only known weights, "
    "if unset.",
)
IMAGES = flags.DEFINE_string(
    "images",
    None,
    "For a file that does not say it: MODEL/WEIGHTS, known weights that take the same images.",
)
DATASET = define_dataset(required=True)
DATA_DIR = define_data_dir()
RUN_DIR = define_path(
    "run_dir", None, "Folder of both runs; runs/finetune_MODEL_DATASET_SEED if unset."
)
SIDE = flags.DEFINE_integer(
    "side", None, "Height and width of the images; those of the weights if unset.", lower_bound=32
)
HEAD_EPOCHS = flags.DEFINE_integer(
    "head_epochs",
    None,
    f"Epochs that train the new last layer alone; {finetune.HEAD_EPOCHS}, or as many as "
    f"{finetune.HEAD_STEPS} steps need, if unset.",
    lower_bound=1,
)
EPOCHS = flags.DEFINE_integer(
    "epochs",
    None,
    f"Epochs that train all layers; {finetune.EPOCHS} to {finetune.MOST_EPOCHS}, by the number of "
    f"images, or as many as {finetune.STEPS} steps need, if unset.",
    lower_bound=1,
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Global batch size, smaller if there are fewer images; "
    f"{finetune.BATCH_SIZES[0]} to {finetune.BATCH_SIZES[-1]}, by their number, if unset.",
    lower_bound=1,
)
RATE = flags.DEFINE_float(
    "rate",
    None,
    f"Learning rate of the new last layer, trained alone; {finetune.COLOUR['rate']}, or "
    f"{finetune.GREY['rate']} for a network of grey images, if unset.",
    lower_bound=0,
)
RATE_WHOLE = flags.DEFINE_float(
    "rate_whole",
    None,
    f"Learning rate of the stage that trains all layers; that of --rate divided by "
    f"{finetune.COLOUR['divisor']}, or by {finetune.GREY['divisor']} for a network of grey images, "
    "if unset.",
    lower_bound=0,
)
BATCH_NORM = flags.DEFINE_enum(
    "batch_norm", "frozen", list(BATCH_NORMS), "Whether batch normalisation layers train."
)
SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the initial weights, the order of the images and the augmentation."
)
STRATEGY = flags.DEFINE_enum(
    "strategy", "auto", ["auto", "one_device", "mirrored"], "Devices of this machine to use."
)


def main() -> None:
    """Trains in two runs and prints the accuracy after each."""
    name = find_model(MODEL.value).name
    dataset = with_exif(DATASET.value)
    run_dir = Path(RUN_DIR.value or default_run_dir("finetune", name, dataset, f"seed{SEED.value}"))
    strategy = make_strategy(STRATEGY.value, None)
    # The data depends on the recipe, and the length of the recipe on the data.
    draft, _ = _recipes(dataset, run_dir, head_epochs=1, epochs=1, batch_size=1)
    data = load_data(draft, DATA_DIR.value)
    chosen = data.limited(draft.limit_train, draft.limit_test)
    if draft.validation:
        chosen = chosen.holding_out(draft.validation)
    images, replicas = len(chosen.train), strategy.num_replicas_in_sync
    recipes = _recipes(
        dataset,
        run_dir,
        data=chosen,
        head_epochs=HEAD_EPOCHS.value,
        epochs=EPOCHS.value,
        batch_size=BATCH_SIZE.value or finetune.default_batch_size(images, replicas),
    )
    recipes = [_with_fitting_batch(recipe, len(data.train), strategy) for recipe in recipes]
    print_input(chosen, recipes[0])
    for recipe, what in zip(recipes, STAGES, strict=True):
        print(f"{what:<18} {_length(recipe, images)}")
    for recipe, what in zip(recipes, STAGES, strict=True):
        print(f"{what}:")
        with ProgressLine() as line:
            folder = run_dir / recipe.name
            result = train(recipe, folder, strategy, data=data, on_progress=line.show)
        print(f"{what}: {_figures(result)} on {result['images']:,} images")
    for warning in warnings_about(result):
        logger.warning(warning)
    print(f"files   {folder}/")


def _figures(result: RunResult) -> str:
    metrics = result["metrics"]
    if "test_mean_average_precision" in metrics:
        precision, exact = metrics["test_mean_average_precision"], metrics["test_exact_match"]
        return f"mAP {100 * precision:.2f} %, all labels right {100 * exact:.2f} %"
    return f"accuracy {100 * metrics['test_accuracy']:.2f} %"


def _recipes(dataset: str, run_dir: Path, **of_data: Any) -> list[Recipe]:
    """Returns both recipes as the flags say, with the arguments that depend on the data."""
    recipes = finetuning_recipes(
        MODEL.value,
        WEIGHTS.value or known_weights(MODEL.value),
        dataset,
        run_dir,
        images=IMAGES.value,
        side=SIDE.value,
        rate=RATE.value,
        rate_whole=RATE_WHOLE.value,
        batch_norm=BATCH_NORM.value,
        validation_share=VALIDATION_SHARE.value,
        class_names=given_class_names(),
        seed=SEED.value,
        **of_data,
    )
    return [with_set_fields(recipe, finetune.STAGES) for recipe in recipes]


def _length(recipe: Recipe, images: int) -> str:
    """Returns length, batch size and rate of a run, each with its flag."""
    epochs, rate = (HEAD_EPOCHS, RATE) if recipe.name == "head" else (EPOCHS, RATE_WHOLE)
    said = [f"{recipe.steps} steps"]
    if recipe.epochs is not None:
        count = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
        steps = f"{count} of {images / recipe.batch_size:.4g} steps"
        said = [f"{steps} ({_origin(epochs, images)})"]
    said.append(f"batches of {recipe.batch_size} ({_origin(BATCH_SIZE, images)})")
    schedule = getattr(recipe.schedule, "then", recipe.schedule)
    if hasattr(schedule, "rate"):
        warmup = getattr(recipe.schedule, "epochs", 0)
        after = f" after {warmup:.2g} epochs of warm-up" if schedule is not recipe.schedule else ""
        said.append(f"rate {schedule.rate:g}{after} (--{rate.name})")
    return ", ".join(said)


def _origin(flag: flags.FlagHolder, images: int) -> str:
    """Returns where a value comes from, and the flag that sets it."""
    return f"--{flag.name}" if flag.value else f"from {images:,} images; --{flag.name}"


def _with_fitting_batch(recipe: Recipe, images: int, strategy: tf.distribute.Strategy) -> Recipe:
    """Returns the recipe with a smaller batch if there are fewer images, and says so."""
    fitting = finetune.fitting_batch(recipe, images, strategy.num_replicas_in_sync)
    if fitting != recipe:
        print(
            f"{recipe.name}: batches of {fitting.batch_size} images instead of "
            f"{recipe.batch_size}, because there are no more to train on"
        )
    return fitting
