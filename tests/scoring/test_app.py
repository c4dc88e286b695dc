"""Scripts and requests come in, by Flask's test client; answers, headers, reports and log lines are looked at."""

from __future__ import annotations

import gc
import logging
import re
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from devserver import __version__
from devserver.config.azure_deployment import Limits, Probe
from devserver.config.settings import Config
from devserver.records.diagnostic import Diagnostic
from devserver.scoring import compat, logs
from devserver.scoring.app import Parts, create_app
from devserver.scoring.script import load
from devserver.scoring.swagger import prepare
from devserver.scoring.telemetry import Answered, Telemetry
from devserver.scoring.time_limit import NoLimit, time_limit
from devserver.serve import AnswerFailed, WorkerAborted
from devserver.usercode import loader
from devserver.worker.holding import holding_app
from devserver.worker.reporter import RequestReporter

ECHO = "def run(data): return data"
IDS = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")
FAILED = "x-ms-run-function-failed"
TOOK = "x-ms-run-fn-exec-ms"
GENERATION = "x-azmlinfsrv-generation"
SCRIPT_FAILED = {"message": "An unexpected error occurred in scoring script. Check the logs for more info."}
SERVER_FAILED = {"message": "An unexpected internal error occurred. Check the logs for more info."}
NOT_ALLOWED = {"message": "The method is not allowed for the requested URL."}
NOT_FOUND = {
    "message": "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
}


@dataclass
class Recording(Telemetry):
    """Telemetry that keeps what it is told."""

    heard: list[object] = field(default_factory=list)

    def answered(self, facts: Answered) -> None:
        self.heard.append((facts.path, facts.status))

    def failed(self, error: BaseException, request_id: str, client_request_id: str) -> None:
        self.heard.append((type(error).__name__, request_id, client_request_id))

    def scored(self, request_id: str, client_request_id: str, input: object, prediction: object) -> None:
        self.heard.append((input, prediction))


@dataclass
class Site:
    """An app, and what its reporter has told."""

    parts: Parts
    client: FlaskClient
    told: list[Diagnostic]
    phases: list[str]
    telemetry: Recording

    def ask(self, method: str = "POST", path: str = "/score", body: bytes | str = b"", **headers: str) -> TestResponse:
        """One request, read and closed; underscores in header names stand for dashes."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.open(path, method=method, data=body, headers=given)
        answer.get_data()
        answer.close()
        return answer

    def only_report(self) -> Diagnostic:
        [report] = self.told
        return report


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Load a script and make its app; settings of `Config` by name."""
    for name in [name for name in sys.modules if name.partition(".")[0] in (compat.PACKAGE, "azureml")]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    compat.install()

    def made(
        source: str = ECHO, *, generation: int | None = None, limit: Any = None, paused: bool = False, **settings: Any
    ) -> Site:
        path = tmp_path / "score.py"
        path.write_text("def init(): pass\n" + textwrap.dedent(source), encoding="utf-8")
        config = Config(base=str(tmp_path), **settings)
        script = load(str(path))
        told, phases, telemetry = list[Diagnostic](), list[str](), Recording()
        reporter = RequestReporter(
            config, script, telemetry, told.append, phases.append, generation is not None, lambda: paused
        )
        documents = prepare(script.run, config, lambda line: None)
        parts = Parts(config, script, documents, limit or NoLimit(), reporter, generation)
        return Site(parts, create_app(parts).test_client(), told, phases, telemetry)

    yield made
    loader.forget()
    for name in set(sys.modules) - before:
        if name == "entry_module" or name.partition(".")[0] in (compat.PACKAGE, "azureml"):
            del sys.modules[name]


# --- ids


@pytest.mark.parametrize("path", ["/", "/score", "/swagger.json", "/nowhere"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "AA-"), ("r", "rr-"), ("m", "Amm"), ("c", "Acc"),
        ("rm", "rmm"), ("mc", "Amc"), ("rc", "rcc"), ("rmc", "rmc"),
    ],
)  # fmt: skip
def test_truth_table_of_the_ids(make: Callable[..., Site], path: str, given: str, expected: str) -> None:
    """Which of the three ids an answer carries follows from which of them the request has; A is a fresh uuid4."""
    headers = dict(zip(IDS, "rmc"))
    sent = {name: value for name, value in headers.items() if value in given}
    answer = make().ask("GET", path, **sent)
    fresh = answer.headers[IDS[0]] if "A" in expected else ""
    if fresh:
        assert str(uuid.UUID(fresh, version=4)) == fresh
    wanted = [{"A": [fresh], "-": []}.get(letter, [letter]) for letter in expected]
    assert [answer.headers.getlist(name) for name in IDS] == wanted


