"""`keras-classics train`: what `reproduce` programs do, without a checkout, for any network."""

import json

import pytest

from keras_classics.training import load_run, read_recipe, recipes
from tests.helpers.folders import folder_of_images
from tests.helpers.programs import assert_one_line
from tests.helpers.runs import assert_same_bits

TRAIN = ("-m", "keras_classics.cli", "train")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return f"folder:{folder_of_images(tmp_path_factory.mktemp('train') / 'images')}"


@pytest.fixture(scope="module")
def run(run_program, images, tmp_path_factory):
    """The folder of a run of a recipe by name, and what the command printed."""
    folder = tmp_path_factory.mktemp("train") / "run"
    command = ("--recipe=lenet5/modern", f"--dataset={images}", "--epochs=1", "--seed=3")
    done = run_program(*TRAIN, *command, f"--run_dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_recipe_by_name_on_a_folder_with_few_images(run, images):
    folder, done = run
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "--batch_size=6 instead of --batch_size=32: there are 6 images",
        "data               6 training images of 2 classes (cat 3, dog 3), 6 test images",
    ]
    assert f"lenet5 on {images}, recipe modern, seed 3, 1 epochs" in lines
    assert "paper   no figure for this run, which changes batch_size, dataset, epochs" in lines
    # The warnings of fine-tuning.
    assert "Only 1 steps: most networks need 100 or more." in done.stderr
    assert read_recipe(folder / "recipe.json").schedule == recipes.LENET5["modern"].schedule
    command = json.loads((folder / "environment.json").read_text())["command"]
    assert "--recipe=lenet5/modern" in command
    assert load_run(folder).class_names == ("cat", "dog")


def test_a_reproduce_program_trains_to_the_same_bits(run, run_program, images, tmp_path):
    command = ("--recipe=modern", f"--dataset={images}", "--epochs=1", "--seed=3", "--batch_size=6")
    done = run_program("-m", "reproduce.lenet5_mnist", *command, f"--run_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert_same_bits(tmp_path, run[0])
    # The same table, but for seconds and places.
    tables = [d.stdout.partition("\nlenet5 on")[2].splitlines() for d in (done, run[1])]
    kept = [[x for x in t if not x.startswith(("seconds", "files"))] for t in tables]
    assert kept[0] == kept[1]


def test_a_finished_run_and_its_recipe_again(run, run_program, tmp_path):
    folder, _ = run
    stored = f"--recipe={folder / 'recipe.json'}"
    done = run_program(*TRAIN, stored, f"--run_dir={folder}")
    assert f"{folder} holds this run, finished." in done.stdout
    # A number that was asked for is not replaced.
    done = run_program(*TRAIN, stored, f"--run_dir={tmp_path}", "--batch_size=7")
    assert_one_line(done, 2, "batch_size must be at most the 6 training images. Received: 7.")
    done = run_program(*TRAIN, stored, f"--run_dir={tmp_path}", "--set=model_arguments.scale=2")
    assert_one_line(done, 2, "Unknown field 'model_arguments.scale'")


def test_a_recipe_that_holds_out_more_than_there_are(run_program, images, tmp_path):
    done = run_program(
        *TRAIN,
        *("--model=vgg16_mini", "--recipe=alexnet/paper", f"--dataset={images}", "--epochs=1"),
        f"--run_dir={tmp_path}",
    )
    # No tenth of six images is one.
    assert_one_line(done, 2, "The schedule Plateau needs images held out of training.")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "Name what to train: --model=NETWORK, --recipe=FAMILY/NAME, or both."),
        (("--recipe=lenet5/modrn",), "Unknown recipe 'lenet5/modrn'. Did you mean lenet5/modern"),
        (("--recipe=modern",), "Unknown recipe 'modern'. Did you mean lenet5/modern"),
        (("--recipe=runs/none",), "runs/none cannot be read: No such file or directory."),
        (("--model=resnet21",), "Unknown model 'resnet21'. Did you mean resnet"),
        (
            ("--model=lenet5", "--recipe=vgg/paper"),
            "lenet5 takes images of 32x32x1, and recipe paper makes 224x224x3. Use a recipe of",
        ),
        (("--recipe=vgg/jitter",), "there is no file paper_384.weights.h5"),
        (
            ("--model=resnet20", "--set=model_arguments.input_shape=[64,64,3]"),
            "resnet20 takes images of 64x64x3, and the preprocessing of recipe modern makes 32x32",
        ),
        (
            ("--model=vgg16_mini", "--recipe=resnet_imagenet/modern", "--set=augmentation.size=60"),
            "vgg16_mini takes images of 64x64x3, and the augmentation of recipe modern makes 60x60",
        ),
        (("--smoke",), "Unknown command line flag 'smoke'"),
    ],
)
def test_what_does_not_fit(run_program, images, tmp_path, flags, message):
    command = (f"--dataset={images}", "--epochs=1", f"--run_dir={tmp_path / 'run'}")
    done = run_program(*TRAIN, *command, *flags)
    assert_one_line(done, 2, message)
    assert not (tmp_path / "run" / "checkpoints").exists()
