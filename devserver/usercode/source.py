"""What a source text says about itself: excerpts, definitions and `return` lines."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, TypeAlias

from devserver.records.record import record
from devserver.usercode import loader

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@record(frozen=True)
class Place:
    """A span in one line of a file; `column` counts characters from 1, `end_column` is one past the last of them.

    With both the same only the line is known.
    """

    path: str
    line: int
    column: int = 1
    end_column: int = 1


def lines_of(path: str) -> list[str]:
    """The lines of a file as it was loaded; none when it cannot be read."""
    text = loader.source_of(path)
    return [] if text is None else _split(text)


@lru_cache(maxsize=32)
def _split(text: str) -> list[str]:
    return text.split("\n")


def line_at(path: str, number: int) -> str:
    lines = lines_of(path)
    return lines[number - 1] if 0 < number <= len(lines) else ""


def surroundings(path: str, line: int) -> tuple[tuple[int, str], ...]:
    """The line, at most two filled lines shortly above it and one below, each with its number."""
    lines = lines_of(path)
    if not 0 < line <= len(lines):
        return ()
    above = [n for n in range(max(1, line - 3), line) if lines[n - 1].strip()][-2:]
    below = [n for n in range(line + 1, min(line + 2, len(lines)) + 1) if lines[n - 1].strip()][:1]
    return tuple((n, lines[n - 1]) for n in [*above, line, *below])


def characters(text: str, offset: int) -> int:
    """How many characters the first `offset` bytes of `text` in UTF-8 are."""
    return offset if text.isascii() else len(text.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "replace"))


def span(path: str, line: int, column: int, end_line: int, end_column: int) -> Place:
    """The place of a span as the compiler counts: columns in bytes from 0; only its first line is kept."""
    text = line_at(path, line)
    start = characters(text, column)
    end = characters(text, end_column) if end_line == line else len(text.rstrip())
    return Place(path, line, start + 1, max(start, end) + 1)


# ------------------------------------------------------------------- the tree


def tree_of(path: str) -> ast.Module | None:
    """The syntax tree of a file as it was loaded; None when it has none."""
    source = loader.source_of(path)
    return None if source is None else _parse(source)


@lru_cache(maxsize=8)
def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def place_of(node: Any, path: str) -> Place:
    return span(path, node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run in one scope: those inside `if`, `try`, `with` and loops too, not inside definitions."""
    for node in body:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, part, None) or [])
            for inner in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                yield from statements(inner.body)


def functions(tree: ast.Module) -> list[Function]:
    """The functions that a module defines in its own scope, in order."""
    return [node for node in statements(tree.body) if isinstance(node, Function)]


def function_named(path: str, name: str) -> Function | None:
    """The last definition of `name` in the module's own scope."""
    tree = tree_of(path)
    found = [node for node in functions(tree) if node.name == name] if tree else []
    return found[-1] if found else None


def code_of(function: object) -> CodeType | None:
    """The code behind a callable: past `functools.wraps`, `functools.partial`, methods and objects with `__call__`."""
    seen: list[object] = []
    while function is not None and not any(function is other for other in seen) and len(seen) < 50:
        seen.append(function)
        code = getattr(function, "__code__", None)
        inner = getattr(function, "__wrapped__", None)
        if isinstance(code, CodeType) and inner is None:
            return code
        function = inner or getattr(function, "func", None) or getattr(function, "__func__", None) or _call_of(function)
    return None


def _call_of(thing: object) -> object:
    call: object = getattr(type(thing), "__call__", None)  # noqa: B004 - the function itself is wanted
    return call if hasattr(call, "__code__") else None


def node_of(code: CodeType) -> Function | None:
    """The definition that was compiled to this code."""
    tree = tree_of(code.co_filename)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, Function) and node.name == code.co_name:
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            if first <= code.co_firstlineno <= node.lineno:
                return node
    return None


def definition(function: object, name: str, script: str | None) -> tuple[str, Function | None, int] | None:
    """Where a callable is defined: (path, its node or None, line of the `def`, past decorators); None if nowhere.

    A wrapper that hides `name` gives way to the `def name` of the script.
    """
    code = code_of(function)
    own = code is not None and loader.is_user_code(code.co_filename)
    if code is not None and own and code.co_name == name:
        node = node_of(code)
        return code.co_filename, node, node.lineno if node else code.co_firstlineno
    node = function_named(script, name) if script else None
    if script and node:
        return script, node, node.lineno
    if script and (line := binding(script, name)):
        return script, None, line
    if code is not None and own:
        node = node_of(code)
        return code.co_filename, node, node.lineno if node else code.co_firstlineno
    return (script, None, 1) if script else None


