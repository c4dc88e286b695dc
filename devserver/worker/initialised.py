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
from devserver.process.wire import Concerned, Ended, Forked, Initialised, KeptOrder, receive_order
from devserver.records.reasons import Reason, Why
from devserver.records.record import record
from devserver.usercode import loader
from devserver.worker.forks import Office, ended_children, lead_group
from devserver.worker.keep.decide import Plan, decide
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


def plan_for(order: KeptOrder, state: State, made: Made, libraries: Imported, by_fork: bool) -> Plan | Reason:
    """What to change for this order, or why init() has to run again."""
    contents = {path: content for path, (content, _) in order.contents.items()}
    plan = decide(state.history, contents, by_fork=by_fork)
    if isinstance(plan, Reason):
        return plan
    changed = libraries.changed()
    if changed is not None:
        return Reason(Why.LIBRARY, path=changed)
    if (lost := stands_nowhere()) is not None:
        return lost
    other = next((path for path in made.differences() if path not in order.contents), None)
    if other is not None:
        return Reason(Why.DATA, path=other)
    return plan


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
                ordered, ended = self._office.wait(None)
                for pid, status in ended_children() if ended else ():
                    self._office.tell(Ended(pid, os.waitstatus_to_exitcode(status)))
                if ordered:
                    self._take_order()
        except (OSError, EOFError):
            leave(0)
        finally:
            os._exit(1)

    def _take_order(self) -> None:
        order, descriptors = receive_order(self._office.channel)
        assert isinstance(order, KeptOrder)
        assert self._libraries is not None
        plan = plan_for(order, self._state, self._made, self._libraries, by_fork=True)
        try:
            if isinstance(plan, Reason):
                self._office.tell(Concerned(plan))
            else:
                self._fork(Resumption(self._state, plan, order, tuple(descriptors)))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, resumption: Resumption) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._office.tell(Concerned(Reason(Why.SYSTEM, fact=error.strerror or "")))
            return
        if pid == 0:
            self._office.leave()
            self._become(resumption)
        lead_group(pid)
        self._office.tell_process(Forked(pid), pid)


def _forget_signals() -> None:
    """No server is here that could handle them; the script itself handles none, or there were no stage."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
