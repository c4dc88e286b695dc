"""The Flask app that answers for a loaded script."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from time import perf_counter
from typing import Any

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from devserver.config.settings import Config
from devserver.records.record import record
from devserver.scoring.compat import RUN_FAILED, AMLResponse
from devserver.scoring.inputs import BadInput, Mode, read_arguments
from devserver.scoring.logs import request_log, write_record
from devserver.scoring.reporter import Report, Reporter
from devserver.scoring.request import Request, current
from devserver.scoring.responses import (
    add_headers,
    drain,
    is_local,
    json_answer,
    message_answer,
    read_ids,
)
from devserver.scoring.script import Script
from devserver.scoring.swagger import Swagger
from devserver.scoring.time_limit import TimeLimit
from devserver.serve import GENERATION, AnswerFailed, WorkerAborted, WorkerLeaving
from devserver.usercode.ownership import PACKAGE

RUN_TIME = "x-ms-run-fn-exec-ms"
SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
SERVER_FAILED = "An unexpected internal error occurred. Check the logs for more info."
DEPRECATED_ID = (
    "x-ms-request-id header has been deprecated and will be removed from future versions of the server. "
    "Please use x-ms-client-request-id."
)
SCORING = "scoring"  # the blueprint
log = logging.getLogger("azmlinfsrv")


@record(frozen=True)
class Parts:
    """What an app is made of; `generation` is None outside of the dev loop."""

    config: Config
    script: Script
    swagger: Swagger
    limit: TimeLimit
    reporter: Reporter
    generation: int | None = None


class ScoringApp(flask.Flask):
    """Flask with this server's request class, and no static files; `folder` is where `flask.send_file` looks."""

    request_class = Request

    def __init__(self, folder: str) -> None:
        # both paths are given, for Flask finds them by the working directory, which a script may have removed
        super().__init__("azmlinfsrv", static_folder=None, template_folder=None, root_path=folder, instance_path=folder)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none here is a coroutine, and Flask would look again in every request."""
        return func


def create_app(parts: Parts) -> flask.Flask:
    """The app with the routes `/`, `/score` and `/swagger.json`."""
    app = ScoringApp(parts.config.base)
    views = _Views(parts)
    app.url_map = _routes()
    app.view_functions |= {f"{SCORING}.{view.__name__}": view for view in (views.health, views.score, views.swagger)}
    app.before_request(views.before)
    app.after_request(views.after)
    app.register_blueprint(_scoring(parts.config.cors_origins))
    app.register_error_handler(Exception, views.unhandled)
    return app


@cache
def _routes() -> Map:
    """The same for all apps, so nobody may add to it: Flask takes longer to compile it than for the rest of an app."""
    app = ScoringApp(PACKAGE)
    app.add_url_rule("/", f"{SCORING}.health", methods=["GET"])
    app.add_url_rule("/score", f"{SCORING}.score", methods=["GET", "POST", "OPTIONS", "HEAD"])
    app.add_url_rule("/swagger.json", f"{SCORING}.swagger", methods=["GET"])
    app.url_map.update()
    return app.url_map


def _scoring(origins: str | None) -> flask.Blueprint:
    """What is done for all routes, and for no other path."""
    blueprint = flask.Blueprint(SCORING, __name__)
    _allow_origins(blueprint, origins)
    return blueprint


def _allow_origins(blueprint: flask.Blueprint, given: str | None) -> None:
    origins = [origin.strip() for origin in (given or "").split(",") if origin.strip()]
    if not origins:
        return
    try:
        from flask_cors import CORS
    except ImportError:
        log.info("CORS cannot be enabled because the flask-cors package is not installed. Run: pip install flask-cors")
        return
    CORS(blueprint, methods=["GET", "POST"], origins=origins)
    log.info("Enabling CORS for the following origins: %s", ", ".join(origins))


class _Views:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.reporter = parts.reporter
        self.version = parts.config.server_version
        self.raw = parts.script.form.mode is Mode.RAW
        self.generation = None if parts.generation is None else str(parts.generation)

    # --- around every request

    def before(self) -> ResponseReturnValue | None:
        request = current()
        request.begun = perf_counter()
        request.ids = ids = read_ids(request)
        if ids.service and request.environ.get("HTTP_X_MS_REQUEST_ID"):
            log.warning(DEPRECATED_ID)
        if ids.problem is None or request.url_rule is None or request.path == "/":
            return None
        return message_answer(431, ids.problem)

    def after(self, response: flask.Response) -> flask.Response:
        request = current()
        if response.is_streamed and not response.direct_passthrough:
            response.call_on_close(lambda: drain(request))  # what makes the stream may still read the body
        else:
            drain(request)
        add_headers(response, request, request.ids, self.version)
        if self.generation is not None:
            response.headers[GENERATION] = self.generation
        if request.url_rule is not None and request.path != "/":
            milliseconds = (perf_counter() - request.begun) * 1000
            if request.ids.problem is None or self.generation is not None:
                self._log(request, response, milliseconds)
            self.reporter.answered(request, response, milliseconds)
        elif request.url_rule is None and self.generation is not None:
            self._log(request, response, (perf_counter() - request.begun) * 1000)  # of the router's refusals, too
        return response

    def _log(self, request: Request, response: flask.Response, milliseconds: float) -> None:
        """In the dev loop a failure has no line, for the report of it is one."""
        if not request.is_reported:
            logger = log if self.generation is None else request_log
            log_request(logger, request, response, milliseconds)

    def unhandled(self, error: Exception) -> flask.Response:
        """The router's refusals as they are; anything else is the server's own fault."""
        if isinstance(error, HTTPException) and error.code and error.code < 400:
            return flask.make_response(error.get_response())
        if isinstance(error, HTTPException):
            return message_answer(error.code or 500, error.description or "")
        return self._answer_error(self.reporter.raised(error, current(), "server"), SERVER_FAILED, failed=False)

    # --- the routes

    def health(self) -> ResponseReturnValue:
        return AMLHealthy()

    def swagger(self) -> ResponseReturnValue:
        status, document = self.parts.swagger.answer(flask.request.args.get("version"))
        return json_answer(document, status)

    def score(self) -> flask.Response:
        request = current()
        if not self.raw and request.method in ("HEAD", "OPTIONS"):
            return message_answer(405, "Method not allowed") if request.method == "HEAD" else AMLResponse("", 200)
        try:
            arguments = read_arguments(self.parts.script.form, request)
        except BadInput as refusal:
            return message_answer(refusal.status, str(refusal))
        return self._call(arguments)

    # --- run()

    def _call(self, arguments: dict[str, Any]) -> flask.Response:
        parts, reporter = self.parts, self.reporter
        _note_for_script(current())
        reporter.run_begins()
        begun = perf_counter()
        try:
            with parts.limit:
                result = parts.script.run(**arguments)
        except WorkerAborted as error:
            reporter.aborted(error, current())
            raise
        except WorkerLeaving:
            raise
        except TimeoutError as error:
            return self._timed_out(error)
        except BaseException as error:
            return self._answer_error(reporter.raised(error, current(), "run"), SCRIPT_FAILED)
        finally:
            reporter.run_ends()
        seconds = perf_counter() - begun
        answer = self._answer_with(result, arguments)
        answer.headers[RUN_TIME] = f"{seconds * 1000:.3f}"
        if answer.status_code < 500 or isinstance(result, flask.Response):
            reporter.ran(seconds, answer)
        return answer

    def _answer_with(self, result: Any, arguments: dict[str, Any]) -> flask.Response:
        if isinstance(result, flask.Response):
            return self._own_response(result)
        request = current()
        try:
            text = "{}" if result is None else json.dumps(result)
        except Exception as error:
            return self._answer_error(self.reporter.no_json(result, error, request), SCRIPT_FAILED)
        self.reporter.scored(arguments, result, request)
        answer = json_answer(text)
        if result is None or type(result) is tuple or "NaN" in text or "Infinity" in text:
            answer.call_on_close(lambda: self.reporter.odd_result(result, request))
        return answer

    def _own_response(self, response: flask.Response) -> flask.Response:
        log.info("run() output is HTTP Response")
        if response.status_code >= 500:
            response.headers[RUN_FAILED] = "True"
        if response.is_streamed and not response.direct_passthrough:
            response.response = self._watched(response, response.response, current())
        return response

    def _watched(self, response: flask.Response, body: Iterable[Any], request: Request) -> Iterator[Any]:
        """The body itself; an exception in it is reported before it cuts the connection.

        Before the first byte the client gets a 500 of the server's instead. Errors: AnswerFailed.
        """
        begun = False
        try:
            for part in body:
                yield part
                begun = begun or bool(part) or "gunicorn.socket" in request.environ  # waitress sends no empty part
        except Exception as error:
            self.reporter.body_failed(error, request, response.status_code if begun else 500)
            raise AnswerFailed(str(error)) from error
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    # --- what went wrong

    def _timed_out(self, error: TimeoutError) -> flask.Response:
        limit, reporter, request = self.parts.limit, self.reporter, current()
        if limit.has_raised(error):
            report = reporter.timed_out(error, request, limit.milliseconds)
        else:
            report = reporter.raised(error, request, "run")
        return self._answer_error(report, f"Scoring timeout after {limit.milliseconds} ms")

    def _answer_error(self, report: Report, message: str, failed: bool = True) -> flask.Response:
        """The answer first; what it does not need is worked out when it has been sent."""
        current().is_reported = self.generation is not None
        shown = report.error_object() if self.generation is not None and is_local(current()) else None
        answer = message_answer(500, message, failed, shown)
        answer.call_on_close(report.tell)
        return answer


class AMLHealthy(flask.Response):
    """The answer of a live server."""

    def __init__(self) -> None:
        super().__init__("Healthy")


def _note_for_script(request: Request) -> None:
    """What scripts find in `flask.g` in Azure ML, though nobody has promised it to them."""
    noted: Any = flask.g._get_current_object()
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    noted.api_name = request.path
    noted.start_datetime = now - timedelta(seconds=perf_counter() - request.begun)
    noted.starting_perf_counter = request.begun
    noted.request_id = request.ids.request or ""
    noted.client_request_id = request.ids.client or ""
    noted.legacy_client_request_id = request.ids.service or ""


def log_request(logger: logging.Logger, request: Request, response: flask.Response, milliseconds: float) -> None:
    """The line of one request."""
    length, status = response.headers.get("Content-Length") or "N/A", response.status_code
    write_record(logger, "%s %s %s %.3fms %s", request.method, request.target, status, milliseconds, length)
