"""Hints for results that JSON cannot hold, or should not."""

from __future__ import annotations

import re
import sys

from devserver.diagnostics.hints.facts import Facts, Predicate
from devserver.records.diagnostic import ResultPart
from devserver.usercode import loader, source

_FOR_JSON = [
    (r"numpy\.(ndarray|matrix)", "use {0}.tolist()"),
    (r"numpy\.(float|longdouble|half)\w*", "use float({0}), or .tolist() on the whole array"),
    (r"numpy\.u?(int|longlong|byte|short)\w*", "use int({0}), or .tolist() on the whole array"),
    (r"numpy\.bool_?", "use bool({0})"),
    (r"numpy\.datetime64", "use str({0})"),
    (r"numpy\.\w+", "use {0}.item()"),
    (r"pandas\..*DataFrame", 'use {0}.to_dict(orient="records")'),
    (r"pandas\..*(Series|Index|Array|Categorical)", "use {0}.tolist()"),
    (r"pandas\..*(NAType|NaTType)", "use None for a missing value"),
    (r"(pandas\..*Timestamp|datetime\.(datetime|date|time))", "use {0}.isoformat()"),
    (r"(datetime\.timedelta|pandas\..*Timedelta)", "use {0}.total_seconds()"),
    (r"(torch|tensorflow).*", "use {0}.tolist() (a tensor of tensorflow: .numpy().tolist())"),
    (r"scipy\.sparse.*", "use {0}.toarray().tolist()"),
    (r"(bytes|bytearray|memoryview)", "use {0}.decode(), or base64 for what is no text"),
    (
        r"(set|frozenset|dict_keys|dict_values|dict_items|range|map|filter|zip|generator|enumerate|.*deque)",
        "use list({0})",
    ),
    (r"decimal\.Decimal", "use float({0}) or str({0})"),
    (r"(uuid\.UUID|pathlib\..*|ipaddress\..*)", "use str({0})"),
    (r"complex", "use [{0}.real, {0}.imag]"),
    (r"(flask|werkzeug)\..*Response", "return the response itself, not inside something"),
    (r"(function|method|builtin_function_or_method)", "call it: {0}()"),
]


def _for_json(facts: Facts) -> str | None:
    """How to turn the part of run()'s result into what JSON knows."""
    part = facts.error.facts
    if not isinstance(part, ResultPart):
        return None
    if part.key:
        return "a key must be text: f-string it, or str(key)"
    if part.type == "coroutine":
        return "run() is async, which the server does not await: write def run(...)"
    for form, advice in _FOR_JSON:
        if re.fullmatch(form, part.type):
            return advice.format(part.where if len(part.where) < 60 else "it")
    return _for_own_class(part.where, part.type)


def _for_own_class(part: str, name: str) -> str | None:
    from enum import Enum

    module, _, leaf = name.rpartition(".")
    kind = getattr(sys.modules.get(module) if module else loader.entry, leaf, None)
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        return f"use {part}.value"
    if hasattr(kind, "__dataclass_fields__"):
        return f"use dataclasses.asdict({part})"
    ways = ("model_dump", "to_dict", "asdict", "_asdict", "tolist")
    way = next((way for way in ways if callable(getattr(kind, way, None))), None)
    return f"use {part}.{way}()" if way else f"return a dict of what {leaf} holds, e.g. vars({part})"


def _odd_result(facts: Facts) -> str | None:
    code = facts.error.code
    if code == "result-tuple":
        return "for a status return AMLResponse(body, 400) of azureml_inference_server_http.api.aml_response"
    if code == "result-none":
        return _why_none(facts)
    if code == "result-not-a-number":
        return "JSON knows no such number: send null (None) in its place"
    return None


def _why_none(facts: Facts) -> str:
    node = source.function_named(facts.script, "run")
    returns = source.returns(node) if node else []
    if node and not returns:
        return "it has no return statement"
    if node and all(source.is_none(each) for each in returns):
        return "it never comes to a return with a value"
    if node and not source.may_reach_end(node.body) and not any(source.is_none(each) for each in returns):
        return "what it returns is None"
    return "not every way through it ends in a return with a value"


HINTS: tuple[Predicate, ...] = (
    _for_json,
    _odd_result,
)
