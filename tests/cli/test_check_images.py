"""The command that looks through a folder of images."""

import pytest

from keras_classics.cli import check_images
from keras_classics.errors import UserError
from tests.helpers.image_files import JPEG, PNG
from tests.helpers.programs import assert_one_line

PROGRAM = """
from keras_classics.cli import _program
def main({parameters}):
    print({parameters})
_program.run(main, ["program", *{arguments}])
"""


def folder(root, **images):
    """A folder of train/cat with two good images, and with others under their names."""
    (root / "train" / "cat").mkdir(parents=True)
    for name, content in {"a.jpg": JPEG, "b.JPEG": JPEG, "notes.txt": b"", **images}.items():
        (root / "train" / "cat" / name.replace("_", ".")).write_bytes(content)
    return root


def test_all_is_well(tmp_path, capsys):
    check_images.main(str(folder(tmp_path)))
    printed = capsys.readouterr()
    assert printed.out == "2 images: 0 cannot be used, 0 are unusual.\n"
    assert printed.err == ""


def test_unusual_ones_are_no_failure(tmp_path, capsys):
    check_images.main(str(folder(tmp_path, png_jpg=PNG)))
    assert capsys.readouterr().out.splitlines() == [
        "train/cat/png.jpg: PNG under the name of a JPEG",
        "3 images: 0 cannot be used, 1 are unusual.",
    ]


def test_linked_folders_are_looked_through_once(tmp_path, capsys):
    root = folder(tmp_path / "here")
    folder(tmp_path / "there", c_jpg=JPEG[:-2])
    (root / "linked").symlink_to(tmp_path / "there")
    (tmp_path / "there" / "back").symlink_to(root)
    with pytest.raises(UserError, match=f"Training on {root} would stop"):
        check_images.main(str(root))
    assert capsys.readouterr().out.splitlines() == [
        "linked/train/cat/c.jpg: JPEG, cut short",
        "5 images: 1 cannot be used, 0 are unusual.",
    ]


def test_folders_that_are_not_right(tmp_path):
    with pytest.raises(UserError, match="none is not a folder"):
        check_images.main(str(tmp_path / "none"))
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match="a.txt is not a folder"):
        check_images.main(str(tmp_path / "a.txt"))
    with pytest.raises(UserError, match=r"holds no images \(.jpg, .jpeg, .png, .bmp, .gif\)"):
        check_images.main(str(tmp_path))


def test_as_a_command(run_program, tmp_path):
    root = folder(tmp_path, cut_jpg=JPEG[:900], png_jpg=PNG, zero_jpg=b"")
    done = run_program("-m", "keras_classics.cli", "check_images", str(root))
    # Without messages of the decoder.
    assert_one_line(done, 2, f"Training on {root} would stop.")
    assert done.stdout.splitlines() == [
        "train/cat/cut.jpg: JPEG, cut short",
        "train/cat/png.jpg: PNG under the name of a JPEG",
        "train/cat/zero.jpg: empty",
        "5 images: 2 cannot be used, 1 are unusual.",
    ]


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        ("", ["a"], "Takes no arguments besides flags, --NAME=VALUE. Received: a."),
        ("path", [], "Takes the arguments PATH besides flags, --NAME=VALUE. Received: none."),
        (
            "path",
            ["a", "b"],
            "Takes the arguments PATH besides flags, --NAME=VALUE. Received: a b.",
        ),
    ],
)
def test_arguments_beside_the_flags(run_program, parameters, arguments, message):
    program = PROGRAM.format(parameters=parameters, arguments=arguments)
    assert_one_line(run_program("-c", program), 2, message)


def test_the_argument_arrives(run_program):
    done = run_program("-c", PROGRAM.format(parameters="path", arguments=["a"]))
    assert (done.returncode, done.stdout) == (0, "a\n")
