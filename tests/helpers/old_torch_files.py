"""Files as torch 0.2 wrote them under Python 2, such as those of Places365.

The first format of `torch.save` with what has changed since: texts are bytes, an `OrderedDict` is
made of lists, a tensor of `_rebuild_tensor` and a `torch.Size`, and storages are those of a GPU.
"""

import copyreg
import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

MAGIC_NUMBER, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    """Values that lie behind the pickles."""

    def __init__(self, values: np.ndarray):
        self.values = values


class Pickler(pickle._Pickler):
    """Python 2's, for arrays of float32 as tensors.

    Attributes:
        storages: Values of the tensors that were pickled, by their key.
    """

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def __init__(self, file: io.BytesIO, torch: ModuleType):
        super().__init__(file, 2)
        self.torch = torch
        self.storages: dict[str, np.ndarray] = {}

    def save_str(self, text: str) -> None:
        data = text.encode()
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    dispatch[str] = save_str

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, OrderedDict):
            return OrderedDict, ([list(item) for item in value.items()],)
        if isinstance(value, np.ndarray):
            strides = tuple(step // value.itemsize for step in value.strides)
            shape = self.torch.Size(value.shape)
            return self.torch._utils._rebuild_tensor, (Storage(value), 0, shape, strides)
        if type(value) is self.torch.Size:
            return copyreg.__newobj__, (self.torch.Size, tuple(value))
        return NotImplemented

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        key = str(id(value.values))
        self.storages[key] = value.values
        kind = self.torch.cuda.FloatStorage
        return "storage", kind, key, "cuda:0", value.values.size, None


def save(torch: ModuleType, content: Mapping[str, Any], path: Path) -> None:
    """Writes a mapping of texts, numbers, mappings and arrays of float32."""
    file = io.BytesIO()
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"int": 4}}
    for value in (MAGIC_NUMBER, PROTOCOL, system):
        Pickler(file, torch).dump(value)
    pickler = Pickler(file, torch)
    pickler.dump(content)
    keys = sorted(pickler.storages)
    Pickler(file, torch).dump(keys)
    for key in keys:
        values = pickler.storages[key]
        file.write(struct.pack("<q", values.size) + values.tobytes())
    path.write_bytes(file.getvalue())
