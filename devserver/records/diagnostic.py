"""A problem as data: what is wrong, where, through which calls, and what may help."""

from __future__ import annotations

from typing import Literal

from devserver.records.record import record


@record(frozen=True)
class Frame:
    """One call in the user's own code. Lines and columns count from 1; columns are characters, None if unknown."""

    path: str
    line: int
    column: int | None
    end_line: int | None
    end_column: int | None  # one past the last marked character
    function: str
    source: str  # the line's text as it was loaded, without indent; "" if unknown
    repeats: int = 1  # how many times in a row the cycle that this call belongs to was entered


@record(frozen=True)
class Excerpt:
    """Some lines of a source file as it was loaded, and the span to mark in one of them."""

    lines: tuple[tuple[int, str], ...]  # (number, text), ascending; blank neighbours are left out
    line: int
    column: int  # 1-based; with end_column equal to it nothing is marked
    end_column: int  # one past the last marked character


@record(frozen=True)
class Cause:
    """An exception behind or inside another: `relation` is "cause", "while handling" or "in group"."""

    relation: str
    type: str
    message: str
    path: str | None = None
    line: int | None = None


@record(frozen=True)
class Request:
    """The request that was being answered; `size` in bytes, `body` its first 200 characters."""

    method: str
    path: str
    content_type: str
    size: int
    body: str


Code = Literal[
    "exception",
    "notebook",
    "not-python",
    "missing-function",
    "signature",
    "configuration",
    "time-limit",
    "process-end",
    "no-process",
    "unserialisable",
    "result-none",
    "result-tuple",
    "result-not-a-number",
    "logging-call",
    "sample",
]


@record(frozen=True)
class MissingFunction:
    """The script has no function `name`; `meant` is the line of what may have been meant."""

    name: str
    meant: int | None = None


@record(frozen=True)
class Signature:
    """run() cannot be called; `variadic`: it is seen as taking *args, **kwargs or positional-only arguments."""

    variadic: bool


@record(frozen=True)
class TimeLimit:
    """A time limit was hit; `setting` is the environment variable that sets it."""

    setting: str
    milliseconds: float


@record(frozen=True)
class ProcessEnd:
    """A process ended by itself: `code` is its exit code, or minus the number of `signal`."""

    code: int
    signal: str | None = None


@record(frozen=True)
class ResultPart:
    """A part of run()'s result, spelled as in Python, and the dotted name of its class; `key`: it is a key in there."""

    where: str
    type: str
    key: bool = False


@record(frozen=True)
class LoggingCall:
    """The text of a logging call has so many places for values, and was given so many."""

    places: int
    values: int


Facts = MissingFunction | Signature | TimeLimit | ProcessEnd | ResultPart | LoggingCall


@record(frozen=True)
class Diagnostic:
    """One thing that is wrong, with its place in the user's own code where it has one.

    `code` says for programs which kind of problem it is, `facts` what belongs to that kind: nobody reads them out of
    `message`. `path`, `line` and `column` are all None for what has no place, as a wrong command line has none.

    `severity` is "error" or "warning"; `phase` "config", "load", "init", "run", "response" or "server"; `type` is the
    exception's, "" where none was raised. `frames` are the user's, outermost first, cycles folded; `raised_in` names
    the library place that raised; `hidden` counts library frames. `status` is the HTTP status that was sent.
    """

    severity: str
    phase: str
    type: str
    message: str
    path: str | None
    line: int | None
    column: int | None
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
    code: Code = "exception"
    facts: Facts | None = None
