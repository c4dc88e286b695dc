"""Serves a plan with waitress, in threads of this process, on sockets that are bound already.

waitress reads all connections side by side, but knows nothing of generations: here a connection becomes one of its
channels when the intake has its first request whole.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from types import FrameType
from typing import Any
from wsgiref.util import is_hop_by_hop

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from devserver.process.platform import System, unless_ignored
from devserver.serve import CLOSED_GATE_PAUSE, Plan, WorkerLeaving, Wsgi
from devserver.serve.handoff import split
from devserver.serve.intake import BACKLOG, MOST, Intake
from devserver.serve.kept import Kept
from devserver.serve.relay import Relay
from devserver.serve.waitress_channels import Channel, ClosingChannel, is_busy, is_served

IDLE_WAIT = 1.0  # seconds
CHANNELS = 2 * MOST + 16  # sockets in all; more than the intake keeps
RELOADED = "The script was changed while this request was being sent: send it again."
SENDING = 1.0  # seconds in which a retired server hears out whoever is sending, where nobody else can


def run(plan: Plan) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    _on_signal(plan, _leave_loading)
    try:
        app = _without_hop_by_hop(plan.factory())
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    stop = _Stop(plan.graceful_timeout)
    desk = _Desk(plan, stop, app)

    def stop_serving(number: int, _frame: FrameType | None) -> None:
        stop.ask(at_once=number == signal.SIGINT)
        desk.wake()

    _on_signal(plan, stop_serving)
    System.wake_by_signals(desk.servers[0].trigger.trigger)
    if plan.witness is not None:
        plan.witness.booted(desk)
    while not (stop.is_asked() and desk.is_idle()) and not stop.is_overdue():
        desk.turn()
    desk.close()
    return 0


class _Stop:
    """The wish to end: from then on nothing is accepted, and what is in flight has `patience` seconds, or none."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._asked_at = self._deadline = math.inf

    def ask(self, at_once: bool = False) -> None:
        now = time.monotonic()
        self._asked_at = min(self._asked_at, now)
        self._deadline = min(self._deadline, now if at_once else now + self._patience)

    def is_asked(self) -> bool:
        return self._asked_at < math.inf

    def waits_for_clients(self) -> bool:
        """Whether there is a moment left for what is being sent."""
        return time.monotonic() - self._asked_at < SENDING

    def is_overdue(self) -> bool:
        return time.monotonic() >= self._deadline


def _on_signal(plan: Plan, handler: Callable[[int, FrameType | None], None]) -> None:
    """In the dev loop Ctrl-C is not for the server, nor is it where it was ignored before."""
    for number in (signal.SIGTERM, *(unless_ignored([signal.SIGINT]) if plan.gate is None else ())):
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


class _Desk:
    """What the loop of the main thread does: it reads, and passes whole requests on to the threads."""

    def __init__(self, plan: Plan, stop: _Stop, app: Wsgi) -> None:
        self.plan = plan
        self.stop = stop
        listeners, handoff = split(plan.listeners)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(plan.workers)
        if plan.gate is not None:
            # It would warn of a queue whenever a thread that has answered was not yet idle: only free threads get work.
            dispatcher.queue_logger = logging.Logger("quiet", logging.CRITICAL)
        adjustments = Adjustments(
            sockets=listeners,
            threads=plan.workers,
            ident=None,
            clear_untrusted_proxy_headers=False,
            connection_limit=CHANNELS,
            outbuf_high_watermark=BACKLOG,
            **_without_files(),
        )
        self.intake = Intake(handoff, plan.headers, adjustments.max_request_body_size)
        self.relay = Relay()
        self.is_listening = True
        self.is_watching = False
        self.sockets: dict[int, Any] = {}
        self.servers = [
            _Server(self, app, dispatcher, adjustments, number, each) for number, each in enumerate(listeners)
        ]
        if handoff is not None:
            _Returned(self)

    def turn(self) -> None:
        """Wait for something to happen, and do what it asks for."""
        gate = self.plan.gate
        if gate is not None and gate.is_over():
            self.stop.ask()
        if self.stop.is_asked() or self.is_full():
            self.intake.set_aside()
        is_open = gate is None or gate.is_open()
        self.is_listening = is_open and not self.stop.is_asked() and not self.is_full()
        self.watch_kept()
        pause = IDLE_WAIT if is_open else CLOSED_GATE_PAUSE
        wasyncore.loop(timeout=pause, map=self.sockets, use_poll=True, count=1)
        self.intake.expire()
        self.serve_whole()

    def watch_kept(self) -> None:
        """Let the loop look at the connections that the intake keeps, and at no others of its."""
        if not self.intake.kept and not self.is_watching:
            return
        self.is_watching = bool(self.intake.kept)
        for descriptor in self.intake.kept:
            if descriptor not in self.sockets:
                self.sockets[descriptor] = _Watched(self, descriptor)
        gone = [d for d, each in self.sockets.items() if isinstance(each, _Watched) and d not in self.intake.kept]
        for descriptor in gone:
            del self.sockets[descriptor]

    def serve_whole(self) -> None:
        """Give to the threads what they have room for."""
        whole = self.intake.whole
        while whole and self.is_admitting():
            self.serve(whole.popleft())
        while whole and self._is_the_last():
            one = whole.popleft()
            if not self.relay.take(one):
                self._answer_late(one)

    def _answer_late(self, one: Kept) -> None:
        if one.has_begun:
            self.serve(one)  # it is older than the save, as one that is being answered
        else:
            self.intake.refuse(one, "503 Service Unavailable", RELOADED)

    def _is_the_last(self) -> bool:
        """Whether the generation is retired, and can give to no other the connections that it holds."""
        return self.intake.handoff is None and self.plan.gate is not None and self.plan.gate.is_over()

    def serve(self, request: Kept) -> None:
        """Let a thread answer this one; by the time that it begins, whoever has to wait is where no crash can harm."""
        if self.is_full(with_another=1):
            self.intake.set_aside()
        self.servers[request.listener].open_channel(request)

    def is_admitting(self) -> bool:
        """Whether a request may be taken now; in the dev loop one that nobody can work on yet waits where it is."""
        if self.stop.is_asked():
            return False
        return self.plan.gate is None or (not self.is_full() and self.plan.gate.is_open())

    def is_full(self, with_another: int = 0) -> bool:
        """Whether no thread is free, where that matters; one whose client has not taken the answer is free."""
        if self.plan.gate is None:
            return False
        return sum(map(is_served, self.channels())) + with_another >= self.plan.workers

    def is_idle(self) -> bool:
        """Whether nothing is being answered."""
        hears = self._is_the_last() and self.intake.is_hearing and self.stop.waits_for_clients()
        answers = self.intake.is_answering or self.relay.is_busy or any(map(is_busy, self.channels()))
        return not hears and not answers

    def channels(self) -> list[Any]:
        """Those of all listeners."""
        return [channel for server in self.servers for channel in list(server.active_channels.values())]

    def wake(self) -> None:
        """End the wait of the loop."""
        self.servers[0].pull_trigger()

    def close(self) -> None:
        """Pass on what is not done, and close the rest."""
        self.intake.set_aside()
        self.intake.close()


