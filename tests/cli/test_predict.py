"""`keras-classics predict` for many images: which ones, in which order, into which files."""

import csv
import io
import json
import os
import shutil
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.cli import _answers
from keras_classics.cli._answer_files import as_json, refuse_ending, write_answers
from keras_classics.cli._answers import AHEAD, BATCH, Answers
from keras_classics.cli._image_arguments import NamedImage, named_images
from keras_classics.errors import UserError
from keras_classics.export.exported import Exported
from tests.helpers.folders import write_image
from tests.helpers.programs import assert_one_line

PREDICT = ("-m", "keras_classics.cli", "predict")
DIGITS = ("--model=lenet5", "--weights=digits")

# Names that a table could take for something else.
NAMES = ["a,b.png", 'say "x".png', "new\nline.png", "back\rto.png", "caf\udce9.png", "é.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images at several depths, and what is none."""
    root = tmp_path_factory.mktemp("predict") / "photos"
    for name in ("b/2.png", "b/10.png", "a/deep/er/1.png"):
        write_image(root / name, height=32, width=32)
    for name in (*NAMES, "x[1].png"):
        shutil.copyfile(root / "b/2.png", root / name)
    (root / "a" / "notes.txt").write_text("text")
    (root / "a" / "._1.png").write_text("text")
    for link in ("loop", "a/loop"):
        (root / link).symlink_to(root)
    return root


def paths(*arguments) -> list[str]:
    return [image.path for image in named_images([str(argument) for argument in arguments])]


def test_a_folder_with_all_below(folder):
    expected = ["a/deep/er/1.png", "b/10.png", "b/2.png", *NAMES, "x[1].png"]
    assert sorted(paths(folder)) == sorted(str(folder / name) for name in expected)
    assert not any(image.alone for image in named_images([str(folder)]))


def test_files_and_patterns(folder, monkeypatch):
    two, one = str(folder / "b" / "2.png"), str(folder / "x[1].png")
    found = named_images([two, one])
    # What exists is no pattern.
    assert found == [NamedImage(two, alone=True), NamedImage(one, alone=True)]
    assert paths(folder / "**" / "1*.png") == [
        str(folder / "a/deep/er/1.png"),
        str(folder / "b/10.png"),
    ]
    assert paths(folder / "**") == paths(folder)
    assert paths(folder / "[a]" / "**" / "e*" / "*.png") == [str(folder / "a/deep/er/1.png")]
    monkeypatch.chdir(folder)
    assert paths("**/[12].png") == ["a/deep/er/1.png", "b/2.png"]
    assert named_images([str(folder / "b" / "[0-9].png")]) == [NamedImage(two)]
    # Folders that match are searched.
    assert paths(folder / "[ab]") == [*paths(folder / "a"), *paths(folder / "b")]


@pytest.mark.parametrize("ending", ["", "\n", "\0"])
def test_standard_input(monkeypatch, ending):
    names = ["a b.png", "caf\udce9.png", "c\nd.png" if ending == "\0" else "c.png"]
    content = os.fsencode((ending or "\n").join(names) + ending)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert named_images(["-"]) == [NamedImage(name) for name in names]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("none.png", "none.png cannot be read: No such file or directory."),
        ("*.none", "No file matches the pattern"),
        ("empty", "holds no images"),
        ("-", "Standard input names no image."),
    ],
)
def test_arguments_that_name_no_image(monkeypatch, tmp_path, argument, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n\n")))
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        named_images([argument])


class Counting:
    """A network whose answer for an image is the number in its file; it counts what it holds."""

    def __init__(self):
        self.held = self.most = 0
        self.batches = []
        self.lock = threading.Lock()
        self.network = Exported(self.prepare, self.run, ("a", "b", "c"), max_pixels=100)

    def prepare(self, encoded):
        if not encoded.isdigit():
            raise tf.errors.InvalidArgumentError(None, None, "no image")
        with self.lock:
            self.held += 1
            self.most = max(self.most, self.held)
        return int(encoded)

    def run(self, inputs):
        self.batches.append(len(inputs))
        with self.lock:
            self.held -= len(inputs)
        return np.array([[value, 1, 0.5] for value in inputs], "float32")


def numbered(folder, count: int, bad=()) -> list[NamedImage]:
    for number in range(count):
        (folder / f"{number}.png").write_text("bad" if number in bad else str(number))
    return [NamedImage(str(folder / f"{number}.png")) for number in range(count)]


def test_answers_keep_the_order_and_memory_holds_a_few_batches(tmp_path):
    bad = (0, 7, *range(150, 300))
    images = numbered(tmp_path, 700, bad)
    counting, done = Counting(), []
    answers = Answers(counting.network, images, turn=False, progress=done.append)
    for number, answer in enumerate(answers):
        assert answer.image is images[number]
        if number in bad:
            assert answer.fault.startswith("cannot be used: not an image (JPEG")
        else:
            assert answer.outputs[0] == number
    assert sum(done) == 700
    assert answers.count == sum(counting.batches) == 700 - len(bad)
    assert len(answers.faults) == len(bad)
    assert max(counting.batches) <= BATCH
    assert counting.most <= AHEAD + 2 * BATCH


def test_outputs_that_are_not_finite_are_refused_and_nothing_is_written(tmp_path):
    images = numbered(tmp_path, 40)
    network = Exported(float, lambda x: np.full((len(x), 2), np.nan, "float32"), ("a", "b"), 1)
    out = tmp_path / "out" / "a.csv"
    with pytest.raises(UserError, match=r"Probabilities must be finite numbers. Received: nan for"):
        write_answers(out, Answers(network, images, turn=False), "ab", 5)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "0.png cannot be used: not an image (JPEG, PNG, GIF, BMP, WebP)."),
        (70, "None of the 70 images can be used. The first, "),
    ],
)
def test_no_image_that_can_be_used(tmp_path, count, message):
    answers = Answers(Counting().network, numbered(tmp_path, count, range(count)), turn=False)
    with pytest.raises(UserError) as raised:
        list(as_json(answers, "abc", 1))
    assert message in str(raised.value)