def test_ids_are_fresh(make: Callable[..., Site]) -> None:
    """Each request without an id gets one of its own; an empty id counts as none."""
    site = make()
    found = {site.ask(x_request_id="", x_ms_request_id="").headers["x-request-id"] for _ in range(3)}
    assert len(found) == 3 and "" not in found


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["/score", "/swagger.json"])
@pytest.mark.parametrize("name", IDS)
def test_long_ids(make: Callable[..., Site], method: str, path: str, name: str) -> None:
    """An id of 101 characters is refused before anything else, run() included; one of 100 is not."""
    if path == "/swagger.json" and method in ("POST", "OPTIONS"):
        return  # the router's own answers
    site = make()
    answer = site.ask(method, path, b"\xff", **{name: "x" * 101})
    assert (answer.status_code, answer.mimetype, answer.headers[FAILED]) == (431, "application/json", "False")
    text = "x-request-id" if name == IDS[0] else "x-ms-request-id and x-ms-client-request-id"
    if method != "HEAD":
        assert answer.json == {"message": f"{text} must not exceed 100 characters"}
    assert [header in answer.headers for header in IDS] == [name != IDS[0], False, False]
    assert site.phases == [] and site.told == []
    assert site.ask(method, path, "x", **{name: "x" * 100}).headers[name] == "x" * 100


def test_liveness_with_long_ids(make: Callable[..., Site]) -> None:
    """A probe is answered whatever its ids are."""
    answer = make().ask("GET", "/", x_request_id="x" * 101)
    assert (answer.status_code, answer.text) == (200, "Healthy")


def test_deprecated_id(make: Callable[..., Site], caplog: pytest.LogCaptureFixture) -> None:
    """x-ms-request-id is warned of, in the words that people search for."""
    make().ask(x_ms_request_id="m")
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "x-ms-request-id header has been deprecated and will be removed from future versions of the server. "
        "Please use x-ms-client-request-id."
    ]


# --- the other headers


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [f"azmlinfsrv/{__version__}"]),
        ({"send_version": False}, []),
        ({"send_version": False, "given_version": "mine"}, ["mine"]),
    ],
)
@pytest.mark.parametrize("path", ["/", "/score", "/nowhere"])
def test_version_header(make: Callable[..., Site], settings: dict[str, Any], expected: list[str], path: str) -> None:
    """Every answer names the server's version, another text or nothing."""
    assert make(**settings).ask("GET", path).headers.getlist("x-ms-server-version") == expected


def test_trace_id(make: Callable[..., Site]) -> None:
    """TraceId comes back if it was sent, also empty, and is absent otherwise."""
    site = make()
    assert site.ask("GET", "/", traceid="t" * 200).headers["TraceId"] == "t" * 200
    assert site.ask(TRACEID="").headers["TraceId"] == ""
    assert "TraceId" not in site.ask().headers


def test_generation_header(make: Callable[..., Site]) -> None:
    """In the dev loop every answer carries the generation, and outside of it none does."""
    for path in ("/", "/score", "/swagger.json", "/nowhere"):
        assert make(generation=7).ask("GET", path).headers.getlist(GENERATION) == ["7"]
        assert GENERATION not in make().ask("GET", path).headers


def test_script_cannot_override(make: Callable[..., Site]) -> None:
    """What the script sets under the server's names gives way; each stands there once."""
    site = make("""
        import flask
        def run(data):
            names = ["x-request-id", "x-ms-request-id", "x-ms-client-request-id", "TraceId", "x-ms-server-version",
                     "x-ms-run-fn-exec-ms", "x-azmlinfsrv-generation"]
            return flask.Response("x", headers={name: "own" for name in names})
        """, generation=1)  # fmt: skip
    headers = site.ask(x_request_id="r", x_ms_client_request_id="c", traceid="t").headers
    names = [*IDS, "TraceId", "x-ms-server-version", GENERATION]
    assert [headers.getlist(name) for name in names] == [
        ["r"],
        ["c"],
        ["c"],
        ["t"],
        [f"azmlinfsrv/{__version__}"],
        ["1"],
    ]
    assert len(headers.getlist(TOOK)) == 1 and headers[TOOK] != "own"


