"""The papers' programs, small: each from images that it makes, or from digits, to its result."""

import json

import pytest

from tests.helpers.programs import assert_one_line

CIFAR10 = ("-m", "reproduce.resnet_cifar10")
VGG = ("-m", "reproduce.vgg_imagenet")


def finished(run_program, run_dir, module: str, *flags: str) -> dict:
    """Runs a program's smoke; returns its result."""
    done = run_program("-m", f"reproduce.{module}", "--smoke", f"--run_dir={run_dir}", *flags)
    assert done.returncode == 0, done.stderr
    return json.loads((run_dir / "result.json").read_text())


@pytest.mark.slow
def test_resnet_on_digits(run_program, tmp_path):
    flags = ("--limit_train=64", "--limit_test=32", "--batch_size=16", "--depth=20")
    result = finished(run_program, tmp_path, "resnet_cifar10", *flags, "--shortcut=none")
    assert (result["model"], result["steps"], result["images"]) == ("plain20", 8, 32)
    assert result["paper"] is None
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["schedule"]["at"] == [32_000, 48_000]
    assert recipe["model_arguments"] == {"shortcut": "none", "version": "v1"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([*VGG, "--recipe=paper_384", "--smoke"], "there is no file paper.weights.h5. Name the"),
        ([*VGG, "--recipe=papr"], "Unknown recipe 'papr'. Did you mean paper"),
        (
            ["-m", "reproduce.resnet_imagenet", "--shortcut=none"],
            "Unknown model 'plain50'. Did you mean",
        ),
    ],
)
def test_wrong_flags(run_program, tmp_path, flags, message):
    done = run_program(*flags, f"--run_dir={tmp_path / 'run'}")
    assert_one_line(done, 2, message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "flags"),
    [
        ("resnet_cifar10", ["--recipe=paper"]),
        ("resnet_cifar10", ["--recipe=paper_110"]),
        ("resnet_cifar10", ["--recipe=torch", "--version=v2"]),
        ("resnet_cifar10", ["--recipe=modern", "--shortcut=B"]),
        ("alexnet_imagenet", ["--recipe=paper"]),
        ("alexnet_imagenet", ["--recipe=code"]),
        ("alexnet_imagenet", ["--recipe=one_weird_trick"]),
        ("resnet_imagenet", ["--recipe=paper"]),
        ("resnet_imagenet", ["--recipe=torchvision", "--depth=18"]),
        ("resnet_imagenet", ["--recipe=modern", "--depth=18"]),
        ("vgg_imagenet", ["--recipe=paper"]),
        ("vgg_imagenet", ["--recipe=he", "--config=B"]),
    ],
)
def test_smoke(run_program, tmp_path, module, flags):
    result = finished(run_program, tmp_path / "run", module, *flags)
    assert result["epochs"] == 2
    assert f"--recipe={result['recipe']}" == flags[0]
    assert result["metrics"]["test_loss"] < float("inf")


@pytest.mark.slow
def test_vggs_that_carry_on_another_run(run_program, tmp_path):
    def weights_of(run: str) -> str:
        return f"--initial_weights={tmp_path / run / 'final.weights.h5'}"

    one_step = ("--limit_train=12", "--validation=4", "--limit_test=8", "--epochs=1")
    finished(run_program, tmp_path / "a", "vgg_imagenet", "--recipe=a", *one_step)
    run = ("vgg_imagenet", "--config=B", *one_step)
    finished(run_program, tmp_path / "256", *run, "--recipe=from_a", weights_of("a"))
    finished(run_program, tmp_path / "384", *run, "--recipe=paper_384", weights_of("256"))
    result = finished(run_program, tmp_path / "both", *run, "--recipe=jitter", weights_of("384"))
    assert result["model"] == "vgg13"
    wrong = run_program(
        "-m", "reproduce.vgg_imagenet", "--recipe=from_a", "--smoke", weights_of("256")
    )
    assert_one_line(wrong, 2, "cannot be loaded into vgg11")
