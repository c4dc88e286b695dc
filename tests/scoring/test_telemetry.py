"""What telemetry sends, looked at field by field by a sink on 127.0.0.1, and that it is in nobody's way."""

from __future__ import annotations

import gzip
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import original
import pytest
from live import Server

from devserver.config.settings import Config
from devserver.scoring import azure_monitor
from devserver.scoring import insights as collecting
from devserver.scoring.insights import Insights, Send
from devserver.scoring.telemetry import Answered, Off, Record, Telemetry

EXPORTER = "azure.monitor.opentelemetry.exporter"
KEY = "11111111-2222-3333-4444-555555555555"
DEADLINE = 10.0
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
PRELOAD = {"WORKER_PRELOAD": "true"}
STARTED = datetime(2024, 5, 6, 7, 8, 9, 123456, timezone.utc)
URL = "http://127.0.0.1:5001/score?x=1&y=2"
REQUEST = Answered("POST", "/score", URL, 200, 12.4, STARTED, "r-1", "c-1", b'{"answer": 42}')
IDS = {"Container Id": "box", "Request Id": "r-1", "Client Request Id": "c-1"}
NAMES = {"Workspace Name": "my workspace", "Service Name": "my service"}


class Sink:
    """Stands in for Application Insights. `status` is what it answers; None: never answers.

    `keeps`: connections stay open after an answer, as they do there.
    """

    def __init__(self, status: int | None = 200, keeps: bool = False) -> None:
        self.status, self.keeps, self.connections = status, keeps, 0
        self.released = threading.Event()
        self.asked = threading.Event()
        self.batches: list[list[dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def _handler(sink) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if sink.keeps else "HTTP/1.0"

            def setup(self) -> None:
                super().setup()
                sink.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                if sink.status is None:
                    sink.released.wait(DEADLINE)
                    return
                answer = json.dumps({"itemsReceived": 1, "itemsAccepted": 1, "errors": []}).encode()
                self.send_response(sink.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def take(self, body: bytes) -> None:
        self.batches.append(json.loads(body))
        self.asked.set()

    @property
    def connection_string(self) -> str:
        return f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{self._server.server_address[1]}/"

    def items(self, kind: str = "") -> list[dict[str, Any]]:
        """The received items, or those of a kind (RequestData, MessageData, ExceptionData), in order."""
        every = [item for batch in self.batches for item in batch]
        return [item for item in every if kind in ("", item["data"]["baseType"])]

    def wait_for(self, kind: str, count: int = 1, deadline: float = DEADLINE) -> list[dict[str, Any]]:
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if len(self.items(kind)) >= count:
                return self.items(kind)
            time.sleep(0.01)
        raise AssertionError(f"no {count} {kind} within {deadline:g} s, but {self.items()}")

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join(DEADLINE)
        self._server.server_close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def exporter() -> ModuleType:
    reason = "the extra appinsights (azure-monitor-opentelemetry-exporter) is not installed"
    module: ModuleType = pytest.importorskip(EXPORTER, reason=reason)
    return module


def config_for(sink: Sink | str, **settings: Any) -> Config:
    string = sink if isinstance(sink, str) else sink.connection_string
    known = {"service_name": "my service", "workspace_name": "my workspace", "hostname": "box"}
    return Config(appinsights_enabled=True, connection_string=string, **{**known, **settings})


@pytest.fixture
def start(exporter: ModuleType) -> Iterator[Callable[..., Telemetry]]:
    """Starts telemetry as the server does; what it says is added to the list `said`, where one is given."""
    started: list[Telemetry] = []

    def begin(sink: Sink | str, said: list[str] | None = None, **settings: Any) -> Telemetry:
        started.append(collecting.start(config_for(sink, **settings), ([] if said is None else said).append))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def told(sink: Sink, kind: str, tell: Callable[[], None], close: Callable[[], None]) -> dict[str, Any]:
    """The one item of a kind that a call makes."""
    tell()
    close()
    (item,) = sink.items(kind)
    return item


# --------------------------------------------------------------------- off


def test_off_imports_nothing() -> None:
    """Without telemetry neither the exporter nor OpenTelemetry is imported, and nothing is said."""
    code = (
        "import sys; from devserver.config.settings import Config; from devserver.scoring.insights import Off, start\n"
        "started = start(Config(appinsights_key='x'), sys.exit); started.printed('text'); started.close()\n"
        "assert type(started) is Off and not started.on\n"
        "assert not {'azure', 'opentelemetry'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_off_takes_every_call() -> None:
    """All methods exist, and do nothing, when telemetry is off."""
    off = Off()
    off.answered(REQUEST)
    off.printed("text")
    off.failed(ValueError(), "r", "c")
    off.scored("r", "c", {}, [])
    off.flush(1)
    off.close()


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing exporter is one line that names the pip command, and telemetry is off."""
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    said: list[str] = []
    assert type(collecting.start(config_for(f"InstrumentationKey={KEY}"), said.append)) is Off
    assert len(said) == 1 and said[0].endswith("pip install azure-monitor-opentelemetry-exporter")
    assert "\n" not in said[0]


def test_unfit_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that does not go with the installed OpenTelemetry is one line that names the pip command."""

    def refuse(name: str) -> NoReturn:
        raise ImportError("cannot import name 'LogData'")

    monkeypatch.setattr(azure_monitor, "import_module", refuse)
    said: list[str] = []
    assert type(collecting.start(config_for(f"InstrumentationKey={KEY}"), said.append)) is Off
    assert len(said) == 1 and "LogData" in said[0] and "pip install --upgrade" in said[0]


@pytest.mark.parametrize("string", ["InstrumentationKey=nonsense", "nonsense", f"Authorization=aad;x={KEY}"])
def test_bad_connection_string(start: Callable[..., Telemetry], string: str) -> None:
    """A connection string that cannot be used is one line, and telemetry is off."""
    said: list[str] = []
    assert type(start(string, said)) is Off
    assert len(said) == 1 and said[0].startswith("Application Insights is off (")


@pytest.mark.parametrize(
    ("string", "expected"), [(None, f"InstrumentationKey={KEY}"), ("", f"InstrumentationKey={KEY}"), ("a=b", "a=b")]
)
def test_connection_string_wins(
    exporter: ModuleType, monkeypatch: pytest.MonkeyPatch, string: str | None, expected: str
) -> None:
    """The connection string is used where there is one, else the key alone, without any other variable's endpoint."""
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", "")
    given: list[tuple[str, str | None]] = []

    def instead(connection_string: str, **_: object) -> Any:
        given.append((connection_string, os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING")))
        return logging.Logger("any object with attributes")

    monkeypatch.setattr(exporter, "AzureMonitorTraceExporter", instead)
    monkeypatch.setattr(exporter, "AzureMonitorLogExporter", instead)
    config = Config(appinsights_enabled=True, connection_string=string, appinsights_key=KEY)
    collecting.start(config, pytest.fail).close()
    assert given == [(expected, None)] * 2


# --------------------------------------------------------------------- requests


@pytest.mark.parametrize(("status", "success"), [(200, True), (204, True), (302, True), (400, False), (500, False)])
def test_request(start: Callable[..., Telemetry], sink: Sink, status: int, success: bool) -> None:
    """A request item has its true name, url, result, success, duration and time, and the properties of the contract."""
    insights = start(sink)
    item = told(sink, "RequestData", lambda: insights.answered(replace(REQUEST, status=status)), insights.close)
    data = item["data"]["baseData"]
    assert item["name"] == "Microsoft.ApplicationInsights.Request"
    assert item["iKey"] == KEY
    assert item["time"] == "2024-05-06T07:08:09.123456Z"
    assert item["tags"]["ai.cloud.role"] == "my service"
    assert data["name"] == item["tags"]["ai.operation.name"] == "/score"
    assert data["url"] == URL
    assert data["responseCode"] == str(status)
    assert data["success"] is success
    assert data["duration"] == "0.00:00:00.012"
    assert data["properties"] == {
        **IDS,
        **NAMES,
        "Response Value": '{"answer": 42}',
        "name": "/score",
        "url": URL,
        "start_time": "2024-05-06T07:08:09.123456Z",
        "duration": "00:00:00.012",
        "resultCode": str(status),
        "success": str(success),
        "http_method": "POST",
    }


def test_liveness_is_left_out(start: Callable[..., Telemetry], sink: Sink) -> None:
    """A request of the path / makes no item."""
    insights = start(sink)
    insights.answered(replace(REQUEST, path="/"))
    told(sink, "RequestData", lambda: insights.answered(REQUEST), insights.close)


def test_long_url(start: Callable[..., Telemetry], sink: Sink) -> None:
    """Of a long url the item has the beginning that Application Insights takes, and its property more."""
    insights = start(sink)
    url = URL + "x" * 3000
    item = told(sink, "RequestData", lambda: insights.answered(replace(REQUEST, url=url)), insights.close)
    assert item["data"]["baseData"]["url"] == url[:2048]
    assert item["data"]["baseData"]["properties"]["url"] == url


def test_time_zone(start: Callable[..., Telemetry], sink: Sink) -> None:
    """A start in another time zone is sent in UTC."""
    insights = start(sink)
    elsewhere = STARTED.astimezone(timezone(timedelta(hours=5)))
    item = told(sink, "RequestData", lambda: insights.answered(replace(REQUEST, started=elsewhere)), insights.close)
    assert item["data"]["baseData"]["properties"]["start_time"] == "2024-05-06T07:08:09.123456Z"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (None, None),
        (b"", ""),
        ("é".encode(), "é"),
        (b"\xff\x00", '"Scoring request response payload is a non serializable object or raw binary"'),
        (("x" + "é" * 100_000).encode(), "x" + "é" * 8191),
    ],
)
def test_response_value(start: Callable[..., Telemetry], sink: Sink, body: bytes | None, value: str | None) -> None:
    """The answer's text is a property, of which the beginning is kept; binary is named; None leaves it out."""
    insights = start(sink)
    item = told(sink, "RequestData", lambda: insights.answered(replace(REQUEST, body=body)), insights.close)
    assert item["data"]["baseData"]["properties"].get("Response Value") == value


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.4, "00:00:00.000"),
        (61_001, "00:01:01.001"),
        (3_600_000, "01:00:00.000"),
        (2 * 86_400_000 + 5, "2.00:00:00.005"),
    ],
)
def test_clock(milliseconds: float, text: str) -> None:
    """Durations are written as hours, minutes, seconds and thousandths, with days where there are any."""
    assert azure_monitor._clock(milliseconds) == text


# --------------------------------------------------------------------- printed text and errors


def test_printed(start: Callable[..., Telemetry], sink: Sink) -> None:
    """Printed text is a trace item of severity INFO."""
    insights = start(sink)
    item = told(sink, "MessageData", lambda: insights.printed("two\nlines"), insights.close)
    data = item["data"]["baseData"]
    assert data["message"] == "two\nlines"
    assert int(data["severityLevel"]) == 1
    assert data["properties"] == {}
    assert item["tags"]["ai.cloud.role"] == "my service"
    sent = datetime.fromisoformat(item["time"].replace("Z", "+00:00"))
    assert abs(datetime.now(timezone.utc) - sent) < timedelta(seconds=60)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def run(error: BaseException) -> NoReturn:
    try:
        {}["key"]
    except KeyError:
        raise error


def raised(error: BaseException) -> BaseException:
    try:
        run(error)
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("bad: value"), "ValueError", "bad: value"),
        (AssertionError(), "AssertionError", "AssertionError"),
        (Unspeakable(), f"{__name__}.Unspeakable", "<str() of it raised RuntimeError>"),
        (SystemExit(3), "SystemExit", "3"),
        (TimeoutError("é\nsecond line"), "TimeoutError", "é\nsecond line"),
    ],
)
def test_failed(start: Callable[..., Telemetry], sink: Sink, error: BaseException, kind: str, message: str) -> None:
    """An exception item has the script's own type, message and stack, and belongs to its request."""
    insights = start(sink)
    insights.failed(raised(error), "r-1", "c-1")
    item = told(sink, "ExceptionData", lambda: insights.answered(REQUEST), insights.close)
    data = item["data"]["baseData"]
    (details,) = data["exceptions"]
    assert (details["typeName"], details["message"]) == (kind, message)
    assert details["hasFullStack"] is True
    assert "KeyError: 'key'" in details["stack"] and ", in run\n" in details["stack"]
    assert data["properties"] == IDS
    assert int(data["severityLevel"]) == 3
    (request,) = sink.items("RequestData")
    assert item["tags"]["ai.operation.id"] == request["tags"]["ai.operation.id"] != "0" * 32


def test_failed_init(start: Callable[..., Telemetry], sink: Sink) -> None:
    """An error in init() has the request id Unknown, and belongs to no operation."""
    insights = start(sink)
    item = told(sink, "ExceptionData", lambda: insights.failed(ValueError("x"), "Unknown", ""), insights.close)
    assert item["data"]["baseData"]["properties"] == {**IDS, "Request Id": "Unknown", "Client Request Id": ""}
    assert item["tags"]["ai.operation.id"] == "0" * 32


def test_stack_begins_in_the_script() -> None:
    """Frames of the server's own above the script's are left out of the stack; alone they are kept."""
    ours = {"__name__": "devserver.scoring.script"}
    exec("def call(f):\n    f()", ours)
    script = {"__name__": "entry_module", "error": KeyError("x")}
    exec("class Mine(Exception): pass\ndef run():\n    raise Mine('sorry')", script)
    facts = []
    for function in (script["run"], None):
        try:
            exec("call(f)", {**ours, "f": function})
        except Exception as error:
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            facts.append(collecting._exception_facts(error))
    assert facts[0]["exception.type"] == "Mine"
    assert [line for line in facts[0]["exception.stacktrace"].splitlines() if "File" in line] == [
        '  File "<string>", line 3, in run'
    ]
    assert ", in call" in facts[1]["exception.stacktrace"]


