"""gunicorn with sync workers, started in this process on sockets that are bound already."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Chdir
from gunicorn.config import Config as GunicornConfig
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.sync import SyncWorker

from devserver.process.platform import System, leave
from devserver.serve import CLOSED_GATE_PAUSE, Plan, WorkerAborted, WorkerLeaving, Wsgi

QUICK_STOP = 2  # seconds that workers get after Ctrl-C
ACCESS_LINE = '%s - - [%s] "%s %s %s" %s %s "%s" "%s"'
TO_WORKERS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT}
PARENT_LOOK = 1.0  # seconds after which an idle worker looks whether its parent lives; gunicorn takes half its timeout


def run(plan: Plan) -> int:
    """Serve until a signal; returns the exit code in the parent."""
    parent = os.getpid()
    try:
        _Arbiter(_Application(plan)).run()
    except SystemExit as leaving:
        if os.getpid() != parent:
            raise
        return leaving.code if isinstance(leaving.code, int) else 1
    return 0


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
            "bind": [f"fd://{listener.fileno()}" for listener in plan.listeners],
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


class _Worker(SyncWorker):  # type: ignore[misc]
    """A sync worker that asks the gate before it accepts."""

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
        super().run()

    def handle(self, listener: Any, client: Any, address: Any) -> None:
        try:
            super().handle(listener, client, address)
        finally:
            self.log.write_access()

    def handle_request(self, listener: Any, request: Any, client: Any, address: Any) -> None:
        super().handle_request(listener, request, client, address)
        if _is_over(request, client):
            client.close()  # gunicorn itself would wait for the client to close first, and answer nobody meanwhile

    def accept(self, listener: Any) -> None:
        gate = self.plan.gate
        if gate is None:
            super().accept(listener)
            return
        with gate.turn():
            # A connection that waits now came before the files are looked at, so its request is not newer than they.
            waiting = select.select([listener], [], [], 0)[0]
            if not waiting or not gate.is_open():
                raise BlockingIOError(errno.EAGAIN, "nothing to accept")
            client, address = listener.accept()
        client.setblocking(True)
        self.handle(listener, client, address)

    def wait(self, timeout: float) -> Any:
        gate = self.plan.gate
        if gate is None or gate.is_open():
            return super().wait(min(timeout, PARENT_LOOK))
        self.notify()
        self.alive = self.alive and not gate.is_over()  # the script may have SIGTERM ignored
        select.select([self.PIPE[0]], [], [], CLOSED_GATE_PAUSE)
        return None

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


def _is_over(request: Any, client: Any) -> bool:
    """Whether the client has sent its whole request and nothing more; else closing now could cut off the answer."""
    client.setblocking(False)
    try:
        return not request.body.read(1) and not _has_data(client)
    except Exception:
        return False


def _has_data(client: Any) -> bool:
    readable = select.select([client], [], [], 0)[0]
    return bool(readable and client.recv(1, socket.MSG_PEEK))  # nothing to read: the client has closed its side


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
        if not isinstance(sys.exc_info()[1], WorkerLeaving):  # a call that this server itself cuts off is no error
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
