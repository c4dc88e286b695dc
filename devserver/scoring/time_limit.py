"""How long one call of run() may take: by signal in the main thread, else by an exception thrown into its thread."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Protocol


class TimeLimit(Protocol):
    """A context around one call of run() that raises a plain TimeoutError inside it when the time is over."""

    milliseconds: int

    def has_raised(self, error: TimeoutError) -> bool:
        """Whether the limit raised it in this thread's latest call, and not the script."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def time_limit(milliseconds: int, in_main_thread: bool) -> TimeLimit:
    """The limit that run() can have: by signal where it is called in the main thread, else by thread."""
    if milliseconds == 0:
        return NoLimit()
    return SignalLimit(milliseconds) if in_main_thread else ThreadLimit(milliseconds)


class NoLimit:
    """run() may take for ever."""

    milliseconds = 0

    def has_raised(self, _error: TimeoutError) -> bool:
        return False

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class SignalLimit:
    """Interrupts run() in the main thread, also in a system call such as sleep()."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds
        self._raised: TimeoutError | None = None

    def has_raised(self, error: TimeoutError) -> bool:
        return error is self._raised

    def __enter__(self) -> None:
        self._raised = None
        signal.signal(signal.SIGALRM, self._over)
        signal.setitimer(signal.ITIMER_REAL, self.milliseconds / 1000)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _over(self, _number: int, _frame: FrameType | None) -> None:
        self._raised = TimeoutError()
        raise self._raised


@dataclass
class _Call:
    """One call of run(): its deadline, whether that has passed, and whether the exception is on its way."""

    due: float
    over: bool = False
    thrown: bool = False


class ThreadLimit:
    """Interrupts run() in any thread at its next Python instruction; a call into C code is finished first."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds
        self._latest: dict[int, _Call] = {}
        self._running: dict[int, _Call] = {}
        self._change = threading.Condition()
        self._watch: threading.Thread | None = None

    def has_raised(self, error: TimeoutError) -> bool:
        return self._latest[threading.get_ident()].over and type(error) is TimeoutError and not error.args

    def __enter__(self) -> None:
        ident, call = threading.get_ident(), _Call(time.monotonic() + self.milliseconds / 1000)
        with self._change:
            self._latest[ident] = self._running[ident] = call
            if self._watch is None:
                self._watch = threading.Thread(target=self._look, name="scoring-limit", daemon=True)
                self._watch.start()
            elif len(self._running) == 1:
                self._change.notify()

    def __exit__(self, *_: object) -> None:
        # without the lock: the exception may arrive between any two instructions here, and would leave it taken
        ident = threading.get_ident()
        if self._running.pop(ident, None) is not None:
            return
        try:
            for _pause in range(1000):
                if self._latest[ident].thrown:
                    break
                time.sleep(0.001)
            # It may not have arrived: run() ended in the same moment. It cannot be taken back (the interpreter would
            # look for it at each instruction for ever, and hang under a debugger): so it arrives here.
            _throw_into(ident)
            time.sleep(0)
        except TimeoutError:
            pass

    def _look(self) -> None:
        with self._change:
            while True:
                now = time.monotonic()
                for ident, call in list(self._running.items()):
                    if call.due <= now and self._running.pop(ident, None) is not None:
                        self._throw(ident, call)
                # each deadline lies the same time ahead, so a newer one never comes before the oldest
                next_due = min((call.due for call in list(self._running.values())), default=None)
                self._change.wait(None if next_due is None else min(next_due - now, threading.TIMEOUT_MAX))

    def _throw(self, ident: int, call: _Call) -> None:
        call.over = True
        _throw_into(ident)
        call.thrown = True


def _throw_into(ident: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(TimeoutError))
