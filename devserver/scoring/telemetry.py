"""Answered requests, printed text, errors and model data come in; Application Insights items, or nothing, go out."""

from __future__ import annotations

import atexit
import codecs
import dataclasses
import hashlib
import json
import logging
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from queue import Empty, SimpleQueue
from types import SimpleNamespace, TracebackType
from typing import Any
from urllib.parse import urlsplit

from devserver.config.settings import Config

INSTALL = 'pip install "azmlinfsrv-devserver[appinsights]"'
UPGRADE = "pip install --upgrade azure-monitor-opentelemetry-exporter opentelemetry-sdk"
INTERVAL = 5.0  # seconds between two sendings
BATCH = 100  # items that are sent together, and sooner than INTERVAL once so many wait
WAITING = 2048  # items that wait for a slow sink; beyond it the oldest are dropped
PATIENCE = 2.0  # seconds that flush() and close() of one process wait altogether; with preload two processes do
TIMEOUT = 10.0  # seconds for a connection, and for an answer
PROPERTY_LENGTH = 8192  # characters that Application Insights keeps of a property
BODY_LENGTH = 4 * PROPERTY_LENGTH  # bytes of an answer that are kept for it
TEXT_LENGTH = 32768  # characters that it keeps of a message or a stack
BINARY = '"Scoring request response payload is a non serializable object or raw binary"'
NO_REQUEST = ("", "Unknown")  # request ids of what belongs to no request; an error in init() has the second
OUR_PACKAGE = __name__.partition(".")[0]

EXPORTER_SETTINGS = {  # the exporter has no arguments for these
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",  # usage statistics of the exporter's own
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",  # asks a server of Microsoft's for settings
    "APPLICATIONINSIGHTS_CONNECTION_STRING": None,  # else its endpoint is mixed with the key of the configuration
}


# --------------------------------------------------------------------- what is told


@dataclass(frozen=True)
class Answered:
    """A request that was answered. `query` is without "?", `started` in UTC, ids are "" where there is none.

    `body` is the answer's; None when it was streamed, is too big to keep or must not be sent.
    """

    method: str
    path: str
    query: str
    status: int
    duration_ms: float
    started: datetime
    request_id: str
    client_request_id: str
    body: bytes | None


@dataclass(frozen=True)
class Record:
    """One line of the log: printed text, an error, model data. `at` is in nanoseconds since 1970."""

    text: str
    facts: Mapping[str, str]
    is_error: bool = False
    request_id: str = ""
    at: int = field(default_factory=time.time_ns)


class Telemetry:
    """What the server tells about its work. Every call returns at once and raises nothing; this one drops it all."""

    on = False

    def answered(self, facts: Answered) -> None:
        """A request was answered; `GET /` is left out."""

    def printed(self, text: str) -> None:
        """The script printed `text`."""

    def failed(self, error: BaseException, request_id: str, client_request_id: str) -> None:
        """run() or init() raised; `request_id` is "Unknown" for init()."""

    def scored(self, request_id: str, client_request_id: str, input: object, prediction: object) -> None:
        """run() got `input` (a text, or its arguments by name) and returned `prediction`; dropped unless asked for."""

    def flush(self, seconds: float) -> None:
        """Send what waits now, and wait for that, `seconds` or `PATIENCE` at most."""

    def close(self) -> None:
        """Send what waits, and end; may be called again. All flushes and closes together wait `PATIENCE` at most."""


class Off(Telemetry):
    """Application Insights is switched off, or cannot be used."""


def start(config: Config, say: Callable[[str], None]) -> Telemetry:
    """What tells Application Insights what this process does; `close()` is called when the interpreter ends.

    `say` gets one line when telemetry is wanted and cannot be had, and one, from another thread, when the sink first
    does not take what it is sent.
    """
    if not config.telemetry_on:
        return Off()
    try:
        insights = Insights(config, lambda: _Exporters(config).send, say)
    except ModuleNotFoundError as error:
        say(f"Application Insights is off ({error}). Run: {INSTALL}")
        return Off()
    except ImportError as error:
        say(f"Application Insights is off ({error}). Run: {UPGRADE}")
        return Off()
    except Exception as error:
        say(f"Application Insights is off ({_one_line(error)})")
        return Off()
    atexit.register(insights.close)
    return insights


Send = Callable[[Sequence[Answered | Record]], str | None]


# --------------------------------------------------------------------- collecting


