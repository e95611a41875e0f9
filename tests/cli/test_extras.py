"""Commands of an install without some extras: what needs one says which, in one line."""

import struct
from pathlib import Path

import pytest

from tests.helpers.folders import folder_of_images
from tests.helpers.fork_server import ForkServer
from tests.helpers.idx_files import write_idx_set
from tests.helpers.programs import assert_one_line

CLI = ("-m", "keras_classics.cli")
DIGITS = ("--model=lenet5", "--weights=digits")

# By extra, commands that need it. Capital letters stand for paths.
NEEDING = {
    "train": [
        "check_images IMAGES",
        "explain IMAGES --out=OUT",
        "prepare --dataset=mnist --from=IDX --data_dir=OUT",
        "evaluate --dataset=digits",
        "finetune --dataset=digits --run_dir=OUT",
        "features --dataset=digits --out=OUT.npy",
        "export --dataset=digits --formats=saved_model --out=OUT",
    ],
    "export": [
        "export --formats=tflite --out=OUT",
        "export --formats=onnx --out=OUT",
    ],
    "torch": ["convert --model=resnet18 --from=WEIGHTS --out=OUT.weights.h5"],
    "parquet": ["evaluate --dataset=parquet:IMAGES"],
    "hub": ["convert --model=resnet18 --from=hf://a/b --out=OUT.weights.h5"],
}
CASES = [(command, extra) for extra, commands in NEEDING.items() for command in commands]

# Commands that need no extra.
PLAIN = [
    "zoo --pattern=lenet*",
    pytest.param("export --formats=saved_model --out=OUT", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("files")
    write_idx_set(root / "idx", train=20, test=10)
    weights = root / "empty.safetensors"
    weights.write_bytes(struct.pack("<Q", 2) + b"{}")
    return {"IMAGES": folder_of_images(root / "images"), "IDX": root / "idx", "WEIGHTS": weights}


def arguments(command: str, paths: dict[str, Path], tmp_path: Path) -> list[str]:
    for word, path in {**paths, "OUT": tmp_path / "out"}.items():
        command = command.replace(word, str(path))
    name, *flags = command.split()
    of_network = ("evaluate", "explain", "export", "features", "finetune")
    network = DIGITS if name in of_network else ()
    return [*CLI, name, *network, *flags]


@pytest.fixture(scope="module")
def plain():
    """Runs programs as after `pip install keras-classics`."""
    server = ForkServer(extras=())
    yield server.run
    server.close()


@pytest.mark.parametrize(("command", "extra"), CASES)
def test_a_command_names_the_extra_that_it_needs(plain, paths, tmp_path, command, extra):
    done = plain(*arguments(command, paths, tmp_path))
    assert_one_line(done, 2, f"Install it with: pip install 'keras-classics[{extra}]'")


@pytest.mark.parametrize("command", PLAIN)
def test_what_needs_no_extra(plain, paths, tmp_path, command):
    done = plain(*arguments(command, paths, tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["train", "export"])
def test_the_extra_is_enough(paths, tmp_path, extra):
    server = ForkServer(extras=(extra,))
    for number, command in enumerate(NEEDING[extra]):
        if "mnist" not in command or command.startswith("prepare"):
            done = server.run(*arguments(command, paths, tmp_path / str(number)))
            assert done.returncode == 0, done.stderr
    server.close()
