"""Hints for names that are not there, or are None."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from types import ModuleType

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.text import nearest
from devserver.usercode import source


def _assigned_without_global(path: str, name: str) -> str | None:
    """The function (init() first) that assigns `name` as a local of its own."""
    tree = source.tree_of(path)
    for node in sorted(source.functions(tree) if tree else [], key=lambda item: item.name != "init"):
        stores = declared = False
        for item in ast.walk(node):
            stores |= isinstance(item, ast.Name) and item.id == name and isinstance(item.ctx, ast.Store)
            declared |= isinstance(item, ast.Global) and name in item.names
        if stores and not declared:
            return node.name
    return None


def _forgotten_global(facts: Facts) -> str | None:
    """A name that init() was to set: it set a local one."""
    for name in _suspects(facts):
        if _is_async(facts, "init"):
            return "init() is async: nobody awaits it, so its body never ran. Write def init()"
        function = _assigned_without_global(facts.path, name)
        if function and not any(frame.f_code.co_name == function for frame in facts.user_frames):
            return f"{function}() sets a {name} of its own: write `global {name}` at its beginning"
    return None


def _suspects(facts: Facts) -> list[str]:
    """Names that are not there, or are None, in the failing line."""
    if isinstance(facts.exception, UnboundLocalError):
        return []
    if isinstance(facts.exception, NameError):
        return [facts.exception.name] if facts.exception.name else []
    if "NoneType" not in facts.message or not facts.user_frames:
        return []
    scope = facts.user_frames[0]
    words = re.findall(r"[A-Za-z_]\w*", facts.line)
    return [word for word in words if word not in scope.f_locals and scope.f_globals.get(word, "") is None]


def _is_async(facts: Facts, name: str) -> bool:
    return isinstance(source.function_named(facts.script, name), ast.AsyncFunctionDef)


def _local_by_assignment(facts: Facts) -> str | None:
    if not isinstance(facts.exception, UnboundLocalError) or not facts.user_frames:
        return None
    found = re.search(r"variable '(\w+)'", facts.message)
    frame = facts.user_frames[0]
    if found and found[1] in frame.f_globals:
        return f"{frame.f_code.co_name}() assigns {found[1]}, which makes it local: write `global {found[1]}` first"
    return None


_ALIASES = {"np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot", "tf": "tensorflow", "sns": "seaborn"}
_OFTEN = {"torch", "joblib", "numpy", "pandas", "requests", "sklearn", "scipy", "cv2", "onnxruntime", "xgboost"}


def _forgotten_import(facts: Facts) -> str | None:
    name = facts.exception.name if isinstance(facts.exception, NameError) else None
    if name in _ALIASES:
        return f"the import is missing: import {_ALIASES[name]} as {name}"
    if name and (name in sys.stdlib_module_names or name in _OFTEN):
        return f"the import is missing: import {name}"
    return None


def _name_in_module(facts: Facts) -> str | None:
    """The name belongs to a module that was imported."""
    name = facts.exception.name if isinstance(facts.exception, NameError) else None
    for known, value in facts.frames[0].f_globals.items() if name and facts.frames else ():
        if isinstance(value, ModuleType) and not known.startswith("_") and name in vars(value):
            return f"{known} has it: {known}.{name}"
    return None


def _nearest_name(facts: Facts) -> str | None:
    name = facts.exception.name if isinstance(facts.exception, NameError) else None
    if not name or not facts.frames:
        return None
    if name in ("ExceptionGroup", "BaseExceptionGroup"):
        return f"{name} came with Python 3.11; this is {sys.version_info[0]}.{sys.version_info[1]}"
    frame = facts.frames[0]
    near = nearest(name, [*frame.f_locals, *frame.f_globals, *vars(builtins)], 0.7)
    return f"did you mean {near}?" if near else None


HINTS: tuple[Predicate, ...] = (
    _forgotten_global,
    _local_by_assignment,
    _forgotten_import,
    _name_in_module,
    _nearest_name,
)
