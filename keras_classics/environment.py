"""The environment of a process: versions, commit, device, threads and command."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from keras_classics.command import current_command

# The tested versions of all packages, in a checkout.
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

# TensorFlow's variable for the kernels of oneDNN: 1 turns them on, 0 off. If unset, they are on
# where the processor has AVX-512 with VNNI, or what came after it.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

# Instruction sets of x86-64, by the kernel's names for them, the largest first.
VECTORS = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX"}

PACKAGES = (
    "keras-classics",
    "tensorflow",
    "keras",
    "jax",
    "torch",
    "numpy",
    "tensorflow-datasets",
)


def enable_onednn() -> None:
    """Turns TensorFlow's oneDNN kernels on, unless the user's environment has chosen.

    Where TensorFlow leaves them off, training is 1.2 to 2 times as fast with them, but one image
    takes longer, up to 16 times. So this is for programs that compute in batches. Call it before
    TensorFlow is imported; it changes the environment of this process.
    """
    os.environ.setdefault(ONEDNN, "1")


def current_environment() -> dict[str, Any]:
    """Returns versions, pins, commit, device, threads, kernels and command of this process."""
    return {
        "command": current_command(),
        "commit": _commit(),
        "constraints": _constraints(),
        "device": ", ".join(_gpus()) or _cpu(),
        "threads": {
            "intra_op": _configured("intra_op") or _threads("INTRA"),
            "inter_op": _configured("inter_op") or _threads("INTER"),
        },
        "onednn": os.environ.get(ONEDNN),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


# The framework is the one that the process has imported already: recording what a run ran on must
# import none, and TensorFlow need not be installed.


def _gpus() -> list[str]:
    """The names of the framework's GPUs."""
    if tf := sys.modules.get("tensorflow"):
        details = map(
            tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU")
        )
        return [of_gpu.get("device_name", "GPU") for of_gpu in details]
    if jax := sys.modules.get("jax"):
        return [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    if torch := sys.modules.get("torch"):
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return []


def _configured(kind: str) -> int:
    """The number of threads that a program has set in TensorFlow, or 0."""
    tf = sys.modules.get("tensorflow")
    return getattr(tf.config.threading, f"get_{kind}_parallelism_threads")() if tf else 0


def _threads(kind: str) -> int:
    """The number of threads that TensorFlow uses by default: one for each core that it may use."""
    given = os.environ.get(f"TF_NUM_{kind}OP_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return usable_processors()


def usable_processors() -> int:
    """Returns the number of processors that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


@functools.cache
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


def _cpu() -> str:
    """Cores, name and vector instructions, with which the order of sums and so the bits change."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = {key.strip(): value for key, _, value in (line.partition(":") for line in lines)}
    flags = found.get("flags", "").split()
    vectors = [name for flag, name in VECTORS.items() if flag in flags][:1]
    name = found.get("model name", platform.machine()).strip()
    return ", ".join(["CPU", f"{os.cpu_count()} cores", name, *vectors])
