"""Imports modules from another text than that of their files, which stay as they are."""

import ast
import builtins
import importlib.machinery
import linecache
import sys
from collections.abc import Mapping
from pathlib import Path

# A name that no module has: the set that calls are noted in.
NOTE = "__note_call__"


def replace_sources(texts: Mapping[Path, str]) -> None:
    """Makes this process import the given texts in place of the files.

    `inspect.getsource`, and so TensorFlow's AutoGraph, sees the same text. It works for modules
    that the process has not imported yet.

    Args:
        texts: By the absolute path of the file, the text of the module.
    """
    by_name = {str(path): text for path, text in texts.items()}
    sys.meta_path.insert(0, _Finder(by_name))
    # AutoGraph empties the cache of lines, which is then filled from the file.
    from_file = linecache.updatecache

    def updatecache(name: str, module_globals=None) -> list[str]:
        if name not in by_name:
            return from_file(name, module_globals)
        lines = by_name[name].splitlines(True)
        linecache.cache[name] = (len(by_name[name]), None, lines, name)
        return lines

    linecache.updatecache = updatecache


def note_calls(paths: list[Path], calls: set[str], root: Path) -> None:
    """Makes this process note which functions of some modules are called.

    Args:
        paths: Absolute paths of the modules.
        calls: Here `module:function` is added at each call.
        root: Where the names of modules start.
    """
    setattr(builtins, NOTE, calls.add)
    replace_sources({p: _noting(p.read_text(), p.relative_to(root).as_posix()) for p in paths})


class _Finder:
    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def find_spec(self, name: str, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin in self.texts:
            spec.loader = _Loader(name, spec.origin, self.texts[spec.origin])
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_source(self, name: str) -> str:
        return self.text

    def get_code(self, name: str):
        return compile(self.text, self.path, "exec", dont_inherit=True)


def _noting(source: str, module: str) -> str:
    """The source with a call at the start of each function that notes its name."""
    tree = ast.parse(source)
    _note_in(tree, module, ())
    return ast.unparse(ast.fix_missing_locations(tree))


def _note_in(node: ast.AST, module: str, scope: tuple[str, ...]) -> None:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef):
            _note_in(child, module, scope)
            continue
        inner = (*scope, child.name)
        if isinstance(child, ast.FunctionDef):
            start = int(ast.get_docstring(child) is not None)
            name = f"{module}:{'.'.join(inner)}"
            note = ast.parse(f"{NOTE}({name!r})").body[0]
            child.body.insert(start, note)
        _note_in(child, module, inner)
