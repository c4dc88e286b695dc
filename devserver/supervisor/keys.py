"""Keys pressed in the terminal come in; what they ask for goes out: events for the loop, looks for the console."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from devserver.lifecycle import Changed, Event, ReloadAsked, StopAsked
from devserver.process.platform import System
from devserver.process.terminal import KEYBOARD, Terminal
from devserver.records.changes import ChangeSet, ReloadPlan, Scope
from devserver.records.messages import Look
from devserver.records.record import record

REST = 0.1  # seconds between two looks while somebody else has the keyboard
LOOK = 0.5  # seconds between two looks whether somebody else has it
JOIN = 1.0  # seconds to wait for the thread
Asked: TypeAlias = Event | Look


@record(frozen=True)
class Key:
    """A key and what it asks for."""

    letter: str
    help: str
    asks: tuple[Asked, ...]


_SEND_AGAIN = (Look("samples"), Changed(ReloadPlan(Scope.REPLAY, ChangeSet())))
_ACTING = (
    Key(
        "r",
        "send again what was sent last, and the samples",
        (Look("samples"), Changed(ReloadPlan(Scope.REPLAY, ChangeSet()))),
    ),
    Key("R", "reload, with all libraries imported anew", (ReloadAsked(cold=True),)),
    Key("w", "what is watched", (Look("watched"),)),
    Key("t", "full traceback of the last error", (Look("traceback"),)),
    Key("o", "open the page to look at and to try from", (Look("page"),)),
    Key("c", "clear the terminal", (Look("clear"),)),
    Key("q", "quit", (StopAsked(),)),
)
_HELP = "\n".join(f"  {key.letter}  {key.help}" for key in _ACTING)
MEANINGS = {key.letter: key.asks for key in _ACTING} | {"h": (Look("help", _HELP),)}


def meaning(typed: bytes) -> tuple[Asked, ...]:
    """What was asked for by what arrived at once. Several different characters are something pasted, or an arrow."""
    text = typed.decode("utf-8", "replace")
    return MEANINGS.get(text[0], ()) if len(set(text)) == 1 else ()


class Keys:
    """In a `with`: each key is delivered while the terminal is the tool's; where there is none nothing happens."""

    def __init__(self, terminal: Terminal, deliver: Callable[[Asked], None]) -> None:
        self._terminal = terminal
        self._deliver = deliver
        self._is_over = False
        self._had_it = False  # the keyboard, ever
        self._end, self._ending = os.pipe()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Keys:
        if System.has_console_keys():
            self._deliver(Look("keys"))
            self._start(self._ask_console)
        elif self._terminal.is_there:
            self._look()
            self._start(self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        os.close(self._ending)
        if self._thread is not None:
            self._thread.join(JOIN)
        os.close(self._end)

    def _start(self, read: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=read, daemon=True, name="keys")
        self._thread.start()

    def _read(self) -> None:
        # a read while the keyboard is lent fails then, instead of stopping the whole tool
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTIN])
        while True:
            is_ours = self._look()
            ready = select.select([self._end, KEYBOARD][: 1 + is_ours], [], [], LOOK if is_ours else REST)[0]
            if self._end in ready:
                return
            typed = self._typed() if ready else None
            if typed == b"":
                return
            if typed is not None:
                self._tell(typed)

    def _look(self) -> bool:
        """Whether the keyboard is the tool's; when it comes from the shell, by `fg`, it has other settings."""
        is_ours = self._terminal.is_ours()
        if is_ours and not self._had_it:
            self._had_it = True
            self._terminal.quicken()
            self._deliver(Look("keys"))
        elif is_ours:
            self._terminal.settle()
        return is_ours

    def _typed(self) -> bytes | None:
        """What was typed; empty at the end of the terminal, None if the keyboard is somebody else's now."""
        if not self._terminal.is_ours():
            return None
        try:
            typed = os.read(KEYBOARD, 1024)
        except OSError:
            return None
        self._terminal.settle()  # after a stop it may have other settings
        return typed

    def _tell(self, typed: bytes) -> None:
        for asked in meaning(typed):
            self._deliver(asked)

    def _ask_console(self) -> None:
        while not self._is_over:
            if typed := System.typed_at_console():
                self._tell(typed)
            else:
                time.sleep(REST)
