"""The command that looks through a folder of images."""

import contextlib
import json
import os
import re
import tarfile
import zipfile

import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image, ImageOps

from keras_classics.cli import check_images
from keras_classics.errors import UserError
from tests.helpers.image_files import FATAL, JPEG, NEGATIVE, PHOTO, PNG, WEBP, encoded, side
from tests.helpers.programs import assert_one_line

NOTES = "1 left out, because TensorFlow does not read them as images (1 .txt): train/cat/notes.txt"

SIZES = "Width x height: 120x90 to 120x90 pixels, median 120x90"
# What follows the faults for a.jpg and b.JPEG.
COPIES = [
    SIZES,
    "Colour modes: 2 RGB",
    "2 images are copies of each other within a class, in 1 group:",
    "  train/cat/a.jpg: train/cat/b.JPEG (same bytes)",
]

PROGRAM = """
from keras_classics.cli import _program
def main({parameters}):
    print({parameters})
_program.run(main, ["program", *{arguments}])
"""


@pytest.fixture(autouse=True)
def _flags():
    """Flags have their defaults, as in a program without any."""
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield
    flags.FLAGS.unparse_flags()


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
        *COPIES,
    ]
    assert printed.err == ""


def test_unusual_ones_are_no_failure(tmp_path, capsys):
    check_images.main(str(folder(tmp_path, png_jpg=PNG)))
    assert capsys.readouterr().out.splitlines() == [
        "train/cat/png.jpg: PNG under the name of a JPEG",
        NOTES,
        "3 images: 0 cannot be used, 1 are unusual.",
        SIZES,
        "Colour modes: 3 RGB",
        "3 images are copies of each other within a class, in 1 group:",
        "  train/cat/a.jpg: train/cat/b.JPEG (same bytes), train/cat/png.jpg (nearly the same)",
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
        SIZES,
        "Colour modes: 4 RGB",
        "Warning: 2 of 2 images of linked are in train too.",
        "Warning: 4 images are copies of each other across parts, in 1 group, 1 with different "
        "classes:",
        "  linked/train/cat/a.jpg: linked/train/cat/b.JPEG (same bytes), "
        "train/cat/a.jpg (same bytes), train/cat/b.JPEG (same bytes)",
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
        "Width x height: 120x90 to 120x90 pixels, median 120x90",
        "Colour modes: 6 RGB",
        "6 images are copies of each other within a class, in 1 group:",
        r"  train/caf\udce9.jpg: train/cat/a.jpg (nearly the same), train/cat/b.JPEG (nearly the "
        "same), train/cat/c.webp (nearly the same), 2 more",
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


def data_set(root):
    """Parts with copies of all kinds, unequal classes, an odd size, and names for HTML."""
    files = {
        "train/cat/a.jpg": JPEG,
        "train/cat/b.png": encoded(NEGATIVE, "PNG"),
        "train/dog/b.jpg": encoded(ImageOps.mirror(NEGATIVE), "JPEG"),
        "train/dog/d&amp;.png": encoded(NEGATIVE.crop((0, 0, 60, 45)), "PNG"),
        "train/dog/<script>alert('1')<\n.png": encoded(NEGATIVE.crop((0, 0, 60, 45)), "BMP"),
        "validation/cat/a.png": encoded(PHOTO.resize((80, 60)), "PNG"),
        "validation/dog/a.jpg": JPEG,
        "validation/dog/wide.png": encoded(Image.new("L", (400, 100), 7), "PNG"),
        "validation/dog/cut.jpg": JPEG[:-2],
    }
    for number in range(31):
        files[f"train/fox/{number:02}.png"] = encoded(Image.new("L", (9, 9), 8 * number), "PNG")
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "train" / "fox" / os.fsdecode(b"caf\xe9.png")).symlink_to("00.png")
    return root


def test_copies_sizes_and_classes(tmp_path, capsys):
    with pytest.raises(UserError, match="would stop"):
        check_images.main(str(data_set(tmp_path)))
    assert capsys.readouterr().out.splitlines() == [
        r"train/dog/<script>alert('1')<\n.png: BMP under the name of a PNG",
        "validation/dog/cut.jpg: JPEG, cut short",
        "41 images: 1 cannot be used, 1 are unusual.",
        "Width x height: 9x9 to 400x100 pixels, median 9x9; one side of 1 is more than 3 times the "
        "other",
        "Colour modes: 33 grey, 7 RGB",
        "Warning: 3 classes in train: 2 (cat) to 32 (fox) images, a ratio above 10",
        "2 classes in validation: 1 (cat) to 2 (dog) images",
        "Warning: 2 of 3 images of validation are in train too.",
        "Warning: 3 images are copies of each other across parts, in 1 group, 1 with different "
        "classes:",
        "  train/cat/a.jpg: validation/cat/a.png (nearly the same), validation/dog/a.jpg (same "
        "bytes)",
        "Warning: 2 images are copies of each other with different classes, in 1 group:",
        "  train/cat/b.png: train/dog/b.jpg (nearly the same, mirrored)",
        "4 images are copies of each other within a class, in 2 groups:",
        r"  train/dog/<script>alert('1')<\n.png: train/dog/d&amp;.png (same pixels)",
        r"  train/fox/00.png: train/fox/caf\udce9.png (same file, by a link)",
    ]


