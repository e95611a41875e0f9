"""Downloads published files, checks their hashes, and keeps only complete files."""

import contextlib
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_classics import files
from keras_classics.errors import UserError, short_reason
from keras_classics.internet import why_unreachable
from keras_classics.weights.formats.caffe_files import is_caffe_file
from keras_classics.weights.formats.torch_files import is_torch_file

# Environment variable: if set, files are downloaded from VALUE/NAME instead of their own URLs.
MIRROR = "KERAS_CLASSICS_WEIGHTS_URL"

TIMEOUT_SECONDS = 60.0
ATTEMPTS = 4
PAUSE_SECONDS = 0.5
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file of weights on a server.

    Attributes:
        name: Name of the file on this machine.
        url: URL of the file.
        digest: The published hash: `sha256:`, `sha1:` or `md5:`, and all or the first hexadecimal
            digits. None if none is published: then the structure of the file is checked.
        packed: Whether the URL is that of an archive or a page with the file, not its own.
    """

    name: str
    url: str
    digest: str | None
    packed: bool = False

    def fetch(self) -> Path:
        """Downloads the file to Keras's cache if it is not there, and returns its path.

        An interrupted download resumes where it stopped. The hash is checked every time.

        Raises:
            UserError: If the file cannot be downloaded, or its hash is wrong.
        """
        path = cache_folder() / self.name
        if self.packed and not path.is_file() and not os.environ.get(MIRROR):
            raise UserError(
                f"{self.name} is published inside {self.url}. Download and unpack that yourself "
                f"and save the file as {path}, or set {MIRROR} to a mirror."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Other processes wait, and then find the file.
            with files.process_lock(path.with_name(f".aside-{path.name}.lock")):
                if not (path.is_file() and is_intact(path, self.digest)):
                    _download(self, path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error}.") from error
        return path


def cache_folder() -> Path:
    """Returns the folder where Keras caches weights, `~/.keras/models`."""
    return files.keras_folder() / "models"


def is_intact(path: Path, digest: str | None) -> bool:
    """Returns whether a file has the published hash, or without one, is whole.

    A file without a hash is one of Caffe or of torch, as its ending says.

    Raises:
        UserError: If it is of torch, and the extra `torch` is missing.
    """
    if digest is None:
        return is_caffe_file(path) if path.suffix == ".caffemodel" else is_torch_file(path)
    algorithm, expected = digest.split(":")
    with open(path, "rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest().startswith(expected)


def _download(file: RemoteFile, path: Path) -> None:
    url = _mirrored(file)
    part = path.with_name(f".aside-{path.name}")
    resumed = part.exists()
    _fetch_part(file, url, part, path)
    if resumed and not is_intact(part, file.digest):
        # The part from before may belong to another file.
        part.unlink()
        _fetch_part(file, url, part, path)
    if not is_intact(part, file.digest):
        part.unlink()
        rule = f"have a hash that begins with {file.digest}" if file.digest else "be a whole file"
        raise UserError(
            f"{file.name} must {rule}. Received: another file from {url}, which was deleted. "
            f"{_way_out(url, path)}"
        )
    os.replace(part, path)


def _fetch_part(file: RemoteFile, url: str, part: Path, path: Path) -> None:
    """Downloads the missing rest of a file, with several attempts if its server can be reached."""
    if reason := why_unreachable(url):
        raise UserError(f"{file.name} cannot be downloaded ({reason}). {_way_out(url, path)}")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append(url, part)
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            missing = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if missing or isinstance(error, ValueError) or attempt == ATTEMPTS:
                raise UserError(
                    f"{file.name} cannot be downloaded ({short_reason(error)}). "
                    f"{_way_out(url, path)}"
                ) from error
            time.sleep(attempt * PAUSE_SECONDS)


def _append(url: str, part: Path) -> None:
    """Requests the missing rest of a file and appends it as it arrives."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # The file is already complete; the caller checks the hash.
        raise
    with response:
        resumes = response.status == http.HTTPStatus.PARTIAL_CONTENT
        length = response.headers["Content-Length"]
        done = start if resumes else 0
        total = None if length is None else done + int(length)
        progress = keras.utils.Progbar(total, unit_name="byte")
        # Unbuffered, so that a killed process loses no received data. Standard output is for what
        # a program computes.
        with (
            open(part, "ab" if resumes else "wb", buffering=0) as content,
            contextlib.redirect_stdout(sys.stderr),
        ):
            while chunk := response.read1(CHUNK_BYTES):
                content.write(chunk)
                done += len(chunk)
                progress.update(done)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _mirrored(file: RemoteFile) -> str:
    mirror = os.environ.get(MIRROR)
    return f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url


def _way_out(url: str, path: Path) -> str:
    return (
        f"Download {url} yourself and save it as {path}, or set {MIRROR} to a mirror. What works "
        "here: weights that come with the package, such as lenet5/digits."
    )
