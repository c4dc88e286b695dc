"""Records as lines of the event stream and as the `error` object of an answer."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from typing import Any

from devserver.records.diagnostic import (
    Cause,
    Diagnostic,
    Excerpt,
    Frame,
    LoggingCall,
    MissingFunction,
    ProcessEnd,
    Request,
    ResultPart,
    Signature,
    TimeLimit,
)
from devserver.records.messages import LoadReport, Times
from devserver.records.stamps import Stamp


def event(name: str, /, **facts: Any) -> str:
    """One line of the event stream; records among the facts become objects."""
    return json.dumps({"v": 1, "event": name, **{key: to_json(value) for key, value in facts.items()}})


def error_object(error: Diagnostic) -> dict[str, Any]:
    """The `error` object of an HTTP answer; only for clients on this machine."""
    return {
        "phase": error.phase,
        "type": error.type,
        "message": error.message,
        "file": error.path,
        "line": error.line,
        "column": error.column,
        "hint": error.hint,
        "frames": [
            {
                "file": item.path,
                "line": item.line,
                "column": item.column,
                "function": item.function,
                "source": item.source,
            }
            for item in error.frames
        ],
    }


_NAMES: dict[type, str] = {Diagnostic: "RunError"}  # as the event stream has always called it
_KINDS = {
    _NAMES.get(kind, kind.__name__): kind
    for kind in (
        *(Frame, Excerpt, Cause, Request, Diagnostic, Times, LoadReport, Stamp),
        *(MissingFunction, Signature, TimeLimit, ProcessEnd, ResultPart, LoggingCall),
    )
}


def to_json(record: Any) -> Any:
    """A record as what `json.dumps` takes; its class stands under "kind"."""
    if dataclasses.is_dataclass(record):
        values = {item.name: to_json(getattr(record, item.name)) for item in dataclasses.fields(record)}
        return {"kind": _NAMES.get(type(record), type(record).__name__), **values}
    if isinstance(record, Enum):
        return record.value
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {name: to_json(value) for name, value in record.items()}
    return record


def from_json(data: Any) -> Any:
    """The record that `to_json` wrote. Errors: KeyError for an unknown kind, TypeError for unknown fields."""
    if isinstance(data, list):
        return tuple(from_json(item) for item in data)
    if not isinstance(data, dict):
        return data
    values = {name: from_json(value) for name, value in data.items() if name != "kind"}
    return _KINDS[data["kind"]](**values) if "kind" in data else values
