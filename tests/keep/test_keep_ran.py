"""The record of what ran: nothing that starts a function escapes it, and nothing is left behind."""

from __future__ import annotations

import _thread
import ctypes
import sys
import threading
from collections.abc import Callable

import pytest

from devserver.worker.keep.codes import is_compiled_otherwise, outer_functions
from devserver.worker.keep.ran import start_record

SOURCE = """
import functools

def called(x=0): return x
def idle(x=0): return x
def begun(): yield 1
def waiting(): yield 1
def outer():
    def inside(): return 1
    return inside
async def coroutine(): return 1
def nothing(): pass
some = lambda x=0: x
class Thing:
    def method(self): return 1
    def __lt__(self, other): return True
    @property
    def value(self): return 1
    @staticmethod
    def static(): return 1
    def __del__(self): pass
"""


def ran_after(work: Callable[[dict], object]) -> set[str]:
    record = start_record()
    assert record is not None
    code, space = compile(SOURCE, "<script>", "exec"), {}
    record.watch(code)
    exec(code, space)
    try:
        work(space)
    finally:
        record.stop()
    return {found.co_name for found in outer_functions(code) if record.ran(found)}


def in_thread(start: Callable[[Callable[[], None]], object]) -> Callable[[dict], None]:
    def work(space: dict) -> None:
        done = threading.Event()
        start(lambda: (space["called"](), done.set()))
        assert done.wait(10)

    return work


def by_ctypes(space: dict) -> None:
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    function = compare(lambda *_: space["called"]())
    numbers = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL(None).qsort(numbers, 2, ctypes.sizeof(ctypes.c_int), function)


def under(install: Callable[[Callable | None], None]) -> Callable[[dict], None]:
    def work(space: dict) -> None:
        install(lambda *_: None)
        try:
            space["called"]()
        finally:
            install(None)

    return work


def refused(space: dict) -> None:
    with pytest.raises(TypeError):
        space["called"](1, 2)


WAYS: dict[str, tuple[Callable[[dict], object], set[str]]] = {
    "nothing": (lambda space: None, set()),
    "call": (lambda space: space["called"](), {"called"}),
    "many calls": (lambda space: [space["called"]() for _ in range(3000)], {"called"}),
    "callback of C": (lambda space: sorted([2, 1], key=space["called"]), {"called"}),
    "map": (lambda space: list(map(space["some"], [1])), {"<lambda>"}),
    "thread": (in_thread(lambda work: threading.Thread(target=work).start()), {"called"}),
    "bare thread": (in_thread(lambda work: _thread.start_new_thread(work, ())), {"called"}),
    "generator": (lambda space: next(space["begun"]()), {"begun"}),
    "generator that is not begun": (lambda space: space["waiting"](), set()),
    "coroutine that is not begun": (lambda space: space["coroutine"]().close(), set()),
    "nested": (lambda space: space["outer"]()(), {"outer"}),
    "method": (lambda space: space["Thing"].method(None), {"method"}),
    "slot": (lambda space: sorted([space["Thing"](), space["Thing"]()]), {"__lt__", "__del__"}),
    "property": (lambda space: space["Thing"]().value, {"value", "__del__"}),
    "partial": (lambda space: space["functools"].partial(space["called"], 1)(), {"called"}),
    "traced": (under(sys.settrace), {"called"}),
    "profiled": (under(sys.setprofile), {"called"}),
    "exec": (lambda space: exec("called()", space), {"called"}),
    "ends with an error": (refused, set()),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_tells_what_ran(way: str) -> None:
    work, names = WAYS[way]
    if "not begun" in way and sys.version_info < (3, 11):
        names = ran_after(work)  # closing it counts there: one that is made and dropped is taken for one that ran
    assert ran_after(work) == names


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library's qsort")
def test_a_callback_of_a_foreign_library() -> None:
    assert ran_after(by_ctypes) == {"called"}


def test_what_runs_later_is_not_recorded_and_costs_nothing() -> None:
    record = start_record()
    assert record is not None
    code, space = compile(SOURCE, "<script>", "exec"), {}
    record.watch(code)
    exec(code, space)
    record.stop()
    space["called"]()
    assert not any(record.ran(found) for found in outer_functions(code))
    if hasattr(sys, "monitoring"):
        assert all(sys.monitoring.get_tool(number) is None for number in (3, 4))


def test_code_that_a_compiler_has_noted_counts_as_run() -> None:
    api = ctypes.pythonapi
    new = "PyUnstable_" if sys.version_info >= (3, 12) else "_Py"
    request = getattr(api, f"{new}Eval_RequestCodeExtraIndex")
    note = getattr(api, f"{new}Code_SetExtra")
    request.argtypes, request.restype = [ctypes.c_void_p], ctypes.c_ssize_t
    note.argtypes = [ctypes.py_object, ctypes.c_ssize_t, ctypes.c_void_p]
    called, idle = list(outer_functions(compile(SOURCE, "<script>", "exec")))[:2]
    number = request(None)
    assert note(called, number, 1) == 0
    assert is_compiled_otherwise(called)
    assert not is_compiled_otherwise(idle)
    assert note(called, number, None) == 0
