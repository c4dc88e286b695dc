"""Collects what the app tells, and has a thread send it to Application Insights.

The queue and the thread are our own because the batch processors of OpenTelemetry's SDK do not keep the 2 s of patience
at the end (shutdown() waits 30 s, force_flush() ignores its timeout), go on with their parent's connection in a forked
process, and wake their thread by a `threading.Event`, whose lock can stay locked for good when the scoring time limit
raises within it, so that every later request waits for ever.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from devserver.config.settings import Config
from devserver.scoring.azure_monitor import BODY_LENGTH, PROPERTY_LENGTH, TEXT_LENGTH, Exporters
from devserver.scoring.telemetry import Answered, Off, Record, Telemetry, one_line

INSTALL = "pip install azure-monitor-opentelemetry-exporter"
UPGRADE = "pip install --upgrade azure-monitor-opentelemetry-exporter opentelemetry-sdk"
INTERVAL = 5.0  # seconds between two sendings
BATCH = 100  # items that are sent together, and sooner than INTERVAL once so many wait
WAITING = 2048  # items that wait for a slow sink; beyond it the oldest are dropped
PATIENCE = 2.0  # seconds that flush() and close() of one process wait altogether; with preload two processes do
OUR_PACKAGE = __name__.partition(".")[0]

Send = Callable[[Sequence[Answered | Record]], str | None]


def start(config: Config, say: Callable[[str], None]) -> Telemetry:
    """What tells Application Insights what this process does; `close()` is called when the interpreter ends.

    `say` gets one line when telemetry is wanted and cannot be had, and one, from another thread, when the sink first
    does not take what it is sent.
    """
    if not config.telemetry_on:
        return Off()
    try:
        insights = Insights(config, lambda: Exporters(config).send, say)
    except ModuleNotFoundError as error:
        say(f"Application Insights is off ({error}). Run: {INSTALL}")
        return Off()
    except ImportError as error:
        say(f"Application Insights is off ({error}). Run: {UPGRADE}")
        return Off()
    except Exception as error:
        say(f"Application Insights is off ({one_line(error)})")
        return Off()
    atexit.register(insights.close)
    return insights


class Insights(Telemetry):
    """Makes items of what it is told, and sends those that wait every `interval` seconds, or when `BATCH` items wait.

    `connect` makes what sends: it gets at most `BATCH` items, and returns what went wrong, or None. It is called anew
    in a process that was forked later and has something to tell, for a connection must not be shared. Errors of the
    first call are the caller's.
    """

    on = True

    def __init__(
        self, config: Config, connect: Callable[[], Send], say: Callable[[str], None], interval: float = INTERVAL
    ) -> None:
        self._config, self._connect, self._say, self._interval = config, connect, say, interval
        self._models = json.dumps(_models(config.model_dir)) if config.model_data else ""
        self._complained = False
        self._begin()

    def _begin(self) -> None:
        self._outbox = _Outbox(self._connect(), self._complain, self._interval)
        self._process = os.getpid()  # last: what the scoring time limit interrupts is begun again

    def answered(self, facts: Answered) -> None:
        if facts.path == "/":
            return
        if facts.body is not None and len(facts.body) > BODY_LENGTH:
            facts = dataclasses.replace(facts, body=facts.body[:BODY_LENGTH])
        self._add(facts)

    def printed(self, text: str) -> None:
        self._add(Record(text[:TEXT_LENGTH], {}))

    def failed(self, error: BaseException, request_id: str, client_request_id: str) -> None:
        try:
            facts = self._ids(request_id, client_request_id) | _exception_facts(error)
            self._add(Record(facts["exception.message"], facts, True, request_id))
        except Exception as problem:
            self._complain(one_line(problem))

    def scored(self, request_id: str, client_request_id: str, input: object, prediction: object) -> None:
        if not self._config.model_data:
            return
        try:
            facts = {
                **self._ids(request_id, client_request_id),
                "Workspace Name": self._config.workspace_name,
                "Service Name": self._config.service_name,
                "Models": self._models,
                "Input": _beginning_of_json(input),
                "Prediction": _beginning_of_json(prediction),
            }
            self._add(Record("model_data_collection", facts, request_id=request_id))
        except Exception as problem:  # values of every kind are serialised here
            self._complain(one_line(problem))

    def flush(self, seconds: float) -> None:
        self._outbox.flush(seconds)

    def close(self) -> None:
        self._outbox.close()

    def _ids(self, request_id: str, client_request_id: str) -> dict[str, str]:
        return {
            "Container Id": self._config.hostname,
            "Request Id": request_id,
            "Client Request Id": client_request_id,
        }

    def _add(self, item: Answered | Record) -> None:
        if self._process != os.getpid():
            self._begin_anew()
        self._outbox.put(item)

    def _begin_anew(self) -> None:
        try:
            self._begin()
        except Exception as problem:
            self._complain(one_line(problem))
            self._process = os.getpid()  # what is told goes into the parent's outbox, which nobody empties here

    def _complain(self, problem: str) -> None:
        if self._complained:
            return
        self._complained = True
        try:
            self._say(f"Application Insights does not get all telemetry ({problem}); answers are not affected")
        except Exception:
            pass  # nobody is left to hear it


class _Outbox:
    """What waits in one process, and the thread that sends it; dead in a process that was forked from that one."""

    def __init__(self, send: Send, complain: Callable[[str], None], interval: float) -> None:
        self._send, self._complain, self._interval = send, complain, interval
        self._items: deque[Answered | Record] = deque(maxlen=WAITING)
        # Wakes the thread; an event in it is set when everything has been sent. A SimpleQueue, because a signal handler
        # may leave put() by an exception and call it again: a Condition could be left locked.
        self._bell: SimpleQueue[threading.Event | None] = SimpleQueue()
        self._closed = threading.Event()
        self._patience = PATIENCE
        self._thread = threading.Thread(target=self._work, name="application-insights", daemon=True)
        self._thread.start()

    def put(self, item: Answered | Record) -> None:
        self._items.append(item)
        if len(self._items) % BATCH == 0:
            self._bell.put(None)

    def flush(self, seconds: float) -> None:
        """Wait until all is sent, but at most `seconds`, and what is left of `PATIENCE`."""
        self._ring(threading.Event(), seconds)

    def close(self) -> None:
        """Flush, and end the thread."""
        try:
            self._ring(self._closed, PATIENCE)
        except BaseException:  # a second Ctrl-C, or what a signal handler raised: nobody wants to wait any longer
            self._patience = 0.0

    def _ring(self, done: threading.Event, seconds: float) -> None:
        if not self._thread.is_alive():  # closed, or in a forked process that told nothing
            return
        self._bell.put(done)
        begun = time.monotonic()
        try:
            done.wait(max(0.0, min(seconds, self._patience)))
        finally:
            self._patience -= time.monotonic() - begun

    def _work(self) -> None:
        asked: threading.Event | None = None
        while asked is not self._closed:
            try:
                asked = self._bell.get(timeout=self._interval)
            except Empty:
                asked = None
            self._send_waiting()
            if asked is not None:
                asked.set()

    def _send_waiting(self) -> None:
        while self._items:
            batch = [self._items.popleft() for _ in range(min(BATCH, len(self._items)))]
            try:
                problem = self._send(batch)
            except Exception as error:
                problem = one_line(error)
            if problem:
                self._complain(problem)


def _exception_facts(error: BaseException) -> dict[str, str]:
    kind = type(error)
    known = kind.__module__ in ("builtins", "__main__", "entry_module")
    stack = "".join(traceback.format_exception(kind, error, _without_our_frames(error.__traceback__)))
    return {
        "exception.type": kind.__qualname__ if known else f"{kind.__module__}.{kind.__qualname__}",
        "exception.message": _message(error) or kind.__qualname__,
        "exception.stacktrace": stack[-TEXT_LENGTH:],
    }


def _message(error: BaseException) -> str:
    try:
        return str(error)[:TEXT_LENGTH]
    except Exception as problem:
        return f"<str() of it raised {type(problem).__name__}>"


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    ours = trace
    while ours is not None and str(ours.tb_frame.f_globals.get("__name__")).partition(".")[0] == OUR_PACKAGE:
        ours = ours.tb_next
    return ours or trace


def _beginning_of_json(value: object) -> str:
    """As much JSON text as Application Insights keeps; the rest of a big value is not even looked at."""
    value = value[:PROPERTY_LENGTH] if isinstance(value, str) else value
    text = ""
    for piece in json.JSONEncoder(default=_plain).iterencode(value):
        text += piece
        if len(text) >= PROPERTY_LENGTH:
            break
    return text[:PROPERTY_LENGTH]


def _plain(value: Any) -> Any:
    """What JSON can hold, of a value that it cannot: numpy's as numbers, others as their text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _models(model_dir: str | None) -> list[str]:
    """The models as `name:version`: of a folder `name/1` itself, else of every `name/1` below it."""
    folder = os.path.abspath(model_dir or "")
    if not model_dir or not os.path.isdir(folder):
        return []
    name, version = os.path.basename(os.path.dirname(folder)), os.path.basename(folder)
    if version.isdecimal():
        return [f"{name}:{version}"]
    versions = ((name, version) for name in _folders(folder) for version in _folders(os.path.join(folder, name)))
    return [f"{name}:{version}" for name, version in versions if version.isdecimal()]


def _folders(folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []
