"""A problem as data: what is wrong, where, through which calls, and what may help."""

from __future__ import annotations

from dataclasses import dataclass


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
    repeats: int = 1  # how many times in a row the cycle that this call belongs to was entered


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
class Diagnostic:
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
