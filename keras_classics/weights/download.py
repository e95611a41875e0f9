"""Brings a published file to this machine: whole, checked against its hash, or not at all."""

import contextlib
import fcntl
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_classics.errors import UserError

# Environment variable with a prefix: files are fetched from PREFIX/NAME instead of their own hosts.
MIRROR = "KERAS_CLASSICS_WEIGHTS_URL"

TIMEOUT_SECONDS = 60.0
ATTEMPTS = 4
PAUSE_SECONDS = 2.0
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file on a host of weights.

    Attributes:
        name: Name of the file on this machine.
        url: Where it lies.
        digest: Its hash as it was published: `sha256:` or `md5:` and hexadecimal digits, of which
            the first ones may stand for all.
    """

    name: str
    url: str
    digest: str

    def fetch(self) -> Path:
        """Returns its path in Keras's cache, after downloading it where it is not there.

        A download that was cut goes on where it stopped. The hash is checked each time.

        Raises:
            UserError: It cannot be had, or is not the file that was published.
        """
        path = cache_folder() / self.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(path):
                if not (path.is_file() and is_intact(path, self.digest)):
                    _download(self, path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error}.") from error
        return path


def cache_folder() -> Path:
    """Returns the folder in which Keras keeps weights, `~/.keras/models`."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def is_intact(path: Path, digest: str) -> bool:
    """Tells whether a file has the hash that was published for it."""
    algorithm, expected = digest.split(":")
    with open(path, "rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest().startswith(expected)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process at a time fetch a file; the others find it when they come in."""
    with open(path.with_name(f".aside-{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(file: RemoteFile, path: Path) -> None:
    url = _mirrored(file)
    part = path.with_name(f".aside-{path.name}")
    resumed = part.exists()
    _fetch_part(file, url, part, path)
    if resumed and not is_intact(part, file.digest):
        # What was there may have been of another file.
        part.unlink()
        _fetch_part(file, url, part, path)
    if not is_intact(part, file.digest):
        part.unlink()
        raise UserError(
            f"{url} gave a file that is not {file.name}: its hash does not begin with "
            f"{file.digest}. Nothing was kept. {_by_hand(url, path)}"
        )
    os.replace(part, path)


def _fetch_part(file: RemoteFile, url: str, part: Path, path: Path) -> None:
    """Appends to what is there until the host says that it was all, or gives up."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append(url, part)
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            missing = isinstance(error, urllib.error.HTTPError) and error.code < 500
            # A name that is not found or a port that is closed will be so in a moment, too.
            unreachable = type(error) is urllib.error.URLError and "timed out" not in str(error)
            reason = error.reason if unreachable else str(error) or type(error).__name__
            if missing or unreachable or isinstance(error, ValueError) or attempt == ATTEMPTS:
                raise UserError(
                    f"{file.name} could not be downloaded ({reason}). {_by_hand(url, path)}"
                ) from error
            time.sleep(attempt * PAUSE_SECONDS)


def _append(url: str, part: Path) -> None:
    """Asks for what is missing of a file and writes it down as it comes."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # It is all here already; the hash will tell.
        raise
    with response:
        resumes = response.status == http.HTTPStatus.PARTIAL_CONTENT
        length = response.headers["Content-Length"]
        done = start if resumes else 0
        total = None if length is None else done + int(length)
        progress = keras.utils.Progbar(total, unit_name="byte")
        # Unbuffered, so that nothing of what came is lost with the process.
        with open(part, "ab" if resumes else "wb", buffering=0) as content:
            while chunk := response.read1(CHUNK_BYTES):
                content.write(chunk)
                done += len(chunk)
                progress.update(done)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _mirrored(file: RemoteFile) -> str:
    mirror = os.environ.get(MIRROR)
    return f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url


def _by_hand(url: str, path: Path) -> str:
    return f"Fetch {url} by hand and put it at {path}, or set {MIRROR} to a mirror."
