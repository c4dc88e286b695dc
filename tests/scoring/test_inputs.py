"""Functions and requests come in; how run() takes its input, its arguments, and the refusals are looked at."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import flask
import pytest

from devserver.scoring.inputs import BadInput, Mode, RunForm, SignatureProblem, analyse, read_arguments

NEEDED = "inference-schema is not installed"


APP = flask.Flask("test_inputs")


def plain(data):
    return data


def arguments(
    run: Callable[..., Any] = plain,
    *,
    mode: Mode | None = None,
    method: str = "POST",
    query: str = "",
    body: bytes = b"",
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    form = analyse(run, mode is Mode.RAW)
    if mode is Mode.SCHEMA:
        form = RunForm(Mode.SCHEMA, form.parameters, form.wants_headers)
    sent = {"method": method, "query_string": query, "data": body, "content_type": kind, "headers": headers}
    with APP.test_request_context("/score", **sent):
        found = read_arguments(form, flask.request)
        if mode is Mode.RAW:
            assert isinstance(found["data"], flask.Request)
            found["data"] = found["data"].get_data()
        return found


def refusal(**facts: Any) -> tuple[int, str]:
    with pytest.raises(BadInput) as caught:
        arguments(**facts)
    return caught.value.status, str(caught.value)


# --- the form of run()


def no_data():
    pass


def only_headers(request_headers):
    pass


def positional_only(data, /):
    pass


def many(*data):
    pass


def anything(data, **more):
    pass


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (no_data, "run() needs to accept an argument for input data."),
        (only_headers, 'run() needs to accept an argument other than "request_headers".'),
        (positional_only, "run() cannot accept positional-only arguments, *args, or **kwargs."),
        (many, "run() cannot accept positional-only arguments, *args, or **kwargs."),
        (anything, "run() cannot accept positional-only arguments, *args, or **kwargs."),
    ],
)
def test_signatures_that_are_refused(run: Callable[..., Any], text: str) -> None:
    """A run() that cannot be called is refused in the words that people search for."""
    with pytest.raises(SignatureProblem) as caught:
        analyse(run, raw=False)
    assert str(caught.value) == text


@pytest.mark.parametrize(("raw", "mode"), [(False, Mode.PLAIN), (True, Mode.RAW)])
def test_forms(raw: bool, mode: Mode) -> None:
    """The first parameter that is not request_headers takes the data, a keyword-only one as well."""

    def run(request_headers, *, data, other=1):
        pass

    form = analyse(run, raw)
    assert (form.mode, form.first, form.wants_headers) == (mode, "data", True)


@pytest.mark.parametrize(
    ("run", "first"),
    [(functools.partial(plain), "data"), (lambda text: text, "text"), (type("C", (), {"run": plain})().run, None)],
)
def test_other_callables(run: Callable[..., Any], first: str | None) -> None:
    """A partial function and a lambda count by what is left to be given; a bound method has given its first."""
    if first is None:
        with pytest.raises(SignatureProblem):
            analyse(run, raw=False)
    else:
        assert analyse(run, raw=False).first == first


def test_what_the_log_says() -> None:
    """Each mode has its line."""
    form = analyse(plain, False)
    assert form.describe() == "run() is not decorated. Server will invoke it with the input in JSON string."
    assert "@rawhttp" in analyse(plain, True).describe() and "flask request object" in analyse(plain, True).describe()
    assert "arguments: data." in RunForm(Mode.SCHEMA, form.parameters, False).describe()


def test_schema_is_seen() -> None:
    """A run() that inference-schema knows is called with one argument per parameter, beneath a wrapper as well."""
    decorators = pytest.importorskip("inference_schema.schema_decorators", reason=NEEDED)
    kinds = pytest.importorskip("inference_schema.parameter_types.standard_py_parameter_type", reason=NEEDED)

    @decorators.input_schema("data", kinds.StandardPythonParameterType([1]))
    def decorated(data, count=2):
        pass

    @functools.wraps(decorated)
    def wrapped(*args, **kwargs):
        pass

    assert analyse(decorated, raw=False).mode is Mode.SCHEMA
    assert [parameter.name for parameter in analyse(wrapped, raw=False).parameters] == ["data", "count"]
    with pytest.raises(SignatureProblem, match="cannot be decorated with both @rawhttp and @input_schema"):
        analyse(decorated, raw=True)


def test_schema_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """inference-schema is not imported to find out that a script does not use it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "inference_schema"]:
        monkeypatch.delitem(sys.modules, name)
    assert analyse(plain, raw=False).mode is Mode.PLAIN
    assert "inference_schema.schema_util" not in sys.modules


# --- queries


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("a=1", {"a": 1}),
        ('a="1"', {"a": "1"}),
        ("a=1&a=x&a=1", {"a": [1, "x", 1]}),
        ("b=1&a=2&b=3", {"b": [1, 3], "a": 2}),
        ("a=null&A=true", {"a": None, "A": True}),
        ("a=True&b=007&c=", {"a": "True", "b": "007", "c": ""}),
        ("a", {"a": ""}),
        ("a=x+y%20z", {"a": "x y z"}),
        ("a=1;b=2", {"a": "1;b=2"}),
        ("a=[1,2]&b=%7B%22k%22:1%7D&c=%201%20", {"a": [1, 2], "b": {"k": 1}, "c": 1}),
        ("a=1e3&b=-0.5", {"a": 1000.0, "b": -0.5}),
        ("a=" + "9" * 5000, {"a": "9" * 5000}),
    ],
)
def test_queries(query: str, expected: dict[str, Any]) -> None:
    """Each value is read as JSON if it is JSON, else kept as text; repeated names become lists, in order."""
    assert json.loads(arguments(method="GET", query=query, body=b"ignored")["data"]) == expected
    assert list(json.loads(arguments(method="GET", query=query)["data"])) == list(expected)


