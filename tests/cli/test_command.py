"""The recorded command: short, for a shell, and with the same flags when it is run again."""

import csv
import io
import itertools
import shlex
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from absl import flags
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.cli._command import repeating_command
from keras_classics.cli._paths import define_path, define_path_list, define_paths

# All that a shell or the parser of flags could take for something else.
SPECIAL = list("ab0~$`!*?#&|;<>(){}[]'\"\\=, \t\n-äß")
TEXTS = st.text(st.sampled_from(SPECIAL) | st.characters(codec="utf-8", exclude_characters="\0"))
PATHS = TEXTS.filter(lambda text: text and not text.startswith("~"))


def as_csv(values: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().removesuffix("\r\n")


def one(name: str, values: st.SearchStrategy) -> st.SearchStrategy[list[str]]:
    return values.map(lambda value: [f"--some_{name}={value}"])


def repeated(name: str, values: st.SearchStrategy) -> st.SearchStrategy[list[str]]:
    return st.lists(values, max_size=3).map(lambda all_: [f"--some_{name}={v}" for v in all_])


ARGUMENTS = {
    "text": one("text", TEXTS),
    "whole": one("whole", st.integers(-9, 9)),
    "real": one("real", st.floats(0, 2)),
    "switch": st.sampled_from([["--some_switch"], ["--nosome_switch"], []]),
    "unset": st.sampled_from([["--some_unset"], ["--some_unset=false"], []]),
    "kind": one("kind", st.sampled_from(["a", "b"])),
    "words": one("words", st.lists(TEXTS.map(str.strip), max_size=3).map(as_csv)),
    "several": repeated("several", TEXTS),
    "path": one("path", PATHS),
    "paths": one("paths", st.lists(PATHS.map(str.strip).filter(bool), max_size=3).map(as_csv)),
    "models": repeated("models", PATHS),
}
PROGRAM = ["python", "-m", "reproduce.some"]


@pytest.fixture(scope="module", autouse=True)
def known():
    """Flags of every kind that the programs have, and a program that has them."""
    flags.DEFINE_string("some_text", None, "")
    flags.DEFINE_integer("some_whole", 1, "")
    flags.DEFINE_float("some_real", 1.0, "")
    flags.DEFINE_bool("some_switch", True, "")
    flags.DEFINE_bool("some_unset", None, "")
    flags.DEFINE_enum("some_kind", "a", ["a", "b"], "")
    flags.DEFINE_list("some_words", ["single"], "")
    flags.DEFINE_multi_string("some_several", [], "")
    define_path("some_path", None, "")
    define_path_list("some_paths", "")
    define_paths("some_models", ["imagenet"], "")
    main = SimpleNamespace(__spec__=SimpleNamespace(name="reproduce.some"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", main)
        patch.setattr(sys, "argv", ["some.py"])
        yield
    for name in ARGUMENTS:
        delattr(flags.FLAGS, f"some_{name}")


def parsed(arguments: Sequence[str]) -> dict:
    for name in ARGUMENTS:
        flags.FLAGS[f"some_{name}"].unparse()
    rest = flags.FLAGS(["some.py", *arguments])
    values = {name: flags.FLAGS[f"some_{name}"].value for name in ARGUMENTS}
    return {**values, "": rest[1:]}


def words_of(command: str) -> list[str]:
    words = shlex.split(command)
    assert words[:3] == PROGRAM
    return words[3:]


@settings(max_examples=60, deadline=None)
@given(
    arguments=st.tuples(*(st.just([]) | values for values in ARGUMENTS.values())),
    images=st.lists(TEXTS, max_size=2),
    order=st.randoms(use_true_random=False),
)
def test_a_command_has_the_flags_that_it_repeats(arguments, images, order):
    values = parsed([*itertools.chain(*arguments), "--", *images])
    command = repeating_command(values[""])
    words = words_of(command)
    assert parsed(words) == values
    # It is the same whatever the order of the flags, and is its own shortest form.
    order.shuffle(shuffled := list(arguments))
    parsed([*itertools.chain(*shuffled), "--", *images])
    assert repeating_command(images) == command
    assert "--some_kind=a" not in words
    assert "--some_whole=1" not in words


def test_a_command_for_a_shell():
    texts = ["it's", "~", "~/a b", "$HOME `id` !1", 'say "\\"', "a\nb", "*", "", "-x", "--y=1"]
    given = [*(f"--some_several={text}" for text in texts), "--some_path=../my runs/a"]
    parsed([*given, "--", *texts])
    command = repeating_command(texts)
    assert "'--some_path=../my runs/a'" in command
    listing = command.replace("python -m reproduce.some", r"printf '%s\0'", 1)
    shell = subprocess.run(["sh", "-c", listing], capture_output=True, text=True, check=True)
    assert shell.stdout.split("\0")[:-1] == shlex.split(command)[3:]
    assert parsed(shell.stdout.split("\0")[:-1])["several"] == texts


def test_a_command_is_short():
    parsed(["--some_whole", "1", "--some_kind=a", "--some_models=imagenet", "--some_real=2"])
    assert repeating_command() == "python -m reproduce.some --some_real=2.0"
    changed = repeating_command(some_real=None, some_words=["a", "b"], some_whole=3)
    assert changed == "python -m reproduce.some --some_whole=3 --some_words=a,b"


@pytest.mark.parametrize(
    ("module", "argv", "program"),
    [
        ("reproduce.report.__main__", ["report/__main__.py"], "python -m reproduce.report"),
        ("keras_classics.cli.__main__", ["__main__.py", "zoo"], "keras-classics zoo"),
        (None, ["/a b/.venv/bin/keras-classics", "evaluate"], "keras-classics evaluate"),
        (None, ["-c"], None),
    ],
)
def test_what_starts_a_program(monkeypatch, module, argv, program):
    main = SimpleNamespace(__spec__=module and SimpleNamespace(name=module))
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", argv)
    parsed([])
    assert repeating_command() == program
