"""The command that looks through a folder of images."""

import os

import pytest

from keras_classics.cli import check_images
from keras_classics.errors import UserError
from tests.helpers.image_files import FATAL, JPEG, PNG, WEBP, side
from tests.helpers.programs import assert_one_line

NOTES = "1 left out, because TensorFlow does not read them as images (1 .txt): train/cat/notes.txt"

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
    assert printed.out.splitlines() == [
        NOTES,
        "2 images: 0 cannot be used, 0 are unusual.",
    ]
    assert printed.err == ""


def test_unusual_ones_are_no_failure(tmp_path, capsys):
    check_images.main(str(folder(tmp_path, png_jpg=PNG)))
    assert capsys.readouterr().out.splitlines() == [
        "train/cat/png.jpg: PNG under the name of a JPEG",
        NOTES,
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
        "2 left out, because TensorFlow does not read them as images (2 .txt): "
        "linked/train/cat/notes.txt, train/cat/notes.txt",
        "5 images: 1 cannot be used, 0 are unusual.",
    ]


def test_what_is_no_image(tmp_path, capsys):
    root = folder(tmp_path, a_tif=FATAL["tiff.jpg"][0], c_webp=WEBP, d_jfif=JPEG, thumb_e=PNG)
    os.mkfifo(root / "train" / "fifo.png")
    (root / "train" / "folder.png").mkdir()
    for system in ("@eaDir", ".ipynb_checkpoints", "__MACOSX"):
        (root / "train" / "cat" / system).mkdir()
        (root / "train" / "cat" / system / "a.jpg").write_bytes(JPEG[:99])
    (root / "train" / ".DS_Store").touch()
    (root / "train" / "a\nb.jpg").write_bytes(JPEG[:99])
    (root / "train" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(side(6))
    with pytest.raises(UserError, match="would stop"):
        check_images.main(str(root))
    assert capsys.readouterr().out.splitlines() == [
        r"train/a\nb.jpg: JPEG, cut short",
        r"train/caf\udce9.jpg: EXIF orientation 6, which only --exif applies",
        "4 left out, because TensorFlow does not read them as images (1 .tif, 1 .txt, 1 FIFO, "
        "1 folder): train/cat/a.tif, train/cat/notes.txt, train/fifo.png, train/folder.png",
        "7 images: 1 cannot be used, 1 are unusual.",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all folders")
def test_a_folder_of_somebody_else(tmp_path):
    (folder(tmp_path) / "train" / "dog").mkdir(mode=0)
    with pytest.raises(PermissionError):
        check_images.main(str(tmp_path))


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
        NOTES,
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
