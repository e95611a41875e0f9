"""Files of weights on the Hugging Face hub, `hf://ORG/REPO[/FILE][@REVISION]`.

The library `huggingface_hub` downloads them to its own cache, and finds them there without network.
Without FILE the usual names are tried, see `USUAL`; the files that an index or an ONNX file names
come with it.
"""

import fnmatch
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_classics.errors import NAMES, UserError, require, short_reason
from keras_classics.internet import why_unreachable
from keras_classics.weights.download import is_intact
from keras_classics.weights.formats import contents, onnx_files, shards

# One slash: the address as pathlib writes it.
START = re.compile(r"hf:/{1,2}(?=[^/])", re.IGNORECASE)

FORM = "hf://ORG/REPO[/FILE][@REVISION]"

# What a repository's weights are called, the first that it has. Of patterns exactly one may fit.
USUAL = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.weights.h5",
    "*.weights.h5",
    "*.keras",
    "*.safetensors",
    "*.pth",
    "*.pt",
    "*.bin",
    "*.ckpt",
    "*.h5",
    "*.caffemodel",
    "*.index",
)

# Seconds that the hub's answer may take.
SECONDS = 10.0

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Address:
    """A place on the hub.

    Attributes:
        repository: `ORG/REPO`.
        file: Path of a file there; "" if none is named.
        revision: A branch, a tag or a commit.
    """

    repository: str
    file: str
    revision: str

    def __str__(self) -> str:
        return f"hf://{'/'.join(filter(None, [self.repository, self.file]))}@{self.revision}"


def is_address(weights: object) -> bool:
    """Returns whether a text or a path is an address on the hub."""
    if not isinstance(weights, (str, os.PathLike)):
        return False
    return START.match(str(os.fspath(weights))) is not None


def fetch(weights: str) -> Path:
    """Returns the path of a file on the hub, after downloading it and what belongs to it.

    Args:
        weights: The address, without a part after a `#`.

    Raises:
        UserError: If it is no address, the extra `hub` is missing, the hub has no such file or does
            not give it, or the network is missing and the file is not in the cache.
    """
    address = _parsed(weights)
    log = logging.getLogger("huggingface_hub")
    level = log.level
    # What goes wrong is said in one line here.
    log.setLevel(logging.ERROR)
    try:
        names, offline = _listed(address)
        name = _chosen(address, names, offline)
        path = _download(address, name, offline)
        for companion in _companions(path, name, names):
            _download(address, companion, offline)
    finally:
        log.setLevel(level)
    return path


def _parsed(weights: str) -> Address:
    body, _, revision = START.sub("", weights, count=1).partition("@")
    organisation, _, rest = body.partition("/")
    repository, _, file = rest.partition("/")
    if not (organisation and repository) or ("@" in weights and not revision):
        raise UserError(f"An address on the hub has the form {FORM}. Received: {weights!r}.")
    return Address(f"{organisation}/{repository}", file, revision or "main")


def _listed(address: Address) -> tuple[list[str], str]:
    """Returns the files of a repository, or those in the cache and why only those."""
    hub, constants = require("huggingface_hub", "hub"), require("huggingface_hub.constants", "hub")
    endpoint = constants.ENDPOINT
    offline = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else ""
    offline = offline or why_unreachable(endpoint) or ""
    if not offline:
        try:
            info = hub.HfApi(endpoint=endpoint).model_info(
                address.repository, revision=address.revision, timeout=SECONDS
            )
            return [file.rfilename for file in info.siblings or ()], ""
        except Exception as error:
            offline = _passing(error)
            if not offline:
                raise _refused(address, error) from error
    return _cached(address), offline


def _passing(error: Exception) -> str:
    """Returns why the hub does not answer now; "" for what it answers."""
    errors = require("huggingface_hub.errors", "hub")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        return f"the hub answers {status}" if status >= 500 else ""
    return (
        "" if isinstance(error, errors.HFValidationError) else f"no answer: {short_reason(error)}"
    )


