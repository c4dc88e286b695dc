"""gunicorn's sync worker, with an intake that reads requests before they take a turn."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from gunicorn.workers.sync import SyncWorker

from devserver.process.platform import leave, unless_ignored
from devserver.serve import CLOSED_GATE_PAUSE, Plan, WorkerAborted, WorkerLeaving
from devserver.serve.client import BodyMissing, Client, Draft
from devserver.serve.handoff import split
from devserver.serve.intake import LINGER, QUIET, Intake
from devserver.serve.kept import Kept

TO_WORKERS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT}
PARENT_LOOK = 1.0  # seconds after which an idle worker looks whether its parent lives; gunicorn takes half its timeout
ATTEND = 0.05  # seconds after which a worker that is never idle looks at the connections that are not done yet
MOST_AT_ONCE = 100  # connections that are accepted in a row


@contextmanager
def others_signals(plan: Plan) -> Iterator[None]:
    """gunicorn handles all signals in there; not those that were ignored before, nor Ctrl-C in the dev loop."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    not_ours = set(before) - set(unless_ignored(before))
    yield
    for number in not_ours if plan.gate is None else not_ours | {signal.SIGINT}:
        signal.signal(number, before[number])


class IntakeWorker(SyncWorker):  # type: ignore[misc]
    """A sync worker that takes whole requests, and asks the gate before."""

    alive: bool

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.plan: Plan = self.app.plan
        if self.plan.witness is not None:
            self.plan.witness.forking(self)

    def init_process(self) -> None:
        if self.plan.witness is not None:
            self.plan.witness.forked(self)
        if self.plan.limit_loading:
            self.notify()  # the clock of the worker timeout runs from the first notice on
        try:
            super().init_process()
        finally:
            _leave(sys.exc_info()[1])

    def init_signals(self) -> None:
        with others_signals(self.plan):
            super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_WORKERS)

    def run(self) -> None:
        if self.plan.witness is not None:
            self.plan.witness.booted(self)
        self.intake = Intake(split(self.plan.listeners)[1], self.plan.headers, tries=True)
        self._attend_at = 0.0
        self._sources: dict[int, Callable[[], object]] = {self.PIPE[0]: self._woken}
        self._sources |= {listener.fileno(): lambda: None for listener in self.sockets}
        if self.intake.handoff is not None:
            self._sources[self.intake.handoff.fileno()] = self.intake.collect
        self._idle = _waiter(self._sources)
        for listener in self.sockets:
            listener.setblocking(False)
        while self.alive:
            self.notify()
            request = self._next()
            if request is not None:
                self._serve(request)
            elif not self.is_parent_alive():
                break
        self._pass_on()

    def _pass_on(self) -> None:
        """Requests are for other workers. An answer is, too, where a generation follows; else it is waited for."""
        follows = self.plan.gate is not None
        end = time.monotonic() + LINGER
        self.intake.set_aside(answers=follows)
        while self.intake.kept and (time.monotonic() < end or (self.intake.is_answering and not follows)):
            self.notify()
            self.intake.expire()
            self._poll(select.poll(), LINGER / 10)
            self.intake.set_aside(answers=follows)

    # --- which request is the next

    def _next(self) -> Kept | None:
        """A request that is whole, and new enough to be answered by this code; None after a wait."""
        now = time.monotonic()
        if now >= self._attend_at:
            self._attend(0)
        if self.intake.whole and self._gate_is_open():
            return self.intake.whole.popleft()
        for number, listener in enumerate(self.sockets):
            request = self._accepted(number, listener)
            if request is not None:
                return request
        if self._gate_is_open():
            self._attend(PARENT_LOOK)
        else:
            self._wait_for_gate()
        return None

    def _gate_is_open(self) -> bool:
        return self.plan.gate is None or self.plan.gate.is_open()

    def _accepted(self, number: int, listener: Any) -> Kept | None:
        """A new connection that brings a whole request; others that wait before it are kept."""
        for _ in range(MOST_AT_ONCE):
            new = self._accept(listener)
            if new is None:
                return None
            request = self.intake.admit(*new, number)
            if request is not None:
                return request
        return None

    def _accept(self, listener: Any) -> tuple[socket.socket, Any] | None:
        try:
            if self.plan.gate is None:
                return listener.accept()  # type: ignore[no-any-return]
            with self.plan.gate.turn():
                # One that waits now came before the files are looked at, so its request is not newer than they.
                return (
                    listener.accept() if select.select([listener], [], [], 0)[0] and self.plan.gate.is_open() else None
                )
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE) and self.intake.make_room():
                return None
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                raise
            return None

    def _attend(self, seconds: float) -> None:
        """Wait so long for something to happen, and look after the connections that are not done yet."""
        if not self.intake.kept:
            self._poll(self._idle, 0 if self.intake.whole else seconds)
        else:
            self._poll(_waiter(self._sources), 0 if self.intake.whole else min(seconds, QUIET))
            self.intake.expire()
        self._attend_at = time.monotonic() + ATTEND

    def _poll(self, waiter: select.poll, seconds: float) -> None:
        """Wait for the connections that are kept, too."""
        for descriptor, one in self.intake.kept.items():
            waiter.register(descriptor, select.POLLOUT if one.phase == "answer" else select.POLLIN)
        for descriptor, _ in waiter.poll(seconds * 1000):
            if descriptor in self._sources:
                self._sources[descriptor]()
            else:
                self.intake.attend(descriptor)

    def _woken(self) -> None:
        os.read(self.PIPE[0], 1 << 12)

    def _wait_for_gate(self) -> None:
        assert self.plan.gate is not None
        self.alive = self.alive and not self.plan.gate.is_over()  # the script may have SIGTERM ignored
        select.select([self.PIPE[0]], [], [], CLOSED_GATE_PAUSE)

    # --- its answer

    def _serve(self, request: Kept) -> None:
        """While the script has this process, whoever is free looks after the other connections."""
        self.intake.set_aside()
        client = Client(request, self.intake)
        try:
            self.handle(self.sockets[request.listener], client, request.address)
        finally:
            self.log.write_access()

    def handle_request(self, listener: Any, request: Any, client: Any, address: Any) -> None:
        super().handle_request(listener, request, client, address)
        client.is_over = client.has_sent_all()
        client.close()

    def handle_error(self, request: Any, client: Any, address: Any, error: BaseException) -> None:
        if isinstance(error, BodyMissing):
            client.put_back()
            return
        super().handle_error(request, Draft(client, self.plan.headers), address, error)

    def handle_abort(self, _number: int, _frame: FrameType | None) -> None:
        # a worker that was loading lives on, to answer with that error
        self.alive = not self.booted
        if self.plan.witness is not None:
            self.plan.witness.aborting(self)
        raise WorkerAborted(1)

    def handle_quit(self, _number: int, _frame: FrameType | None) -> None:
        self.alive = False
        raise WorkerLeaving(0)

    def handle_exit(self, _number: int, _frame: FrameType | None) -> None:
        self.alive = False
        if not self.booted:
            raise WorkerLeaving(0)  # nothing is in flight yet


def _waiter(descriptors: Iterable[int]) -> select.poll:
    """Waits until one of them can be read."""
    waiter = select.poll()
    for descriptor in descriptors:
        waiter.register(descriptor, select.POLLIN)
    return waiter


def _leave(error: BaseException | None) -> None:
    if error is None or isinstance(error, SystemExit):
        leave(error.code if error is not None and isinstance(error.code, int) else 0)