def binding(path: str, name: str) -> int | None:
    """The line of the script's last assignment or import of `name`."""
    tree, found = tree_of(path), None
    for node in statements(tree.body) if tree else ():
        bound = [alias.asname or alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        if name in bound or any(isinstance(target, ast.Name) and target.id == name for target in targets):
            found = node.lineno
    return found


def definition_place(function: object, name: str, script: str | None) -> Place | None:
    """The `def` line of a callable, marked from `def` to the colon; None where nothing is known of it."""
    found = definition(function, name, script)
    if found is None:
        return None
    path, node, line = found
    return def_line(path, line) if node else Place(path, line)


def def_line(path: str, line: int) -> Place:
    text = line_at(path, line)
    start = len(text) - len(text.lstrip())
    end = len(text.split("#")[0].rstrip().removesuffix(":").rstrip())
    return Place(path, line, start + 1, max(start, end) + 1)


# ------------------------------------------------------------- what was returned


def return_place(
    function: object, name: str, script: str | None, value: object, steps: Sequence[object] = ()
) -> Place | None:
    """The expression of the `return` that gave `value`, and in it the part that `steps` (keys, indexes) leads to.

    Only when it can be known: one `return` in the function, or one alone whose expression fits the value's shape.
    """
    path, node, _ = definition(function, name, script) or ("", None, 1)
    if node is None or (value is None and may_reach_end(node.body)):
        return None
    found = _best(returns(node), value)
    if len(found) != 1:
        return None
    return place_of(_descend(found[0].value, steps) or found[0], path)


def returns(node: Function) -> list[ast.Return]:
    """The function's own `return` statements, in order."""
    return [item for item in statements(node.body) if isinstance(item, ast.Return)]


def is_none(node: ast.Return) -> bool:
    """Whether it visibly returns nothing."""
    return node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)


def may_reach_end(body: Sequence[ast.stmt]) -> bool:
    """Whether a run through these statements may come to their end, as far as their form tells."""
    return all(_may_pass(node) for node in body)


def _may_pass(node: ast.stmt) -> bool:
    match node:
        case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            return False
        case ast.If():
            return may_reach_end(node.body) or may_reach_end(node.orelse)
        case ast.With() | ast.AsyncWith():
            return may_reach_end(node.body)
        case ast.Try():
            return _may_pass_try(node)
        case ast.While(test=ast.Constant(value=True)):
            return any(isinstance(item, ast.Break) for item in statements(node.body))
        case ast.Match():
            whole = any(isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None for case in node.cases)
            return not whole or any(may_reach_end(case.body) for case in node.cases)
    return True


def _may_pass_try(node: ast.Try) -> bool:
    ways = [may_reach_end([*node.body, *node.orelse]), *(may_reach_end(handler.body) for handler in node.handlers)]
    return any(ways) and may_reach_end(node.finalbody)


def _best(found: list[ast.Return], value: object) -> list[ast.Return]:
    ranked = [(_fit(item.value, value), item) for item in found]
    best = max((rank for rank, _ in ranked), default=0)
    return [item for rank, item in ranked if rank == best] if best > 0 else []


def _fit(node: ast.expr | None, value: object) -> int:
    """2: the expression visibly builds such a value; 1: it may; 0: it cannot."""
    if node is None or isinstance(node, ast.Constant):
        return (
            2
            if value is None and (node is None or node.value is None)
            else int(node is not None and _equal(node, value))
        )
    if isinstance(node, ast.Dict):
        keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
        return 2 if isinstance(value, dict) and keys <= value.keys() else 0
    for kind, made in _LITERALS.items():
        if type(node).__name__ == kind:
            return 2 if isinstance(value, made) else 0
    return 1


def _equal(node: ast.Constant, value: object) -> bool:
    return type(node.value) is type(value) and node.value == value


_LITERALS: dict[str, type] = {
    "Tuple": tuple,
    "List": list,
    "ListComp": list,
    "DictComp": dict,
    "SetComp": set,
    "Set": set,
    "JoinedStr": str,
}


def _descend(node: ast.expr | None, steps: Sequence[object]) -> ast.expr | None:
    """The part of a literal that the steps lead to, as far as it is written out."""
    for step in steps:
        if isinstance(node, ast.Dict):
            inner = [
                item
                for key, item in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == step
            ]
        elif isinstance(node, (ast.List, ast.Tuple)) and isinstance(step, int) and step < len(node.elts):
            inner = [node.elts[step]]
        else:
            break
        if len(inner) != 1:
            break
        node = inner[0]
    return node
