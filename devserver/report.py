"""What a run tells, as data: exceptions and other findings come in, frozen records (and their JSON) go out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from devserver.files import Stamp

# ---------------------------------------------------------------------- records


@dataclass(frozen=True)
class Frame:
    """One call in the user's own code. Lines and columns count from 1; columns are characters, None if unknown."""

    path: str
    line: int
    column: int | None
    end_line: int | None
    end_column: int | None  # one past the last marked character
    function: str
    source: str  # the line's text as it was loaded, without indent; "" if unknown


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a source file as it was loaded, and the span to mark in one of them."""

    lines: tuple[tuple[int, str], ...]  # (number, text), ascending; blank neighbours are left out
    line: int
    column: int  # 1-based; with end_column equal to it nothing is marked
    end_column: int  # one past the last marked character


@dataclass(frozen=True)
class Cause:
    """An exception behind or inside another: `relation` is "cause", "while handling" or "in group"."""

    relation: str
    type: str
    message: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Request:
    """The request that was being answered; `size` in bytes, `body` its first 200 characters."""

    method: str
    path: str
    content_type: str
    size: int
    body: str


@dataclass(frozen=True)
class RunError:
    """One thing that is wrong, with its place in the user's own code.

    `severity` is "error" or "warning"; `phase` "config", "load", "init", "run", "response" or "server"; `type` is the
    exception's, "" where none was raised. `frames` are the user's, outermost first, cycles folded; `raised_in` names
    the library place that raised; `hidden` counts library frames. `status` is the HTTP status that was sent.
    """

    severity: str
    phase: str
    type: str
    message: str
    path: str
    line: int
    column: int
    excerpt: Excerpt | None = None
    frames: tuple[Frame, ...] = ()
    raised_in: str | None = None
    hidden: int = 0
    causes: tuple[Cause, ...] = ()
    hint: str | None = None
    request: Request | None = None
    traceback: str = ""
    thread: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class Times:
    """How long the parts of a load took, in milliseconds."""

    imports_ms: float = 0.0
    script_ms: float = 0.0
    init_ms: float = 0.0


@dataclass(frozen=True)
class LoadReport:
    """What loading one generation taught.

    `files`: absolute path -> stamp of the user's files as loaded. `wanted`: the user's folders in which a missing
    module was looked for; `absent`: the very paths (modules, files that were opened) whose appearance may repair it.
    `modules`: third-party modules that user code imported.
    """

    ok: bool
    files: dict[str, Stamp] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    times: Times = Times()
    error: RunError | None = None


_KINDS = {kind.__name__: kind for kind in (Frame, Excerpt, Cause, Request, RunError, Times, LoadReport, Stamp)}


def to_json(record: Any) -> Any:
    """A record as what `json.dumps` takes; its class stands under "kind"."""
    if dataclasses.is_dataclass(record):
        values = {item.name: to_json(getattr(record, item.name)) for item in dataclasses.fields(record)}
        return {"kind": type(record).__name__, **values}
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
