"""Installs LiteRT for the web from npm once, and copies it into every site."""

import json
import shutil
import subprocess
from pathlib import Path

from keras_classics import files
from keras_classics.errors import UserError

HERE = Path(__file__).parent
PACKAGES = ("package.json", "package-lock.json")
PACKAGE = "@litertjs/core"

# Files that a site needs, and their names there. A browser loads one of the two builds, 9 MB: the
# second, "compat", is for browsers without the newest vector instructions.
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
    """Returns the `node_modules` folder in Keras's cache; the first call installs it.

    Raises:
        UserError: If npm is missing or fails.
    """
    version = json.loads((HERE / "package.json").read_text())["dependencies"][PACKAGE]
    folder = files.keras_folder() / "keras_classics_demo" / version
    if not folder.is_dir():
        with files.atomic_write(folder) as aside:
            aside.mkdir()
            _install(aside)
    return folder / "node_modules"


def copy_runtime(packages: Path, folder: Path) -> None:
    """Copies the runtime files that a site needs.

    Args:
        packages: The folder that `runtime` returns.
        folder: Folder to copy to; it is created.
    """
    for source, target in FILES.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packages / source, folder / target)


def _install(folder: Path) -> None:
    """Installs exactly the packages of the lock file into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"The demo needs npm to install LiteRT for the web, {PACKAGE}. Received: npm is not "
            "installed. Install Node.js, which includes it; on Debian: apt-get install npm."
        )
    for name in PACKAGES:
        shutil.copyfile(HERE / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"npm must be able to install LiteRT for the web, {PACKAGE}, once. "
            f"Received: {_reason(done.stderr)}. Try again with an internet connection."
        )


def _reason(log: str) -> str:
    """Returns the error message of npm on one line, without its warnings and hints."""
    errors = [line.removeprefix("npm error ") for line in log.splitlines() if "npm error" in line]
    return " ".join(errors[:2]) or " ".join(log.split())
