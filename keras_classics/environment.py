"""The environment of a process: versions, commit, device and command."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

PACKAGES = ("keras-classics", "tensorflow", "keras", "numpy", "tensorflow-datasets")


def current_environment() -> dict[str, Any]:
    """Returns versions, commit, device and command of this process."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    command = getattr(sys, "orig_argv", sys.argv)
    # A console script runs as `python .../keras-classics`; the interpreter is omitted.
    if len(command) > 1 and Path(command[1]).name == "keras-classics":
        command = command[1:]
    return {
        "command": shlex.join(command),
        "commit": _commit(),
        "device": ", ".join(gpus) or f"CPU, {os.cpu_count()} cores, {_cpu_name()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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
