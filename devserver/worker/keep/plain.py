"""Plain functions of a module that are only in one of two texts: to define one does nothing but bind its name."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence

from devserver.records.record import record

Function = ast.FunctionDef | ast.AsyncFunctionDef
NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@record(frozen=True)
class Single:
    """A plain function that is only in one of the texts; `line` and `span` are of that text."""

    name: str
    line: int
    span: tuple[int, int]
    looked_up: frozenset[str]  # names that its annotations evaluate


def span_of(node: ast.stmt | ast.Lambda) -> tuple[int, int]:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(found.lineno for found in decorators)]), node.end_lineno or node.lineno


def singles(here: Sequence[ast.stmt], there: Sequence[ast.stmt]) -> list[ast.FunctionDef]:
    """Plain functions of the module that are only `here`, each defined once."""
    names = Counter(node.name for node in here if isinstance(node, NAMED))
    known = {node.name for node in there if isinstance(node, NAMED)}
    return [
        node
        for number, node in enumerate(here)
        if isinstance(node, ast.FunctionDef)
        and node.name not in known
        and names[node.name] == 1
        and _is_plain(node, _imported(here[:number]))
    ]


def _imported(block: Sequence[ast.stmt]) -> set[str]:
    imports = [node for node in block if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}


def _is_plain(node: ast.FunctionDef, imported: set[str]) -> bool:
    """To define it does nothing but bind its name: no decorators, constant defaults, annotations of known names."""
    name = node.name
    special = name in ("init", "run") or (name.startswith("__") and name.endswith("__"))
    if special or node.decorator_list or getattr(node, "type_params", None):
        return False
    defaults = [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]
    return all(map(_is_constant, defaults)) and all(_is_type(found, imported) for found in _annotations(node))


def _annotations(node: ast.FunctionDef) -> list[ast.expr]:
    args = node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    found = [arg.annotation for arg in every if arg is not None]
    return [annotation for annotation in (*found, node.returns) if annotation is not None]


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.Tuple):
        return all(map(_is_constant, node.elts))
    return isinstance(node, ast.Constant)


BUILTIN_TYPES = {
    "int",
    "float",
    "str",
    "bytes",
    "bool",
    "list",
    "dict",
    "set",
    "frozenset",
    "tuple",
    "object",
    "complex",
    "type",
}


def _is_type(node: ast.expr, imported: set[str]) -> bool:
    """Names of builtin types and of what the file imports, with attributes, brackets and bars."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return node.id in BUILTIN_TYPES or node.id in imported
    if isinstance(node, ast.Attribute):
        return _is_type(node.value, imported)
    if isinstance(node, ast.Subscript):
        return _is_type(node.value, imported) and _is_type(node.slice, imported)
    if isinstance(node, (ast.Tuple, ast.List)):
        return all(_is_type(part, imported) for part in node.elts)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr) and _is_type(node.left, imported) and _is_type(node.right, imported)
    return False


def without(block: Sequence[ast.stmt], left_out: Sequence[ast.stmt]) -> list[ast.stmt]:
    return [node for node in block if not any(node is other for other in left_out)]


def single_of(node: ast.FunctionDef) -> Single:
    names = {part.id for found in _annotations(node) for part in ast.walk(found) if isinstance(part, ast.Name)}
    span = span_of(node)
    return Single(node.name, span[0], span, frozenset(names))
