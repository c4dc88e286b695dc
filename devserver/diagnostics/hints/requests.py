"""Hints for requests that run() did not expect."""

from __future__ import annotations

import json
import os
import re

from devserver.diagnostics.hints.facts import Facts, Predicate, parsed
from devserver.diagnostics.hints.lookup import listed, nearest_of, project_folders, short
from devserver.diagnostics.hints.pickles import read_file
from devserver.text import nearest


def _empty_body(facts: Facts) -> str | None:
    request, exception = facts.error.request, facts.exception
    kind = request.content_type.partition(";")[0] if request else ""
    lost = "form" in kind and (facts.given == "" or isinstance(exception, json.JSONDecodeError))
    if request is None or not (lost or isinstance(exception, json.JSONDecodeError)):
        return None
    if isinstance(exception, json.JSONDecodeError) and exception.doc.strip():
        return None
    if lost:
        return f"a body sent as {kind} does not reach the script: send the header Content-Type: application/json"
    if request.size == 0:
        return "the request has no body" + (" (a GET has none)" if request.method == "GET" else "")
    return None


def _no_json(facts: Facts) -> str | None:
    """The request's body is not JSON; says what it looks like."""
    exception = facts.exception
    if not isinstance(exception, json.JSONDecodeError) or facts.error.request is None:
        return None
    text = exception.doc
    if text != facts.given and not (text and facts.error.request.body.startswith(text[:60])):
        return None
    if text.startswith("\ufeff"):
        return "the body begins with a byte order mark: send it without, or decode it as utf-8-sig"
    if re.match(r"\s*[{\[]\s*'", text):
        return "the body is quoted with '; JSON wants double quotes"
    if re.match(r"[\w.]+=", text):
        return "the body is a form, not JSON: send the JSON text itself"
    return f"the body is not JSON; it begins with {text[:24]!r}"


def _broken_json_file(facts: Facts) -> str | None:
    exception = facts.exception
    if not isinstance(exception, json.JSONDecodeError) or exception.doc == facts.given:
        return None
    path = read_file(facts)
    if path is None:
        return None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        same = file.read(len(exception.doc) + 2).replace("\r\n", "\n") == exception.doc.replace("\r\n", "\n").lstrip(
            "\ufeff"
        )
    lines = exception.doc.split("\n")
    near = lines[exception.lineno - 1].strip()[:60] if exception.lineno <= len(lines) else ""
    if not exception.doc.strip():
        return f"{short(path)} is empty" if same else None
    return f"it is {short(path)}, line {exception.lineno}: {near}" if same else None


def _text_for_object(facts: Facts) -> str | None:
    """A text where an object was meant: JSON that was not parsed, or encoded twice by the client."""
    text = isinstance(facts.exception, (TypeError, AttributeError)) and (
        "string indices must be" in facts.message or "'str' object has no attribute" in facts.message
    )
    for name, value in facts.values() if text else ():
        if not isinstance(value, str) or not re.search(rf"\b{re.escape(name)}\b", facts.line):
            continue
        inner = parsed(value)
        if value == facts.given and isinstance(inner, (dict, list)):
            return f"{name} is the text of the request: parse it first, json.loads({name})"
        if isinstance(inner, (dict, list)):
            return f"{name} is a JSON string: the client encoded it twice"
    return None


def _parsed_before(facts: Facts) -> str | None:
    found = re.match(r"the JSON object must be str, bytes or bytearray, not (\w+)", facts.message)
    if not found:
        return None
    if found[1] in ("dict", "list"):
        return f"it is a {found[1]} already: json.loads() is not needed"
    return (
        "it is the request itself (@rawhttp): use request.get_data() or request.get_json()"
        if "equest" in found[1]
        else None
    )


def _list_for_object(facts: Facts) -> str | None:
    if "list indices must be integers or slices, not str" not in facts.message:
        return None
    given = facts.given_json
    return "the body is a JSON list, not an object with fields" if isinstance(given, list) else None


def _wanted_key(facts: Facts) -> object:
    """The key of a KeyError; of pandas' wordings the first name."""
    exception = facts.exception
    if not isinstance(exception, (KeyError, AttributeError)) or not exception.args:
        return None
    if isinstance(exception, AttributeError):
        return exception.name
    found = re.search(r"\['([^']+)'", str(exception.args[0]))
    return found[1] if found and "index" in str(exception.args[0]) else exception.args[0]


def _missing_column(facts: Facts) -> str | None:
    key = _wanted_key(facts)
    for name, value in facts.values() if key is not None else ():
        if type(value).__name__ == "DataFrame" and name in facts.line:
            columns = list(value.columns)
            if key not in columns and (
                isinstance(facts.exception, KeyError) or nearest(str(key), map(str, columns), 0.8)
            ):
                return f"{name} has the columns {listed(columns)}{nearest_of(key, columns)}"
    return None


def _variable_not_set(facts: Facts) -> str | None:
    """An environment variable; where a .env file holds it, that is said."""
    if not isinstance(facts.exception, KeyError) or not facts.frames:
        return None
    frame = facts.frames[0]
    if frame.f_code.co_name != "__getitem__" or frame.f_globals.get("__name__") != "os":
        return None
    name = str(facts.exception.args[0])
    for root in project_folders(facts):
        path = os.path.join(root, ".env")
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                if re.search(rf"^\s*(export\s+)?{re.escape(name)}\s*=", file.read(100_000), re.M):
                    return f"{short(path)} holds it, but is not read: set it in the terminal before the start"
    return f"the variable {name} is not set here: set it before the start, or read it with os.getenv() and a default"


def _missing_key(facts: Facts) -> str | None:
    """A field that the request, or another dictionary at hand, does not have: says which it has."""
    key = _wanted_key(facts)
    if not isinstance(facts.exception, KeyError) or not isinstance(key, (str, int)):
        return None
    request = facts.given_json
    named = [(name, value) for name, value in facts.values() if name in facts.line and isinstance(value, dict)]
    for name, value in [*named, *([("the request", request)] if isinstance(request, dict) else [])]:
        if key in value or len(value) > 500:
            continue
        what = "the request" if value == request else name
        inside = next((other for other, item in value.items() if isinstance(item, dict) and key in item), None)
        if inside is not None:
            return f"{what} has it inside {inside!r}"
        if not value:
            return f"{what} is empty" if what != "the request" else "the request is an empty object"
        return f"{what} has the fields {listed(value)}{nearest_of(key, value)}"
    if isinstance(request, list) and facts.error.phase == "run":
        return "the request is a JSON list, not an object with fields"
    return None


HINTS: tuple[Predicate, ...] = (
    _empty_body,
    _no_json,
    _broken_json_file,
    _text_for_object,
    _parsed_before,
    _list_for_object,
    _missing_column,
    _variable_not_set,
    _missing_key,
)