def _cached(address: Address) -> list[str]:
    hub, constants = require("huggingface_hub", "hub"), require("huggingface_hub.constants", "hub")
    try:
        repositories = hub.scan_cache_dir(constants.HF_HUB_CACHE).repos
    except hub.CacheNotFound:
        return []
    return [
        file.file_path.relative_to(revision.snapshot_path).as_posix()
        for repository in repositories
        if repository.repo_id == address.repository and repository.repo_type == "model"
        for revision in repository.revisions
        if address.revision in (revision.commit_hash, *revision.refs)
        for file in revision.files
    ]


def _chosen(address: Address, names: Sequence[str], offline: str) -> str:
    """Returns the file that an address means."""
    if address.file in names:
        return address.file
    if offline and (address.file or not names):
        raise _not_cached(address, offline)
    listed = ", ".join(sorted(names)[:NAMES]) or "no files"
    if address.file:
        raise UserError(f"{address} does not exist. The repository has: {listed}.")
    for pattern in USUAL:
        found = [name for name in names if fnmatch.fnmatchcase(name, pattern) and "/" not in name]
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise UserError(
        f"{address} must have one file with a usual name, or the address must name the file: "
        f"{FORM}. The repository has: {listed}."
    )


def _companions(path: Path, name: str, names: Sequence[str]) -> list[str]:
    """Returns the other files of weights in several files."""
    folder = name.rpartition("/")[0]
    kind = contents.kind_of(path)
    if kind in (contents.INDEX, contents.ONNX):
        files_of = shards.files_of if kind == contents.INDEX else onnx_files.files_beside
        return ["/".join(filter(None, [folder, file])) for file in files_of(path)]
    if kind == contents.TENSORFLOW:
        return [other for other in names if other.startswith(f"{name.removesuffix('.index')}.data")]
    return []


def _download(address: Address, name: str, offline: str) -> Path:
    """Returns the path of a file in the cache of the hub's library, after downloading it."""
    hub = require("huggingface_hub", "hub")
    errors = require("huggingface_hub.errors", "hub")
    file = Address(address.repository, name, address.revision)
    try:
        path = Path(
            hub.hf_hub_download(
                address.repository,
                name,
                revision=address.revision,
                local_files_only=bool(offline),
            )
        )
    except errors.LocalEntryNotFoundError as error:
        if offline:
            raise _not_cached(file, offline) from error
        raise _refused(file, error.__cause__ or error) from error
    except Exception as error:
        raise _refused(file, error) from error
    # Large files are kept under their SHA-256.
    stored = path.resolve()
    if SHA256.fullmatch(stored.name) and not is_intact(stored, f"sha256:{stored.name}"):
        stored.unlink()
        path.unlink()
        raise UserError(
            f"{file} must have the SHA-256 that the hub publishes. Received: another content, "
            "which was deleted. Repeat the command to download it again."
        )
    return path


def _not_cached(address: Address, offline: str) -> UserError:
    return UserError(
        f"{address} is not in the cache, and cannot be downloaded ({offline}). Download it "
        "once where there is a network, or name a file on this machine."
    )


def _refused(address: Address, error: BaseException) -> UserError:
    """Returns the error for what the hub does not give."""
    errors = require("huggingface_hub.errors", "hub")
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError) or status == 403:
        reason = f"its owners grant access. Ask for it on the repository's page, and {log_in}"
    elif isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        reason = f"there is no such repository, or it is private: then {log_in}"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = f"the repository has no branch, tag or commit {address.revision!r}"
    elif isinstance(error, errors.EntryNotFoundError):
        reason = "the repository has no such file"
    elif isinstance(error, errors.HFValidationError):
        reason = f"an address has the form {FORM}"
    else:
        reason = f"{short_reason(error)}. Repeat the command: what has arrived is kept"
    return UserError(f"{address} cannot be downloaded: {reason}.")