def test_copies_as_json(tmp_path, capsys):
    with flagsaver.flagsaver(json=True), pytest.raises(UserError, match="would stop"):
        check_images.main(str(data_set(tmp_path)))
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("images", "faults", "left_out", "parts", "modes", "sizes", "leaks", "held_out"),
        "duplicates",
    ]
    assert found["images"] == 41
    assert found["faults"][-1] == {
        "image": "validation/dog/cut.jpg",
        "fault": "JPEG, cut short",
        "fatal": True,
    }
    assert found["parts"]["train"]["classes"] == {"cat": 2, "dog": 3, "fox": 32}
    assert {"width": 400, "height": 100, "images": 1} in found["sizes"]
    assert found["leaks"] == [{"part": "validation", "also_in": "train", "images": 2}]
    leak, labels, *rest = found["duplicates"]
    assert (leak["meaning"], leak["different_classes"]) == ("across parts", True)
    assert [image["kind"] for image in leak["images"]] == ["first", "nearly the same", "same bytes"]
    assert labels["images"][1] == {
        "image": "train/dog/b.jpg",
        "part": "train",
        "class": "dog",
        "kind": "nearly the same, mirrored",
    }
    assert [group["meaning"] for group in rest] == ["same class"] * 2


def test_a_page(tmp_path, capsys):
    page = tmp_path / "new" / "page.html"
    root = data_set(tmp_path / "<b>set")
    with flagsaver.flagsaver(page=str(page)), pytest.raises(UserError, match="would stop"):
        check_images.main(str(root))
    assert capsys.readouterr().out.splitlines()[-1] == f"page    {page}"
    text = page.read_text("utf-8")
    assert "<h1>Images of" in text
    assert "&lt;b&gt;set" in text
    assert "2 of 3 images of validation are in train too." in text
    assert "train/dog/&lt;script&gt;alert(&#x27;1&#x27;)&lt;\\n.png" in text
    assert "train/dog/d&amp;amp;.png" in text
    assert "train/fox/caf\\udce9.png" in text
    # Nothing is loaded, and no element is a script.
    assert not re.search(r"<(script|link|iframe|img(?! (class=.small. )?src=.data:))|https?:", text)
    assert text.count("<figure>") == 3 + 2 + 2 + 2


def test_the_page_of_a_folder_of_one_image(tmp_path):
    for number in range(300):
        name = tmp_path / ("train" if number % 2 else "val") / f"c{number % 5}" / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(encoded(Image.new("RGB", (20, 20), "red"), "PNG"))
    with flagsaver.flagsaver(page=str(tmp_path / "page.html")):
        check_images.main(str(tmp_path))
    text = (tmp_path / "page.html").read_text()
    assert text.count("<figure>") == 6
    assert "and 294 images more" in text


@pytest.mark.parametrize(
    "names",
    [
        ["train/cat/a.png", "train/dog/b.png", "val/c.png"],
        ["a.png", "b.png"],
        ["cut.png"],
    ],
)
def test_a_page_without_classes(tmp_path, capsys, names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PNG[:-9] if "cut" in name else PNG)
    page = tmp_path / "page.html"
    readable = [name for name in names if "cut" not in name]
    expectation = contextlib.nullcontext() if readable else pytest.raises(UserError)
    with flagsaver.flagsaver(page=str(page)), expectation:
        check_images.main(str(tmp_path))
    assert page.read_text().count("<figure>") == len(readable)
    assert ("<h2>Classes</h2>" in page.read_text()) == (len(names) == 3)


@pytest.mark.parametrize("kind", [pytest.param("zip", marks=pytest.mark.slow), "deflated", "tar"])
def test_an_archive_is_checked_as_its_folder(tmp_path, capsys, kind):
    root = folder(tmp_path / "images", cut_jpg=JPEG[:-2], png_jpg=PNG)
    (root / "val" / "cat").mkdir(parents=True)
    (root / "val" / "cat" / "d.png").write_bytes(encoded(ImageOps.mirror(PHOTO), "PNG"))
    archive = tmp_path / "archive"
    if kind == "tar":
        with tarfile.open(archive, "w") as file:
            file.add(root, "")
    else:
        method = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(archive, "w", method) as file:
            for path in sorted(root.rglob("*.*")):
                file.write(path, path.relative_to(root))
    printed = {}
    for path in (root, archive):
        page = tmp_path / f"{path.name}.html"
        with flagsaver.flagsaver(page=str(page)), pytest.raises(UserError, match="would stop"):
            check_images.main(str(path))
        printed[path] = capsys.readouterr().out.replace(str(page), "PAGE")
        assert page.read_text().count("<figure>") == 4
    assert printed[archive] == printed[root]
    assert "Warning: 1 of 1 images of val are in train too." in printed[root]


@pytest.mark.parametrize("page", ["", "file.txt/page.html"])
def test_pages_that_cannot_be_written(tmp_path, page):
    root = folder(tmp_path)
    (tmp_path / "file.txt").touch()
    with flagsaver.flagsaver(page=str(tmp_path / page)), pytest.raises(UserError) as error:
        check_images.main(str(root))
    assert "HTML file" in str(error.value) or "cannot be written" in str(error.value)


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
        SIZES,
        "Colour modes: 3 RGB",
        "3 images are copies of each other within a class, in 1 group:",
        "  train/cat/a.jpg: train/cat/b.JPEG (same bytes), train/cat/png.jpg (nearly the same)",
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
