"""Who has the keyboard: the terminal's state is kept, lent to a generation that asks, and given back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from devserver.process import WINDOWS

KEYBOARD = 0  # the descriptor of standard input


class Terminal:
    """The terminal as it was when the tool began; nothing where there is none."""

    def __init__(self) -> None:
        self._saved: list[Any] | None = None
        self._group = 0

    def __enter__(self) -> Terminal:
        if not WINDOWS and _is_terminal():
            import termios

            self._saved = termios.tcgetattr(KEYBOARD)
            self._group = os.getpgrp()
            # or the tool would be stopped when it takes the keyboard back from a generation
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """The keyboard is the tool's again, with the settings as they were."""
        if self._saved is None:
            return
        import termios

        try:
            os.tcsetpgrp(KEYBOARD, self._group)
            termios.tcsetattr(KEYBOARD, termios.TCSADRAIN, self._saved)
        except (OSError, termios.error):
            pass  # the terminal is gone


class Loan:
    """In a generation: a context in which this process group has the keyboard; `tell` hears True and False."""

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._depth = 0
        self._owner = 0

    def __enter__(self) -> Loan:
        self._depth += 1
        if self._depth == 1 and not WINDOWS and _is_terminal():
            self._tell(True)
            self._owner = os.tcgetpgrp(KEYBOARD)
            _hand_to(os.getpgrp())
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._owner:
            _hand_to(self._owner)
            self._owner = 0
            self._tell(False)


def _is_terminal() -> bool:
    try:
        return os.isatty(KEYBOARD)
    except OSError:
        return False


def _hand_to(group: int) -> None:
    """A process in the background may do this only while it ignores SIGTTOU."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        os.tcsetpgrp(KEYBOARD, group)
    except OSError:
        pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def lend_to_breakpoints(loan: Loan) -> None:
    """Makes breakpoint(), pdb and input() in the script use the keyboard of the terminal."""
    import builtins
    import pdb

    class LentPdb(pdb.Pdb):
        def interaction(self, *args: Any, **kwargs: Any) -> None:
            with loan:
                super().interaction(*args, **kwargs)

    def set_trace(*_: object, **__: object) -> None:
        LentPdb().set_trace(sys._getframe(1))

    plain_input = builtins.input

    def lent_input(prompt: object = "", /) -> str:
        with loan:
            return plain_input(prompt)

    sys.breakpointhook = set_trace
    pdb.set_trace = set_trace
    builtins.input = lent_input
