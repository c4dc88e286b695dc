"""A traceback or a frame as the calls of the user's own code that led there, with cycles folded."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

from devserver.records.diagnostic import Frame
from devserver.records.record import record
from devserver.usercode import loader, ownership
from devserver.usercode.source import Place, line_at, span


class Call(NamedTuple):
    code: CodeType
    line: int
    at: int  # offset of the instruction

    @property
    def path(self) -> str:
        return self.code.co_filename


Where = BaseException | TracebackType | FrameType | None
_MANY = 5000
_INLINE = {"<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<lambda>"}


@record(frozen=True)
class Stack:
    """The calls that led to a place, outermost first; `mine` are the paths among theirs that are the user's."""

    calls: tuple[Call, ...]
    mine: frozenset[str]

    @cached_property
    def users(self) -> tuple[Call, ...]:
        """The calls in the user's own code."""
        return tuple(call for call in self.calls if call.path in self.mine)

    @cached_property
    def shown(self) -> tuple[Call, ...]:
        """What a traceback shows: from the user's first call on, without ours; all where none is the user's."""
        if not self.users:
            return self.calls
        below = self.calls[self.calls.index(self.users[0]) :]
        return tuple(call for call in below if call.path in self.mine or not ownership.is_own_code(call.path))

    @property
    def place(self) -> Place | None:
        """The user's innermost call, with its columns."""
        return _span(self.users[-1])[0] if self.users else None

    @property
    def innermost(self) -> Place | None:
        """The innermost call, whoever's it is."""
        return _span(self.calls[-1])[0] if self.calls else None

    @property
    def line(self) -> Place | None:
        """The line of the user's innermost call; cheaper than `place`."""
        return Place(os.path.abspath(self.users[-1].path), self.users[-1].line) if self.users else None

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The user's calls as frames: cycles folded, a comprehension's call joined to the line that holds it."""
        return _frames(self.users)

    @property
    def hidden(self) -> int:
        """How many library calls stand below the user's first call."""
        return sum(call.path not in self.mine for call in self.shown) if self.users else 0

    @property
    def raised_in(self) -> str | None:
        """The library call that raised, in words, if one did below the user's calls."""
        last = self.shown[-1] if self.users else None
        return None if last is None or last.path in self.mine else _library_name(last)


def stack_of(where: Where) -> Stack:
    """The way to where something happened, walked once; of very many calls the first and the last."""
    calls = _frame_calls(where)[::-1] if isinstance(where, FrameType) else _trace_calls(where)
    if len(calls) > _MANY:
        calls = calls[: _MANY // 10] + calls[-_MANY:]
    paths = {call.path for call in calls}
    return Stack(tuple(calls), frozenset(path for path in paths if loader.is_user_code(path)))


def _trace_calls(where: BaseException | TracebackType | None) -> list[Call]:
    trace = where.__traceback__ if isinstance(where, BaseException) else where
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(Call(code, trace.tb_lineno or code.co_firstlineno, trace.tb_lasti))
        trace = trace.tb_next
    return found


def _frame_calls(frame: FrameType | None) -> list[Call]:
    found = []
    while frame is not None:
        found.append(Call(frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno, frame.f_lasti))
        frame = frame.f_back
    return found


def _library_name(call: Call) -> str:
    """A library place for people: `pandas/core/indexes/base.py get_loc`."""
    path = call.path.replace("\\", "/")
    if path.startswith("<"):
        return f"{path[8:-1]} {call.code.co_name}" if path.startswith("<frozen ") else f"code without a file, {path}"
    for mark in ("/site-packages/", "/dist-packages/", os.path.dirname(os.__file__).replace("\\", "/") + "/"):
        if mark in path:
            return f"{path.rpartition(mark)[2]} {call.code.co_name}"
    return f"{os.path.basename(path)} {call.code.co_name}"


def _span(call: Call) -> tuple[Place, int | None]:
    """The place of a call's instruction (without columns before Python 3.11) and the line where its span ends."""
    path = os.path.abspath(call.path)
    positions = getattr(call.code, "co_positions", None)
    if positions is not None and call.at >= 0:
        for number, (line, end_line, column, end_column) in enumerate(positions()):
            if number == call.at // 2:
                if line == call.line and None not in (end_line, column, end_column):
                    return span(path, line, column, end_line, end_column), end_line
                break
    return Place(path, call.line), None


def _frame(call: Call, function: str, repeats: int) -> Frame:
    place, end_line = _span(call)
    known = end_line is not None
    return Frame(
        path=place.path,
        line=place.line,
        column=place.column if known else None,
        end_line=end_line,
        end_column=place.end_column if known else None,
        function=function,
        source=line_at(place.path, place.line).strip()[:500],
        repeats=repeats,
    )


def _frames(users: Sequence[Call]) -> tuple[Frame, ...]:
    found: list[Frame] = []
    for call, repeats in _folded(users, 20):
        last = found[-1] if found else None
        inline = last is not None and call.code.co_name in _INLINE
        if last is not None and inline and (last.path, last.line) == (os.path.abspath(call.path), call.line):
            found[-1] = _frame(call, last.function, max(repeats, last.repeats))
        else:
            found.append(_frame(call, call.code.co_name, repeats))
    return tuple(found)


def _folded(calls: Sequence[Call], most: int) -> list[tuple[Call, int]]:
    """The calls with each run of equal cycles (up to 12 calls long) once, and how often it ran; the ends of many."""
    keys = [(id(call.code), call.line) for call in calls]
    found: list[tuple[Call, int]] = []
    at = 0
    while at < len(calls):
        length, times = max(
            (_cycle(keys, at, length) for length in range(1, 13)), key=lambda run: run[0] * (run[1] - 1)
        )
        if times < 3:
            length, times = 1, 1
        found += [(call, times) for call in calls[at : at + length]]
        at += length * times
    return found if len(found) <= most else found[: most // 2] + found[-most // 2 :]


def _cycle(keys: Sequence[object], at: int, length: int) -> tuple[int, int]:
    cycle, times = keys[at : at + length], 1
    while keys[at + length * times : at + length * (times + 1)] == cycle:
        times += 1
    return length, times


STACK_LINE = re.compile(r'File "([^"]+)", line (\d+),? in ([^\n]+)')
