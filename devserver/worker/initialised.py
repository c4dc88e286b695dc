"""The initialised stage itself: a fork of the generation that has loaded the script and run init().

It never answers; it waits beside that generation. After a save that does not concern init() the next generation is a
fork of it, with the code changed; so is the one that follows a generation that has died. Nothing of this is imported
before a stage is made: no first answer of a small script waits for it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from importlib.util import decode_source
from typing import NoReturn

from devserver.process import lifeline
from devserver.process.platform import leave
from devserver.process.wire import Concerned, Forked, Initialised, KeptOrder, Order, receive_order
from devserver.records.reasons import Reason, Why
from devserver.records.record import record
from devserver.usercode import loader
from devserver.worker.forks import Office, Successor
from devserver.worker.keep.decide import Plan, decide, still_as_left
from devserver.worker.keep.mend import disown
from devserver.worker.keep.observing import Made
from devserver.worker.keep.stage import Initialised as State
from devserver.worker.keep.stage import resume
from devserver.worker.libraries import Imported, imported_libraries

PREPARE_AFTER = 0.1  # seconds without orders


@record(frozen=True)
class Resumption:
    """In a fork of the stage: what it has to do before it answers, the order behind it, and its descriptors."""

    state: State
    plan: Plan
    order: KeptOrder
    descriptors: tuple[int, ...]

    def begin(self) -> None:
        """At once, also in a process that only forks those who answer."""
        disown(self.state.left)

    def resume(self) -> None:
        """As after a fresh start of the files as they are now. Errors: OSError."""
        resume(self.state, self.plan, is_known)
        learn(self.order)


def learn(order: KeptOrder) -> None:
    """What was loaded is what the order has brought, also of files that were only touched."""
    for path, (content, stamp) in order.contents.items():
        if path in loader.loaded:
            loader.know(path, decode_source(content), stamp)


def is_known(_path: str, _text: str) -> None:
    """For the exchange of code: `learn` has seen to it."""


Become = Callable[[Resumption], NoReturn]


def plan_for(order: KeptOrder, state: State, by_fork: bool) -> Plan | Reason:
    """What to change for this order, or why init() has to run again; `why_stale` may still speak against it."""
    contents = {path: content for path, (content, _) in order.contents.items()}
    return decide(state.history, contents, by_fork=by_fork)


def why_stale(order: KeptOrder, state: State, made: Made, libraries: Imported) -> Reason | None:
    """What else has changed since load and init(); with large libraries it takes a while to look."""
    if (written := still_as_left(state.history.seen)) is not None:
        return written
    changed = libraries.changed()
    if changed is not None:
        return Reason(Why.LIBRARY, path=changed)
    if (lost := stands_nowhere()) is not None:
        return lost
    other = next((path for path in made.differences() if path not in order.contents), None)
    return Reason(Why.DATA, path=other) if other is not None else None


def stands_nowhere() -> Reason | None:
    """The working directory may have been removed, and made again or not: a fresh start stands in the new one."""
    try:
        os.getcwd()
    except OSError:
        return Reason(Why.SYSTEM, fact="the working directory is gone")
    return None


class Stage:
    """In the fork: takes orders on this channel, and becomes generations in forks of its own."""

    def __init__(self, channel: socket.socket, state: State, become: Become, made: Made) -> None:
        os.setpgid(0, 0)
        lifeline.hang_on_again()
        _forget_signals()
        self._office = Office(channel)
        self._next = Successor(self._office, self._live)
        self._state = state
        self._become = become
        self._made = made
        self._libraries: Imported | None = None

    def serve(self) -> NoReturn:
        """Take orders until there are no more; then what load and init() have left is cleared away."""
        try:
            self._office.tell_process(Initialised(os.getpid(), self._made.files, self._made.init_ms), os.getpid())
            self._office.wait(PREPARE_AFTER)  # meanwhile the generation begins to answer
            self._libraries = imported_libraries()
            while True:
                if self._next.wait_for_order():
                    self._take_order()
        except (OSError, EOFError):
            self._next.dismiss()  # exit handlers may wait for children
            leave(0)
        finally:
            os._exit(1)

    def _take_order(self) -> None:
        order, descriptors = receive_order(self._office.channel)
        assert isinstance(order, KeptOrder)
        try:
            pid = self._next.launch(order, descriptors)
        except OSError as error:
            self._office.tell(Concerned(Reason(Why.SYSTEM, fact=error.strerror or "")))
            return
        reason = self._why_not(order)
        if reason is None:
            self._office.tell_process(Forked(pid), pid)
        else:
            os.killpg(pid, signal.SIGKILL)  # nobody has told it to change anything
            self._office.tell(Concerned(reason))
            self._next.rest()  # what runs init() now makes another stage

    def _why_not(self, order: KeptOrder) -> Reason | None:
        """While the fork makes itself ready: it takes this process as long to decide, and longer to look around."""
        assert self._libraries is not None
        plan = plan_for(order, self._state, by_fork=True)
        return plan if isinstance(plan, Reason) else why_stale(order, self._state, self._made, self._libraries)

    def _live(self, order: Order, descriptors: list[int]) -> NoReturn:
        assert isinstance(order, KeptOrder)
        plan = plan_for(order, self._state, by_fork=True)
        if isinstance(plan, Reason):
            os._exit(0)  # the stage comes to the same end
        self._become(Resumption(self._state, plan, order, tuple(descriptors)))


def _forget_signals() -> None:
    """No server is here that could handle them; the script itself handles none, or there were no stage."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
