"""The supervisor's handle of a process that has imported the libraries, and of those that it forks."""

from __future__ import annotations

import dataclasses
import queue
import signal
import socket
from collections.abc import Callable, Sequence

from devserver.process import threads
from devserver.process.child import Child, Deliver, Origin, launcher_command
from devserver.process.platform import Process, System
from devserver.process.wire import Briefing, Ended, Forked, WarmOrder, receive_answer, send
from devserver.records.messages import Became, Refused, Warmed
from devserver.supervisor.end_codes import EndCodes, ForkedProcess

ANSWER_LIMIT = 2.0  # seconds in which the warm process answers; one that does not is given up
ENDED = "the process that imported the libraries ended"


class WarmProcess:
    """The supervisor's handle of one warm process. Errors: OSError where none can be made.

    `modules`, `lazy`, `is_ready` and `refusal` belong to the supervisor's thread; the one that listens only delivers.
    """

    def __init__(self, order: WarmOrder, origin: Origin) -> None:
        self.modules = frozenset(order.modules)
        self.lazy = frozenset(order.lazy)
        self.is_ready = False
        self.refusal: str | None = None  # why nothing can come from here, once it is ready
        self.has_become = False  # it is a generation now
        self._sockets = origin.sockets
        self._codes = EndCodes()
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
                        self._answers.put(ForkedProcess(pid, descriptors[0], self._codes))
                    case Became():
                        self._answers.put(self.process)
                    case Refused():
                        self._answers.put(answer)
                    case Ended(pid, code):
                        self._codes.tell(pid, code)
        except (OSError, EOFError):
            pass  # it is gone, or is a generation now, or was closed
        self._codes.end()
        self._answers.put(Refused(ENDED))  # whoever waits for an answer
        deliver(self, Warmed(ENDED))
        self.process.wait()

    def extend(self, order: WarmOrder) -> None:
        """Import more. Errors: OSError where it is gone."""
        self.modules |= frozenset(order.modules)
        self.lazy |= frozenset(order.lazy)
        self.is_ready = False
        send(self._channel, order)

    @property
    def pid(self) -> int:
        return self.process.pid

    def launch(self, briefing: Briefing, deliver: Deliver) -> Child | Refused:
        """A new generation, or the reason why there is none; `deliver` gets what it tells."""
        order = dataclasses.replace(briefing, listeners=self._sockets)
        passed = () if briefing.channel < 0 else (briefing.channel,)
        child = Child.ask_for(
            briefing.generation,
            lambda descriptors: self._order(order, (*descriptors, *passed)),
            deliver,
            stands_by=briefing.stands_by,
        )
        if isinstance(child, Child) and child.process is self.process:
            self.has_become = True
            self._let_go()
        return child

    def _order(self, order: Briefing, descriptors: Sequence[int]) -> Process | Refused:
        try:
            send(self._channel, order, descriptors)
            return self._answers.get(timeout=ANSWER_LIMIT)
        except (OSError, queue.Empty):
            return Refused("the process that imported the libraries does not answer")

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
