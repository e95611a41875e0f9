"""Tells what a file of weights is by its first bytes; its ending counts only where they do not."""

import struct
import zipfile
from pathlib import Path

from keras_classics.errors import UserError
from keras_classics.weights.formats import archives
from keras_classics.weights.formats.caffe_files import is_caffe_file
from keras_classics.weights.formats.onnx_files import is_onnx_file

# Kinds of files.
ARCHIVE, HDF5, SAFETENSORS, TORCH = "archive", "hdf5", "safetensors", "torch"
INDEX, TENSORFLOW, CAFFE, ONNX = "index", "tensorflow", "caffe", "onnx"

ENDINGS = {
    ".weights.h5": HDF5,
    ".keras": ARCHIVE,
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".safetensors": SAFETENSORS,
    ".pth": TORCH,
    ".pt": TORCH,
    ".bin": TORCH,
    ".ckpt": TORCH,
    ".tar": TORCH,
    ".th": TORCH,
    ".index.json": INDEX,
    ".index": TENSORFLOW,
    ".caffemodel": CAFFE,
    ".onnx": ONNX,
}

HDF5_START = b"\x89HDF\r\n\x1a\n"
ZIP_START = b"PK\3\4"

# The number that torch's first format begins with, as pickle writes it.
TORCH_START = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# The end of a table of TensorFlow's.
TENSORFLOW_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"

# The first field of a model of ONNX, as its own library writes it.
ONNX_START = b"\x08"

# Pickles of the protocols 2 to 5.
PICKLE_STARTS = (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")

HEAD_BYTES = 512

# What people take for weights: the place and the bytes, what it is, and what to do.
STRANGERS = (
    (0, b"version https://git-lfs", "a pointer of Git LFS", "Fetch the weights: git lfs pull"),
    (0, b"<!doctype html", "a web page", "Download the weights themselves"),
    (0, b"<html", "a web page", "Download the weights themselves"),
    (257, b"ustar", "a tar archive", "Unpack it, and name the file in it"),
    (0, b"\x1f\x8b", "compressed by gzip", "Unpack it, and name the file in it"),
    (0, b"BZh", "compressed by bzip2", "Unpack it, and name the file in it"),
    (0, b"\xfd7zXZ\0", "compressed by xz", "Unpack it, and name the file in it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", "Unpack it, and name the file in it"),
    (0, b"7z\xbc\xaf\x27\x1c", "an archive of 7-Zip", "Unpack it, and name the file in it"),
)


def kind_of(path: Path) -> str | None:
    """Returns the kind of a file of weights; None if neither its bytes nor its ending say it.

    Raises:
        UserError: If it is known as something that holds no weights, or as weights in a wrapping.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(TENSORFLOW_END)))
        tail = file.read()
    for place, start, what, way_out in STRANGERS:
        if head[place : place + len(start)].lower() == start.lower():
            raise UserError(f"it is {what}. {way_out}")
    if head.startswith(HDF5_START):
        return HDF5
    if TORCH_START in head[:32]:
        return TORCH
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32:
        return SAFETENSORS
    if head.startswith(PICKLE_STARTS):
        raise UserError(
            "it is a plain pickle, as Detectron2 saves it, which may execute code. If you trust "
            "it, save the tensors by name: safetensors.numpy.save_file(pickle.load(FILE)['model'], "
            "'weights.safetensors')"
        )
    if head.lstrip().startswith(b"{") and b'"weight_map"' in head:
        return INDEX
    if tail == TENSORFLOW_END:
        return TENSORFLOW
    named = of_ending(path.name)
    if path.name.lower().endswith(".prototxt"):
        raise UserError(
            "it describes a network of Caffe, and has no weights. Name the .caffemodel beside it"
        )
    if head[:1] == ONNX_START and named != ONNX and is_onnx_file(path):
        return ONNX
    if named not in (CAFFE, ONNX) and is_caffe_file(path):
        return CAFFE
    return (_of_archive(path, named) if head.startswith(ZIP_START) else None) or named


def of_ending(name: str) -> str | None:
    """Returns the kind of files with the ending of a name, in upper or lower case; or None."""
    return next((kind for end, kind in ENDINGS.items() if name.lower().endswith(end)), None)


def _of_archive(path: Path, named: str | None) -> str | None:
    """Returns the kind of a zip archive by its members; None if it is damaged or has none."""
    try:
        with archives.opened(path) as archive:
            names = archive.namelist()
    except (UserError, OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return ARCHIVE if named == ARCHIVE else TORCH
    if "model.weights.h5" in names:
        return ARCHIVE
    if any(name.endswith("data.pkl") for name in names):
        return TORCH
    return named if named in (ARCHIVE, TORCH) else None
