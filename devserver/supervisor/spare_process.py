"""The supervisor's handle of a process that has imported the libraries and becomes the next generation itself.

It stands for `WarmProcess` where no descriptor can be passed to a process that runs: all that a generation needs the
spare has from its start on, and when its turn comes it is told which one it is.
"""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable

from devserver.process.child import Child, Deliver, Origin
from devserver.process.wire import GO, Briefing, WarmOrder
from devserver.records.messages import Became, Gone, Refused, Told, Warmed
from devserver.supervisor.warm_process import ANSWER_LIMIT, ENDED


class SpareProcess:
    """The supervisor's handle of one spare.

    `modules`, `lazy`, `is_ready` and `refusal` belong to the supervisor's thread; the one that listens only delivers.
    """

    def __init__(self, order: WarmOrder, origin: Origin) -> None:
        self.modules = frozenset(order.modules)
        self.lazy = frozenset(order.lazy)
        self.is_ready = False
        self.refusal: str | None = None  # why nothing can come from here, once it is ready
        self._origin = origin
        self._deliver: Deliver | None = None
        self.has_become = False  # changed by the thread that listens
        self._answers: queue.SimpleQueue[Became | Refused] = queue.SimpleQueue()
        self._order = order
        self._child: Child | None = None
        self._is_known = threading.Event()  # set where `_child` is

    def listen(self, deliver: Callable[[SpareProcess, Warmed], None]) -> None:
        """Start it; `deliver` is called from a thread when its imports are done, and when it is gone.

        Errors: OSError where it cannot be started.
        """
        self._deliver_warmed = deliver
        self._child = Child.spare(self._origin, self._order.user_folders[0], self._take)
        self._is_known.set()
        self._started.tell(pickle.dumps(self._order))

    @property
    def _started(self) -> Child:
        assert self._child is not None
        return self._child

    @property
    def pid(self) -> int:
        return self._started.process.pid

    def _take(self, generation: int, record: Told | Gone) -> None:
        match record:
            case Warmed():
                self._deliver_warmed(self, record)
            case Became():
                self.has_become = True
                self._answers.put(record)
            case Refused():
                self._answers.put(record)
            case Gone() if not self.has_become:
                self._answers.put(Refused(ENDED))
                self._deliver_warmed(self, Warmed(ENDED))
                self._is_known.wait()  # it may be gone before its start has returned
                self._started.close()
            case _ if self._deliver is not None:
                self._deliver(generation, record)

    def extend(self, order: WarmOrder) -> None:
        """Import more."""
        self.modules |= frozenset(order.modules)
        self.lazy |= frozenset(order.lazy)
        self.is_ready = False
        self._started.tell(pickle.dumps(order))

    def launch(self, briefing: Briefing, deliver: Deliver) -> Child | Refused:
        """A new generation, or the reason why there is none; then nothing can come from here any more.

        `deliver` gets what the generation tells.
        """
        self._deliver = deliver
        self._started.brief(briefing, self._origin.listeners)
        try:
            answer = self._answers.get(timeout=ANSWER_LIMIT)
        except queue.Empty:
            answer = Refused("the process that imported the libraries does not answer")
        if isinstance(answer, Refused):
            return answer
        self._started.tell(GO)
        return self._started

    def close(self) -> None:
        """Ends it; a generation that came from it is closed by who has it."""
        if self._child is not None:
            self._child.kill()
