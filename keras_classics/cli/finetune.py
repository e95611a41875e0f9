"""Fine-tunes known weights on your own pictures: first a new last layer, then all layers.

keras-classics finetune --model=resnet18 --weights=imagenet --dataset=folder:my_pictures
keras-classics finetune --model=vgg16 --dataset=folder:my_pictures --side=96 --epochs=3

my_pictures holds train/CLASS/*.jpg and validation/CLASS/*.jpg. The same command again goes on where
it stopped.
"""

from pathlib import Path

from absl import flags

from keras_classics.cli._program import default_run_dir
from keras_classics.cli._progress import ProgressLine
from keras_classics.data import load
from keras_classics.models import find_model
from keras_classics.models.transfer import BATCH_NORMS
from keras_classics.training import finetuning_recipes, make_strategy, train

MODEL = flags.DEFINE_string("model", None, "Network.", required=True)
WEIGHTS = flags.DEFINE_string("weights", "imagenet", "Name of known weights of it, or a file.")
IMAGES = flags.DEFINE_string(
    "images", None, "For a file: MODEL/WEIGHTS that take the same images as its weights."
)
DATASET = flags.DEFINE_string(
    "dataset", None, "folder:PATH, digits, or a name of TensorFlow Datasets.", required=True
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets; its own if unset.")
RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "Folder of both runs; runs/finetune_MODEL_DATASET_SEED if unset."
)
SIDE = flags.DEFINE_integer(
    "side", None, "Side of the images; that of the weights if unset.", lower_bound=32
)
HEAD_EPOCHS = flags.DEFINE_integer(
    "head_epochs", 5, "Passes in which the new last layer trains.", lower_bound=1
)
EPOCHS = flags.DEFINE_integer("epochs", 10, "Passes in which all layers train.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images a step.", lower_bound=1)
RATE = flags.DEFINE_float("rate", 0.02, "Learning rate of the new last layer.", lower_bound=0)
BATCH_NORM = flags.DEFINE_enum(
    "batch_norm", "frozen", list(BATCH_NORMS), "Whether batch normalisations train."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the initial weights and the order.")
STRATEGY = flags.DEFINE_enum(
    "strategy", "auto", ["auto", "one_device", "mirrored"], "Devices of this machine to take."
)


def main() -> None:
    """Trains in two runs and says how well the network does."""
    name = find_model(MODEL.value).name
    run_dir = Path(
        RUN_DIR.value or default_run_dir("finetune", name, DATASET.value, f"seed{SEED.value}")
    )
    strategy = make_strategy(STRATEGY.value, None)
    recipes = finetuning_recipes(
        MODEL.value,
        WEIGHTS.value,
        DATASET.value,
        run_dir,
        images=IMAGES.value,
        side=SIDE.value,
        head_epochs=HEAD_EPOCHS.value,
        epochs=EPOCHS.value,
        batch_size=BATCH_SIZE.value,
        rate=RATE.value,
        batch_norm=BATCH_NORM.value,
        seed=SEED.value,
    )
    data = load(DATASET.value, DATA_DIR.value, recipes[0].make_preprocessing().resize)
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
