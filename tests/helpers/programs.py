"""Programs as people run them."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def assert_one_line(done: subprocess.CompletedProcess, status: int, message: str) -> None:
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