# --- what run() returns


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("None", "{}"),
        ("'ü'", '"\\u00fc"'),
        ("{'b': 1, 'a': [1.0, True, None]}", '{"b": 1, "a": [1.0, true, null]}'),
        ("{1: 2}", '{"1": 2}'),
        ("(1, 201)", "[1, 201]"),
        ("float('nan')", "NaN"),
        ("[float('inf')]", "[Infinity]"),
        ("''", '""'),
    ],
)
def test_json_answers(make: Callable[..., Site], value: str, text: str) -> None:
    """A value is dumped as Azure ML does it: ASCII, in order, NaN as NaN, nothing as an empty object, always 200."""
    answer = make(f"def run(data): return {value}").ask()
    assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (200, "application/json", text)
    assert answer.headers[FAILED] == "False" and re.fullmatch(r"\d+\.\d{3}", answer.headers[TOOK])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("None", ("None", "{}")),
        ("(1, 2)", ("tuple of 2", "list")),
        ("{'a': [1.0, float('nan')]}", ('run() returned NaN at result["a"][1]', "not valid JSON")),
        ("[float('-inf')]", ("run() returned -Infinity at result[0]",)),
    ],
)
def test_answers_that_surprise(make: Callable[..., Site], value: str, words: tuple[str, ...]) -> None:
    """Nothing, a tuple or NaN is answered as in Azure ML, and said once with the place in run()."""
    site = make(f"def run(data):\n    return {value}")
    assert site.ask(body="in").status_code == 200
    report = site.only_report()
    assert (report.severity, report.phase, report.line, report.status) == ("warning", "response", 3, 200)
    assert [word for word in words if word not in report.message] == []
    assert report.path.endswith("score.py")


@pytest.mark.parametrize("value", ["'NaN'", "{'Infinity': 1}", "[]", "{}", "False"])
def test_answers_that_do_not_surprise(make: Callable[..., Site], value: str) -> None:
    """The words NaN and Infinity in a text, and empty values, are no cause for a warning."""
    site = make(f"def run(data): return {value}")
    assert site.ask().status_code == 200 and site.told == []


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("b'x'", "result is bytes"),
        ("{'a': [1, {2}]}", 'result["a"][1] is set'),
        ("{'a': {(1, 2): 3}}", 'a key of result["a"] is tuple'),
        ("[object()]", "result[0] is object"),
        ("(x for x in [1])", "result is generator"),
        ("__import__('decimal').Decimal(1)", "result is decimal.Decimal"),
        ("__import__('numpy').float32(1)", "result is numpy.float32"),
        ("__import__('werkzeug').Response('x')", "result is werkzeug.wrappers.response.Response"),
    ],
)
def test_values_that_json_cannot_hold(make: Callable[..., Site], value: str, part: str) -> None:
    """A value that JSON cannot hold is the script's 500; the report says which part of it and where it comes from."""
    if "numpy" in value:
        pytest.importorskip("numpy")
    site = make(f"def run(data):\n    return {value}")
    answer = site.ask()
    assert (answer.status_code, answer.json, answer.headers[FAILED]) == (500, SCRIPT_FAILED, "True")
    report = site.only_report()
    assert (report.severity, report.phase, report.type, report.line) == ("error", "response", "TypeError", 3)
    assert part in report.message


@pytest.mark.parametrize(("body", "kind"), [("circular", "ValueError"), ("deep", "RecursionError")])
def test_circular_and_deep_values(make: Callable[..., Site], body: str, kind: str) -> None:
    """A value that contains itself, and one that is nested too deep, are the script's 500."""
    site = make("""
        def run(data):
            found = []
            if data == "circular":
                found.append(found)
            for _ in range(0 if data == "circular" else 20_000):
                found = [found]
            return found
        """)
    assert site.ask(body=body).json == SCRIPT_FAILED
    assert (site.only_report().type, site.only_report().phase) == (kind, "response")


def test_a_coroutine(make: Callable[..., Site]) -> None:
    """An `async def run` is reported at its def, and the server goes on."""
    site = make("async def run(data): return 1")
    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert site.ask().status_code == 500
        gc.collect()
    assert site.only_report().line == 2


RESPONSES = """
    import flask
    from http import HTTPStatus
    from azureml_inference_server_http.api.aml_response import AMLResponse
    def run(data):
        return eval(data)
    """


@pytest.mark.parametrize(
    ("call", "status", "kind", "body", "failed"),
    [
        ("flask.Response('x', 203)", 203, "text/html; charset=utf-8", b"x", None),
        ("flask.jsonify(b=1, a=2)", 200, "application/json", b'{"a":2,"b":1}\n', None),
        ("flask.Response('x', 503)", 503, "text/html; charset=utf-8", b"x", "True"),
        ("AMLResponse('x', 200)", 200, "text/html; charset=utf-8", b"x", "False"),
        ("AMLResponse('x', 404, run_function_failed=True)", 404, "text/html; charset=utf-8", b"x", "True"),
        ("AMLResponse('x', 500)", 500, "text/html; charset=utf-8", b"x", "True"),
        ("AMLResponse(None, 200)", 200, "application/json", b"{}", "False"),
        ("AMLResponse([1], 200, json_str=True)", 200, "application/json", b"[1]", "False"),
        ("AMLResponse(b'\\x00\\xff', 200, {'Content-Type': 'image/png'})", 200, "image/png", b"\x00\xff", "False"),
        ("AMLResponse('x', '201 Fine')", 201, "text/html; charset=utf-8", b"x", "False"),
        ("AMLResponse('x', HTTPStatus.ACCEPTED)", 202, "text/html; charset=utf-8", b"x", "False"),
        ("AMLResponse('x', 555)", 555, "text/html; charset=utf-8", b"x", "True"),
        ("AMLResponse({'k': 1, 'l': 2}, 200)", 200, "text/html; charset=utf-8", b"kl", "False"),
    ],
)
def test_responses(
    make: Callable[..., Site], call: str, status: int, kind: str, body: bytes, failed: str | None
) -> None:
    """A response that run() made is sent as it is; whether run() failed is told of AMLResponses and of every 5xx."""
    site = make(RESPONSES)
    answer = site.ask(body=call)
    assert (answer.status_code, answer.headers["Content-Type"], answer.data) == (status, kind, body)
    assert answer.headers.getlist(FAILED) == ([failed] if failed else [])
    assert re.fullmatch(r"\d+\.\d{3}", answer.headers[TOOK])
    assert site.told == []


