"""Who has the keyboard: the terminal's state is kept, lent to a generation that asks, and given back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from devserver.process.platform import System

KEYBOARD = 0  # the descriptor of standard input


class Terminal:
    """The terminal as it was when the tool began, and as the tool wants it; nothing where there is none."""

    def __init__(self) -> None:
        self._saved: list[Any] | None = None
        self._mode: list[Any] | None = None

    def __enter__(self) -> Terminal:
        self._saved = self._mode = settings()
        if self._saved is not None:
            # or the tool would be stopped when it takes the keyboard back from a generation
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mode = self._saved
        self.settle()

    def is_ours(self) -> bool:
        """Whether what is typed now is for the tool: not for a generation, nor for the shell."""
        try:
            return self._saved is not None and os.tcgetpgrp(KEYBOARD) == os.getpgrp()
        except OSError:
            return False

    @property
    def is_there(self) -> bool:
        """Whether what is typed may ever be for the tool."""
        return self._saved is not None

    def quicken(self) -> None:
        """From now on keys are handed out when they are pressed, and are not shown; call it while it `is_ours`."""
        if self._saved is not None:
            # until now the shell may have had it, with other settings
            self._saved = settings() or self._saved
            self._mode = _quick(self._saved)
            self.settle()

    def settle(self) -> None:
        """The settings that the tool wants, if the keyboard is its."""
        if self.is_ours() and settings() != self._mode:
            _set_mode(self._mode)

    def take_back(self, group: int) -> None:
        """This process group is gone: if it had the keyboard, the tool has it again."""
        try:
            if self._saved is not None and os.tcgetpgrp(KEYBOARD) == group:
                os.tcsetpgrp(KEYBOARD, os.getpgrp())
                self.settle()
        except OSError:
            pass  # the terminal is gone


def _quick(mode: list[Any]) -> list[Any]:
    """These settings, but each key at once and unseen."""
    import termios

    control = list(mode[6])
    control[termios.VMIN], control[termios.VTIME] = 1, 0
    return [*mode[:3], mode[3] & ~(termios.ECHO | termios.ICANON), *mode[4:6], control]


def _set_mode(mode: list[Any] | None) -> None:
    import termios

    try:
        if mode is not None:
            termios.tcsetattr(KEYBOARD, termios.TCSADRAIN, mode)
    except termios.error:
        pass  # the terminal is gone


def settings() -> list[Any] | None:
    """The settings of the terminal, None where there is none."""
    if not System.lends_keyboard(KEYBOARD):
        return None
    import termios

    return termios.tcgetattr(KEYBOARD)


def mender(saved: list[Any] | None) -> Callable[[], None]:
    """For the guard, before it lets go of its streams: what puts the terminal right if the tool could not."""
    if saved is None:
        return lambda: None
    import termios

    kept = os.dup(KEYBOARD)

    def mend() -> None:
        try:
            if termios.tcgetattr(kept)[3] == _quick(saved)[3]:  # anything else was set by somebody else
                termios.tcsetattr(kept, termios.TCSANOW, saved)
        except termios.error:
            pass  # the terminal is gone

    return mend


class Loan:
    """In a generation: a context in which this process group has the keyboard; `tell` hears True and False.

    Where somebody else has it on loan, another thread, worker or generation, entering waits.
    """

    used = False  # since this process began

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._depth = 0
        self._owner = 0
        self._mode: list[Any] = []
        self._turn = threading.RLock()

    def __enter__(self) -> Loan:
        self._turn.acquire()
        self.used = True
        self._depth += 1
        if self._depth == 1 and System.lends_keyboard(KEYBOARD):
            _lock(True)
            self._take()
            self._tell(True)
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._owner:
            _set_mode(self._mode)
            _hand_to(self._owner)
            self._owner = 0
            _lock(False)
            self._tell(False)
        self._turn.release()

    def _take(self) -> None:
        """The keyboard, with lines that are shown while they are typed: the tool has it key by key."""
        import termios

        self._owner = os.tcgetpgrp(KEYBOARD)
        _hand_to(os.getpgrp())
        self._mode = termios.tcgetattr(KEYBOARD)
        _set_mode([*self._mode[:3], self._mode[3] | termios.ECHO | termios.ICANON, *self._mode[4:]])


def _lock(wanted: bool) -> None:
    """One process at a time; the system unlocks it when that process ends, however it does."""
    import fcntl

    try:
        fcntl.lockf(KEYBOARD, fcntl.LOCK_EX if wanted else fcntl.LOCK_UN)
    except OSError:
        pass  # a terminal that was opened for reading only


def _hand_to(group: int) -> None:
    """A process in the background may do this only while it ignores SIGTTOU."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        os.tcsetpgrp(KEYBOARD, group)
    except OSError:
        pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
