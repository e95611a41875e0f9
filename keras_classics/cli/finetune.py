"""Fine-tunes known weights on your own images: first a new last layer, then all layers.

keras-classics finetune --model=resnet18 --weights=imagenet --dataset=folder:my_images
keras-classics finetune --model=vgg16 --dataset=folder:my_images --side=96 --epochs=3
keras-classics finetune --model=vgg16 --dataset=folder:my_images --set=optimizer.momentum=0.95

my_images holds train/CLASS/*.jpg and validation/CLASS/*.jpg. Repeat the command to resume. --set
changes the recipes of both runs, --set=head.FIELD=VALUE and --set=whole.FIELD=VALUE that of one.
"""

from pathlib import Path

import tensorflow as tf
from absl import flags

from keras_classics.cli._exif import with_exif
from keras_classics.cli._paths import define_path
from keras_classics.cli._program import default_run_dir
from keras_classics.cli._progress import ProgressLine
from keras_classics.cli._recipe_flags import set_fields
from keras_classics.cli._weights import known_weights
from keras_classics.data import load
from keras_classics.models import find_model
from keras_classics.models.transfer import BATCH_NORMS
from keras_classics.training import Recipe, finetuning_recipes, make_strategy, train
from keras_classics.training.finetune import fitting_batch

MODEL = flags.DEFINE_string("model", None, "Name of the network.", required=True)
WEIGHTS = define_path(
    "weights",
    None,
    "Name of known weights of it, or a file; imagenet, or its only known weights, if unset.",
)
IMAGES = flags.DEFINE_string(
    "images",
    None,
    "For a file that does not say it: MODEL/WEIGHTS, known weights that take the same images.",
)
DATASET = flags.DEFINE_string(
    "dataset", None, "folder:PATH, digits, or a name of TensorFlow Datasets.", required=True
)
DATA_DIR = define_path("data_dir", None, "Folder of TensorFlow Datasets; its default if unset.")
RUN_DIR = define_path(
    "run_dir", None, "Folder of both runs; runs/finetune_MODEL_DATASET_SEED if unset."
)
SIDE = flags.DEFINE_integer(
    "side", None, "Height and width of the images; those of the weights if unset.", lower_bound=32
)
HEAD_EPOCHS = flags.DEFINE_integer(
    "head_epochs", 5, "Epochs that train the new last layer alone.", lower_bound=1
)
EPOCHS = flags.DEFINE_integer("epochs", 10, "Epochs that train all layers.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 32, "Global batch size; smaller if there are fewer images.", lower_bound=1
)
LEARNING_RATE = flags.DEFINE_float(
    "learning_rate",
    0.02,
    "Learning rate of the new last layer. All layers train with a tenth of it.",
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
    recipes = finetuning_recipes(
        MODEL.value,
        WEIGHTS.value or known_weights(name),
        dataset,
        run_dir,
        images=IMAGES.value,
        side=SIDE.value,
        head_epochs=HEAD_EPOCHS.value,
        epochs=EPOCHS.value,
        batch_size=BATCH_SIZE.value,
        rate=LEARNING_RATE.value,
        batch_norm=BATCH_NORM.value,
        seed=SEED.value,
    )
    recipes = [_with_settings(recipe, {"head", "whole"}) for recipe in recipes]
    data = load(dataset, DATA_DIR.value, recipes[0].make_preprocessing().resize)
    recipes = [_with_fitting_batch(recipe, len(data.train), strategy) for recipe in recipes]
    for recipe, what in zip(recipes, ("the new last layer", "all layers"), strict=True):
        print(f"{what}, {recipe.epochs} epochs")
        with ProgressLine() as line:
            folder = run_dir / recipe.name
            result = train(recipe, folder, strategy, data=data, on_progress=line.show)
        print(
            f"{what}: accuracy {100 * result['metrics']['test_accuracy']:.2f} % on "
            f"{result['images']:,} images"
        )
    print(f"files   {folder}/")


def _with_fitting_batch(recipe: Recipe, images: int, strategy: tf.distribute.Strategy) -> Recipe:
    """Returns the recipe with a smaller batch if there are fewer images, and says so."""
    fitting = fitting_batch(recipe, images, strategy.num_replicas_in_sync)
    if fitting != recipe:
        print(
            f"{recipe.name}: batches of {fitting.batch_size} images instead of "
            f"{recipe.batch_size}, because there are no more to train on"
        )
    return fitting


def _with_settings(recipe: Recipe, names: set[str]) -> Recipe:
    """Returns the recipe with the fields of --set, without those of the other recipe."""
    fields = {}
    for path, value in set_fields().items():
        name, _, rest = path.partition(".")
        if name not in names:
            fields[path] = value
        elif name == recipe.name:
            fields[rest] = value
    return recipe.with_fields(fields) if fields else recipe
