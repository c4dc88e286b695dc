"""What run() returned and JSON cannot hold, or what is odd about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from devserver.diagnostics.exceptions import full_text, message_of, problem, type_name
from devserver.records.diagnostic import Code, Diagnostic, Request, ResultPart
from devserver.text import clean
from devserver.usercode import loader, source
from devserver.usercode.source import Place


class _Found(NamedTuple):
    """A part of run()'s result: the keys and indexes that lead to it, and what it is."""

    steps: tuple[object, ...]
    value: object
    key: bool = False  # the value is a key of the dictionary that the steps lead to


_MOST, _DEEPEST = 20_000, 100  # parts, and levels, that are looked at: less than 10 ms


def _first(value: object, wrong: Callable[[object], bool], wrong_key: Callable[[object], bool]) -> _Found | None:
    """The first wrong part as JSON sees the value, depth first and in order; each container is looked into once."""
    steps: list[object] = []  # to the container that the last of `inside` walks through; the first one is no step
    inside: list[Iterator[tuple[object, object]]] = [iter([(None, value)])]
    seen, left = set[int](), _MOST
    while inside:
        for step, part in inside[-1]:
            left -= 1
            if left < 0:
                return None
            if wrong_key(step):
                return _Found(tuple(steps[1:]), step, key=True)
            if wrong(part):
                return _Found((*steps, step)[1:], part)
            if isinstance(part, (dict, list, tuple)) and id(part) not in seen and len(inside) <= _DEEPEST:
                seen.add(id(part))
                steps.append(step)
                inside.append(iter(part.items() if isinstance(part, dict) else enumerate(part)))
                break
        else:
            inside.pop()
            del steps[-1:]
    return None


def _no_json(value: object) -> bool:
    return not isinstance(value, (str, int, float, bool, type(None), dict, list, tuple))


def _no_key(value: object) -> bool:
    return not isinstance(value, (str, int, float, bool, type(None)))


def _no_number(value: object) -> bool:
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))


def _holds_no_number(value: object) -> bool:
    """At the speed of the encoder, where the value is too large to be walked through."""
    import json

    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return True
    return False


def _spelled(steps: Sequence[object]) -> str:
    """The part of the result as Python writes it: `result["scores"][0]`."""
    texts = [_quoted(step) if isinstance(step, str) else repr(step) if type(step) is int else "..." for step in steps]
    return "result" + "".join(f"[{text}]" for text in texts)


def _quoted(text: str) -> str:
    import json

    return clean(json.dumps(text[:60], ensure_ascii=False))


def _kind(value: object) -> str:
    kind = type(value)
    home = getattr(kind, "__module__", "")
    return clean(
        kind.__qualname__ if home in ("builtins", "entry_module", "__main__") else f"{home}.{kind.__qualname__}"
    )


def unserialisable(
    value: object,
    exception: BaseException,
    function: object,
    *,
    request: Request | None = None,
    status: int | None = 500,
) -> Diagnostic:
    """What run() returned cannot be written as JSON: says which part; placed at its `return`, else at the `def`."""
    part = _first(value, _no_json, _no_key)
    message, facts = message_of(exception), None
    if part is not None:
        facts = ResultPart(_spelled(part.steps), _kind(part.value), part.key)
        message += f": {'a key of ' if facts.key else ''}{facts.where} is {facts.type}"
    steps = part.steps if part else ()
    place = _async_place(function, value) or _return(function, value, steps)
    error = problem("response", message, place, code="unserialisable", facts=facts)
    return dataclasses.replace(
        error, type=type_name(exception), request=request, status=status, traceback=full_text(exception)
    )


def _async_place(function: object, value: object) -> Place | None:
    code = getattr(value, "cr_code", None) or getattr(value, "ag_code", None)
    mine = code is not None and code is source.code_of(function)
    return source.definition_place(function, "run", loader.script) if mine else None


def _return(function: object, value: object, steps: Sequence[object]) -> Place | None:
    place = source.return_place(function, "run", loader.script, value, steps)
    return place or source.definition_place(function, "run", loader.script)


def result_warning(value: object, function: object, *, request: Request | None = None) -> Diagnostic | None:
    """What is odd in an answer that was sent all the same: NaN or Infinity, a tuple, nothing at all.

    Look into the text for "NaN" and "Infinity" before: this walks the value.
    """
    steps: tuple[object, ...] = ()
    code: Code = "result-not-a-number"
    if value is None:
        code = "result-none"
        message = "run() returned None: the client gets {}"
    elif type(value) is tuple:
        code = "result-tuple"
        message = f"run() returned a tuple of {len(value)}: the client gets a list, with status 200"
    elif part := _first(value, _no_number, lambda _key: False):
        steps = part.steps
        where = f" at {_spelled(steps)}" if steps else ""
        message = f"run() returned {_number_name(part.value)}{where}: {_INVALID}"
    elif _holds_no_number(value):
        message = f"run() returned something that holds NaN or Infinity: {_INVALID}"
    else:
        return None
    error = problem("response", message, _return(function, value, steps), code=code)
    return dataclasses.replace(error, severity="warning", request=request, status=200)


_INVALID = "the answer is not valid JSON, clients may refuse it"


def _number_name(value: object) -> str:
    return "NaN" if value != value else "Infinity" if value == float("inf") else "-Infinity"
