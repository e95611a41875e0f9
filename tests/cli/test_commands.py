"""The console command."""

import json
import re

import h5py
import numpy as np
import pytest

import keras_classics as kc
from tests.helpers import idx_files
from tests.helpers.folders import folder_of_images
from tests.helpers.idx_files import write_idx_set
from tests.helpers.programs import assert_one_line

CLI = ("-m", "keras_classics.cli")


def test_lists_its_commands(run_python):
    done = run_python(*CLI)
    assert done.returncode == 0
    assert "prepare      Converts files on this machine" in done.stdout
    assert done.stderr == ""


def test_zoo_lists(run_program):
    done = run_program(*CLI, "zoo", "--pattern=resnet1*")
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["network", "paper", "input", "parameters", "multiply-adds", "weights"]
    names = ["resnet18", "resnet101", "resnet110", "resnet152", "resnet164"]
    listed = lines[: lines.index("")]
    assert [line.split()[0] for line in listed] == [*names, "resnet1001", "resnet1202"]
    assert listed[0].split()[1:6] == ["He", "2015", "224x224x3", "11,689,512", "1.81"]
    assert listed[0].endswith("imagenet: 8, places365")
    assert max(map(len, lines)) <= 100


def test_zoo_describes(run_program):
    done = run_program(*CLI, "zoo", "--model=alexnet", "--side=224", "--classes=10")
    assert done.returncode == 0, done.stderr
    assert "conv1          Conv2D                      55x55x96       34,944" in done.stdout
    assert "Krizhevsky, Sutskever, Hinton" in done.stdout.splitlines()[-1]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model=alexnt",), "Unknown model 'alexnt'. Did you mean alexnet"),
        (("--model=vgg16", "--side=20"), "at least 32x32 pixels. Received: 20x20"),
        (("--pattern=inception*",), "No network matches --pattern='inception*'"),
        (("--side=0", "--model=vgg16"), "flag --side=0: 0 is not a positive integer"),
    ],
)
def test_zoo_says_what_is_wrong(run_program, flags, message):
    assert_one_line(run_program(*CLI, "zoo", *flags), 2, message)


def test_unknown_command(run_program):
    assert_one_line(
        run_program(*CLI, "prepar"), 2, "Unknown command 'prepar'. Did you mean prepare or"
    )


def test_prepare_and_again(run_program, tmp_path):
    write_idx_set(tmp_path / "idx", train=20, test=10)
    command = (
        *CLI,
        "prepare",
        "--dataset=fashion_mnist",
        f"--from={tmp_path / 'idx'}",
        f"--data_dir={tmp_path / 'tfds'}",
    )
    for _ in range(2):
        done = run_program(*command)
        assert done.returncode == 0, done.stderr
        assert "fashion_mnist is ready in" in done.stdout
    assert sorted(p.name for p in (tmp_path / "tfds" / "fashion_mnist").iterdir()) == ["3.0.1"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (idx_files.damage_images, "cut short or damaged"),
        (idx_files.damage_labels, "must be 0 to 9. Received: 10"),
    ],
)
def test_prepare_from_damaged_files(run_program, tmp_path, damage, message):
    write_idx_set(tmp_path / "idx", train=20, test=6)
    damage(tmp_path / "idx")
    done = run_program(
        *CLI,
        "prepare",
        "--dataset=mnist",
        f"--from={tmp_path / 'idx'}",
        f"--data_dir={tmp_path / 'tfds'}",
    )
    assert_one_line(done, 2, message)


def test_a_flag_is_missing(run_program):
    assert_one_line(run_program(*CLI, "prepare"), 2, "Flag --dataset must have a value")


def test_convert_there_and_back(run_program, tmp_path):

    first, named, back = (tmp_path / n for n in ("a.weights.h5", "b.safetensors", "c.weights.h5"))
    kc.resnet18(classes=3, input_shape=(32, 32, 3)).save_weights(first)
    network = ("--model=resnet18", "--classes=3", "--side=32")
    done = run_program(
        *CLI, "convert", f"--from={first}", f"--out={named}", "--to=torchvision", *network
    )
    assert done.returncode == 0, done.stderr
    first_line, *proof = done.stdout.splitlines()
    assert first_line == f"{named} holds the 102 tensors of resnet18."
    # keras.applications has no such network; torch is no dependency.
    (proof,) = proof
    assert re.match(r"(outputs equal those of|not compared with) torchvision", proof)
    done = run_program(*CLI, "convert", f"--from={named}", f"--out={back}", *network)
    assert done.returncode == 0, done.stderr
    with h5py.File(first) as one, h5py.File(back) as other:
        names = [name for name, dataset in members(one) if isinstance(dataset, h5py.Dataset)]
        assert len(names) == 102
        for name in names:
            np.testing.assert_array_equal(one[name], other[name])


def members(file: h5py.File) -> list:
    found = []
    file.visititems(lambda name, member: found.append((name, member)))
    return found


def test_convert_says_what_is_wrong(run_program, tmp_path):
    (tmp_path / "a.h5").write_text("no weights")
    command = (*CLI, "convert", f"--from={tmp_path / 'a.h5'}", "--model=resnet20")
    done = run_program(*command, f"--out={tmp_path / 'b.weights.h5'}")
    assert_one_line(done, 2, "a.h5 cannot be read: it is not an intact HDF5 file")
    assert not (tmp_path / "b.weights.h5").exists()


def test_finetune_on_images(run_program, tmp_path):
    folder_of_images(tmp_path / "images")
    command = (
        *CLI,
        "finetune",
        "--model=lenet5",
        "--weights=digits",
        f"--dataset=folder:{tmp_path / 'images'}",
        f"--run_dir={tmp_path / 'run'}",
        "--set=optimizer.momentum=0.8",
        "--rate_whole=0.001",
        "--head_epochs=1",
        "--epochs=1",
    )
    done = run_program(*command)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == (
        "data               6 training images of 2 classes (cat 3, dog 3), 6 test images"
    )
    assert said[1].startswith(
        "network's input    32x32x1 (grey; colour is converted): fit inside 28x28"
    )
    assert said[2].endswith("(--set=augmentation=null)")
    assert said[3] == (
        "the new last layer 1 epoch of 1 steps (--head_epochs), batches of 6 (from 6 images; "
        "--batch_size), rate 0.05 (--rate)"
    )
    assert "all layers: accuracy" in done.stdout
    assert "Only 1 steps: most networks need 100 or more. Raise --epochs (now 1)" in done.stderr
    assert "the last layer keeps its initial weights" in done.stderr
    assert (tmp_path / "run" / "whole" / "model.keras").exists()
    for name, rate in (("head", 0.05), ("whole", 0.001)):
        recipe = json.loads((tmp_path / "run" / name / "recipe.json").read_text())
        schedule = recipe["schedule"].get("then", recipe["schedule"])
        assert (recipe["optimizer"]["momentum"], schedule["rate"]) == (0.8, rate)
    wrong = run_program(*command[:-2], "--weights=digit", "--run_dir=other")
    assert_one_line(wrong, 2, "Unknown weights 'lenet5/digit'. Did you mean lenet5/digits")