# --------------------------------------------------------------------- model data


def test_model_data(start: Callable[..., Telemetry], sink: Sink, tmp_path: Path) -> None:
    """Model data is one trace item with separate dimensions."""
    (tmp_path / "iris" / "3").mkdir(parents=True)
    insights = start(sink, model_data=True, model_dir=str(tmp_path / "iris" / "3"))
    told(sink, "MessageData", lambda: insights.scored("r-1", "c-1", {"data": [1, 2]}, [0.5]), insights.close)
    data = sink.items()[0]["data"]["baseData"]
    assert data["message"] == "model_data_collection"
    assert data["properties"] == {
        **IDS,
        **NAMES,
        "Models": '["iris:3"]',
        "Input": '{"data": [1, 2]}',
        "Prediction": "[0.5]",
    }


def test_model_data_is_off_by_default(start: Callable[..., Telemetry], sink: Sink) -> None:
    """Inputs and predictions are not sent unless model data is switched on."""
    insights = start(sink)
    insights.scored("r-1", "c-1", "secret", "secret")
    told(sink, "MessageData", lambda: insights.printed("end"), insights.close)


def test_models(tmp_path: Path) -> None:
    """Models are the folders name/number below the model folder, or the model folder itself."""
    for name in ("b/1", "a/10", "a/2", "a/latest", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert collecting._models(str(tmp_path)) == ["a:10", "a:2", "b:1"]
    assert collecting._models(str(tmp_path / "a" / "2")) == ["a:2"]
    assert collecting._models(str(tmp_path / "none")) == collecting._models("") == collecting._models(None) == []


class Array:
    def tolist(self) -> list[int]:
        return [1, 2]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", '"text"'),
        ({"a": Array(), "b": b"x"}, '{"a": [1, 2], "b": "b\'x\'"}'),
        ("x" * 9000, '"' + "x" * 8191),
        ([1] * 9000, ("[" + "1, " * 9000)[:8192]),
        (None, "null"),
    ],
)
def test_json(value: object, text: str) -> None:
    """Values are sent as JSON text, of which the beginning is kept."""
    assert collecting._beginning_of_json(value) == text