class Insights(Telemetry):
    """Collects, and has a thread of its own send what waits every `interval` seconds, or when `BATCH` items wait.

    `connect` makes what sends: it gets at most `BATCH` items, and returns what went wrong, or None. It is called anew
    in a process that was forked later and has something to tell. Errors of the first call are the caller's.
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
        self._process = os.getpid()
        self._items: deque[Answered | Record] = deque(maxlen=WAITING)
        # Wakes the thread; an event in it is set when everything has been sent. A SimpleQueue, because a signal handler
        # may leave put() by an exception and call it again: a Condition could be left locked.
        self._bell: SimpleQueue[threading.Event | None] = SimpleQueue()
        self._closed = threading.Event()
        self._patience = PATIENCE
        self._send = self._connect()
        self._thread = threading.Thread(target=self._work, name="application-insights", daemon=True)
        self._thread.start()

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
            self._complain(_one_line(problem))

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
            self._complain(_one_line(problem))

    def flush(self, seconds: float) -> None:
        self._ring(threading.Event(), seconds)

    def close(self) -> None:
        try:
            self._ring(self._closed, PATIENCE)
        except BaseException:  # a second Ctrl-C, or what a signal handler raised: nobody wants to wait any longer
            self._patience = 0.0

    def _ids(self, request_id: str, client_request_id: str) -> dict[str, str]:
        return {
            "Container Id": self._config.hostname,
            "Request Id": request_id,
            "Client Request Id": client_request_id,
        }

    def _add(self, item: Answered | Record) -> None:
        if self._process != os.getpid():
            self._begin_anew()
        self._items.append(item)
        if len(self._items) % BATCH == 0:
            self._bell.put(None)

    def _begin_anew(self) -> None:
        try:
            self._begin()
        except Exception as problem:
            self._complain(_one_line(problem))

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
                problem = _one_line(error)
            if problem:
                self._complain(problem)

    def _complain(self, problem: str) -> None:
        if self._complained:
            return
        self._complained = True
        try:
            self._say(f"Application Insights does not get all telemetry ({problem}); answers are not affected")
        except Exception:
            pass  # nobody is left to hear it


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


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


# --------------------------------------------------------------------- sending


class _OneAttempt:
    """Stands in the exporter's pipeline where its retries would: tries once, and keeps what went wrong.

    A retry would delay the end of the process, and what waits meanwhile.
    """

    next: Any = None  # set by the pipeline
    problem = ""

    def send(self, request: Any) -> Any:
        sink = urlsplit(request.http_request.url).netloc
        try:
            response = self.next.send(request)
        except Exception as error:
            self.problem = f"{sink}: {_one_line(error).rpartition(': ')[2]}"
            raise
        self.problem = f"{sink}: HTTP {response.http_response.status_code}"
        return response


class _Channel:
    """One of the exporters. Errors: ValueError for a connection string that cannot be used."""

    def __init__(self, exporter: Callable[..., Any], connection_string: str) -> None:
        self._attempt = _OneAttempt()
        self.exporter = exporter(
            connection_string=connection_string,
            disable_offline_storage=True,  # what cannot be sent is lost, and nothing is left on the disk
            retry_policy=self._attempt,
            timeout=TIMEOUT,
            read_timeout=TIMEOUT,
        )

    def send(self, items: Sequence[Any]) -> str | None:
        """What went wrong, or None. Errors: whatever the exporter raises."""
        if not items:
            return None
        self._attempt.problem = "not sent"
        return None if self.exporter.export(items).name == "SUCCESS" else self._attempt.problem


class _Exporters:
    """The door to OpenTelemetry and its Azure Monitor exporters; the global providers are left to score.py.

    Errors: ImportError without them, ValueError for a connection string that cannot be used.
    """

    def __init__(self, config: Config) -> None:
        azure = import_module("azure.monitor.opentelemetry.exporter")
        self._config = config
        self._trace = import_module("opentelemetry.trace")
        self._span = import_module("opentelemetry.sdk.trace").ReadableSpan
        self._severity = import_module("opentelemetry._logs").SeverityNumber
        self._resource = import_module("opentelemetry.sdk.resources").Resource({"service.name": config.service_name})
        self._log = _log_record_type(self._resource)
        self._mute = _Mute()
        sink = config.connection_string or f"InstrumentationKey={config.appinsights_key}"
        with _environment(EXPORTER_SETTINGS), self._mute:
            self._spans = _Channel(azure.AzureMonitorTraceExporter, sink)
            self._logs = _Channel(azure.AzureMonitorLogExporter, sink)
        # Else each batch has an item about the global provider's resource; there is only a variable against that, which
        # is read at every sending.
        self._spans.exporter._should_collect_otel_resource_metric = lambda: False

    def send(self, items: Sequence[Answered | Record]) -> str | None:
        """Send these items; what went wrong, or None. Errors: whatever the exporters raise."""
        requests = [self._as_span(item) for item in items if isinstance(item, Answered)]
        records = [self._as_log(item) for item in items if isinstance(item, Record)]
        with self._mute, _not_instrumented():
            problems = [self._spans.send(requests), self._logs.send(records)]
        return next(filter(None, problems), None)

    def _as_span(self, request: Answered) -> Any:
        begun = int(request.started.timestamp() * 1e9)
        code = self._trace.StatusCode.UNSET if request.status < 400 else self._trace.StatusCode.ERROR
        return self._span(
            name=request.path,
            context=self._trace.SpanContext(_trace_id(request.request_id), _span_id(), is_remote=False),
            resource=self._resource,
            attributes=_http_attributes(request) | self._properties(request),
            kind=self._trace.SpanKind.SERVER,
            status=self._trace.Status(code),
            start_time=begun,
            end_time=begun + round(request.duration_ms * 1e6),
        )

    def _properties(self, request: Answered) -> dict[str, Any]:
        found = {
            "Container Id": self._config.hostname,
            "Request Id": request.request_id,
            "Client Request Id": request.client_request_id,
            "name": request.path,
            "url": _url(request),
            "start_time": request.started.astimezone(timezone.utc).isoformat().replace("+00:00", "Z"),
            "duration": _clock(request.duration_ms),
            "resultCode": str(request.status),
            "success": request.status < 400,
            "http_method": request.method,
            "Workspace Name": self._config.workspace_name,
            "Service Name": self._config.service_name,
        }
        return found if request.body is None else {**found, "Response Value": _response_value(request.body)}

    def _as_log(self, record: Record) -> Any:
        severity = self._severity.ERROR if record.is_error else self._severity.INFO
        made = self._log(timestamp=record.at, severity_number=severity, body=record.text, attributes=dict(record.facts))
        made.log_record.trace_id = _trace_id(record.request_id)  # as an argument it is deprecated
        return made


def _log_record_type(resource: Any) -> Callable[..., Any]:
    """What makes the records that the installed exporter reads."""
    logs = import_module("opentelemetry.sdk._logs")
    if hasattr(logs, "ReadableLogRecord"):
        record = import_module("opentelemetry._logs").LogRecord
        return lambda **facts: logs.ReadableLogRecord(record(**facts), resource)

    def before_1_39(**facts: Any) -> Any:
        # The classes of that time warn that they will be renamed; their exporters only look at these attributes.
        return SimpleNamespace(
            log_record=SimpleNamespace(resource=resource, span_id=0, **facts), instrumentation_scope=None
        )

    return before_1_39


def _http_attributes(request: Answered) -> dict[str, Any]:
    """What the exporter makes the item's own name, url, responseCode and success from, in the old words and the new."""
    return {
        "http.method": request.method,
        "http.request.method": request.method,
        "http.route": request.path,
        "http.url": _url(request),
        "http.status_code": request.status,
        "http.response.status_code": request.status,
    }


