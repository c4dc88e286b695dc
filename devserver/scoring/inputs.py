"""The form of run(), and the arguments that it gets from a request."""

from __future__ import annotations

import codecs
import inspect
import json
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

import flask
from werkzeug.http import parse_options_header

from devserver.records.record import record

HEADERS_PARAMETER = "request_headers"


class Mode(Enum):
    """How run() takes its input."""

    PLAIN = "plain"
    RAW = "raw"
    SCHEMA = "schema"


class SignatureProblem(Exception):
    """run() cannot be called; `str(problem)` says why in the words that people search for."""


class BadInput(Exception):
    """A request that is refused before run() is called."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@record(frozen=True)
class RunForm:
    """What run() looks like: its mode, the parameter(s) for the data, and whether it wants the headers."""

    mode: Mode
    parameters: tuple[inspect.Parameter, ...]
    wants_headers: bool

    @property
    def first(self) -> str:
        """The name of the parameter that gets the data in plain and raw mode."""
        return self.parameters[0].name

    def describe(self) -> str:
        """The line for the log that says how run() will be called."""
        if self.mode is Mode.RAW:
            return "run() is decorated with @rawhttp. Server will invoke it with the flask request object."
        if self.mode is Mode.SCHEMA:
            names = ", ".join(parameter.name for parameter in self.parameters)
            return (
                f"run() is decorated with @input_schema. Server will invoke it with the following arguments: {names}."
            )
        return "run() is not decorated. Server will invoke it with the input in JSON string."


def analyse(run: Callable[..., Any], raw: bool) -> RunForm:
    """The form of this run(); `raw` tells that @rawhttp was used. Errors: `SignatureProblem`."""
    parameters = inspect.signature(run).parameters.values()
    if any(p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters):
        raise SignatureProblem("run() cannot accept positional-only arguments, *args, or **kwargs.")
    data = tuple(p for p in parameters if p.name != HEADERS_PARAMETER)
    wants_headers = len(data) < len(parameters)
    if not data:
        other = ' other than "request_headers"' if wants_headers else " for input data"
        needs = "an argument" + other
        raise SignatureProblem(f"run() needs to accept {needs}.")
    decorated = has_schema(run)
    if raw and decorated:
        raise SignatureProblem("run() cannot be decorated with both @rawhttp and @input_schema")
    mode = Mode.RAW if raw else Mode.SCHEMA if decorated else Mode.PLAIN
    return RunForm(mode, data, wants_headers)


def has_schema(run: Callable[..., Any]) -> bool:
    """Whether inference-schema knows run(); it is asked only when the script has imported it."""
    schema = sys.modules.get("inference_schema.schema_util")
    return bool(schema and schema.is_schema_decorated(run))


def read_arguments(form: RunForm, request: flask.Request) -> dict[str, Any]:
    """The keyword arguments for run(). Errors: `BadInput`."""
    arguments = _READERS[form.mode](form, request)
    if form.wants_headers:
        arguments[HEADERS_PARAMETER] = dict(request.headers.items())
    return arguments


def _raw(form: RunForm, _request: flask.Request) -> dict[str, Any]:
    return {form.first: flask.request}


def _plain(form: RunForm, request: flask.Request) -> dict[str, Any]:
    return {form.first: json.dumps(_query(request)) if request.method == "GET" else _body_text(request)}


def _schema(form: RunForm, request: flask.Request) -> dict[str, Any]:
    given = _query(request) if request.method == "GET" else _json_object(request)
    arguments: dict[str, Any] = {}
    for parameter in form.parameters:
        if parameter.name in given:
            arguments[parameter.name] = given[parameter.name]
        elif parameter.default is not parameter.empty:
            arguments[parameter.name] = parameter.default
        else:
            raise BadInput(400, f"A value is not provided for the '{parameter.name}' parameter.")
    return arguments


_READERS = {Mode.PLAIN: _plain, Mode.RAW: _raw, Mode.SCHEMA: _schema}


def _query(request: flask.Request) -> dict[str, Any]:
    found = {name: [_json_or_text(value) for value in values] for name, values in request.args.lists()}
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _body_text(request: flask.Request) -> str:
    charset = _charset(request) or "utf-8"
    try:
        # as in Azure ML: a form is parsed away, so that it reaches a plain run() as empty text
        return request.get_data(cache=False, parse_form_data=True).decode(charset)
    except UnicodeError as error:
        raise BadInput(400, f"Input cannot be decoded as {charset.upper()}: {error}") from None


def _charset(request: flask.Request) -> str | None:
    """The charset that the request declares, if Python knows it as one (and not, like hex, as bytes for bytes)."""
    if "charset" not in (request.content_type or ""):
        return None
    charset = parse_options_header(request.content_type)[1].get("charset", "")
    try:
        bytes(4).decode(charset)
        return codecs.lookup(charset).name
    except (LookupError, ValueError):
        return None


def _is_json(mimetype: str) -> bool:
    return mimetype == "application/json" or (mimetype.startswith("application/") and mimetype.endswith("+json"))


def _json_object(request: flask.Request) -> dict[str, Any]:
    if not _is_json(request.mimetype):
        raise BadInput(415, "Expects Content-Type to be application/json")
    body = request.get_data(cache=False)
    if not body:
        raise BadInput(400, "POST body is empty. Expecting a JSON dictionary.")
    charset = _charset(request)
    try:
        content = json.loads(body.decode(charset) if charset and not charset.startswith("utf-8") else body)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise BadInput(400, f"POST body could not be decoded as JSON: {error}") from None
    if not isinstance(content, dict):
        raise BadInput(400, "POST body should be a JSON dictionary.")
    return content
