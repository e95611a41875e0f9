"""The console command."""

import pytest

from tests.data import test_importers as idx_files
from tests.data.test_importers import write_idx_set
from tests.reproduce.test_programs import assert_one_line

CLI = ("-m", "keras_classics.cli")


def test_lists_its_commands(run_python):
    done = run_python(*CLI)
    assert done.returncode == 0
    assert "prepare    Brings a data set" in done.stdout
    assert done.stderr == ""


def test_unknown_command(run_python):
    assert_one_line(
        run_python(*CLI, "prepar"), 2, "Unknown command 'prepar'. Did you mean prepare?"
    )


def test_prepare_and_again(run_python, tmp_path):
    write_idx_set(tmp_path / "idx", train=20, test=10)
    command = (
        *CLI,
        "prepare",
        "--dataset=fashion_mnist",
        f"--from_idx={tmp_path / 'idx'}",
        f"--data_dir={tmp_path / 'tfds'}",
    )
    for _ in range(2):
        done = run_python(*command)
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
def test_prepare_from_damaged_files(run_python, tmp_path, damage, message):
    write_idx_set(tmp_path / "idx", train=20, test=6)
    damage(tmp_path / "idx")
    done = run_python(
        *CLI,
        "prepare",
        "--dataset=mnist",
        f"--from_idx={tmp_path / 'idx'}",
        f"--data_dir={tmp_path / 'tfds'}",
    )
    assert_one_line(done, 2, message)


def test_a_flag_is_missing(run_python):
    assert_one_line(run_python(*CLI, "prepare"), 2, "Flag --dataset must have a value")
