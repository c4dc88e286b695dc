"""waitress in threads of this process, on sockets that are bound already."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any
from wsgiref.util import is_hop_by_hop

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask

from devserver.process.platform import System
from devserver.serve import CLOSED_GATE_PAUSE, Plan, WorkerLeaving, Wsgi

IDLE_WAIT = 1.0  # seconds
FIRST_BYTES = 0.2  # seconds in which an accepted connection counts as busy


def run(plan: Plan) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    _on_signal(plan, _leave_loading)
    try:
        app = _without_hop_by_hop(plan.factory())
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    stop = _Stop(plan.graceful_timeout)
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(plan.workers)
    if plan.gate is not None:
        # It would warn of a queue whenever a thread that has answered was not yet idle: only free threads get work.
        dispatcher.queue_logger = logging.Logger("quiet", logging.CRITICAL)
    adjustments = Adjustments(
        sockets=list(plan.listeners), threads=plan.workers, ident=None, clear_untrusted_proxy_headers=False
    )
    sockets: dict[int, Any] = {}
    servers = [_Server(plan, stop, app, sockets, dispatcher, adjustments, listener) for listener in plan.listeners]

    def stop_serving(number: int, _frame: FrameType | None) -> None:
        stop.ask(at_once=number == signal.SIGINT)
        servers[0].pull_trigger()

    _on_signal(plan, stop_serving)
    System.wake_by_signals(servers[0].trigger.trigger)
    if plan.witness is not None:
        plan.witness.booted(servers[0])
    while not (stop.is_asked() and all(server.is_idle() for server in servers)) and not stop.is_overdue():
        pause = CLOSED_GATE_PAUSE if plan.gate is not None and not plan.gate.is_open() else IDLE_WAIT
        if plan.gate is not None and plan.gate.is_over():
            stop.ask()
        wasyncore.loop(timeout=pause, map=sockets, use_poll=True, count=1)
    return 0


class _Stop:
    """The wish to end: from then on nothing is accepted, and what is in flight has `patience` seconds, or none."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._deadline: float | None = None

    def ask(self, at_once: bool = False) -> None:
        deadline = time.monotonic() + (0.0 if at_once else self._patience)
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def is_asked(self) -> bool:
        return self._deadline is not None

    def is_overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline


def _on_signal(plan: Plan, handler: Callable[[int, FrameType | None], None]) -> None:
    """In the dev loop Ctrl-C is not for the server."""
    for number in (signal.SIGTERM, signal.SIGINT) if plan.gate is None else (signal.SIGTERM,):
        signal.signal(number, handler)


def _leave_loading(_number: int, _frame: FrameType | None) -> None:
    raise WorkerLeaving(0)


def _without_hop_by_hop(app: Wsgi) -> Wsgi:
    """The app without headers that belong to the connection; a script may set them, and gunicorn drops them."""

    def wrapped(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = [(name, value) for name, value in headers if not is_hop_by_hop(name)]
            return start_response(status, kept, exc_info)

        return app(environ, start)

    return wrapped


class _ClosingTask(WSGITask):  # type: ignore[misc]
    """Closes the connection after each answer, and says so in it."""

    def execute(self) -> None:
        self.set_close_on_finish()
        super().execute()


class _ClosingChannel(HTTPChannel):  # type: ignore[misc]
    task_class = _ClosingTask


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """Accepts while it is not told to stop, the gate is open and, with a gate, a thread is free.

    So in the dev loop a request that nobody works on yet waits in the listener, where the next generation finds it.
    """

    def __init__(
        self, plan: Plan, stop: _Stop, app: Any, sockets: Any, dispatcher: Any, adj: Any, listener: Any
    ) -> None:
        self.plan = plan
        self.stop = stop
        if plan.close_connections:
            self.channel_class = _ClosingChannel
        info = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(app, sockets, _sock=listener, dispatcher=dispatcher, adj=adj, sockinfo=info, bind_socket=False)

    def readable(self) -> bool:
        if self.stop.is_asked():
            return False
        if self.plan.gate is not None and (self._busy() >= self.plan.workers or not self.plan.gate.is_open()):
            return False
        return bool(super().readable())

    def handle_accept(self) -> None:
        if self.plan.gate is None or (self.plan.gate.is_open() and not self.stop.is_asked()):
            super().handle_accept()

    def _busy(self) -> int:
        return sum(_is_busy(channel) for channel in list(self.active_channels.values()))

    def is_idle(self) -> bool:
        return self._busy() == 0


def _is_busy(channel: Any) -> bool:
    """Whether a request is on this connection, or about to be: it was accepted a moment ago."""
    working = channel.requests or channel.request is not None or channel.total_outbufs_len
    return bool(working or time.time() - channel.creation_time < FIRST_BYTES)
