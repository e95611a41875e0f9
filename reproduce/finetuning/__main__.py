"""Fine-tunes with the defaults of `keras-classics finetune` on small sets of images.

python -m reproduce.finetuning
python -m reproduce.finetuning --sets=search --seeds=1
python -m reproduce.finetuning --sets=search --set=clip_norm=1 --run_dir=runs/clipped
python -m reproduce.report --add=runs/finetuning

The defaults were chosen on the sets `search` and are tested on the sets `tested`, which have other
classes: three of generated images and three of Fashion-MNIST (`make data`), five seeds each. No
weights have seen images of the set: generated images start from those of Fashion-MNIST, and
Fashion-MNIST starts from those of digits. docs/finetuning.md has the results. --set tries another
value than a default, as in `keras-classics finetune`, and needs a folder of runs of its own.
"""

import dataclasses
import shlex
from pathlib import Path

from absl import flags

from keras_classics.cli._dataset_flags import define_data_dir
from keras_classics.cli._paths import define_path
from keras_classics.cli._program import run
from keras_classics.cli._recipe_flags import SET, with_set_fields
from keras_classics.training import finetune as defaults
from keras_classics.training import finetuning_recipes, load_data, train, warnings_about
from reproduce.finetuning.sets import SEARCH, TESTED, write_set

SETS = {"tested": TESTED, "search": SEARCH}

CHOICE = flags.DEFINE_enum("sets", "tested", list(SETS), "Which sets.")
NAMES = flags.DEFINE_list("names", [], "Names of some of these sets; all if empty.")
SEEDS = flags.DEFINE_integer("seeds", 5, "Number of seeds, 0, 1, ...", lower_bound=1)
RUN_DIR = define_path("run_dir", "runs/finetuning", "Folder of the runs, one folder each.")
DATA_DIR = define_data_dir()


def main() -> None:
    """Fine-tunes on each set with each seed, and prints the accuracies."""
    sets = SETS[CHOICE.value]
    for seed in range(SEEDS.value):
        for name in NAMES.value or sets:
            result = finetune(name, seed)
            print(f"{name} seed {seed}: {100 * result['metrics']['test_accuracy']:.2f} %")
            for line in warnings_about(result):
                print(f"  {line}")


def finetune(name: str, seed: int) -> dict:
    """Fine-tunes on a set, and returns the result of the last run."""
    small = SETS[CHOICE.value][name]
    run_dir = Path(RUN_DIR.value)
    images = write_set(run_dir / "images" / f"{name}_{seed}", small, seed, DATA_DIR.value)
    dataset = f"folder:{images}"
    folder = run_dir / f"{name}_seed{seed}"
    first, _ = finetuning_recipes(
        *(small.network, small.weights, dataset, folder), head_epochs=1, epochs=1, batch_size=1
    )
    data = load_data(first)
    for recipe in finetuning_recipes(
        small.network, small.weights, dataset, folder, data=data, seed=seed
    ):
        tagged = dataclasses.replace(
            with_set_fields(recipe, defaults.STAGES),
            tags={"sets": CHOICE.value, "variant": name},
        )
        result = train(tagged, folder / recipe.name, data=data, command=_command(name, seed))
    return result


def _command(name: str, seed: int) -> str:
    options = [f"--sets={CHOICE.value}", f"--names={name}", f"--seeds={seed + 1}"]
    options += [f"--set={field}" for field in SET.value]
    return f"python -m reproduce.finetuning {shlex.join(options)}"


if __name__ == "__main__":
    run(main)
