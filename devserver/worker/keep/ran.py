"""Which of the user's functions ran while the script was loaded and init() was at work.

From Python 3.12 on `sys.monitoring` tells the first start of each function and is silent afterwards. Before, the
interpreter itself counts the starts of a code object, to find out which ones are worth optimising: the count is read
where it lies. That costs nothing, and no thread, generator or callback escapes it. Where it lies is found by trying,
on the interpreter that runs; one that does not count as expected gives no record, and then nothing is kept.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType
from typing import Any, Protocol

from devserver.worker.keep.codes import outer_functions

TOOLS = (4, 3)  # numbers that sys.monitoring leaves to whoever comes


class Record(Protocol):
    """`watch` before a module is executed; `ran` at any time."""

    def watch(self, module: CodeType) -> None: ...

    def ran(self, code: CodeType) -> bool: ...

    def stop(self) -> None:
        """Nothing is left behind that costs anything; what ran until now stays known."""


def start_record() -> Record | None:
    """The record for this interpreter, or None where there is none."""
    if hasattr(sys, "monitoring"):
        return _Monitored.start()
    return _Counted() if _count_offset() is not None else None


def prepare() -> None:
    """Does ahead of a fork what takes longest in every start: to find where the interpreter counts."""
    _count_offset()


class _Monitored:
    """By events of `sys.monitoring`, for the user's functions only: libraries run as always."""

    def __init__(self, tool: int) -> None:
        self._tool = tool
        self._watched: list[CodeType] = []
        self._ran: dict[int, CodeType] = {}

    @classmethod
    def start(cls) -> _Monitored | None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        for tool in TOOLS:
            if monitoring.get_tool(tool) is None:
                monitoring.use_tool_id(tool, "azmlinfsrv")
                record = cls(tool)
                monitoring.register_callback(tool, monitoring.events.PY_START, record._started)
                return record
        return None

    def _started(self, code: CodeType, _offset: int) -> object:
        self._ran[id(code)] = code
        return _DISABLE

    def watch(self, module: CodeType) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        for code in outer_functions(module):
            self._watched.append(code)
            monitoring.set_local_events(self._tool, code, monitoring.events.PY_START)

    def ran(self, code: CodeType) -> bool:
        return id(code) in self._ran

    def stop(self) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        if monitoring.get_tool(self._tool) != "azmlinfsrv":
            return
        for code in self._watched:
            monitoring.set_local_events(self._tool, code, 0)
        monitoring.register_callback(self._tool, monitoring.events.PY_START, None)
        monitoring.free_tool_id(self._tool)


_DISABLE: object = getattr(getattr(sys, "monitoring", None), "DISABLE", None)


class _Counted:
    """By the interpreter's own count; `stop` copies what the counts say."""

    def __init__(self) -> None:
        self._offset = _count_offset() or 0
        self._unused = _count(_specimen("f"), self._offset)
        self._watched: list[CodeType] = []
        self._ran: set[int] | None = None

    def watch(self, module: CodeType) -> None:
        self._watched += outer_functions(module)

    def ran(self, code: CodeType) -> bool:
        return id(code) in self._ran if self._ran is not None else _count(code, self._offset) != self._unused

    def stop(self) -> None:
        self._ran = {id(code) for code in self._watched if self.ran(code)}


# --- where the count lies


_SAMPLES = """
def f(a=0):
    return a
def g():
    yield 1
    yield 2
"""
_CLOSELY = 200
_CALLS = 5000  # after which a count that stops at some number has stopped


@cache
def _specimen(name: str) -> CodeType:
    """A code object that has never run, and will not."""
    module = compile(_SAMPLES, "<count>", "exec")
    return next(code for code in outer_functions(module) if code.co_name == name)


def _functions() -> dict[str, Callable[..., Any]]:
    space: dict[str, Any] = {}
    exec(compile(_SAMPLES, "<count>", "exec"), space)
    return space


def _count(code: CodeType, offset: int) -> int:
    return ctypes.c_int16.from_address(id(code) + offset).value


@cache
def _count_offset() -> int | None:
    """Where a code object holds its count, in bytes from its beginning; None where it does not behave as one."""
    if sys.implementation.name != "cpython" or sys.version_info >= (3, 12):
        return None
    return next((offset for offset in _candidates() if _holds(offset)), None)


def _candidates() -> Iterator[int]:
    """Places that grow by one with each of some calls."""
    function = _functions()["f"]
    code, size = function.__code__, CodeType.__basicsize__
    function()  # the first call also makes what later ones find
    rows = []
    for _ in range(4):
        rows.append(ctypes.string_at(id(code), size))
        function()
    for offset in range(object.__basicsize__, size - 1, 2):
        values = [int.from_bytes(row[offset : offset + 2], sys.byteorder, signed=True) for row in rows]
        if values == list(range(values[0], values[0] + 4)):
            yield offset


def _holds(offset: int) -> bool:
    """No start escapes this count: by call, in a thread, of a generator, often; what does not start is not counted."""
    unused = _count(_specimen("f"), offset)
    function, generator = _functions()["f"], _functions()["g"]
    waiting = generator()
    if {_count(found.__code__, offset) for found in (function, generator)} != {unused}:
        return False
    next(waiting)
    in_thread = _functions()["f"]
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    from_c = _functions()["f"]
    sorted([2, 1], key=from_c)
    started = [_count(found.__code__, offset) != unused for found in (generator, in_thread, from_c)]
    return all(started) and _counts_on(function, offset, unused)


def _counts_on(function: Callable[..., Any], offset: int, unused: int) -> bool:
    """Looked at after each of the first calls, and then now and then, for the sake of time."""
    code = function.__code__
    for number in range(_CALLS):
        function()
        if (number < _CLOSELY or number % _CLOSELY == 0) and _count(code, offset) == unused:
            return False
    return True
