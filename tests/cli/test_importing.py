"""Importing a module changes nothing in the process: programs set up what they need themselves."""

IMPORT_ALL = """
import importlib, logging, os, pkgutil, signal, sys, warnings
import keras, matplotlib.pyplot, numpy, sklearn, tensorflow, tqdm
import absl.app
from absl import flags

def state():
    loggers = [logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict)]
    return {
        "streams": (sys.stdin, sys.stdout, sys.stderr, sys.stdout.line_buffering),
        "files": [os.readlink(f"/proc/self/fd/{number}") for number in range(3)],
        "recursion": sys.getrecursionlimit(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "filters": {log.name: list(log.filters) for log in loggers if log.filters},
        "handlers": {log.name: list(log.handlers) for log in loggers if log.handlers},
        "levels": {log.name: log.level for log in loggers if log.level},
        "warnings": list(warnings.filters),
        "hooks": (sys.excepthook, sys.unraisablehook, list(sys.meta_path), list(sys.path_hooks)),
        "dtype": keras.config.dtype_policy().name,
        "backend": matplotlib.get_backend(),
        "environment": dict(os.environ),
        "directory": os.getcwd(),
    }

def modules(package):
    yield package
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        yield module.name

before = state()
names = [name for package in ("keras_classics", "reproduce") for name in modules(package)]
known = set(flags.FLAGS)
for name in names:
    importlib.import_module(name)
    # Programs have flags of the same names, and each is usually alone in its process.
    for flag in set(flags.FLAGS) - known:
        delattr(flags.FLAGS, flag)
after = state()
changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
assert not changed, changed
print(len(names), "modules")
"""


def test_importing_replaces_nothing(run_python):
    done = run_python("-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 100