def _without_files() -> dict[str, int]:
    """The settings that keep waitress from making files, where no folder for them can be written."""
    try:
        tempfile.gettempdir()
    except OSError:
        return {"inbuf_overflow": sys.maxsize, "outbuf_overflow": sys.maxsize}
    return {}


class _Watched:
    """Stands in waitress's loop for a connection that the intake keeps."""

    accepting = False

    def __init__(self, desk: _Desk, descriptor: int) -> None:
        self.desk = desk
        self.descriptor = descriptor

    def readable(self) -> bool:
        return not self.writable()

    def writable(self) -> bool:
        one = self.desk.intake.kept.get(self.descriptor)
        return one is not None and one.phase == "answer"

    def handle_read_event(self) -> None:
        self.desk.intake.attend(self.descriptor)

    handle_write_event = handle_expt_event = handle_close = handle_read_event

    def handle_error(self) -> None:
        raise  # it is called while an exception is handled


class _Returned(wasyncore.dispatcher):  # type: ignore[misc]
    """Takes connections out of the handoff while there is somebody to answer."""

    def __init__(self, desk: _Desk) -> None:
        self.desk = desk
        self._fileno = desk.intake.handoff.fileno() if desk.intake.handoff is not None else -1
        desk.sockets[self._fileno] = self

    def readable(self) -> bool:
        return self.desk.is_listening

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        if self.desk.is_admitting():  # the last free thread may have got work since the loop began to wait
            self.desk.intake.collect()


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """Accepts while the desk admits; so in the dev loop a request that nobody works on yet waits in the listener."""

    def __init__(self, desk: _Desk, app: Any, dispatcher: Any, adj: Any, number: int, listener: Any) -> None:
        self.desk = desk
        self.number = number
        self.channel_class = ClosingChannel if desk.plan.close_connections else Channel
        info = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(
            app, desk.sockets, _sock=listener, dispatcher=dispatcher, adj=adj, sockinfo=info, bind_socket=False
        )

    def readable(self) -> bool:
        self._make_room()
        return self.desk.is_listening and bool(super().readable())

    def _make_room(self) -> None:
        """Close the connection that has been idle for the longest time, where there are too many."""
        if len(self._map) >= CHANNELS - 1:
            idle = [channel for channel in self.active_channels.values() if not is_busy(channel)]
            oldest = min(idle, key=lambda channel: channel.last_activity, default=None)
            if oldest is not None:
                oldest.handle_close()

    def handle_accept(self) -> None:
        if not self.desk.is_admitting():
            return
        try:
            accepted = self.accept()
        except OSError:
            accepted = None  # the client has gone away already, or there is no descriptor left
            self.desk.intake.make_room()
        if accepted is None:
            return
        client, address = accepted
        client.setblocking(False)
        request = self.desk.intake.admit(client, self.fix_addr(address), self.number)
        if request is not None:
            self.desk.serve(request)

    def open_channel(self, request: Kept) -> None:
        """Let the threads answer this request, and waitress read those that follow on the same connection."""
        try:
            self.set_socket_options(request.socket)
        except OSError:
            pass  # the client has gone away, which the channel will see
        channel = self.channel_class(self, request.socket, request.address, self.adj, map=self._map)
        try:
            channel.begin(request)
        except OSError as error:
            self.logger.error("a request cannot be kept: %s", error.strerror or error)
            channel.handle_close()
