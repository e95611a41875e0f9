"""LiteRT for the web, as npm has it: brought to this machine once, then copied into every site."""

import json
import shutil
import subprocess
from pathlib import Path

from keras_classics import files
from keras_classics.errors import UserError
from keras_classics.weights.download import cache_folder

HERE = Path(__file__).parent
PACKAGES = ("package.json", "package-lock.json")
PACKAGE = "@litertjs/core"

# What a site takes of it, and under which name. A browser loads one of the two forms, 9 MB: the
# second is for those without the newest vector instructions.
FILES = {
    "@litertjs/core/package.json": "package.json",
    "@litertjs/core/dist/index.js": "core.js",
    "@litertjs/wasm-utils/dist/index.js": "wasm-utils.js",
    "@litertjs/core/wasm/litert_wasm_internal.js": "wasm/litert_wasm_internal.js",
    "@litertjs/core/wasm/litert_wasm_internal.wasm": "wasm/litert_wasm_internal.wasm",
    "@litertjs/core/wasm/litert_wasm_compat_internal.js": "wasm/litert_wasm_compat_internal.js",
    "@litertjs/core/wasm/litert_wasm_compat_internal.wasm": "wasm/litert_wasm_compat_internal.wasm",
}


def runtime() -> Path:
    """Returns the folder of npm's packages, in Keras's cache; the first call fills it.

    Raises:
        UserError: npm is missing or fails.
    """
    version = json.loads((HERE / "package.json").read_text())["dependencies"][PACKAGE]
    folder = cache_folder().parent / "keras_classics_demo" / version
    if not folder.is_dir():
        with files.atomic_write(folder) as aside:
            aside.mkdir()
            _install(aside)
    return folder / "node_modules"


def copy_runtime(packages: Path, folder: Path) -> None:
    """Copies what a site takes of the runtime.

    Args:
        packages: The folder that `runtime` gives.
        folder: Where to; it is made.
    """
    for source, target in FILES.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packages / source, folder / target)


def _install(folder: Path) -> None:
    """Lets npm install what the lock file names, and nothing else, into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"The demo takes LiteRT for the web, {PACKAGE}, from npm, which is not installed. "
            "Install Node.js, which brings it; on Debian: apt-get install npm."
        )
    for name in PACKAGES:
        shutil.copyfile(HERE / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"npm must bring LiteRT for the web, {PACKAGE}, once. It failed: {_reason(done.stderr)}"
            ". Try again with a network."
        )


def _reason(log: str) -> str:
    """What npm says of an error, without its warnings and its hints, on one line."""
    errors = [line.removeprefix("npm error ") for line in log.splitlines() if "npm error" in line]
    return " ".join(errors[:2]) or " ".join(log.split())
