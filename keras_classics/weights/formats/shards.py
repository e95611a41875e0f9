"""Weights in several files, with an index: `model.safetensors.index.json`, beside its files."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from keras_classics.errors import UserError
from keras_classics.files import read_json
from keras_classics.weights.formats.beside import check_name, file_beside
from keras_classics.weights.formats.state_dicts import Entry

# Most files, and largest index.
SHARDS, INDEX_BYTES = 64, 4_000_000


@contextlib.contextmanager
def opened(
    path: Path, open_shard: Callable[[Path, int], AbstractContextManager[dict[str, Entry]]]
) -> Iterator[dict[str, Entry]]:
    """Opens the files that an index names.

    Args:
        path: The index.
        open_shard: Opens one of the files; its second argument is the number of all.

    Returns:
        The tensors of all, which can be read while they are open.

    Raises:
        UserError: If the index is damaged, or a file is missing, elsewhere, or not as it says.
    """
    places = _places(path)
    shards = sorted(set(places.values()))
    entries: dict[str, Entry] = {}
    with contextlib.ExitStack() as stack:
        for shard in shards:
            file = file_beside(path, shard)
            found = stack.enter_context(open_shard(file, len(shards)))
            listed = {name for name, place in places.items() if place == shard}
            tensors = {name for name, entry in found.items() if entry.shape is not None}
            for name in sorted(tensors ^ listed):
                has = "does not have" if name in listed else "has, but its index does not list,"
                raise UserError(f"its file {shard!r} {has} the tensor {name!r}")
            entries |= found
        yield entries


def files_of(path: Path) -> list[str]:
    """Returns the names of the files that an index names, all beside it.

    Raises:
        UserError: If the index is damaged.
    """
    return sorted(set(_places(path).values()))


def _places(path: Path) -> dict[str, str]:
    """Returns the name of the file of each tensor."""
    if path.stat().st_size > INDEX_BYTES:
        raise UserError(f"its index must have at most {INDEX_BYTES:,} bytes")
    try:
        places = read_json(path)["weight_map"]
        names = [*places, *places.values()]
    except (UserError, KeyError, TypeError, AttributeError) as error:
        raise UserError("it is not an intact index of files (weight_map)") from error
    for shard in places.values():
        check_name(shard)
    if not names:
        raise UserError("its index names no file")
    count = len(set(places.values()))
    if count > SHARDS:
        raise UserError(f"its index must name at most {SHARDS} files. Received: {count}")
    return places
