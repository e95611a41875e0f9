"""Finds the small faults that can be planted in a module.

A mutation replaces one piece of the source text: a number, an operator, a condition, a returned
value, a name in quotes, or a statement that raises or calls. Docstrings, annotations, `__all__`,
imports and the texts of error messages stay as they are. So does `strict=True` of `zip`, which
guards what holds by construction.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

COMPARISONS = {
    ast.Lt: ("<", "<=", ">="),
    ast.LtE: ("<=", "<", ">"),
    ast.Gt: (">", ">=", "<="),
    ast.GtE: (">=", ">", "<"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
}
BOOLEAN = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
# A choice or a name. Sentences are for people, long words are hashes and addresses.
CHOICE = re.compile(r"[\w./-]{1,32}")
# Their arguments are a message.
MESSAGES = re.compile(r"\w*(Error|Warning)|unknown_name|warn|warning|info")
# Their options shape no result.
DECLARATIONS = ("dataclass", "dataclasses.dataclass", "TypeVar", "TypedDict")


@dataclass(frozen=True)
class Mutation:
    """One replacement in one module.

    Attributes:
        module: Path of the module from the root of the checkout, with slashes.
        function: Qualified name of the function or class around it, "" at the top of the module.
        line: Line where the replaced text starts, from 1.
        start: Offset of the replaced text in the UTF-8 source.
        end: Offset behind it.
        old: The replaced text.
        new: The text in its place.
    """

    module: str
    function: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def apply(self, source: str) -> str:
        """Returns the source of the module with the fault in it."""
        text = source.encode()
        return (text[: self.start] + self.new.encode() + text[self.end :]).decode()

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        where = f"{self.module}:{self.line} {self.function}".rstrip()
        return f"{where}: {_shortened(old)} -> {_shortened(new)}"


def find_mutations(module: str, source: str) -> list[Mutation]:
    """Returns every mutation of a module, in the order of the source.

    Args:
        module: Path of the module, stored in each mutation.
        source: Its text.
    """
    return sorted(_Finder(module, source).found, key=lambda m: (m.start, m.end, m.new))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:40]} ... {text[-15:]}"


class _Finder(ast.NodeVisitor):
    def __init__(self, module: str, source: str) -> None:
        self.module = module
        self.source = source
        self.found: list[Mutation] = []
        self.scope: list[str] = []
        self.visit(ast.parse(source))

    @cached_property
    def line_starts(self) -> list[int]:
        starts = [0]
        for line in self.source.encode().split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.line_starts[node.lineno - 1] + node.col_offset,
            self.line_starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, start: int, end: int) -> str:
        return self.source.encode()[start:end].decode()

    def add(self, start: int, end: int, *replacements: str) -> None:
        line = self.source.encode()[:start].count(b"\n") + 1
        for new in replacements:
            old = self.text(start, end)
            mutation = Mutation(self.module, ".".join(self.scope), line, start, end, old, new)
            if new != old:
                self.found.append(mutation)

    def replace(self, node: ast.AST, *replacements: str) -> None:
        self.add(*self.span(node), *replacements)

    def operator(self, left: ast.AST, right: ast.AST, old: str, *replacements: str) -> None:
        """Replaces the operator between two operands, whose own place the tree does not hold."""
        start, end = self.span(left)[1], self.span(right)[0]
        pattern = rf"\b{old}\b".replace(" ", r"\s+") if old[0].isalpha() else re.escape(old)
        if match := re.search(pattern, self.text(start, end)):
            start += len(self.text(start, end)[: match.start()].encode())
            self.add(start, start + len(match.group().encode()), *replacements)

    # What is left as it is.

    def visit_Import(self, node: ast.Import) -> None:
        pass

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass  # Python 3.11 does not say where its parts are.

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        pass

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id == "Literal"):
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(isinstance(to, ast.Name) and to.id.startswith("__") for to in node.targets):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        if name == "zip":
            node.keywords.clear()
        if name not in DECLARATIONS and not MESSAGES.fullmatch(name.rsplit(".", 1)[-1]):
            self.generic_visit(node)

    # Scopes.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self.scope.append(node.name)
        self.visit(node.args)
        for statement in node.body:
            self.visit(statement)
        self.scope.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.append(node.name)
        self.generic_visit(node)
        self.scope.pop()

    # What is replaced.

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.replace(node, "None")
        if not isinstance(node.value, ast.Constant):  # A docstring.
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.replace(node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            return
        self.replace(node.value, "None")
        self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.negate(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def negate(self, test: ast.expr) -> None:
        # `not x`, a comparison and `a and b` have mutations of their own.
        if isinstance(test, ast.UnaryOp | ast.Compare | ast.BoolOp):
            return
        self.replace(test, f"(not ({self.text(*self.span(test))}))")

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, right, op in zip(operands[:-1], node.comparators, node.ops, strict=True):
            self.operator(left, right, *COMPARISONS[type(op)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC:
            self.operator(node.left, node.right, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            self.operator(node.target, node.value, f"{old}=", f"{new}=")
        self.visit(node.value)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.operator(left, right, *BOOLEAN[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        operand = self.text(*self.span(node.operand))
        constant = isinstance(node.operand, ast.Constant)
        if isinstance(node.op, ast.Not) or (isinstance(node.op, ast.USub) and not constant):
            self.replace(node, f"({operand})")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self.replace(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace(node, "break")

    def visit_Constant(self, node: ast.Constant) -> None:
        self.replace(node, *_other_values(node.value))


def _other_values(value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield from (str(value + 1), str(value - 1) if value else "-1")
    elif isinstance(value, float):
        yield from (repr(value * 0.9), repr(value * 2)) if value else ("1.0",)
    elif isinstance(value, str) and CHOICE.fullmatch(value):
        yield repr(f"{value}_")