def test_numbers_that_are_no_json() -> None:
    """NaN, Infinity and 1e999 arrive as in Azure ML: as text that is not JSON."""
    assert arguments(method="GET", query="a=NaN&b=1e999")["data"] == '{"a": NaN, "b": Infinity}'


# --- bodies for a plain run()


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"", None, ""),
        (b'{"a": 1}', "application/json", '{"a": 1}'),
        (b"not json", "application/json", "not json"),
        ("ü".encode(), "text/plain", "ü"),
        (b"\xef\xbb\xbfx", None, "\ufeffx"),
        (b"\xfc", "text/plain; charset=latin-1", "ü"),
        ("ü".encode("utf-16"), "application/json; charset=UTF-16", "ü"),
        ("ü".encode(), "text/plain; charset=nonsense", "ü"),
        (b"6869", "text/plain; charset=hex", "6869"),
        (b"x", "text/plain; charset=", "x"),
        (b"x", "text/plain; charset=undefined", "x"),
        (b"a=1", "application/x-www-form-urlencoded", ""),
        (b"--B--", "multipart/form-data; boundary=B", ""),
    ],
)
def test_plain_bodies(body: bytes, kind: str | None, expected: str) -> None:
    """The body arrives as text, in UTF-8 or the charset that is declared; a form arrives as empty text."""
    assert arguments(body=body, kind=kind, query="a=1") == {"data": expected}


@pytest.mark.parametrize(
    ("body", "kind", "begin"),
    [
        (b"\xff", None, "Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff in position 0"),
        (b"\xc3", "application/json", "Input cannot be decoded as UTF-8: "),
        (b"x", "text/plain; charset=utf-16", "Input cannot be decoded as UTF-16: "),
    ],
)
def test_bodies_in_another_charset(body: bytes, kind: str | None, begin: str) -> None:
    """A body that is not in its charset is a 400 that says which."""
    status, text = refusal(body=body, kind=kind)
    assert status == 400 and text.startswith(begin)


# --- bodies for a decorated run()


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_schema_bodies(kind: str, charset: str) -> None:
    """A JSON object in any of JSON's encodings; extra keys are ignored, null is a value."""
    body = json.dumps({"data": None, "extra": 1}).encode(charset)
    assert arguments(mode=Mode.SCHEMA, body=body, kind=kind) == {"data": None}


def test_schema_bodies_in_a_declared_charset() -> None:
    """Another charset than JSON's own is read where it is declared."""
    body = '{"data": "ü"}'.encode("latin-1")
    assert arguments(mode=Mode.SCHEMA, body=body, kind="application/json; charset=ISO-8859-1") == {"data": "ü"}


@pytest.mark.parametrize(
    ("body", "kind", "status", "begin"),
    [
        (b"{}", None, 415, "Expects Content-Type to be application/json"),
        (b"{}", "text/plain", 415, "Expects Content-Type to be application/json"),
        (b"{}", "text/ld+json", 415, "Expects Content-Type to be application/json"),
        (b"", "text/plain", 415, "Expects Content-Type to be application/json"),
        (b"", "application/json", 400, "POST body is empty. Expecting a JSON dictionary."),
        (b"{", "application/json", 400, "POST body could not be decoded as JSON: Expecting property name"),
        (b"\xff", "application/json", 400, "POST body could not be decoded as JSON: "),
        (b"{}", "application/json; charset=utf-16", 400, "POST body could not be decoded as JSON: "),
        (b"[1]", "application/json", 400, "POST body should be a JSON dictionary."),
        (b"null", "application/json", 400, "POST body should be a JSON dictionary."),
        (b'{"Data": 1}', "application/json", 400, "A value is not provided for the 'data' parameter."),
    ],
)
def test_schema_refusals(body: bytes, kind: str | None, status: int, begin: str) -> None:
    """What a decorated run() cannot be given is refused before it is called, the content type first."""
    found, text = refusal(mode=Mode.SCHEMA, body=body, kind=kind)
    assert found == status and text.startswith(begin)


def test_schema_parameters() -> None:
    """Each parameter has its value by name, from the query of a GET as well, or else its default."""

    def run(a, b=[2], *, c):
        pass

    schema = {"run": run, "mode": Mode.SCHEMA}
    body = b'{"c": 3, "a": {"x": 1}}'
    assert arguments(**schema, body=body, kind="application/json", query="b=9") == {"a": {"x": 1}, "b": [2], "c": 3}
    assert arguments(**schema, method="GET", query="a=1&b=2&c=x") == {"a": 1, "b": 2, "c": "x"}
    assert refusal(**schema, method="GET", query="a=1")[1] == "A value is not provided for the 'c' parameter."


# --- raw, and headers


def test_raw_gets_the_request_itself() -> None:
    """A raw run() gets the request, with its body unread."""
    assert arguments(mode=Mode.RAW, body=b"\xff", kind="application/octet-stream") == {"data": b"\xff"}


@pytest.mark.parametrize("mode", Mode)
def test_request_headers(mode: Mode) -> None:
    """request_headers is a dictionary of the headers in Title-Case; it never comes from the query or the body."""

    def run(data, request_headers):
        pass

    query = "data=1&request_headers=2"
    found = arguments(run, mode=mode, method="GET", query=query, headers={"x-OWN-header": "a,b"})
    assert type(found["request_headers"]) is dict
    assert found["request_headers"]["X-Own-Header"] == "a,b"
    assert list(found) == ["data", "request_headers"]
