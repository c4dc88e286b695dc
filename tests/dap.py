"""The part of VS Code that debugs: breakpoints come in, sessions with debugpy are kept, stops go out."""

from __future__ import annotations

import itertools
import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

DEADLINE = 20.0
"""Seconds for an answer, an event or a stop; far more than any of them needs."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """A thread that stands at a breakpoint: in which session, where, and the number of its innermost call."""

    session: Session
    thread: int
    path: str
    line: int
    frame: int

    def go_on(self) -> None:
        self.session.ask("continue", threadId=self.thread)


class Editor:
    """One window: breakpoints (the lines of each file) that every session gets; for use in a `with`.

    It starts a session for each child process that debugpy announces, and ends one that is over, as VS Code does.
    """

    def __init__(self) -> None:
        self.breakpoints: dict[str, tuple[int, ...]] = {}
        self.sessions: list[Session] = []
        self._stops: queue.SimpleQueue[tuple[Session, Body]] = queue.SimpleQueue()
        self.adapter: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Editor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for session in list(self.sessions):
            session.close()
        if self.adapter is not None:
            self.adapter.kill()
            self.adapter.wait()

    def launch(self, **configuration: Any) -> Session:
        """F5 with a configuration of the kind `launch`."""
        return self._start("launch", configuration, *self._own_adapter())

    def listen(self, port: int, **configuration: Any) -> Session:
        """F5 with a configuration of the kind `attach` that waits until a process connects to this port."""
        body = {"listen": {"host": "127.0.0.1", "port": port}, **configuration}
        return self._start("attach", body, *self._own_adapter())

    def _own_adapter(self) -> tuple[BinaryIO, BinaryIO, Callable[[], None]]:
        command = [sys.executable, "-m", "debugpy.adapter"]
        pipe = subprocess.PIPE
        self.adapter = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert self.adapter.stdin is not None and self.adapter.stdout is not None
        return self.adapter.stdout, self.adapter.stdin, self.adapter.kill  # type: ignore[return-value]

    def attach(self, port: int, **configuration: Any) -> Session:
        """F5 with a configuration of the kind `attach`, to a debugpy that listens on this port."""
        connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        connection.settimeout(None)
        body = {"connect": {"host": "127.0.0.1", "port": port}, **configuration}
        streams = connection.makefile("rb"), connection.makefile("wb")
        return self._start("attach", body, *streams, lambda: hang_up(connection))

    def _start(
        self, request: str, configuration: Body, source: BinaryIO, target: BinaryIO, end: Callable[[], None]
    ) -> Session:
        session = Session(source, target, end, self._heard)
        self.sessions.append(session)
        session.start(request, configuration, dict(self.breakpoints))
        return session

    def _heard(self, session: Session, event: str, body: Body) -> None:
        """From the thread of a session."""
        if event == "debugpyAttach":
            port = body["connect"]["port"]
            threading.Thread(target=self._follow, args=(port, body), daemon=True, name="child session").start()
        elif event == "stopped":
            self._stops.put((session, body))
        elif event == "terminated":
            with suppress(EOFError):  # it was asked to end before
                session.send("disconnect", {})

    def _follow(self, port: int, body: Body) -> None:
        try:
            self.attach(port, **{name: value for name, value in body.items() if name != "connect"})
        except (OSError, EOFError, Refused):
            pass  # the process ended before anybody debugged it

    def save(self, path: Path, text: str, lines: tuple[int, ...]) -> None:
        """Save a file whose breakpoints have moved with the text to `lines`, which running sessions are told."""
        self.breakpoints[str(path)] = lines
        path.write_text(text, encoding="utf-8")
        for session in [session for session in self.sessions if session.is_open]:
            try:
                session.set_breakpoints(str(path), lines, modified=True)
            except (OSError, EOFError, Refused):
                pass  # its process is gone by now

    def wait_for_stop(self, deadline: float = DEADLINE) -> Stop:
        """The next stop of any process at a breakpoint."""
        session, body = self._stops.get(timeout=deadline)
        frame = session.ask("stackTrace", threadId=body["threadId"], startFrame=0, levels=1)["stackFrames"][0]
        return Stop(session, body["threadId"], frame["source"]["path"], frame["line"], frame["id"])


def hang_up(connection: socket.socket) -> None:
    """Also where a thread reads from it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other end has closed it
    connection.close()