def test_response_is_logged(make: Callable[..., Site], caplog: pytest.LogCaptureFixture) -> None:
    """The log says that run() made the response itself."""
    caplog.set_level(logging.INFO, "azmlinfsrv")
    make(RESPONSES).ask(body="flask.Response('x')")
    assert "run() output is HTTP Response" in caplog.messages


@pytest.mark.parametrize("call", ["AMLResponse('x', 200, {'X-A': 'a\\nb'})", "AMLResponse('x', 200, {'X-A': 1})"])
def test_headers_that_cannot_be_sent(make: Callable[..., Site], call: str) -> None:
    """A header value with a line break, or that is not text, is a failure of run()."""
    site = make(RESPONSES)
    assert site.ask(body=call).json == SCRIPT_FAILED
    assert site.only_report().phase == "run"


def test_streams(make: Callable[..., Site]) -> None:
    """A stream that breaks is reported with its place; one that is not read to its end is closed, without a report."""
    site = make("""
        import flask
        ended = []
        def body(data):
            try:
                yield "a"
                yield "b" if data == "whole" else 1 / 0
            finally:
                ended.append(data)
        def run(data):
            return flask.Response(body(data))
        """)  # fmt: skip
    assert site.ask(body="whole").text == "ab" and site.told == []
    with pytest.raises(AnswerFailed) as raised:
        site.ask(body="broken")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    report = site.only_report()
    assert (report.phase, report.type, report.line, report.status) == ("response", "ZeroDivisionError", 8, 200)
    site.told.clear()
    site.client.post("/score", data="left", buffered=False).close()
    assert site.told == []
    assert site.parts.script.run.__globals__["ended"] == ["whole", "broken", "left"]


NOTED = """
    import flask
    def run(data):
        return {name: [type(value).__name__, str(value)] for name, value in vars(flask.g._get_current_object()).items()}
    """


@pytest.mark.parametrize(
    ("sent", "ids"),
    [
        ({}, ("A", "", "A")),
        ({"x_request_id": "r"}, ("r", "", "r")),
        ({"x_request_id": "r", "x_ms_request_id": "m"}, ("r", "m", "m")),
        ({"x_request_id": "r", "x_ms_client_request_id": "c"}, ("r", "c", "c")),
        ({"x_request_id": "r", "x_ms_request_id": "m", "x_ms_client_request_id": "c"}, ("r", "c", "m")),
    ],
)
def test_what_scripts_find_in_g(make: Callable[..., Site], sent: dict[str, str], ids: tuple[str, ...]) -> None:
    """The request's ids, its path and when it began, of the types that they have in Azure ML; the time is UTC."""
    before, clock = datetime.now(timezone.utc).replace(tzinfo=None), perf_counter()
    answer = make(NOTED).ask(path="/score?a=1", **sent)
    found = answer.json
    assert {name: kind for name, (kind, _) in found.items()} == {
        **dict.fromkeys(("api_name", "request_id", "client_request_id", "legacy_client_request_id"), "str"),
        "start_datetime": "datetime",
        "starting_perf_counter": "float",
    }
    own = answer.headers["x-request-id"]
    names = ("request_id", "client_request_id", "legacy_client_request_id")
    assert tuple(found[name][1] for name in names) == tuple(own if each == "A" else each for each in ids)
    assert found["api_name"][1] == "/score"
    begun = datetime.fromisoformat(found["start_datetime"][1])
    assert abs(begun - before) < timedelta(seconds=20)  # the machine's clock may be set while this runs
    assert clock <= float(found["starting_perf_counter"][1]) <= perf_counter()


