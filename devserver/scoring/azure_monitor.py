"""The door to OpenTelemetry's Azure Monitor exporters, the only place that knows their classes and their habits.

They retry, keep files, send statistics of their own, log every failure and read the environment; a development server
wants the items sent once, and one line when that fails.
"""

from __future__ import annotations

import codecs
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timezone
from importlib import import_module
from types import SimpleNamespace, TracebackType
from typing import Any
from urllib.parse import urlsplit

from devserver.config.settings import Config
from devserver.scoring.telemetry import Answered, Record, one_line

TIMEOUT = 10.0  # seconds for a connection, and for an answer
PROPERTY_LENGTH = 8192  # characters that Application Insights keeps of a property
BODY_LENGTH = 4 * PROPERTY_LENGTH  # bytes of an answer that are kept for it
TEXT_LENGTH = 32768  # characters that it keeps of a message or a stack
URL_LENGTH = 2048  # characters that it keeps of the address of a request
BINARY = '"Scoring request response payload is a non serializable object or raw binary"'
NO_REQUEST = ("", "Unknown")  # request ids of what belongs to no request; an error in init() has the second

EXPORTER_SETTINGS = {  # the exporter has no arguments for these
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",  # usage statistics of the exporter's own
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",  # asks a server of Microsoft's for settings
    "APPLICATIONINSIGHTS_CONNECTION_STRING": None,  # else its endpoint is mixed with the key of the configuration
}


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
            self.problem = f"{sink}: {one_line(error).rpartition(': ')[2]}"
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


class Exporters:
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
        _tell_address(self._spans.exporter)

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
            "url": request.url,
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
    """What the exporter makes the item's own responseCode and success from, in the old words and the new."""
    return {
        "http.method": request.method,
        "http.request.method": request.method,
        "http.status_code": request.status,
        "http.response.status_code": request.status,
    }


def _tell_address(exporter: Any) -> None:
    """Have each request's item keep the span's name and have its address all the same.

    An attribute with the address, or with the route, would make the exporter name the item "POST /score"; the original
    names it "/score", and queries of its users look for that.
    """
    convert = getattr(exporter, "_span_to_envelope", None)
    if convert is None:  # a version that has no such step: its items have no address, as the original's
        return

    def with_address(span: Any) -> Any:
        envelope = convert(span)
        envelope.data.base_data.url = span.attributes["url"][:URL_LENGTH]
        return envelope

    exporter._span_to_envelope = with_address


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