def test_a_big_value_costs_little() -> None:
    """Of a value of a million numbers only the beginning is serialised."""
    value = {"data": [[1.5] * 1000] * 1000}
    begun = time.perf_counter()
    collecting._beginning_of_json(value)
    assert time.perf_counter() - begun < 0.1


def test_model_data_that_cannot_be_written() -> None:
    """A value that is no JSON at all is said once, and raises nothing."""
    said: list[str] = []
    insights = Insights(config_for("x=y", model_data=True), lambda: lambda batch: None, said.append)
    endless: list[Any] = []
    endless.append(endless)
    insights.scored("r", "c", endless, None)
    insights.scored("r", "c", endless, None)
    insights.close()
    assert len(said) == 1 and "Circular reference" in said[0]


# --------------------------------------------------------------------- nothing else


def test_nothing_else(
    start: Callable[..., Telemetry], sink: Sink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No statistics, no files, no global provider, no changed variables, no numbers of score.py's generator."""
    from opentelemetry import trace

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    variables, state, providers = dict(os.environ), random.getstate(), trace.get_tracer_provider()
    insights = start(sink)
    insights.answered(REQUEST)
    insights.printed("text")
    insights.close()
    assert sorted(item["data"]["baseType"] for item in sink.items()) == ["MessageData", "RequestData"]
    assert list(tmp_path.iterdir()) == []
    assert (dict(os.environ), random.getstate(), trace.get_tracer_provider()) == (variables, state, providers)


def test_libraries_are_quiet_only_here(
    start: Callable[..., Telemetry], sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """What the exporter logs is not shown even at DEBUG; the same loggers of score.py's own are."""
    caplog.set_level(logging.DEBUG)
    insights = start(sink)
    insights.answered(REQUEST)
    insights.close()
    assert len(sink.items("RequestData")) == 1
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").info("score.py's")
    assert caplog.messages == ["score.py's"]


# --------------------------------------------------------------------- when


def test_sent_in_batches() -> None:
    """A hundred waiting items are sent at once, without waiting for the interval, and never more together."""
    batches: list[Sequence[Answered | Record]] = []
    enough = threading.Event()

    def send(batch: Sequence[Answered | Record]) -> None:
        batches.append(batch)
        enough.set()

    insights = Insights(config_for("x=y"), lambda: send, pytest.fail, interval=3600)
    for number in range(250):
        insights.printed(str(number))
    assert enough.wait(DEADLINE)
    insights.close()
    assert max(map(len, batches)) == 100
    assert [item.text for batch in batches for item in batch if isinstance(item, Record)] == list(map(str, range(250)))


def test_sent_every_interval() -> None:
    """A single item is sent when the interval is over."""
    sent = threading.Event()
    insights = Insights(config_for("x=y"), lambda: lambda batch: sent.set(), pytest.fail, interval=0.05)
    insights.printed("text")
    assert sent.wait(DEADLINE)
    insights.close()


def test_flush(start: Callable[..., Telemetry], sink: Sink) -> None:
    """flush() returns when everything has arrived, and more can be told afterwards."""
    insights = start(sink)
    insights.printed("one")
    insights.flush(DEADLINE)
    assert len(sink.items()) == 1
    insights.printed("two")
    insights.close()
    assert len(sink.items()) == 2


def test_close_twice(start: Callable[..., Telemetry], sink: Sink) -> None:
    """close() may be called again, and what is told after it is dropped without a word."""
    insights = start(sink)
    insights.close()
    insights.printed("too late")
    insights.flush(DEADLINE)
    insights.close()
    assert sink.items() == []


def test_sending_survives_an_error() -> None:
    """An error in the sending is said once, in one line, and the next batch is sent all the same."""
    said: list[str] = []
    batches: list[object] = []

    def send(batch: Sequence[Answered | Record]) -> str | None:
        batches.append(batch)
        raise RuntimeError("broken\nexporter")

    insights = Insights(config_for("x=y"), lambda: send, said.append)
    for _ in range(2):
        insights.printed("text")
        insights.flush(DEADLINE)
    insights.close()
    assert len(batches) == 2
    assert said == [
        "Application Insights does not get all telemetry (RuntimeError: broken exporter); answers are not affected"
    ]


def test_a_slow_sink_costs_no_memory() -> None:
    """While a sending takes long a bounded number of items waits, the newest."""
    going, release = threading.Event(), threading.Event()
    batches: list[Sequence[Answered | Record]] = []

    def send(batch: Sequence[Answered | Record]) -> None:
        batches.append(batch)
        going.set()
        release.wait(DEADLINE)

    insights = Insights(config_for("x=y"), lambda: send, pytest.fail, interval=0.01)
    insights.printed("first")
    assert going.wait(DEADLINE)
    for number in range(5000):
        insights.printed(str(number))
    release.set()
    insights.close()
    texts = [item.text for batch in batches for item in batch if isinstance(item, Record)]
    assert texts == ["first", *map(str, range(5000 - collecting.WAITING, 5000))]


# --------------------------------------------------------------------- a sink that fails


def free_port_nobody_listens_on() -> int:
    with Sink() as gone:
        return int(gone.connection_string.rpartition(":")[2].strip("/"))


def tell_much(insights: Telemetry) -> float:
    """Seconds that 300 requests with their errors took."""
    begun = time.perf_counter()
    for _ in range(300):
        insights.answered(REQUEST)
        insights.printed("text")
        insights.failed(ValueError("x"), "r", "c")
    return time.perf_counter() - begun


def test_sink_down(start: Callable[..., Telemetry]) -> None:
    """With nobody at the other end calls return at once, one line says so, and the end is quick."""
    said: list[str] = []
    port = free_port_nobody_listens_on()
    insights = start(f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{port}/", said)
    assert tell_much(insights) < 1
    begun = time.monotonic()
    insights.close()
    assert time.monotonic() - begun < 5
    assert len(said) == 1 and f"127.0.0.1:{port}" in said[0] and "refused" in said[0]


def test_sink_answers_500(start: Callable[..., Telemetry]) -> None:
    """With a sink that fails calls return at once, one line says so, nothing is tried twice, and the end is quick."""
    said: list[str] = []
    with Sink(500) as sink:
        insights = start(sink, said)
        assert tell_much(insights) < 1
        insights.flush(DEADLINE)
        begun = time.monotonic()
        insights.close()
        assert time.monotonic() - begun < 5
        assert len(sink.items()) == 900
    assert len(said) == 1 and "HTTP 500" in said[0]


def test_sink_never_answers(start: Callable[..., Telemetry]) -> None:
    """With a sink that hangs calls return at once, and flush() and close() together wait less than 5 s."""
    with Sink(None) as sink:
        insights = start(sink)
        insights.printed("text")
        begun = time.monotonic()
        insights.flush(0.5)
        assert 0.4 < time.monotonic() - begun < 2
        assert sink.asked.wait(DEADLINE)
        assert tell_much(insights) < 1
        insights.close()
        insights.close()
        assert time.monotonic() - begun < 5


@POSIX
def test_interrupted_close() -> None:
    """A second Ctrl-C while close() waits ends the waiting, and is no traceback."""
    release, waiting = threading.Event(), threading.Event()

    def send(batch: Sequence[Answered | Record]) -> None:
        waiting.set()
        release.wait(DEADLINE)

    def interrupt() -> None:
        waiting.wait(DEADLINE)
        time.sleep(0.1)  # close() may not wait yet; it waits 2 s
        os.kill(os.getpid(), signal.SIGINT)

    insights = Insights(config_for("x=y"), lambda: send, pytest.fail)
    insights.printed("text")
    ctrl_c = threading.Thread(target=interrupt)
    ctrl_c.start()
    begun = time.monotonic()
    insights.close()
    assert time.monotonic() - begun < 1.5
    insights.close()
    assert time.monotonic() - begun < 1.5
    release.set()
    ctrl_c.join(DEADLINE)


class Late(BaseException):
    """What the scoring time limit raises, wherever the script is."""


INTERRUPTED = """
import signal, threading, time
from devserver.config.settings import Config
from devserver.scoring.insights import Insights

class Late(BaseException): ...

def raise_late(*_):
    raise Late

def print_on(insights):
    while time.monotonic() < end:
        insights.printed("text")

sent = []
insights = Insights(Config(), lambda: lambda batch: sent.extend(item.text for item in batch), print)
signal.signal(signal.SIGALRM, raise_late)
end, hits = time.monotonic() + 2, 0
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001)
        print_on(insights)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Late:
        hits += 1
signal.signal(signal.SIGALRM, signal.SIG_IGN)
later = threading.Thread(target=lambda: [insights.printed("later") for _ in range(1000)], daemon=True)
later.start()
later.join(5)
insights.close()
print(hits > 500, later.is_alive(), sent.count("later"))
"""


@POSIX
def test_interrupted_telling() -> None:
    """However often the scoring time limit raises within a print, later ones are sent and wait for nothing."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=30)
    assert done.stdout == "True False 1000\n", done.stderr


# --------------------------------------------------------------------- whole processes


def run_code(code: str, sink: Sink) -> float:
    """Seconds from the code's end to the end of its process."""
    lines = (
        "import sys, time",
        "from devserver.config.settings import Config",
        "from devserver.scoring.insights import start",
        "config = Config(appinsights_enabled=True, connection_string=sys.argv[1])",
        "telemetry = start(config, str)",
        code,
        "print(repr(time.time()), flush=True)",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore:This process:DeprecationWarning",
            "-c",
            "\n".join(lines),
            sink.connection_string,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(collecting.__file__).parents[2])},
        encoding="utf-8",
    )
    ended = time.time()
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return ended - float(done.stdout.splitlines()[-1])


def test_what_waits_is_sent_at_exit(exporter: ModuleType, sink: Sink) -> None:
    """A process that just ends sends what waits, without being told to."""
    assert run_code("telemetry.printed('last words')", sink) < 5
    assert [item["data"]["baseData"]["message"] for item in sink.items()] == ["last words"]


@pytest.mark.parametrize("status", [None, 500])
def test_exit_is_not_delayed(exporter: ModuleType, status: int | None) -> None:
    """A process ends within 5 s although the sink hangs or fails."""
    with Sink(status) as sink:
        assert run_code("[telemetry.printed('text') for _ in range(1000)]", sink) < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_forked_worker(exporter: ModuleType, sink: Sink) -> None:
    """What a process tells that was forked after the start is sent too, and what waited is sent once, by its parent."""
    code = (
        "import os; telemetry.printed('parent'); child = os.fork()\n"
        "if not child:\n    telemetry.printed('child'); sys.exit()\n"
        "os.waitpid(child, 0)"
    )
    assert run_code(code, sink) < 5
    assert sorted(item["data"]["baseData"]["message"] for item in sink.items()) == ["child", "parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_forked_child_that_tells_nothing(exporter: ModuleType, sink: Sink) -> None:
    """A forked process that tells nothing ends at once."""
    code = (
        "import os; telemetry.printed('parent'); begun = time.time(); child = os.fork()\n"
        "if not child:\n    sys.exit()\n"
        "os.waitpid(child, 0); assert time.time() - begun < 2"
    )
    assert run_code(code, sink) < 5
    assert [item["data"]["baseData"]["message"] for item in sink.items()] == ["parent"]


@POSIX
def test_forked_with_a_kept_connection(exporter: ModuleType) -> None:
    """A process and those forked from it send at the same time, each over a connection of its own."""
    code = (
        "import os; telemetry.printed('before'); telemetry.flush(2)\n"
        "def tell(who):\n"
        "    for number in range(5):\n        telemetry.printed(f'{who} {number}'); telemetry.flush(2)\n"
        "children = []\n"
        "for who in range(3):\n"
        "    child = os.fork()\n"
        "    if not child:\n        tell(who); sys.exit()\n"
        "    children.append(child)\n"
        "tell('parent')\n"
        "for child in children: os.waitpid(child, 0)"
    )
    with Sink(keeps=True) as sink:
        run_code(code, sink)
        texts = [item["data"]["baseData"]["message"] for item in sink.items()]
        assert sorted(texts) == sorted(["before", *(f"{who} {n}" for who in (0, 1, 2, "parent") for n in range(5))])
        assert sink.connections == 4


def in_a_fork(work: Callable[[], list[str]]) -> list[str]:
    """What `work` returns in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        answer: list[str] = json.loads(pipe.read())
    os.waitpid(child, 0)
    return answer


def forkable(said: list[str], connect: Callable[[], Send]) -> Insights:
    """Telemetry whose connection is made by `connect` in a forked process."""
    parent = os.getpid()
    return Insights(config_for("x=y"), lambda: connect() if os.getpid() != parent else lambda batch: None, said.append)


@POSIX
def test_forked_without_connection() -> None:
    """When the connection cannot be made anew after a fork, that is one line, and every call returns."""
    said: list[str] = []

    def connect() -> NoReturn:
        raise OSError("no more files")

    insights = forkable(said, connect)

    def tell() -> list[str]:
        insights.printed("text")
        insights.printed("text")
        insights.flush(DEADLINE)
        insights.close()
        return said

    (line,) = in_a_fork(tell)
    assert "no more files" in line
    insights.close()


@POSIX
def test_interrupted_connection() -> None:
    """When the scoring time limit ends the making of a connection after a fork, the next call makes it."""
    sent: list[str] = []
    tries: list[None] = []

    def connect() -> Send:
        tries.append(None)
        if len(tries) == 1:
            raise Late
        return lambda batch: sent.extend(item.text for item in batch if isinstance(item, Record))

    insights = forkable(sent, connect)

    def tell() -> list[str]:
        with suppress(Late):
            insights.printed("interrupted")
        insights.printed("sent")
        insights.flush(DEADLINE)
        return sent

    assert in_a_fork(tell) == ["sent"]
    insights.close()


# --------------------------------------------------------------------- the real command


SCRIPT = """
def init():
    print("in init")

def run(data):
    print("got", data)
    if data == "fail":
        raise ValueError("no good: " + data)
    return data
"""


def server(folder: Path, sink: Sink, *arguments: str, script: str = SCRIPT, **settings: Any) -> Server:
    path = folder / "score.py"
    path.write_text(script, encoding="utf-8")
    variables = {"APPLICATIONINSIGHTS_CONNECTION_STRING": sink.connection_string, "HOSTNAME": "box"}
    environment = {**variables, **settings.pop("env", {})}
    return Server("--entry_script", str(path), *arguments, folder=folder, env=environment, **settings)


SERVERS = pytest.mark.parametrize(
    ("kind", "env"),
    [("waitress", {}), pytest.param("gunicorn", {}, marks=POSIX), pytest.param("gunicorn", PRELOAD, marks=POSIX)],
)


@SERVERS
def test_live(exporter: ModuleType, sink: Sink, tmp_path: Path, kind: str, env: dict[str, str]) -> None:
    """The real command tells of a good run, a failing run, its error and printed text, before it has ended."""
    with server(tmp_path, sink, "--server", kind, env={"AML_MDC_STORAGE_ENABLED": "true", **env}) as running:
        assert running.post("/score", "good", {"x-request-id": "r-good"}).status == 200
        assert running.post("/score", "fail", {"x-request-id": "r-fail"}).status == 500
        assert running.get("/").status == 200
        assert running.stop() == 0
    requests = [item["data"]["baseData"] for item in sink.items("RequestData")]
    assert [(each["responseCode"], each["success"]) for each in requests] == [("200", True), ("500", False)]
    assert [each["properties"]["Request Id"] for each in requests] == ["r-good", "r-fail"]
    url = f"http://127.0.0.1:{running.port}/score"
    assert {(each["name"], each["url"], each["properties"]["url"]) for each in requests} == {("/score", url, url)}
    (error,) = (item["data"]["baseData"] for item in sink.items("ExceptionData"))
    assert error["properties"] == {**IDS, "Request Id": "r-fail", "Client Request Id": ""}
    assert (error["exceptions"][0]["typeName"], error["exceptions"][0]["message"]) == ("ValueError", "no good: fail")
    messages = [item["data"]["baseData"] for item in sink.items("MessageData")]
    data = [each["properties"] for each in messages if each["message"] == "model_data_collection"]
    assert [(each["Request Id"], each["Input"], each["Prediction"]) for each in data] == [
        ("r-good", '"good"', '"good"')
    ]
    texts = [each["message"] for each in messages if each["message"] != "model_data_collection"]
    assert sorted(texts) == ["got fail", "got good", "in init"]  # with preload init() ran in another process


@pytest.fixture
def theirs() -> str:
    """The interpreter of the original."""
    try:
        return str(original.original_python())
    except original.CannotInstall as error:
        pytest.skip(f"the original cannot be installed: {error}")


def request_item(command: Sequence[str], folder: Path, **variables: str) -> dict[str, Any]:
    """The item that a server sends of one request; in its address stands "<port>" for the port."""
    folder.mkdir()
    (folder / "score.py").write_text(SCRIPT)
    words = ("--appinsights_instrumentation_key", KEY, "--entry_script", "score.py", "--port", "{port}")
    with Sink() as sink:
        environment = {
            **{"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
            "APPLICATIONINSIGHTS_CONNECTION_STRING": sink.connection_string,
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
        }
        server = original.start([*command, *words], folder, environment, folder / "output.txt")
        with original.running([server]):
            head = f"POST /score?a=%20&b=x HTTP/1.1\r\nHost: localhost:{server.port}\r\nx-request-id: r-1\r\n"
            original.exchange(server.port, f"{head}Content-Length: 4\r\nConnection: close\r\n\r\ngood".encode())
        (item,) = sink.items("RequestData")
    item["data"]["baseData"]["properties"]["url"] = item["data"]["baseData"]["properties"]["url"].replace(
        f":{server.port}/", ":<port>/"
    )
    return item


@POSIX
@pytest.mark.timeout(900)  # the original may have to be installed
def test_like_the_original(exporter: ModuleType, tmp_path: Path, theirs: str) -> None:
    """A request's item has the name and the properties that the original's has; only the times differ."""
    command = [sys.executable, "-m", "devserver", "--host", "127.0.0.1"]
    ours = request_item(command, tmp_path / "ours", PYTHONPATH=original.package_folder())
    its = request_item([theirs, "-m", "azureml_inference_server_http"], tmp_path / "theirs")
    for item in (ours, its):
        for name in ("start_time", "duration"):
            assert item["data"]["baseData"]["properties"].pop(name)
    assert ours["data"]["baseData"]["properties"] == its["data"]["baseData"]["properties"]
    assert ours["data"]["baseData"]["properties"]["url"] == "http://localhost:<port>/score?a=%20&b=x"
    assert ours["data"]["baseData"]["name"] == its["data"]["baseData"]["name"] == "/score"
    assert ours["tags"]["ai.operation.name"] == its["tags"]["ai.operation.name"] == "/score"


@SERVERS
@pytest.mark.parametrize("status", [None, 500])
def test_live_end_is_not_delayed(
    exporter: ModuleType, tmp_path: Path, kind: str, env: dict[str, str], status: int | None
) -> None:
    """With a sink that hangs or fails every request is answered, and the command ends within 5 s of its signal."""
    with Sink(status) as sink, server(tmp_path, sink, "--server", kind, env=env) as running:
        for _ in range(20):
            assert running.post("/score", "good").status == 200
        begun = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begun < 5
        processes = 1 + bool(env)
        assert running.output().count("Application Insights does not get") <= processes


@pytest.mark.parametrize("status", [200, None])
def test_live_failing_init(exporter: ModuleType, tmp_path: Path, status: int | None) -> None:
    """An init() that fails is told, and ends the command with 3 within 5 s more than the start takes."""
    script = "def init():\n    raise KeyError('no model')\n\ndef run(data):\n    return data\n"
    with Sink(status) as sink, server(tmp_path, sink, script=script, until="not_ready") as running:
        begun = time.monotonic()
        assert running.process.wait(DEADLINE) == 3
        assert time.monotonic() - begun < 5
        (error,) = sink.items("ExceptionData")
    assert error["data"]["baseData"]["properties"]["Request Id"] == "Unknown"
    assert error["data"]["baseData"]["exceptions"][0]["typeName"] == "KeyError"