@pytest.fixture
def answers(tmp_path):
    """Answers for images of odd names; the last one cannot be used."""
    for number, name in enumerate(NAMES):
        (tmp_path / name).write_text(str(number) if name != NAMES[-1] else "bad")
    images = [NamedImage(str(tmp_path / name)) for name in NAMES]
    return Answers(Counting().network, images, turn=False)


def escaped(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def test_a_csv_file(answers, tmp_path):
    write_answers(tmp_path / "out.csv", answers, ("x,y", "b", "c"), top=2)
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "rank", "class", "label", "probability", "fault"]
    assert list(dict.fromkeys(row["image"] for row in rows)) == [
        escaped(str(tmp_path / name)) for name in NAMES
    ]
    assert [row["rank"] for row in rows] == ["1", "2"] * 5 + [""]
    # 0 is less than 1, 0.5: the second class is the first answer.
    assert [rows[0]["label"], rows[4]["label"], rows[4]["probability"]] == ["b", "x,y", "2.0"]
    assert rows[-1]["fault"].startswith("cannot be used: not an image")


def test_a_json_file_is_what_json_prints(answers, tmp_path):
    write_answers(tmp_path / "out.json", answers, "abc", top=5)
    text = (tmp_path / "out.json").read_text()
    content = json.loads(text)
    assert text == json.dumps(content, indent=2) + "\n"
    assert [row["image"] for row in content] == [str(tmp_path / name) for name in NAMES]
    assert [len(row["predictions"]) for row in content] == [3, 3, 3, 3, 3, 0]
    assert ["fault" in row for row in content] == [False] * 5 + [True]


def test_a_parquet_file(answers, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_answers(tmp_path / "out.parquet", answers, "abc", top=1)
    table = parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert table["image"] == [escaped(str(tmp_path / name)) for name in NAMES]
    assert table["rank"] == [1] * 5 + [None]
    assert table["class"] == [1, 0, 0, 0, 0, None]
    assert table["probability"] == [1.0, 1.0, 2.0, 3.0, 4.0, None]


def test_the_ending_is_that_of_a_format(tmp_path):
    with pytest.raises(UserError, match=r"--out must end in .csv, .json. Received: a.txt."):
        refuse_ending(tmp_path.relative_to(tmp_path) / "a.txt", [".csv", ".json"])


def test_the_command_over_a_folder(run_program, folder, tmp_path):
    cut = tmp_path / "photos" / "cut.png"
    cut.parent.mkdir()
    cut.write_bytes((folder / "b" / "2.png").read_bytes()[:40])
    out = tmp_path / "out.csv"
    command = (*PREDICT, *DIGITS, f"--out={out}", "--top=2")
    done = run_program(*command, str(folder / "b"), str(cut.parent))
    assert_one_line(done, 0, "1 of 3 images cannot be used. The first, ")
    assert done.stdout.startswith(f"files   {out}: 2 images, ")
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "1", "2", ""]
    assert rows[-1]["fault"] == "cannot be used: PNG, cut short"
    # One image alone, as before.
    alone = run_program(*PREDICT, *DIGITS, "--json", "--top=2", str(folder / "b" / "10.png"))
    (answer,) = json.loads(alone.stdout)
    for row, found in zip(rows, answer["predictions"], strict=False):
        assert row["label"] == found["label"]
        assert float(row["probability"]) == pytest.approx(found["probability"], abs=1e-6)
    # Named by itself, it is an error, after the others are answered.
    done = run_program(*PREDICT, *DIGITS, str(folder / "b"), str(cut))
    assert_one_line(done, 2, "1 of 3 images cannot be used. The first, ")
    assert "  cannot be used: PNG, cut short\n" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--out=a.txt",), "--out must end in .csv, .json, .parquet. Received: a.txt."),
        (("--out=/proc/none/a.csv",), "cannot be written"),
        (("--top=0",), "flag --top=0"),
    ],
)
def test_wrong_flags(run_program, folder, flags, message):
    done = run_program(*PREDICT, *DIGITS, *flags, str(folder / "b" / "2.png"))
    assert_one_line(done, 2, message)
    assert done.stdout == ""


def test_an_interrupted_command_ends_at_once(tmp_path, monkeypatch):
    """Images that wait for a thread are not prepared any more."""
    images, counting = numbered(tmp_path, 500), Counting()
    monkeypatch.setattr(_answers, "BATCH", 8)
    answers = iter(Answers(counting.network, images, turn=False))
    next(answers)
    answers.close()
    assert counting.most < 250
