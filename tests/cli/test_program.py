"""What all programs share: paths, numbers, errors of the file system, and where they print."""

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from absl import flags

from keras_classics.cli import _help, _program
from keras_classics.cli._paths import PathListParser, PathParser
from keras_classics.cli._terminal import OneLine
from keras_classics.errors import UserError, one_line, unknown_name
from tests.helpers.programs import ROOT, assert_one_line

LIST = (sys.executable, "-m", "keras_classics.cli")
WRONG = "keras_classics.cli", "no\nsuch"


def fail_with(error: Exception):
    def main():
        raise error

    return main


def test_messages_of_the_library_name_flags(capsys, monkeypatch):
    monkeypatch.setattr(_program.flags, "FLAGS", {"side": 1, "images": 2})
    for message, line in {
        "Received: side=7. Leave it out.": "Received: --side=7. Leave it out.",
        "such as images='vgg16/imagenet'.": "such as --images='vgg16/imagenet'.",
        "such as --images=A.": "such as --images=A.",
        # Fields of recipes, arguments that are no flags, and files.
        "model_arguments.side=3, top=True, a/side=3": "model_arguments.side=3, top=True, a/side=3",
    }.items():
        with pytest.raises(SystemExit):
            _program._guarded(fail_with(UserError(message)))
        assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_with_a_path_is_one_line(capsys, number):
    error = OSError(number, os.strerror(number), "a\nb")
    if number in (errno.EPIPE, errno.EINTR):
        return
    with pytest.raises(SystemExit) as ending:
        _program._guarded(fail_with(error))
    assert ending.value.code == 2
    line = f"a\\nb cannot be written or read: {os.strerror(number)}.\n"
    assert capsys.readouterr().err == line


def test_an_error_of_two_paths_names_the_one_to_write(capsys):
    error = OSError(errno.EXDEV, "Invalid cross-device link", ".aside-a", None, "a")
    with pytest.raises(SystemExit):
        _program._guarded(fail_with(error))
    assert capsys.readouterr().err.startswith("a cannot be written")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "A file cannot be written or read: No s",
        ),
        (MemoryError("Unable to allocate 7 PiB"), "There is not enough memory: Unable to allocate"),
    ],
)
def test_errors_of_the_machine(capsys, error, message):
    with pytest.raises(SystemExit) as ending:
        _program._guarded(fail_with(error))
    assert ending.value.code == 2
    assert capsys.readouterr().err.startswith(message)


def test_other_errors_keep_their_traceback():
    for error in (OSError("Unable to open file"), RuntimeError("x"), OSError(errno.EBADF, "Bad")):
        with pytest.raises(type(error)):
            _program._guarded(fail_with(error))


def test_paths_of_flags(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    parser = PathParser()
    assert parser.parse("~/a") == f"{tmp_path}/a"
    # All else stays as it was typed.
    for path in ("./a/", "a/~", "/dev", "caf\udce9", "n" * 300, "imagenet"):
        assert parser.parse(path) == path
    assert PathListParser().parse("~/a,b") == [f"{tmp_path}/a", "b"]
    os.mkfifo("fifo")
    os.symlink("fifo", "link")
    for path in ("", "a\0b", "~nobody_of_this_name/a", "fifo", "link", "/dev/null"):
        with pytest.raises(ValueError, match=r"^A path|unknown user\.|neither a file nor a folder"):
            parser.parse(path)
        with pytest.raises(ValueError, match=r"^A path|unknown user\.|neither a file nor a folder"):
            PathListParser().parse(["a", path])


def refusal_of(define: Callable, number: str, capsys, monkeypatch) -> str:
    """Returns what a program prints of a number that its only flag does not take."""
    values = flags.FlagValues()
    define("number", None, "A number.", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)
    with pytest.raises(SystemExit) as ending:
        _program._parse([], ["program", f"--number={number}"])
    assert ending.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "1e999"])
def test_numbers_are_finite(capsys, monkeypatch, number):
    refused = refusal_of(flags.DEFINE_float, number, capsys, monkeypatch)
    assert refused.endswith(": must be a finite number.\n")


@pytest.mark.parametrize("number", [str(2**32), str(-(2**63)), "9" * 40, "9" * 5000])
def test_whole_numbers_have_a_limit(capsys, monkeypatch, number):
    refused = refusal_of(flags.DEFINE_integer, number, capsys, monkeypatch)
    assert len(refused.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["-h"], ["-helpshort"], ["--help=true"], ["--helpxml"], ["--nosuch", "--helpfull"]]
)
def test_all_words_for_help(words):
    assert _help.asks_for_help(words)


def test_no_words_for_help():
    assert not _help.asks_for_help(["help", "--", "--help"])
    assert not _help.asks_for_help(["--held=1", "--out=--help"])


def test_one_line():
    assert one_line("a\nb\r\x1b[2J\u2028\udce9 \u00e9") == r"a\nb\r\x1b[2J\u2028\udce9 é"
    record = logging.LogRecord("a", logging.WARNING, "", 0, "%s is left out", ("a\nb",), None)
    assert OneLine().format(record) == r"a\nb is left out"
    names = [f"name{i}" for i in range(200)]
    assert str(unknown_name("set", "x", names)).endswith("name59, and 140 others.")


def test_a_message_is_one_line(run_python):
    assert_one_line(run_python("-m", *WRONG), 2, r"Unknown command 'no\nsuch'")


# Where a standard file is closed, its number must not go to another file.
CLOSED = """
import os, sys
for number in map(int, sys.argv[1:]):
    os.close(number)
os.execv(sys.executable, [sys.executable, "-m", "keras_classics.cli"])
"""


@pytest.mark.parametrize("numbers", ["0", "1", "2", "012"])
def test_closed_standard_files(run_python, numbers):
    done = run_python("-c", CLOSED, *numbers)
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("Usage:" in done.stdout) == ("1" not in numbers)


@pytest.mark.parametrize("words", [(), ("no",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_left(words, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    ways = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    ways["stderr" if words == ("no",) else "stdout"] = writer
    done = subprocess.run([*LIST, *words], cwd=ROOT, env=environment, text=True, **ways)
    os.close(writer)
    assert done.returncode == 141
    assert not done.stdout
    assert not done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_space_for_the_output():
    with open("/dev/full", "w") as full:
        done = subprocess.run(LIST, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert_one_line(done, 2, "The output cannot be written: No space left on device.")


@pytest.mark.parametrize(
    "module",
    ["reproduce", "reproduce.harness", "reproduce.harness.run", "reproduce.scaling.loopback"],
)
def test_modules_that_are_no_programs(run_python, module):
    assert_one_line(run_python("-m", module, "--help"), 2, f"{module} is not a program. Programs a")


def test_commands_are_not_run_as_modules(run_python):
    done = run_python("-m", "keras_classics.cli.zoo", "--model=lenet5")
    assert_one_line(done, 2, "keras_classics.cli.zoo is not a program. Commands are run as: ke")