def _url(request: Answered) -> str:
    return f"{request.path}?{request.query}" if request.query else request.path


def _clock(milliseconds: float) -> str:
    """`[d.]hh:mm:ss.mmm`."""
    seconds, thousandths = divmod(round(milliseconds), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}." * bool(days) + f"{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}"


def _response_value(body: bytes) -> str:
    whole = len(body) < BODY_LENGTH  # else it may end within a character
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body, whole)
    except UnicodeDecodeError:
        return BINARY


def _trace_id(request_id: str) -> int:
    """One operation for everything that belongs to a request; 0, which means none, without a request."""
    if request_id in NO_REQUEST:
        return 0
    return int.from_bytes(hashlib.sha256(request_id.encode("utf-8", "replace")).digest()[:16], "big")


def _span_id() -> int:
    return int.from_bytes(os.urandom(8), "big")  # not `random`: its numbers belong to score.py, which may seed it


@contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """The environment with these variables, None for removed; as it was afterwards, for score.py."""
    before = {name: os.environ.get(name) for name in changes}
    try:
        _set_variables(changes)
        yield
    finally:
        _set_variables(before)


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _not_instrumented() -> Iterator[None]:
    """OpenTelemetry's instrumentations, which score.py may use, do not see what is sent here."""
    context = import_module("opentelemetry.context")
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        context.detach(token)


class _Mute(logging.Filter):
    """In a `with`, what the libraries log about the sending goes nowhere: the outcome is told in one line.

    Other threads of score.py may use the same libraries; theirs is logged.
    """

    LIBRARIES = ("azure", "opentelemetry", "requests", "urllib3")

    def __init__(self) -> None:
        super().__init__()
        self._thread: int | None = None

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return threading.get_ident() != self._thread

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger) and name.partition(".")[0] in self.LIBRARIES:
                logger.addFilter(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread = None
