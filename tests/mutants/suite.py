"""Runs the tests of a few files inside this process, and notes what each of them calls."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.mutants import processes, replaced

ARGUMENTS = (
    "-m",
    "not slow and not torch",
    "-q",
    "-p",
    "no:cacheprovider",
    "--disable-plugin-autoload",
)
PATIENCE = 600.0


class Recorder:
    """A pytest plugin that selects tests and records how they end.

    Attributes:
        tests: By its id, each test that ran: whether it passed, its processor time in seconds,
            and what it called.
        calls: What has been called since the last test.
        at_import: What was called before the first test.
    """

    def __init__(self, wanted: list[str] | None = None) -> None:
        self.rank = None if wanted is None else {test: i for i, test in enumerate(wanted)}
        self.tests: dict[str, dict] = {}
        self.calls: set[str] = set()
        self.at_import: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.at_import |= self.calls
        if self.rank is not None:
            items[:] = [item for item in items if item.nodeid in self.rank]
            items.sort(key=lambda item: self.rank[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        self.calls.clear()
        self.tests[item.nodeid] = {"passed": True}
        start = _processor_seconds()
        result = yield
        seconds = round(_processor_seconds() - start, 3)
        self.tests[item.nodeid] |= {"seconds": seconds, "calls": sorted(self.calls)}
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tests[report.nodeid]["passed"] = False


def _processor_seconds() -> float:
    return sum(os.times()[:4])  # Also of the processes that a test starts.


def run_tests(files: Collection[str], *options: str, recorder: Recorder) -> int:
    """Runs pytest on some files in this process.

    Returns:
        Its exit status.
    """
    ignore = "-W", "ignore::pytest.PytestAssertRewriteWarning"
    return int(pytest.main([*files, *ARGUMENTS, *ignore, *options], plugins=[recorder]))


class Measured:
    """What the tests of each file call and how long they take, kept in a folder.

    A file is measured when it is first asked for, and again when its text has changed.

    Args:
        root: The checkout.
        folder: Where the measurements are kept.
        modules: Paths, from the root, of the modules whose functions are noted.
        tell: Takes a line for whoever waits.
    """

    def __init__(
        self, root: Path, folder: Path, modules: list[str], tell: Callable[[str], None]
    ) -> None:
        self.root = root.absolute()
        self.folder = folder
        self.modules = modules
        self.tell = tell

    def of(self, file: str) -> dict:
        """Returns `tests`, as in `Recorder`, and `at_import` for a test file."""
        text = (self.root / file).read_bytes()
        stored = self.folder / f"{file.replace('/', '.')}.json"
        key = hashlib.sha256(text).hexdigest()
        if stored.exists():
            found = json.loads(stored.read_text())
            if found["key"] == key:
                return found
        start = time.monotonic()
        found = {"key": key, **self._measure(file)}
        self.folder.mkdir(parents=True, exist_ok=True)
        stored.write_text(json.dumps(found))
        failed = [test for test, ran in found["tests"].items() if not ran["passed"]]
        self.tell(f"measured {file}: {len(found['tests'])} tests, {time.monotonic() - start:.0f} s")
        for test in failed:
            self.tell(f"fails without any fault, and is left out: {test}")
        return found

    def _measure(self, file: str) -> dict:
        def work() -> dict:
            recorder = Recorder()
            paths = [self.root / module for module in self.modules]
            replaced.note_calls(paths, recorder.calls, self.root)
            run_tests([file], recorder=recorder)
            return {"tests": recorder.tests, "at_import": sorted(recorder.at_import)}

        ended = processes.run_forked(work, PATIENCE, 4 * PATIENCE)
        if ended.result is None:
            self.tell(f"{file} did not end (status {ended.status}), and is left out")
        return ended.result or {"tests": {}, "at_import": []}
