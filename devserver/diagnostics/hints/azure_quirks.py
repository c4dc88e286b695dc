"""Hints for what Azure ML's server does otherwise than one expects."""

from __future__ import annotations

import ast
import os
import re

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.usercode import source

_MODULE = "entry_module"


def _unregistered_module(facts: Facts) -> str | None:
    """What needs to find the script's module by its name, which stands nowhere."""
    named = re.search(
        rf"(?:import of module|No module named) '{_MODULE}'|<class '{_MODULE}\.\w+'> is a built-in", facts.message
    )
    if not named and not _is_postponed_dataclass(facts):
        return None
    name = _class_in_trouble(facts)
    what = f"move {name}" if name else "move the class"
    script = os.path.basename(facts.script)
    why = f"Azure ML does not register {script} as a module, so neither does this server:"
    return f"{why}\n{what} into a module of its own and import it from there"


def _is_postponed_dataclass(facts: Facts) -> bool:
    """`from __future__ import annotations` makes dataclasses look the annotations up in the module."""
    if "'NoneType' object has no attribute '__dict__'" not in facts.message or not facts.frames:
        return False
    return os.path.basename(facts.frames[0].f_code.co_filename) == "dataclasses.py"


def _class_in_trouble(facts: Facts) -> str | None:
    found = re.search(rf"{_MODULE}\.(\w+)", facts.message)
    if found:
        return found[1]
    kinds = (frame.f_locals.get("cls") for frame in facts.frames[:6])
    return next((kind.__name__ for kind in kinds if isinstance(kind, type)), None)


def _raw_by_another(facts: Facts) -> str | None:
    """@rawhttp on any function at all makes run() get the request itself."""
    if not isinstance(facts.exception, (TypeError, AttributeError, KeyError)) or not _is_request(facts.given):
        return None
    tree = source.tree_of(facts.script)
    marked = [node for node in ast.walk(tree) if _is_raw(node)] if tree else []
    names = [node.name for node in marked if isinstance(node, source.Function)]
    if not names or "run" in names:
        return None
    get = "request.get_data(as_text=True)"
    return f"@rawhttp on {names[0]}() makes the server give run() the request itself, here as in Azure ML: use {get}"


def _is_request(value: object) -> bool:
    """Also flask.request, which stands for the request and may no longer be asked."""
    return type(value).__name__ == "LocalProxy" or ("Request" in type(value).__name__ and hasattr(value, "get_data"))


def _is_raw(node: ast.AST) -> bool:
    marks = [getattr(item, "id", None) or getattr(item, "attr", None) for item in getattr(node, "decorator_list", [])]
    return "rawhttp" in marks


def _schema_conversion(facts: Facts) -> str | None:
    """inference-schema could not make of a value what its sample promises; run() was not entered."""
    if facts.error.phase != "run" or facts.user_frames:
        return None
    outer = [frame for frame in facts.frames if frame.f_code.co_name == "_deserialize_input_argument"]
    if not outer:
        return None
    name = outer[-1].f_locals.get("param_name")
    given = type(outer[-1].f_locals.get("input_data")).__name__
    sample = outer[-1].f_locals.get("sample_data_type")
    wanted = f", which is to become {sample.__module__}.{sample.__qualname__}" if isinstance(sample, type) else ""
    value = f"the request's {name!r} is a JSON {_json_name(given)}{wanted.replace('builtins.', '')}"
    return f"{value}\nits schema cannot convert it: a 500 here as in Azure ML, though the request is at fault"


def _json_name(kind: str) -> str:
    names = {"dict": "object", "list": "list", "str": "text", "NoneType": "null", "bool": "boolean"}
    return names.get(kind, "number" if kind in ("int", "float") else kind)


def _abort(facts: Facts) -> str | None:
    """A werkzeug HTTPException in run() is an exception like any other."""
    code = getattr(facts.exception, "code", None)
    bases = [base.__module__ for base in type(facts.exception).__mro__]
    if facts.error.phase != "run" or "werkzeug.exceptions" not in bases or not isinstance(code, int):
        return None
    what = f"abort({code})" if re.search(r"\babort\s*\(", facts.line) else f"the {code} that Flask means"
    return f"{what} in run() is answered with 500, here as in Azure ML: return AMLResponse(message, {code})"


_ODD_NUMBER = re.compile(r"\b(NaN|Infinity|1e999)\b")


def _nan_in_request(facts: Facts) -> str | None:
    """Python's json takes NaN, which no other does; what fails on it, fails later."""
    request = facts.error.request
    if request is None or facts.error.phase != "run" or not re.search(r"(?i)\bnan\b|infinity|\binf\b", facts.message):
        return None
    found = _ODD_NUMBER.search(request.body) or _ODD_NUMBER.search(request.path)
    where = "query" if found and not _ODD_NUMBER.search(request.body) else "body"
    return (
        f"the {where} holds {found[1]}, which is not JSON, but Python takes it: send null, or refuse it"
        if found
        else None
    )


_DEEP = 400  # brackets; Python's own limit lies near 1000, in newer versions higher


def _deep_request(facts: Facts) -> str | None:
    text = facts.given
    if not isinstance(facts.exception, RecursionError) or not isinstance(text, (str, bytes)):
        return None
    text = text if isinstance(text, str) else text[:20_000].decode("utf-8", "replace")
    depth = _depth(text[:20_000])
    return f"the body is nested {depth} deep or more, which Python's json cannot follow" if depth >= _DEEP else None


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest


HINTS: tuple[Predicate, ...] = (
    _unregistered_module,
    _raw_by_another,
    _schema_conversion,
    _abort,
    _nan_in_request,
    _deep_request,
)
