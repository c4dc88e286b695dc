"""The supervisor's handle of a process that has imported the libraries, and of those that it forks."""

from __future__ import annotations

import dataclasses
import os
import queue
import select
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from devserver.process import threads
from devserver.process.child import Child, Deliver, Origin, launcher_command, pipe
from devserver.process.platform import Process, System
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import GO, Briefing, Ended, Forked, WarmOrder, receive_answer, send
from devserver.records.messages import Became, Refused, Warmed

ANSWER_LIMIT = 2.0  # seconds in which the warm process answers; one that does not is given up
ENDED = "the process that imported the libraries ended"
CODE_LIMIT = 1.0  # seconds in which it tells how a generation ended that has ended


class WarmProcess:
    """The supervisor's handle of one warm process. Errors: OSError where none can be made.

    `modules`, `is_ready` and `refusal` belong to the supervisor's thread; the one that listens only delivers.
    `deliver` gets what the generations tell that come from here.
    """

    def __init__(self, order: WarmOrder, origin: Origin, deliver: Deliver) -> None:
        self.modules = frozenset(order.modules)
        self.is_ready = False
        self.refusal: str | None = None  # why nothing can come from here, once it is ready
        self.has_become = False  # it is a generation now
        self._sockets = origin.sockets
        self._deliver = deliver
        self._codes: dict[int, int] = {}
        self._is_gone = False
        self._change = threading.Condition()
        self._answers: queue.SimpleQueue[Process | Refused] = queue.SimpleQueue()
        self._channel, other = socket.socketpair()
        command, passed = [*launcher_command(), "warm"], [other.fileno(), origin.lifeline]
        with other:
            self.process = System.start(command, passed, origin.sockets, origin.environ, order.user_folders[0])
        send(self._channel, order)

    def listen(self, deliver: Callable[[WarmProcess, Warmed], None]) -> None:
        """Begin to hear it; `deliver` is called from a thread when its imports are done, and when it is gone."""
        threads.start("warm", self._listen, deliver)

    def _listen(self, deliver: Callable[[WarmProcess, Warmed], None]) -> None:
        try:
            while True:
                answer, descriptors = receive_answer(self._channel)
                match answer:
                    case Warmed():
                        deliver(self, answer)
                    case Forked(pid):
                        self._answers.put(ForkedProcess(pid, descriptors[0], self._code_of))
                    case Became():
                        self._answers.put(self.process)
                    case Refused():
                        self._answers.put(answer)
                    case Ended(pid, code):
                        self._note_end(pid, code)
        except (OSError, EOFError):
            pass  # it is gone, or is a generation now, or was closed
        with self._change:
            self._is_gone = True
            self._change.notify_all()
        self._answers.put(Refused(ENDED))  # whoever waits for an answer
        deliver(self, Warmed(ENDED))
        self.process.wait()

    def _note_end(self, pid: int, code: int) -> None:
        with self._change:
            self._codes[pid] = code
            self._change.notify_all()

    def extend(self, order: WarmOrder) -> None:
        """Import more. Errors: OSError where it is gone."""
        self.modules |= frozenset(order.modules)
        self.is_ready = False
        send(self._channel, order)

    @property
    def pid(self) -> int:
        return self.process.pid

    def launch(self, briefing: Briefing) -> Child | Refused:
        """A new generation, or the reason why there is none."""
        order = dataclasses.replace(briefing, listeners=self._sockets)
        with ExitStack() as undo:
            scoreboard = undo.enter_context(closing(Scoreboard()))
            hear, heard = pipe(undo)
            told, tell = pipe(undo)  # unless it was told before, the end of this ends a process that comes too late
            process = self._order(order, (heard, *scoreboard.descriptors, told))
            if isinstance(process, Refused):
                return process
            undo.pop_all()
        os.close(heard)
        os.close(told)
        _tell_to_begin(tell)
        if process is self.process:
            self.has_become = True
            self._let_go()
        return Child.adopt(process, briefing.generation, scoreboard, hear, self._deliver)

    def _order(self, order: Briefing, descriptors: Sequence[int]) -> Process | Refused:
        try:
            send(self._channel, order, descriptors)
            return self._answers.get(timeout=ANSWER_LIMIT)
        except (OSError, queue.Empty):
            return Refused("the process that imported the libraries does not answer")

    def _code_of(self, pid: int) -> int:
        """Only its parent learns how a process ended; where that is gone, nobody knows, and it counts as killed."""
        with self._change:
            self._change.wait_for(lambda: pid in self._codes or self._is_gone, CODE_LIMIT)
            return self._codes.pop(pid, -signal.SIGKILL)

    def close(self) -> None:
        """Ends it; generations that came from it live on."""
        self._let_go()
        self.process.send_signal(signal.SIGKILL)

    def _let_go(self) -> None:
        try:
            self._channel.shutdown(socket.SHUT_RDWR)  # close() alone would not wake the thread that listens
        except OSError:
            pass  # it is gone already
        self._channel.close()


def _tell_to_begin(pipe: int) -> None:
    try:
        os.write(pipe, GO)
    except BrokenPipeError:
        pass  # it is gone already; `Gone` tells
    os.close(pipe)


class ForkedProcess:
    """The part of `subprocess.Popen` that a `Child` needs, for a process that another one has forked."""

    def __init__(self, pid: int, descriptor: int, code_of: Callable[[int], int]) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._code_of = code_of
        self._lock = threading.Lock()
        self._code: int | None = None

    def wait(self) -> int:
        with self._lock:
            if self._code is None:
                select.select([self._descriptor], [], [])
                self._code = self._code_of(self.pid)
                os.close(self._descriptor)
            return self._code

    def send_signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)
