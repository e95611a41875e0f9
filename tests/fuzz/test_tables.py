"""Changed tables of images with any number of labels: a data set, or one line."""

import collections
from pathlib import Path

import numpy as np
import pytest

from keras_classics.data.multilabel import load_multilabel
from keras_classics.errors import UserError
from tests.fuzz.mutations import BYTES, drawn

# Images are only looked for here, not read.
NAMES = [f"{number} a,b.png" for number in range(20)]
PARTS = ("train", "val")
TABLES = {
    "named.csv": "image,labels,split\n"
    + "".join(f'"{n}",caf\u00e9|d{i % 3},{PARTS[i % 2]}\n' for i, n in enumerate(NAMES)),
    "marked.tsv": "path\tcat\tdog\tpart\n"
    + "".join(f"{n}\t{i % 2}\t1.0\t{PARTS[i % 2]}\n" for i, n in enumerate(NAMES)),
}
SLOW = [range(first, first + 500) for first in range(0, 2000, 500)]


@pytest.mark.parametrize(
    "seeds",
    [range(40), *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in SLOW)],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)
@pytest.mark.parametrize("name", TABLES)
def test_a_data_set_or_one_line(tmp_path, name, seeds):
    for image in NAMES:
        (tmp_path / image).touch()
    counts = collections.Counter()
    for seed in seeds:
        kind, content = drawn(BYTES, TABLES[name].encode(), seed)
        (tmp_path / name).write_bytes(content)
        splits, class_names, message = read(tmp_path / name)
        assert len(message.splitlines()) <= 1, f"{kind}, {seed}: {message}"
        counts["one line" if message else "a data set"] += 1
        for split in splits:
            assert split.labels.shape == (len(split), len(class_names))
            assert np.isin(split.labels, (0, 1)).all()
            assert all(path.rpartition("/")[2] in NAMES for path in split.paths)
    print(name, dict(counts))
    assert len(counts) == 2


def read(path: Path) -> tuple:
    try:
        return *load_multilabel(str(path), ("train", "test")), ""
    except UserError as error:
        return [], (), str(error)
