"""The environment of a process: versions, commit, device, threads and command."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_classics.command import current_command

# The tested versions of all packages, in a checkout.
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

PACKAGES = ("keras-classics", "tensorflow", "keras", "numpy", "tensorflow-datasets")


def current_environment() -> dict[str, Any]:
    """Returns versions, pins, commit, device, threads and command of this process."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "command": current_command(),
        "commit": _commit(),
        "constraints": _constraints(),
        "device": ", ".join(gpus) or f"CPU, {os.cpu_count()} cores, {_cpu_name()}",
        "threads": {
            "intra_op": tf.config.threading.get_intra_op_parallelism_threads() or _threads("INTRA"),
            "inter_op": tf.config.threading.get_inter_op_parallelism_threads() or _threads("INTER"),
        },
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _threads(kind: str) -> int:
    """The number of threads that TensorFlow uses by default: one for each core that it may use."""
    given = os.environ.get(f"TF_NUM_{kind}OP_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _constraints() -> str | None:
    """The hash of the checkout's pins, with a + if an installed version differs; or None."""
    if not CONSTRAINTS.exists():
        return None
    content = CONSTRAINTS.read_bytes()
    lines = [line for line in content.decode().splitlines() if "==" in line]
    installed = {name: (_version(name), pin) for name, pin in (line.split("==") for line in lines)}
    differs = any(version not in (None, pin) for version, pin in installed.values())
    return hashlib.sha256(content).hexdigest()[:12] + ("+" if differs else "")


def _commit() -> str | None:
    """Returns the checkout's commit, with a + if files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here)]
        commit = subprocess.check_output([*git, "rev-parse", "HEAD"], stderr=subprocess.DEVNULL)
        changed = subprocess.check_output([*git, "status", "--porcelain", "-uno"])
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.decode().strip() + ("+" if changed.strip() else "")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