# --- what run() raises


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("raise KeyError('x')", "KeyError"),
        ("exit(0)", "SystemExit"),
        ("raise SystemExit", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise BaseException('x')", "BaseException"),
        ("import flask; flask.abort(409)", "Conflict"),
        ("import flask; flask.abort(404)", "NotFound"),
        ("import flask; flask.request.json", "UnsupportedMediaType"),
        ("def f(): f()\n    f()", "RecursionError"),
    ],
)
def test_exceptions(make: Callable[..., Site], statement: str, kind: str) -> None:
    """Whatever run() raises is a 500 without details, reported with its place; the app goes on."""
    site = make(f"def run(data):\n    if data: return 1\n    {statement}")
    answer = site.ask()
    assert (answer.status_code, answer.json, answer.headers[FAILED]) == (500, SCRIPT_FAILED, "True")
    assert answer.mimetype == "application/json" and TOOK not in answer.headers
    report = site.only_report()
    assert (report.phase, report.type, report.status) == ("run", kind, 500)
    assert report.path.endswith("score.py") and report.line >= 4
    assert report.request is not None and (report.request.method, report.request.path) == ("POST", "/score")
    assert site.ask(body="x").status_code == 200
    assert site.phases == ["run", "idle"] * 2


def test_a_report_is_made_after_the_answer(make: Callable[..., Site]) -> None:
    """The client does not wait for a report that only the person sees."""
    site = make("def run(data): 1 / 0")
    answer = site.client.post("/score", buffered=False)
    assert answer.json == SCRIPT_FAILED and site.told == []
    answer.close()
    assert site.only_report().type == "ZeroDivisionError"


def test_body_in_a_report(make: Callable[..., Site]) -> None:
    """The report shows the beginning of the body, the whole size and the type."""
    site = make("def run(data): 1 / 0")
    site.ask(path="/score?a=1", body="ü" * 300, content_type="text/plain")
    request = site.only_report().request
    assert request is not None
    assert (request.path, request.size, request.body) == ("/score?a=1", 600, "ü" * 200)
    assert request.content_type == "text/plain"


def test_own_timeout(make: Callable[..., Site]) -> None:
    """A TimeoutError of the script's own is answered as a scoring timeout, as in Azure ML, but reported as it is."""
    site = make("def run(data): raise TimeoutError('the database')", limit=time_limit(90_000, in_main_thread=True))
    assert site.ask().json == {"message": "Scoring timeout after 90000 ms"}
    assert (site.only_report().type, site.only_report().message) == ("TimeoutError", "the database")


def test_scoring_timeout(make: Callable[..., Site]) -> None:
    """The limit interrupts run(), is answered with its length and reported at the line that was running."""
    site = make("def run(data):\n    while True:\n        pass", limit=time_limit(50, in_main_thread=True))
    answer = site.ask()
    assert (answer.status_code, answer.json) == (500, {"message": "Scoring timeout after 50 ms"})
    assert answer.headers[FAILED] == "True" and TOOK not in answer.headers
    report = site.only_report()
    assert "timed out after 50 ms (SCORING_TIMEOUT_MS)" in report.message and report.line in (3, 4)


def test_limit_counts_run_only(make: Callable[..., Site]) -> None:
    """Neither reading the request nor writing the answer is inside of the limit."""
    inside = list[str]()

    class Limit(nullcontext[None]):
        milliseconds = 1

        def __enter__(self) -> None:
            inside.append("begin")

        def __exit__(self, *_: object) -> None:
            inside.append("end")

    site = make("inside = []\ndef run(data): inside.append('run')", limit=Limit())
    site.parts.script.run.__globals__["inside"] = inside
    site.ask()
    site.ask(body=b"\xff")
    assert inside == ["begin", "run", "end"]


def test_worker_that_is_ended(make: Callable[..., Site]) -> None:
    """A call that the server itself ends is reported as overrunning its limit, and not answered by the app."""
    site = make("def run(data): raise error", worker_timeout=3)
    site.parts.script.run.__globals__["error"] = WorkerAborted(1)
    with pytest.raises(WorkerAborted):
        site.ask()
    assert "timed out after 3 s (WORKER_TIMEOUT)" in site.only_report().message


def test_fault_of_the_server(make: Callable[..., Site]) -> None:
    """An error outside of run() is the server's own: 500, run() not blamed, and reported."""
    site = make()
    client = create_app(replace(site.parts, swagger=None)).test_client()  # type: ignore[arg-type]
    answer = client.get("/swagger.json")
    answer.close()
    assert (answer.status_code, answer.json, answer.headers[FAILED]) == (500, SERVER_FAILED, "False")
    assert site.only_report().phase == "server"


def test_query_that_is_nested_too_deep(make: Callable[..., Site]) -> None:
    """JSON that Python cannot take in is the server's 500, as in Azure ML."""
    answer = make().ask("GET", "/score?a=" + "[" * 100_000)
    assert (answer.status_code, answer.json) == (500, SERVER_FAILED)


# --- who is told more


LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("shown", "environ"),
    [
        (True, {}),
        (True, {"REMOTE_ADDR": "::1", "HTTP_HOST": "[::1]:5001"}),
        (True, {"REMOTE_ADDR": "127.8.9.1", "HTTP_HOST": "127.0.0.1:5001"}),
        (True, {"REMOTE_ADDR": "::ffff:127.0.0.1"}),
        (True, {"HTTP_ORIGIN": "http://localhost:5001"}),
        (False, {"REMOTE_ADDR": "192.168.1.2"}),
        (False, {"REMOTE_ADDR": ""}),
        (False, {"HTTP_HOST": "evil.example"}),
        (False, {"HTTP_HOST": "localhost.evil.example"}),
        (False, {"HTTP_HOST": "127.0.0.1.evil.example"}),
        (False, {"HTTP_HOST": "192.168.1.2:5001"}),
        (False, {"HTTP_HOST": "[::1"}),
        (False, {"HTTP_HOST": ""}),
        (False, {"HTTP_ORIGIN": "https://evil.example"}),
        (False, {"HTTP_ORIGIN": "null"}),
        (False, {"HTTP_ORIGIN": "http://["}),
        (False, {"HTTP_ORIGIN": ""}),
        (False, {"HTTP_FORWARDED": "for=127.0.0.1"}),
        (False, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}),
        (False, {"HTTP_X_FORWARDED_HOST": "localhost"}),
        (False, {"HTTP_X_FORWARDED_PROTO": "https"}),
        (False, {"HTTP_X_REAL_IP": "127.0.0.1"}),
        (False, {"HTTP_VIA": "1.1 proxy"}),
    ],
)
@pytest.mark.parametrize("holding", [False, True])
def test_error_object(make: Callable[..., Site], shown: bool, environ: Mapping[str, str], holding: bool) -> None:
    """In the dev loop a client on this machine, that knows it, is told the place of an error, and nobody else is."""
    site = make("def run(data): 1 / 0", generation=3)
    site.ask()
    client = holding_app(site.only_report(), 4, "v").test_client() if holding else site.client
    answer = client.post("/score", environ_overrides={**LOCAL, "HTTP_HOST": "localhost", **environ})
    answer.close()
    assert answer.status_code == (503 if holding else 500)
    assert answer.headers[GENERATION] == ("4" if holding else "3")
    body = answer.json
    assert set(body) == ({"message", "error"} if shown else {"message"})
    if shown:
        assert (body["error"]["type"], body["error"]["line"]) == ("ZeroDivisionError", 2)
        assert body["error"]["file"].endswith("score.py") and body["error"]["frames"][0]["function"] == "run"


def test_no_error_object_outside_of_the_loop(make: Callable[..., Site]) -> None:
    """Without a generation nobody is told more than in Azure ML."""
    assert make("def run(data): 1 / 0").ask().json == SCRIPT_FAILED
    assert make("def run(data): return object()").ask().json == SCRIPT_FAILED


def test_error_object_for_each_kind(make: Callable[..., Site]) -> None:
    """A timeout and a result that is no JSON are told as fully as an exception; a refusal of the server's is not."""
    site = make("def run(data): return {data, 1}", generation=1)
    assert "result is set" in site.ask().json["error"]["message"]
    site = make("def run(data):\n while 1: pass", generation=1, limit=time_limit(30, in_main_thread=True))
    assert "SCORING_TIMEOUT_MS" in site.ask().json["error"]["message"]
    assert "error" not in site.ask(body=b"\xff").json


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("POST", "/score"), ("PUT", "/x"), ("OPTIONS", "/score"), ("HEAD", "/")]
)
def test_holding(make: Callable[..., Site], method: str, path: str) -> None:
    """A generation that could not load answers 503 to everything, with the contract's headers."""
    site = make("def run(data): 1 / 0")
    site.ask()
    client = holding_app(site.only_report(), 2, "v").test_client()
    answer = client.open(path, method=method, data=b"x", headers={"x-request-id": "r", "traceid": "t"})
    assert (answer.status_code, answer.mimetype, answer.headers[FAILED]) == (503, "application/json", "True")
    headers = ("x-request-id", "x-ms-request-id", "TraceId", "x-ms-server-version", GENERATION)
    assert [answer.headers[name] for name in headers] == ["r", "r", "t", "v", "2"]


# --- routes


