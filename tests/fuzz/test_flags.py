"""Programs with flags of any values: they do what was asked, or say in one line what is wrong."""

import collections
import os
import re

import numpy as np
import pytest

from tests.helpers.folders import folder_of_images

# The programs, with flags by which each ends before it computes anything for long.
DATA = "--dataset=folder:none"
PROGRAMS = {
    "keras_classics.cli zoo": (),
    "keras_classics.cli weights": (),
    "keras_classics.cli recipes": (),
    "keras_classics.cli check_images": ("images",),
    "keras_classics.cli convert": ("--from=none.pth", "--model=lenet5", "--out=out.weights.h5"),
    "keras_classics.cli prepare": ("--dataset=mnist", "--from=images", "--data_dir=tfds"),
    "keras_classics.cli train": ("--model=lenet5", DATA, "--run_dir=run"),
    "keras_classics.cli features": ("--model=lenet5", "--weights=digits", DATA, "--out=f.npy"),
    "keras_classics.cli diagnose": ("--model=lenet5", DATA, "--out=out"),
    "keras_classics.cli explain": ("--model=lenet5", "--weights=digits", "none.png", "--out=out"),
    "keras_classics.cli predict": ("--model_path=none", "images/train/cat/0.png"),
    "keras_classics.cli demo": ("--export=none", "--out=site"),
    "keras_classics.cli benchmark": ("--export=none",),
    "keras_classics.cli export": ("--model=lenet5", "--weights=digits", DATA, "--out=out"),
    "keras_classics.cli evaluate": ("--model=lenet5", "--weights=digits", DATA),
    "keras_classics.cli finetune": ("--model=lenet5", "--weights=digits", DATA, "--run_dir=run"),
    "reproduce.lenet5_mnist": (DATA, "--run_dir=run"),
    "reproduce.resnet_cifar10": (DATA, "--run_dir=run"),
    "reproduce.vgg_imagenet": (DATA, "--run_dir=run"),
    "reproduce.vgg_depth": (DATA, "--run_dir=run"),
    "reproduce.benchmark": ("--what=none",),
}
VALUES = (
    # Paths.
    *("", " ", "~", "~nobody_of_this_name/a", "../a", "a\nb", "caf\udce9", "a\0b", "\x1b[2J"),
    *("n" * 300, "/" + "a/" * 3000, "/dev/null", "/proc/a", "file", "file/a", "fifo", "loop"),
    # Numbers.
    *("0", "-1", "7", "1e999", "nan", "-inf", "9" * 30, str(2**63), "0.5", "0x10", "1_0", "true"),
    # Data sets.
    *("mnist:9.9.9", "mnist/a", "../x", "folder:", "folder:~nobody_of_this_name", "folder:fifo"),
    # Others.
    *("images", "None", "[1", "{}", "a,b", ",", "%s%n", "$5_$", "--help", "="),
    *("schedule.rate=nan", "seed=1e400"),
)
# A process of its own for each, which ends if it waits for something.
RUN = """
import os, runpy, signal, sys
folder, module, *arguments = sys.argv[1:]
os.chdir(folder)
signal.alarm(120)
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""

SLOW = [range(first, first + 50) for first in range(0, 300, 50)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("flags")
    folder_of_images(root / "images")
    (root / "file").write_text("text")
    os.mkfifo(root / "fifo")
    (root / "loop").symlink_to("loop")
    return root


def flags_of(run_program, words: list[str]) -> list[str]:
    """Returns the names of a program's flags, as its help lists them."""
    done = run_program("-m", *words, "--help")
    return re.findall(r"^  --(?:\[no\])?(\w+)", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "seeds",
    [range(8), *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in SLOW)],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)
def test_a_status_and_one_line(run_program, folder, seeds):
    counts, known = collections.Counter(), {}
    for seed in seeds:
        draw = np.random.default_rng(seed)
        program = list(PROGRAMS)[draw.integers(len(PROGRAMS))]
        words = program.split()
        if program not in known:
            known[program] = flags_of(run_program, words)
        names = draw.choice([*known[program], "flagfile", "nosuch"], draw.integers(1, 4))
        changed = [f"--{name}={VALUES[draw.integers(len(VALUES))]}" for name in names]
        done = run_program(
            "-c", RUN, str(folder), *words, *PROGRAMS[program], *changed, HOME=str(folder)
        )
        case = f"{seed}: {program} {changed} {done.stderr[-2000:]}"
        assert done.returncode in (0, 2), case
        assert "Traceback" not in done.stderr, case
        if done.returncode == 2:
            assert len(done.stderr.splitlines()) == 1, case
        counts[program.split()[-1], done.returncode] += 1
    print(*(f"{n:>5} {name}: {status}" for (name, status), n in sorted(counts.items())), sep="\n")
