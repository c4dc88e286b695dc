"""Serves a plan with gunicorn's sync workers, started in-process on sockets that are bound already.

gunicorn's own sync worker reads a request when it has taken its turn, and then waits for the client. Here the intake
reads it before, and the worker gets a connection of which the first bytes are there already.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Chdir
from gunicorn.config import Config as GunicornConfig
from gunicorn.errors import HaltServer
from gunicorn.util import parse_address
from gunicorn.workers import base

from devserver.process.platform import System
from devserver.serve import Plan, Wsgi
from devserver.serve.gunicorn_log import ServerLogger
from devserver.serve.gunicorn_worker import TO_WORKERS, IntakeWorker, others_signals
from devserver.serve.handoff import Handoff, split

QUICK_STOP = 2  # seconds that workers get after Ctrl-C

random.Random(b"")  # has Python import now, and not from the script's folder later, what gunicorn's own seed needs


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
    """Does ahead of a fork what takes longest in every start: gunicorn's table of settings, and its expressions."""
    _prepared[:] = [GunicornConfig()]
    parse_address("fd://0")


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
            "worker_class": f"{IntakeWorker.__module__}.{IntakeWorker.__name__}",  # before 23 it has to be text
            "http_parser": "python",  # else the first request of each process looks for a faster one in all folders
            "timeout": plan.worker_timeout,
            "graceful_timeout": max(1, round(plan.graceful_timeout)),
            "preload_app": plan.preload,
            "logger_class": ServerLogger,
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

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        # gunicorn has these in the class: this process may be a fork of a worker, and know another arbiter's
        self.WORKERS: dict[int, Any] = {}
        self.LISTENERS: list[Any] = []
        self.PIPE: list[int] = []

    def init_signals(self) -> None:
        with others_signals(self.app.plan):
            super().init_signals()

    def spawn_worker(self) -> Any:
        # A signal that reaches a new worker before its own handlers stand would be lost: they wait until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, TO_WORKERS)
        try:
            pid = super().spawn_worker()
            if self.app.plan.witness is not None:
                self.app.plan.witness.has_forked()
            return pid
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
