"""The app of a generation that could not load: it answers every request with the error."""

from __future__ import annotations

import os
from time import perf_counter

import flask

from devserver.records import as_json
from devserver.records.diagnostic import Diagnostic
from devserver.scoring.app import log_request
from devserver.scoring.logs import request_log
from devserver.scoring.request import Request, current
from devserver.scoring.responses import add_headers, drain, is_local, message_answer, read_ids
from devserver.serve import GENERATION

HERE = os.path.dirname(__file__)
MESSAGE = "The scoring script could not be loaded. Check the terminal for more info."


def holding_app(error: Diagnostic, generation: int, version: str) -> flask.Flask:
    """Answers every request at once with 503, and tells a local client what is wrong and where."""
    app = flask.Flask("azmlinfsrv", static_folder=None, template_folder=None, root_path=HERE, instance_path=HERE)
    app.request_class = Request
    shown = as_json.error_object(error)

    def answer() -> flask.Response:
        begun = perf_counter()
        request = current()
        drain(request)
        response = message_answer(503, MESSAGE, True, shown if is_local(request) else None)
        add_headers(response, request, read_ids(request), version)
        response.headers[GENERATION] = str(generation)
        if request.path != "/":
            log_request(request_log, request, response, (perf_counter() - begun) * 1000)
        return response

    app.before_request(answer)
    return app
