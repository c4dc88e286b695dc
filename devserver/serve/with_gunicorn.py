"""Serves a plan with gunicorn's sync workers, started in-process on sockets that are bound already.

gunicorn's own sync worker reads a request when it has taken its turn, and then waits for the client. Here the intake
reads it before, and the worker gets a connection of which the first bytes are there already.
"""

from __future__ import annotations

import errno
import logging
import logging.config
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Chdir
from gunicorn.config import Config as GunicornConfig
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers import base
from gunicorn.workers.sync import SyncWorker

from devserver.process.platform import System, leave
from devserver.serve import CLOSED_GATE_PAUSE, Plan, WorkerAborted, WorkerLeaving, Wsgi, is_told
from devserver.serve.client import BodyMissing, Client, Draft
from devserver.serve.handoff import Handoff, split
from devserver.serve.intake import LINGER, QUIET, Intake
from devserver.serve.kept import Kept

QUICK_STOP = 2  # seconds that workers get after Ctrl-C
ACCESS_LINE = '%s - - [%s] "%s %s %s" %s %s "%s" "%s"'
TO_WORKERS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT}
PARENT_LOOK = 1.0  # seconds after which an idle worker looks whether its parent lives; gunicorn takes half its timeout
ATTEND = 0.05  # seconds after which a worker that is never idle looks at the connections that are not done yet
MOST_AT_ONCE = 100  # connections that are accepted in a row


def run(plan: Plan) -> int:
    """Serve until a signal; returns the exit code in the parent."""
    parent = os.getpid()
    plan = _with_handoff(plan)
    base.WorkerTmp = _Pulse
    try:
        _Arbiter(_Application(plan)).run()
    except SystemExit as leaving:
        if os.getpid() != parent:
            raise
        return leaving.code if isinstance(leaving.code, int) else 1
    return 0


def _with_handoff(plan: Plan) -> Plan:
    """The plan with a handoff for its workers, unless the generations share one."""
    handoff = None if split(plan.listeners)[1] else Handoff.make()
    return plan if handoff is None else replace(plan, listeners=[*plan.listeners, *handoff.sockets])


_prepared: list[GunicornConfig] = []


def prepare() -> None:
    """Does ahead of a fork what takes longest in every start: gunicorn's table of settings."""
    _prepared[:] = [GunicornConfig()]


class _Application(BaseApplication):  # type: ignore[misc]
    """The plan in gunicorn's terms."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        Chdir.default = os.getcwd()  # it is where gunicorn was imported, and that folder may be gone
        super().__init__()

    def load_default_config(self) -> None:
        self.cfg = _prepared.pop() if _prepared else GunicornConfig()
        self.cfg.set("chdir", Chdir.default)

    def load_config(self) -> None:
        plan = self.plan
        settings: dict[str, Any] = {
            "bind": [f"fd://{listener.fileno()}" for listener in split(plan.listeners)[0]],
            "workers": plan.workers,
            "worker_class": f"{__name__}.{_Worker.__name__}",  # before 23 it has to be text
            "timeout": plan.worker_timeout,
            "graceful_timeout": max(1, round(plan.graceful_timeout)),
            "preload_app": plan.preload,
            "logger_class": _Logger,
            "accesslog": "-",
            "proc_name": "azmlinfsrv",
            # a socket in the home folder that all servers of a user would share
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)
        self.cfg.plan = plan

    def load(self) -> Wsgi:
        return self.plan.factory()


class _Arbiter(Arbiter):  # type: ignore[misc]
    """Reports how a worker ended, and may be told to end with it."""

    halting = False

    def init_signals(self) -> None:
        with _own_interrupt(self.app.plan):
            super().init_signals()

    def spawn_worker(self) -> Any:
        # A signal that reaches a new worker before its own handlers stand would be lost: they wait until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, TO_WORKERS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_WORKERS)

    def stop(self, graceful: bool = True) -> None:
        self.halting = True
        if not graceful:
            self.cfg.set("graceful_timeout", QUICK_STOP)
        super().stop(graceful)

    def reap_workers(self) -> None:
        """Looks at how each worker ended before gunicorn clears it away, since gunicorn tells nobody."""
        ended = {pid: (worker, System.ended_child(pid)) for pid, worker in list(self.WORKERS.items())}
        try:
            super().reap_workers()
        except HaltServer:
            pass  # exit codes 3 and 4 mean something to gunicorn; a script may end with any, and the witness decides
        if self.halting:
            return
        for pid, (worker, status) in ended.items():
            if pid not in self.WORKERS:
                self._tell(worker, status)

    def _tell(self, worker: Any, status: int | None) -> None:
        witness = self.app.plan.witness
        code = witness.ended(worker, status) if witness is not None else None
        if code is not None:
            raise HaltServer("a worker ended", code)


@contextmanager
def _own_interrupt(plan: Plan) -> Iterator[None]:
    """In the dev loop Ctrl-C is not for the server."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    if plan.gate is not None:
        signal.signal(signal.SIGINT, handler)


class _Pulse:
    """The file by which a worker shows that it lives; gunicorn's own needs a folder that can be written."""

    def __init__(self, _cfg: object) -> None:
        self._file = System.nameless_file()

    def notify(self) -> None:
        now = time.monotonic()
        os.utime(self._file, (now, now))

    def last_update(self) -> float:
        return os.fstat(self._file).st_mtime

    def fileno(self) -> int:
        return self._file

    def close(self) -> None:
        os.close(self._file)


class _Worker(SyncWorker):  # type: ignore[misc]
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
        with _own_interrupt(self.plan):
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


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's two loggers, with handlers from the logging configuration and a quick access line."""

    _unwritten: logging.LogRecord | None = None

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.addFilter(ToldFilter())

    def exception(self, text: str, *values: Any, **facts: Any) -> None:
        if not is_told(sys.exc_info()[1]):
            super().exception(text, *values, **facts)

    def access(self, resp: Any, _request: Any, environ: Any, _request_time: Any) -> None:
        """Only takes note: no client has to wait for a line that is not for it."""
        log = self.access_log
        if not log.isEnabledFor(20):
            return
        values = (
            environ.get("REMOTE_ADDR", "-"),
            time.strftime("%d/%b/%Y:%H:%M:%S %z"),
            environ["REQUEST_METHOD"],
            environ["RAW_URI"],
            environ["SERVER_PROTOCOL"],
            str(resp.status).split(None, 1)[0],
            getattr(resp, "sent", None) or "-",
            environ.get("HTTP_REFERER", "-"),
            environ.get("HTTP_USER_AGENT", "-"),
        )
        # info() would search for the calling line, which is always this one
        self._unwritten = log.makeRecord(log.name, 20, __file__, 0, ACCESS_LINE, values, None)

    def write_access(self) -> None:
        """Write the line of the request that is over."""
        record, self._unwritten = self._unwritten, None
        if record is not None:
            self.access_log.handle(record)


class ToldFilter(logging.Filter):
    """Drops gunicorn's lines about the end of a worker: the tool tells it itself, with the place."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Shutting down: "):
            return record.levelno < logging.ERROR
        return not text.startswith(("Worker (pid:", "WORKER TIMEOUT", "Reason: a worker ended"))
