"""What every answer of the server has in common: ids, headers, error bodies, and who may be told more."""

from __future__ import annotations

import json
import uuid
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

from devserver.records.record import record
from devserver.scoring.compat import RUN_FAILED
from devserver.serve import locality

ID_LIMIT = 100
SILENCE = 0.05  # seconds without a byte after which the rest of a body is not waited for


@record(frozen=True)
class Ids:
    """The ids of one request, as the answer carries them; None stands for no header."""

    request: str | None
    service: str | None
    client: str | None
    problem: str | None = None


def read_ids(request: flask.Request) -> Ids:
    """The ids of the request; `problem` is the refusal where one of them is too long."""
    environ = request.environ
    own = environ.get("HTTP_X_REQUEST_ID")
    service = environ.get("HTTP_X_MS_REQUEST_ID")
    client = environ.get("HTTP_X_MS_CLIENT_REQUEST_ID")
    if own and len(own) > ID_LIMIT:
        return Ids(None, None, None, f"x-request-id must not exceed {ID_LIMIT} characters")
    own = own or str(uuid.uuid4())
    if len(service or "") > ID_LIMIT or len(client or "") > ID_LIMIT:
        names = "x-ms-request-id and x-ms-client-request-id"
        return Ids(own, None, None, f"{names} must not exceed {ID_LIMIT} characters")
    return Ids(own, service or client or own, client or service or None)


def json_answer(text: str | bytes, status: int = 200, failed: bool = False) -> flask.Response:
    """An answer of the server's whose body is this JSON text; `failed` blames run()."""
    answer = flask.Response(text, status, mimetype="application/json")
    answer.headers[RUN_FAILED] = str(failed)
    return answer


def message_answer(status: int, message: str, failed: bool = False, error: Any = None) -> flask.Response:
    """The server's own message as JSON; `error` goes in beside it where it is given."""
    body = {"message": message} if error is None else {"message": message, "error": error}
    return json_answer(json.dumps(body), status, failed)


def add_headers(response: flask.Response, request: flask.Request, ids: Ids, version: str) -> None:
    """The contract's headers; what the script set under the same names gives way."""
    headers = response.headers
    if version:
        headers["x-ms-server-version"] = version
    if ids.request:
        headers["x-request-id"] = ids.request
    if ids.service:
        headers["x-ms-request-id"] = ids.service
    if ids.client:
        headers["x-ms-client-request-id"] = ids.client
    trace = request.environ.get("HTTP_TRACEID")
    if trace is not None:
        headers["TraceId"] = trace


def is_local(request: flask.Request) -> bool:
    """Whether paths and source lines may be shown to the client."""
    return locality.is_local(request.remote_addr, request.headers)


def drain(request: flask.Request) -> None:
    """Reads what the client is sending still: a connection that is closed before is reset, and its answer lost.

    A body that was announced and does not come is not waited for. waitress has it all already; it is read all the
    same, for who remembers requests keeps of them what is read.
    """
    if not request.content_length and "HTTP_TRANSFER_ENCODING" not in request.environ:
        return
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(SILENCE)
    try:
        while request.stream.read(1 << 16):
            pass
    except (OSError, HTTPException):
        pass  # silence, or the client has gone away
    finally:
        if connection is not None:
            connection.settimeout(None)