class Refused(Exception):
    """The adapter answered a request with an error."""


class Session:
    """One conversation with an adapter; each wait has a deadline. `heard` gets the events, on a thread of its own.

    `end` ends the conversation from this side.
    """

    def __init__(
        self,
        source: BinaryIO,
        target: BinaryIO,
        end: Callable[[], None],
        heard: Callable[[Session, str, Body], None],
    ) -> None:
        self._source, self._target, self._end, self._heard = source, target, end, heard
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._change = threading.Condition()
        self._answers: dict[int, Body] = {}
        self.events: list[tuple[str, Body]] = []
        self.is_open = True
        self._is_disconnecting = False
        self._thread = threading.Thread(target=self._read, daemon=True, name="debug session")
        self._thread.start()

    def start(self, request: str, configuration: Body, breakpoints: Mapping[str, tuple[int, ...]]) -> None:
        """The handshake; returns when the process runs, or has stopped already."""
        self.ask("initialize", clientID="vscode", adapterID="debugpy", linesStartAt1=True, pathFormat="path")
        started = self.send(request, configuration)
        self.wait_for("initialized")
        for path, lines in breakpoints.items():
            self.set_breakpoints(path, lines)
        self.ask("setExceptionBreakpoints", filters=["uncaught"])
        self.ask("configurationDone")
        self.answer(started)

    def set_breakpoints(self, path: str, lines: tuple[int, ...], modified: bool = False) -> None:
        source = {"name": Path(path).name, "path": path}
        self.ask("setBreakpoints", source=source, breakpoints=[{"line": n} for n in lines], sourceModified=modified)

    def ask(self, command: str, **arguments: Any) -> Body:
        """The body of the answer. Errors: `Refused`; EOFError where the session is over."""
        return self.answer(self.send(command, arguments))

    def send(self, command: str, arguments: Body) -> int:
        number = next(self._numbers)
        message = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        content = json.dumps(message).encode()
        with self._lock:
            if self._is_disconnecting:
                raise EOFError(f"the session was ended before: {command}")  # an adapter dies of requests after that
            self._is_disconnecting = command == "disconnect"
            self._target.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
            self._target.flush()
        return number

    def answer(self, number: int) -> Body:
        self._wait(lambda: number in self._answers, f"answer to request {number}")
        answer = self._answers.pop(number)
        if not answer["success"]:
            raise Refused(answer.get("message"))
        body: Body = answer.get("body") or {}
        return body

    def wait_for(self, event: str) -> Body:
        """The body of the first event of this name, past or to come."""
        self._wait(lambda: any(name == event for name, _ in self.events), event)
        return next(body for name, body in self.events if name == event)

    def _wait(self, true: Callable[[], bool], what: str) -> None:
        with self._change:
            end = time.monotonic() + DEADLINE
            while not true():
                if not self.is_open:
                    raise EOFError(f"the session ended before: {what}")
                left = end - time.monotonic()
                assert left > 0, f"not within {DEADLINE:g} s: {what}; heard: {self.events}"
                self._change.wait(left)

    def _read(self) -> None:
        try:
            while (length := self._length()) is not None:
                self._take(json.loads(self._source.read(length)))
        except (OSError, ValueError):
            pass  # closed
        with self._change:
            self.is_open = False
            self._change.notify_all()

    def _length(self) -> int | None:
        found = None
        while line := self._source.readline().strip():
            found = int(line.rpartition(b":")[2])
        return found

    def _take(self, message: Body) -> None:
        with self._change:
            if message["type"] == "response":
                self._answers[message["request_seq"]] = message
            elif message["type"] == "event":
                self.events.append((message["event"], message.get("body") or {}))
            self._change.notify_all()
        if message["type"] == "event":
            self._heard(self, message["event"], message.get("body") or {})

    def disconnect(self, terminate: bool = False) -> None:
        """The stop button: ends the session and, where asked, the process."""
        try:
            self.ask("disconnect", terminateDebuggee=terminate)
        except (OSError, EOFError, Refused):
            pass  # over already

    def close(self) -> None:
        """Ends the conversation and gives everything back."""
        self._end()
        self._thread.join(DEADLINE)
        for stream in (self._target, self._source):
            try:
                stream.close()
            except OSError:
                pass  # what was not sent yet
