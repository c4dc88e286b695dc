"""A traceback or a frame as the calls of the user's own code that led there, with cycles folded."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

from devserver.records.diagnostic import Frame
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


def calls_of(where: Where) -> list[Call]:
    """The calls that led to a place, outermost first; of very many the first and the last."""
    if isinstance(where, FrameType):
        return _stack(where)[::-1]
    trace = where.__traceback__ if isinstance(where, BaseException) else where
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(Call(code, trace.tb_lineno or code.co_firstlineno, trace.tb_lasti))
        trace = trace.tb_next
    return found if len(found) <= _MANY else found[: _MANY // 10] + found[-_MANY:]


def _stack(frame: FrameType | None) -> list[Call]:
    found = []
    while frame is not None:
        found.append(Call(frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno, frame.f_lasti))
        frame = frame.f_back
    return found


def of_user(calls: Sequence[Call]) -> list[Call]:
    known = {path: loader.is_user_code(path) for path in {call.path for call in calls}}
    return [call for call in calls if known[call.path]]


def is_ours(call: Call) -> bool:
    return ownership.is_own_file(call.path) or call.path.startswith("<frozen importlib")


def library_part(calls: Sequence[Call], users: Sequence[Call]) -> tuple[int, str | None]:
    """How many library calls stand below the user's first call, and the one that raised if it is one of them."""
    if not users:
        return 0, None
    mine = {call.path for call in users}
    below = [call for call in calls[calls.index(users[0]) :] if call.path in mine or not is_ours(call)]
    theirs = sum(call.path not in mine for call in below)
    return theirs, None if below[-1].path in mine else _library_name(below[-1])


def _library_name(call: Call) -> str:
    """A library place for people: `pandas/core/indexes/base.py get_loc`."""
    path = call.path.replace("\\", "/")
    if path.startswith("<"):
        return f"{path[8:-1]} {call.code.co_name}" if path.startswith("<frozen ") else f"code without a file, {path}"
    for mark in ("/site-packages/", "/dist-packages/", os.path.dirname(os.__file__).replace("\\", "/") + "/"):
        if mark in path:
            return f"{path.rpartition(mark)[2]} {call.code.co_name}"
    return f"{os.path.basename(path)} {call.code.co_name}"


def span_of(call: Call) -> tuple[Place, int | None]:
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
    place, end_line = span_of(call)
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


def frames_of(users: Sequence[Call]) -> tuple[Frame, ...]:
    """The user's calls as frames: cycles folded, a comprehension's call joined to the line that holds it."""
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
