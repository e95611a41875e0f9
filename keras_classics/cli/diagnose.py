"""Looks for what keeps a network from learning: in its data, its weights and its training.

keras-classics diagnose runs/my_run
keras-classics diagnose --model=vgg16_mini --dataset=folder:my_images
keras-classics diagnose --recipe=resnet_cifar10/paper --dataset=cifar10 --try

RUN_DIR is the folder of a run of train, finetune or another program, finished or not: its recipe,
newest weights and log are read from it. The run may go on meanwhile: nothing that belongs to it is
written or locked, and the diagnosis of a run that has not ended leaves processor and GPU to it.
Without RUN_DIR, the training that the flags describe is examined before it begins, as
'keras-classics train' would begin it.

Each finding says what was measured, what it should be, and the smallest change that mends it. --try
carries each change out for 50 steps, where that can be done. OUT/index.html shows all of it with
pictures, and OUT/diagnosis.json holds it for programs. The exit status is 0, with findings too.
"""

import os
from pathlib import Path

import tensorflow as tf
from absl import flags

from keras_classics.cli import _training_flags as training_flags
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.cli._program import default_run_dir
from keras_classics.cli._published_recipe import MODEL, published_recipe
from keras_classics.diagnosis import examine
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.page import CONTENT, PAGE, write_diagnosis
from keras_classics.diagnosis.runs import case_of_recipe, case_of_run
from keras_classics.diagnosis.trial import STEPS, try_mends
from keras_classics.errors import UserError
from keras_classics.training import load_data
from keras_classics.training.few_images import for_few_images
from keras_classics.training.recipes.by_name import RECIPES
from keras_classics.training.run_directory import RunDirectory, run_folder

TRY = flags.DEFINE_bool("try", False, f"Carry each mend out for {STEPS} steps.")
OUT = define_path(
    "out", None, "Folder to write; RUN_DIR/diagnosis, or runs/diagnose_MODEL_DATASET if unset."
)


def main(run_dir: str | None = None) -> None:
    """Examines a run, or the training that the flags describe."""
    run_dir = run_dir or training_flags.RUN_DIR.value
    case, out = _of_run(Path(run_dir)) if run_dir else _of_flags()
    diagnosis = examine(case)
    trials = try_mends(diagnosis) if TRY.value else []
    out = Path(OUT.value) if OUT.value else out
    write_diagnosis(out, diagnosis, trials)
    if JSON.value:
        print_json(diagnosis.to_json())
        return
    print(diagnosis)
    for trial in trials:
        print(f"\n{trial}")
    print(f"\nWith pictures: {out / PAGE}; for programs: {out / CONTENT}")


def _of_run(run_dir: Path) -> tuple[Case, Path]:
    describing = (MODEL, training_flags.RECIPE, *training_flags.FIELDS)
    given = [f"--{flag.name}" for flag in describing if flag.value is not None]
    if given:
        raise UserError(
            "A run has its recipe and its data in its folder. Received: "
            f"{run_dir} and {', '.join(given)}. Leave out one of the two."
        )
    if not RunDirectory(run_folder(run_dir)).result.exists():
        _give_way()
    return case_of_run(run_dir, training_flags.DATA_DIR.value), run_dir / "diagnosis"


def _give_way() -> None:
    """Runs beside a training without slowing it: at the lowest priority, and on no GPU."""
    if hasattr(os, "nice"):
        os.nice(19)
    # TensorFlow would take the memory that the training has not taken.
    tf.config.set_visible_devices([], "GPU")


def _of_flags() -> tuple[Case, Path]:
    recipe = training_flags.with_flags(published_recipe())
    data = load_data(recipe, training_flags.DATA_DIR.value)
    if not training_flags.stored_recipe(RECIPES):
        given = training_flags.given_fields()
        recipe = for_few_images(recipe, len(data.train), replicas=1, given=given)
    return case_of_recipe(recipe, data), default_run_dir("diagnose", recipe.model, recipe.dataset)