def test_health(make: Callable[..., Site]) -> None:
    """GET / is Healthy, whatever the query; HEAD and OPTIONS go with it; run() has no part in it."""
    site = make()
    answer = site.ask("GET", "/?a=1")
    assert (answer.status_code, answer.text) == (200, "Healthy")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8" and FAILED not in answer.headers
    assert site.ask("HEAD", "/").headers["Content-Length"] == "7"
    options = site.ask("OPTIONS", "/")
    assert (options.status_code, options.data, options.allow.as_set()) == (200, b"", {"get", "head", "options"})
    assert FAILED not in options.headers and site.phases == []


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/nowhere", 404, NOT_FOUND),
        ("POST", "/score/", 404, NOT_FOUND),
        ("GET", "/Score", 404, NOT_FOUND),
        ("POST", "/", 405, NOT_ALLOWED),
        ("PUT", "/score", 405, NOT_ALLOWED),
        ("DELETE", "/score", 405, NOT_ALLOWED),
        ("PATCH", "/score", 405, NOT_ALLOWED),
        ("TRACE", "/score", 405, NOT_ALLOWED),
        ("BREW", "/score", 405, NOT_ALLOWED),
        ("POST", "/swagger.json", 405, NOT_ALLOWED),
    ],
)
def test_router(make: Callable[..., Site], method: str, path: str, status: int, body: object) -> None:
    """Unknown paths and methods are refused in Werkzeug's words, as JSON, with all headers."""
    site = make()
    answer = site.ask(method, path, "body")
    assert (answer.status_code, answer.json, answer.headers[FAILED]) == (status, body, "False")
    assert answer.headers["Content-Type"] == "application/json" and "x-request-id" in answer.headers
    assert "Allow" not in answer.headers
    assert site.phases == [] and site.told == []


def test_methods_of_score(make: Callable[..., Site]) -> None:
    """OPTIONS is empty and HEAD refused where run() is plain; a raw run() sees both."""
    site = make()
    options, head = site.ask("OPTIONS"), site.ask("HEAD")
    assert (options.status_code, options.data, options.mimetype) == (200, b"", "text/html")
    assert options.headers[FAILED] == "False"
    assert (head.status_code, head.headers[FAILED], head.mimetype) == (405, "False", "application/json")
    assert site.phases == []
    site = make("""
        import flask
        from azureml_inference_server_http.api.aml_request import rawhttp
        @rawhttp
        def run(request):
            return [request.method, isinstance(request, flask.Request), request.get_data(as_text=True)]
        """)
    for method in ("GET", "POST", "OPTIONS"):
        assert site.ask(method, body="x").json == [method, True, "x"]
    assert site.ask("HEAD").status_code == 200


def test_two_slashes(make: Callable[..., Site]) -> None:
    """//score reaches /score, without a redirect."""
    answer = make().client.post("/score", data="x", environ_overrides={"PATH_INFO": "//score"})
    assert answer.json == "x"


def test_refusals_of_input(make: Callable[..., Site]) -> None:
    """A body that run() cannot be given is a 400 with the server's headers, without a report."""
    site = make()
    answer = site.ask(body=b"\xff")
    assert answer.status_code == 400 and answer.json["message"].startswith("Input cannot be decoded as UTF-8: ")
    assert answer.headers[FAILED] == "False" and TOOK not in answer.headers
    assert site.phases == [] and site.told == []


def test_swagger_route(make: Callable[..., Site]) -> None:
    """The first version asked for counts, 2 by default; an unknown one is a 404."""
    site = make()
    assert site.ask("GET", "/swagger.json").json["swagger"] == "2.0"
    answer = site.ask("GET", "/swagger.json?version=3&version=2")
    assert (answer.json["openapi"], answer.mimetype, answer.headers[FAILED]) == ("3.0.3", "application/json", "False")
    assert site.ask("GET", "/swagger.json?version=4").status_code == 404


# --- CORS


ALLOWED = "Access-Control-Allow-Origin"


@pytest.mark.parametrize(
    ("origins", "origin", "expected", "varies"),
    [
        ("http://a", "http://a", "http://a", False),
        ("http://a", "http://b", None, False),
        ("http://a", "HTTP://A", "HTTP://A", False),
        (" http://a , http://b ", "http://b", "http://b", True),
        ("http://a,http://b", None, "http://a", True),
        ("http://.*", "http://c", "http://c", True),
        ("*", "http://c", "http://c", True),
        ("*", None, "*", False),
        (",", "http://a", None, False),
        ("", "http://a", None, False),
    ],
)
@pytest.mark.parametrize("path", ["/", "/score"])
def test_origins(
    make: Callable[..., Site], origins: str, origin: str | None, expected: str | None, varies: bool, path: str
) -> None:
    """An origin of the list is allowed, on the server's own errors too; where the answer depends on it, it says so."""
    headers = {"origin": origin} if origin else {}
    answer = make("def run(data): 1 / 0", cors_origins=origins).ask("GET", path, **headers)
    if origin is not None:
        assert answer.headers.get(ALLOWED) == expected
    assert ("Origin" in answer.headers.get("Vary", "")) == varies or origin is None or expected is None


def test_preflight(make: Callable[..., Site]) -> None:
    """A preflight is told GET and POST and its own headers; another method is not granted; the router stays silent."""
    site = make(cors_origins="http://a")
    asked = {"origin": "http://a", "access_control_request_headers": "X-B", "access_control_request_method": "POST"}
    answer = site.ask("OPTIONS", **asked)
    assert answer.headers[ALLOWED] == "http://a" and answer.headers["Access-Control-Allow-Headers"] == "X-B"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
    put = site.ask("OPTIONS", **{**asked, "access_control_request_method": "PUT"})
    assert "Access-Control-Allow-Methods" not in put.headers
    assert ALLOWED not in site.ask("GET", "/nowhere", origin="http://a").headers


