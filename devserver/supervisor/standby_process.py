"""The supervisor's handle of a process that stands by: it has run init() for code that cannot be forked, and waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

from devserver.process import threads
from devserver.process.child import Child, Deliver
from devserver.process.wire import KeptOrder
from devserver.records.messages import ColdWanted, FileWritten, Gone, Kept, StandsBy, Taken, Told
from devserver.records.reasons import Reason, Why
from devserver.records.stamps import Stamp

ANSWER_LIMIT = 5.0  # seconds in which it decides and changes its code
END_LIMIT = 1.5  # seconds in which it ends by itself
LOST = Reason(Why.LOST)


class StandbyProcess:
    """It ends when its turn cannot come any more, or came and it could not be taken.

    `start` makes the process; `deliver` gets what it tells from its turn on. `tell` hears from a thread of the files
    that it writes before, and that it waits. Only the supervisor's thread uses the rest. Errors: OSError.
    """

    def __init__(
        self, start: Callable[[Deliver], Child], deliver: Deliver, tell: Callable[[Kept | FileWritten], None]
    ) -> None:
        self._tell_loop = tell
        self._deliver = deliver
        self._is_taken = False
        self._made: StandsBy | None = None
        self._is_over = threading.Event()
        self._is_gone = threading.Event()
        self._answers: queue.SimpleQueue[Reason | None] = queue.SimpleQueue()
        self._child = start(self._hear)

    @property
    def pid(self) -> int:
        return self._child.process.pid

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it: it could not load, or has ended."""
        return self._is_over.is_set()

    @property
    def is_gone(self) -> bool:
        return self._is_gone.is_set()

    @property
    def made(self) -> StandsBy | None:
        """What it has told of itself; None while it loads, and where it is over."""
        return None if self.is_over else self._made

    @property
    def kept(self) -> Kept | None:
        """What waits there, for people."""
        made = self.made
        return Kept(self.pid, made.init_ms, tuple(sorted(made.files))) if made is not None else None

    @property
    def files(self) -> Mapping[str, Stamp]:
        return self._made.files if self._made is not None else {}

    def launch(self, order: KeptOrder) -> Child | Reason:
        """It is this generation now; or why it is not, and then it ends."""
        child = self._child
        child.give_turn(order)
        try:
            reason = self._answers.get(timeout=ANSWER_LIMIT)
        except queue.Empty:
            reason = LOST
        if reason is None:
            return child
        self.end()
        return reason

    def end(self) -> None:
        """It is not needed: it ends by itself, or is ended."""
        self._is_over.set()
        self._child.let_go()
        try:
            threads.start("standby", self._see_to_end)
        except OSError:
            self._child.kill()

    def join(self) -> None:
        """After `end`: until it is gone."""
        self._is_gone.wait(2 * END_LIMIT)

    def _see_to_end(self) -> None:
        if not self._is_gone.wait(END_LIMIT):
            self._child.kill()

    def _hear(self, generation: int, record: Told | Gone) -> None:
        if self._is_taken:
            self._deliver(generation, record)
            return
        match record:
            case StandsBy():
                self._made = record
                self._tell_loop(Kept(self.pid, record.init_ms, tuple(sorted(record.files))))
            case Taken(reason):
                self._is_taken = reason is None
                self._answers.put(reason)
            case FileWritten():
                self._tell_loop(record)
            case ColdWanted():
                self._is_over.set()
            case Gone():
                self._is_over.set()
                self._answers.put(LOST)
                self._child.close()
                self._is_gone.set()
