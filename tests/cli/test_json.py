"""--json: JSON alone on standard output, with stable keys and numbers that are numbers."""

import json

import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.training.recipe import read_recipe
from keras_classics.weights.records import OWN
from tests.helpers.programs import assert_one_line

CLI = ("-m", "keras_classics.cli")
DIGITS = ("--model=lenet5", "--weights=digits")


@pytest.fixture(scope="module")
def read(run_program):
    """Runs a command with --json and returns what it printed."""

    def run(*command: str):
        done = run_program(*CLI, *command, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_zoo(read):
    rows = read("zoo")
    assert [row["network"] for row in rows] == kc.list_models()
    (lenet5,) = (row for row in rows if row["network"] == "lenet5")
    assert list(lenet5) == [
        *("network", "paper", "input_shape", "smallest_input", "classes"),
        *("parameters", "multiply_adds", "weights"),
    ]
    assert (lenet5["input_shape"], lenet5["parameters"]) == ([32, 32, 1], 61_706)
    assert lenet5["weights"] == ["digits", "fashion_mnist"]
    described = read("zoo", "--model=lenet5")
    assert {name: described[name] for name in lenet5} == lenet5
    assert sum(layer["multiply_adds"] for layer in described["layers"]) == lenet5["multiply_adds"]


def test_weights(read, run_program):
    rows = read("weights")
    assert [row["weights"] for row in rows] == kc.list_weights()
    (digits,) = read("weights", "--pattern=*/digits")
    assert digits["top1"] == kc.find_weights("lenet5/digits").top1
    assert (digits["labels"], digits["top5"], digits["url"]) == (list("0123456789"), None, None)
    done = run_program(*CLI, "weights")
    assert len(done.stdout.splitlines()) == 1 + len(rows)
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_identify(read, run_program, tmp_path):
    file = str(OWN / "lenet5_digits.weights.h5")
    found = read("identify", file)
    assert (found["network"], found["record"]) == ("lenet5", "lenet5/digits")
    target = str(tmp_path / "copy.weights.h5")
    done = run_program(*CLI, "identify", file, "--convert", f"--to={target}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [f"file       {file}", "network    lenet5"]
    assert "weights    the known weights lenet5/digits, by their hash" in done.stdout
    assert read("identify", target)["open"].keys() == {"scale"}
    (tmp_path / "x.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert_one_line(
        run_program(*CLI, "identify", str(tmp_path / "x.safetensors")), 2, "none of the networks"
    )


def test_recipes(read, run_program, tmp_path):
    rows = {row.pop("recipe"): row for row in read("recipes")}
    recipe = rows["lenet5/paper"]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    assert read_recipe(tmp_path / "recipe.json") == kc.training.recipes.LENET5["paper"]
    done = run_program(*CLI, "recipes")
    assert len(done.stdout.splitlines()) == 1 + len(rows)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert read("recipes", "lenet5/paper") == {"recipe": "lenet5/paper", **recipe}
    done = run_program(*CLI, "recipes", "lenet5/paper")
    assert max(map(len, done.stdout.splitlines())) <= 100
    # Each field, its value and its source.
    words = {line.split()[0] for line in done.stdout.splitlines() if line[:1].strip()}
    assert words == {"recipe", "figure", *recipe} - {"name", "paper", "sources", "tags"}
    text = " ".join(done.stdout.split())
    assert "optimizer LevenbergMarquardt(mu=0.02, samples=500) from Appendix C; sect" in text
    assert all(f"from {source}" in text for source in recipe["sources"].values())


def test_evaluate_and_compare(read, tmp_path):
    out = tmp_path / "out"
    row = read("evaluate", *DIGITS, "--dataset=digits", "--limit_test=40", f"--out={out}")
    assert (row["model"], row["images"], row["test_images"]) == ("lenet5", 40, 360)
    assert 0 <= row["top1_low"] <= row["top1_error"] <= row["top1_high"] <= 1
    assert sum(of["images"] for of in row["classes"]) == 40
    stored = json.loads((out / "evaluation.json").read_text())
    assert stored["top1_error"] == row["top1_error"]
    compared = read("evaluate", f"--compare={out},{out}")
    assert [of["top1_error"] for of in compared["compared"]] == [row["top1_error"]] * 2
    assert (compared["only_first_right"], compared["p_value"]) == (0, 1.0)


def test_predict(read, tmp_path):
    image = np.zeros((8, 8, 1), "uint8")
    path = tmp_path / "caf\u00e9.png"
    path.write_bytes(tf.io.encode_png(image).numpy())
    first, second = read("predict", "--model=resnet20", str(path), str(path))
    assert [of["label"] for of in first["predictions"]] == [
        of["label"] for of in second["predictions"]
    ]
    assert first["image"] == str(path)
    best, *others = first["predictions"]
    labels = kc.find_weights("resnet20").labels
    assert best["label"] == labels[best["class"]]
    assert best["probability"] >= max(other["probability"] for other in others)
    assert len(others) == 4


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("zoo", "--pattern=inception*"), "No network matches"),
        (("weights", "--pattern=inception*"), "No weights match --pattern='inception*'"),
        (("recipes", "--pattern=inception*"), "No recipe matches --pattern='inception*'"),
        (("recipes", "vgg/papr"), "Unknown recipe 'vgg/papr'. Did you mean vgg/paper"),
        (("evaluate", "--dataset=digits"), "Name at least one --model"),
        (("predict", "none.png"), "Name one network"),
    ],
)
def test_errors_are_on_standard_error(run_program, command, message):
    done = run_program(*CLI, *command, "--json")
    assert_one_line(done, 2, message)
    assert done.stdout == ""