def test_own_origin_header(make: Callable[..., Site]) -> None:
    """A script's own Access-Control-Allow-Origin is left alone."""
    own = "import flask\ndef run(data): return flask.Response('', headers={'Access-Control-Allow-Origin': 'own'})"
    site = make(own, cors_origins="http://a")
    assert site.ask(origin="http://a").headers.getlist(ALLOWED) == ["own"]


def test_cors_without_the_package(
    make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without flask-cors one line says so and which command adds it; serving goes on."""
    monkeypatch.setitem(sys.modules, "flask_cors", None)
    caplog.set_level(logging.INFO, "azmlinfsrv")
    assert make(cors_origins="*").ask("GET", "/").status_code == 200
    begin = "CORS cannot be enabled because the flask-cors package is not installed."
    [line] = [text for text in caplog.messages if text.startswith(begin)]
    assert "pip install" in line


# --- log and telemetry


def test_request_lines(make: Callable[..., Site], caplog: pytest.LogCaptureFixture) -> None:
    """Scoring and swagger requests have a line each, with the query as sent; probes, 431 and the router have none."""
    site = make("import flask\ndef run(data): return flask.Response(iter('ab')) if data == 's' else data")
    caplog.set_level(logging.INFO, "azmlinfsrv")
    site.ask(path="/score?a=%20&b", body="x")
    site.ask(path="/score?", body="s")
    site.ask("GET", "/swagger.json?version=9")
    site.ask(body=b"\xff")
    for method, path in (("GET", "/"), ("GET", "/x"), ("PUT", "/score")):
        site.ask(method, path)
    site.ask(x_request_id="x" * 101)
    lines = [re.sub(r"\d+\.\d{3}ms", "T", line) for line in caplog.messages if line != "run() output is HTTP Response"]
    length = "[0-9]+"
    patterns = [
        r"POST /score\?a=%20&b 200 T 3", r"POST /score 200 T N/A", rf"GET /swagger.json\?version=9 404 T {length}",
        rf"POST /score 400 T {length}",
    ]  # fmt: skip
    assert len(lines) == 4 and all(re.fullmatch(p, line) for p, line in zip(patterns, lines)), lines


def test_request_lines_of_the_loop(make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer has one, the router too and code that does not load; for failures there is the report."""
    told: list[str] = []
    monkeypatch.setattr(logs.request_log, "isEnabledFor", lambda _level: True)
    monkeypatch.setattr(logs.request_log, "handle", lambda line: told.append(line.getMessage()))
    site = make("def run(data): return 1 / len(data)", generation=1)
    site.ask(body="x")
    site.ask(body="")
    site.ask(body=b"\xff")
    for method, path in (("GET", "/"), ("GET", "/x?a=b"), ("PUT", "/score")):
        site.ask(method, path)
    site.ask(x_request_id="x" * 101)
    client = holding_app(site.only_report(), 2, "v").test_client()
    for path in ("/", "/score?a"):
        client.post(path)
    lines = [line.split() for line in told]
    assert [(line[0], line[1], int(line[2])) for line in lines] == [
        ("POST", "/score", 200),
        ("POST", "/score", 400),
        ("GET", "/x?a=b", 404),
        ("PUT", "/score", 405),
        ("POST", "/score", 431),
        ("POST", "/score?a", 503),
    ]


def test_what_telemetry_hears(make: Callable[..., Site]) -> None:
    """Requests of the blueprint except probes, failures with their ids, and model data where it is switched on."""
    on = {"appinsights_enabled": True, "appinsights_key": "k", "model_data": True}
    site = make("def run(data): return [data] if data else 1 / 0", **on)
    site.ask(body="x")
    site.ask(x_request_id="r", x_ms_client_request_id="c")
    site.ask("GET", "/")
    site.ask("GET", "/nowhere")
    assert site.telemetry.heard == [
        ("x", ["x"]),
        ("/score", 200),
        ("ZeroDivisionError", "r", "c"),
        ("/score", 500),
    ]
    off = make("def run(data): return [data]")
    off.ask(body="x")
    assert off.telemetry.heard == []


@pytest.mark.parametrize("paused", [False, True])
def test_a_script_that_a_person_may_have_paused_is_not_called_slow(
    make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, paused: bool
) -> None:
    """Time at a breakpoint is no time of run()."""
    monkeypatch.setattr(Config, "limits", Limits(request_seconds=0.0, liveness=Probe("liveness_probe", timeout=0)))
    site = make(generation=1, paused=paused)
    assert site.ask(body=b"{}").status_code == 200
    assert any("took longer" in str(told) for told in site.told) is not paused
