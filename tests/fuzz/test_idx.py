"""Changed IDX files, plain and compressed: the values, or one line, and little memory."""

import collections
import gzip
import resource
from pathlib import Path

import numpy as np
import pytest

from keras_classics.data.formats.idx import read_idx
from keras_classics.errors import UserError
from tests.fuzz.mutations import BYTES, drawn
from tests.helpers.idx_files import idx

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype="uint8")
LABELS = np.arange(50, dtype="uint8")
FILES = {
    f"{name}{ending}": (values, compress(idx(values)))
    for name, values in (("images", IMAGES), ("labels", LABELS))
    for ending, compress in (("", bytes), (".gz", gzip.compress))
}
# Plain files are changed most where it matters: in their heads.
HEAD = 16

SLOW = [range(first, first + 250) for first in range(0, 1000, 250)]


@pytest.mark.parametrize(
    "seeds",
    [range(40), *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in SLOW)],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)
@pytest.mark.parametrize("name", FILES)
def test_the_values_or_one_line(tmp_path, name, seeds):
    values, content = FILES[name]
    path = tmp_path / name
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = collections.Counter()
    for seed in seeds:
        in_head = path.suffix != ".gz" and seed % 2
        kept = content[HEAD:] if in_head else b""
        kind, changed = drawn(BYTES, content[: len(content) - len(kept)], seed)
        path.write_bytes(changed + kept)
        found, message = read(path)
        if found is None:
            assert len(message.splitlines()) == 1, f"{kind}, {seed}"
            counts["one line"] += 1
            continue
        # gzip has a checksum; a plain file has none, but the number of its values.
        assert found.size == len(changed + kept) - 4 - 4 * found.ndim or path.suffix == ".gz"
        if path.suffix == ".gz":
            np.testing.assert_array_equal(found, values, f"{kind}, {seed}")
        counts["the values" if np.array_equal(found, values) else "others"] += 1
    print(name, dict(counts))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def read(path: Path) -> tuple[np.ndarray | None, str]:
    try:
        return read_idx(path), ""
    except UserError as error:
        return None, str(error)


def test_a_small_file_of_many_values_takes_no_memory(tmp_path):
    """9 MB of gzip took 4.5 GB."""
    zeros = gzip.compress(bytes(300_000_000), 9)
    path = tmp_path / "a.gz"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for axes, message in (
        (((300_000_000 * 15) // 784, 28, 28), r"at most 1,073,741,824 values. Received: shape"),
        ((2**31, 2**31, 4), r"at most 1,073,741,824 values. Received: shape"),
        ((5, 28, 28), r"holds more than 3,920 values"),
        ((1,) * 255, r"at most 4 axes. Received: 255"),
    ):
        path.write_bytes(gzip.compress(idx_head(*axes)) + zeros)
        with pytest.raises(UserError, match=message):
            read_idx(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def idx_head(*axes: int) -> bytes:
    return bytes((0, 0, 8, len(axes))) + b"".join(axis.to_bytes(4, "big") for axis in axes)
