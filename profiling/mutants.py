"""The faults that profiling/mutations.py puts into a file, one at a time.

Comparisons, + and -, * and /, `and` and `or`, min and max change into their opposites; numbers grow by one, default
arguments among them; conditions are negated, `not` is dropped, and a division that is rounded up is rounded down.
"""

import ast
import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Mutant", "mutants_of"]

# An expression before and after.
Change: TypeAlias = tuple[ast.expr, ast.expr]
# Where a number or a name may stand that is told with it.
PLACES = (ast.expr, ast.keyword, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)

OPPOSITES: dict[type, Any] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
EXTREMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}


@dataclass(frozen=True)
class Mutant:
    """A fault.

    Args:
        file: relative to the repository.
        line: counted from one.
        change: in words.
        start, end: the bytes of the file that are replaced.
        text: what replaces them.
    """

    file: str
    line: int
    change: str
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """All faults that can be put into a file, one at a time.

    Messages, annotations and docstrings are left out.

    Args:
        file: its name.
        source: its content.
    """
    starts = [0, *(index + 1 for index, byte in enumerate(source) if byte == ord("\n"))]
    found = []
    for node, parent, changes in _expressions(ast.parse(source)):
        for before, after in changes(node):
            start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            said = f"`{_short(before)}` becomes `{_short(after)}`"
            if isinstance(before, ast.Constant | ast.Name) and isinstance(parent, PLACES):
                said += f" in `{_short(parent)}`"
            found.append(Mutant(file, node.lineno, said, start, end, f"({ast.unparse(after)})"))
    return found


def _short(node, most=60):
    text = ast.unparse(node)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _expressions(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.AST, Callable[[ast.expr], list[Change]]]]:
    """The expressions that a fault may replace, what each is in, and a function from each to its changes."""
    stack: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    while stack:
        node, parent = stack.pop()
        if isinstance(node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.If | ast.IfExp | ast.While) and _is_no_comparison(node.test):
            yield node.test, node, lambda test: [(test, ast.UnaryOp(ast.Not(), test))]
        if isinstance(node, ast.expr):
            yield node, parent, _changes
        skipped = ("annotation", "returns", "decorator_list", "slice" if _is_type(node) else "")
        stack += [
            (child, node)
            for name, value in ast.iter_fields(node)
            if name not in skipped
            for child in (value if isinstance(value, list) else [value])
            if isinstance(child, ast.AST)
        ]


def _is_no_comparison(test):
    """Whether a condition has no other change that negates it."""
    return not isinstance(test, ast.UnaryOp | ast.Constant | ast.Compare)


def _is_type(node):
    """Whether a subscript is a type, such as dict[str, int], and not an element."""
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and hasattr(builtins, node.value.id)


def _changes(node: ast.expr) -> list[Change]:
    """The pairs (before, after) of an expression."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in OPPOSITES:
            return [(node, ast.Compare(node.left, [OPPOSITES[type(operator)]()], node.comparators))]
        case ast.Compare(ops=operators):
            changed = [[*operators] for _ in operators]
            for index, each in enumerate(changed):
                each[index] = OPPOSITES[type(each[index])]()
            return [(node, ast.Compare(node.left, each, node.comparators)) for each in changed]
        case ast.BinOp(op=operator) if type(operator) in OPPOSITES and not _is_text(node.left, node.right):
            return [(node, ast.BinOp(node.left, OPPOSITES[type(operator)](), node.right))]
        case ast.BoolOp(op=operator):
            return [(node, ast.BoolOp(OPPOSITES[type(operator)](), node.values))]
        case ast.UnaryOp(op=ast.Not()):
            return [(node, node.operand)]
        case ast.UnaryOp(
            op=ast.USub(), operand=ast.BinOp(ast.UnaryOp(ast.USub(), part), ast.FloorDiv() as operator, whole)
        ):
            return [(node, ast.BinOp(part, operator, whole))]
        case ast.Constant(value=bool(value)):
            return [(node, ast.Constant(not value))]
        case ast.Constant(value=int(value) | float(value)):
            return [(node, ast.Constant(value + 1))]
        case ast.Name(id=name) if name in EXTREMES:
            return [(node, ast.Name(EXTREMES[name]))]
        case ast.Attribute(value=owner, attr=name) if name in EXTREMES:
            return [(node, ast.Attribute(owner, EXTREMES[name]))]
    return []


def _is_text(*nodes):
    return any(isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str) for node in nodes)
