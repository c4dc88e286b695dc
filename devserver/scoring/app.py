"""The Flask app: a loaded script comes in, the app that answers for it goes out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from time import perf_counter
from typing import Any

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from devserver import advice, hints, problems, render, report, results
from devserver.config import Config
from devserver.notes import Note
from devserver.recorder import Phase
from devserver.report import RunError
from devserver.scoring.answers import (
    GENERATION,
    Ids,
    add_headers,
    drain,
    is_local,
    json_answer,
    message_answer,
    read_ids,
)
from devserver.scoring.compat import RUN_FAILED, AMLResponse
from devserver.scoring.inputs import BadInput, Mode, read_arguments
from devserver.scoring.logs import write_record
from devserver.scoring.script import Script, TimeLimit
from devserver.scoring.swagger import Swagger
from devserver.scoring.telemetry import Answered, Telemetry
from devserver.serve import AnswerFailed, WorkerAborted, WorkerLeaving

RUN_TIME = "x-ms-run-fn-exec-ms"
SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
SERVER_FAILED = "An unexpected internal error occurred. Check the logs for more info."
DEPRECATED_ID = (
    "x-ms-request-id header has been deprecated and will be removed from future versions of the server. "
    "Please use x-ms-client-request-id."
)
BODY_SHOWN = 200
log = logging.getLogger("azmlinfsrv")


class Request(flask.Request):
    """A request that carries what the server notes about it."""

    ids: Ids
    begun: float
    kept_body: bytes | None = None

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """As in Flask; the body is kept for a report in case that run() fails."""
        data = super().get_data(*args, **kwargs)
        if isinstance(data, bytes):
            self.kept_body = data
        return data


@dataclass(frozen=True)
class Parts:
    """What an app is made of.

    `notify` takes what went wrong, `enter` what begins; `generation` is None outside of the dev loop; `paused` tells
    whether a person may have kept the script waiting.
    """

    config: Config
    script: Script
    swagger: Swagger
    telemetry: Telemetry
    limit: TimeLimit
    notify: Callable[[RunError | Note], None]
    enter: Callable[[Phase], None]
    generation: int | None = None
    paused: Callable[[], bool] = lambda: False


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
    blueprint = flask.Blueprint("scoring", __name__)
    blueprint.add_url_rule("/", view_func=views.health, methods=["GET"])
    blueprint.add_url_rule(
        "/score", view_func=views.score, methods=["GET", "POST", "OPTIONS", "HEAD"], provide_automatic_options=False
    )
    blueprint.add_url_rule("/swagger.json", view_func=views.swagger, methods=["GET"])
    _allow_origins(blueprint, parts.config.cors_origins)
    app.before_request(views.before)
    app.after_request(views.after)
    app.register_blueprint(blueprint)
    app.register_error_handler(Exception, views.unhandled)
    return app


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
        self.version = parts.config.server_version
        self.raw = parts.script.form.mode is Mode.RAW
        self.generation = None if parts.generation is None else str(parts.generation)

    # --- around every request

    def before(self) -> ResponseReturnValue | None:
        request = _current()
        request.begun = perf_counter()
        request.ids = ids = read_ids(request)
        if ids.service and request.environ.get("HTTP_X_MS_REQUEST_ID"):
            log.warning(DEPRECATED_ID)
        if ids.problem is None or request.url_rule is None or request.path == "/":
            return None
        return message_answer(431, ids.problem)

    def after(self, response: flask.Response) -> flask.Response:
        request = _current()
        if response.is_streamed and not response.direct_passthrough:
            response.call_on_close(lambda: drain(request))  # what makes the stream may still read the body
        else:
            drain(request)
        add_headers(response, request, request.ids, self.version)
        if self.generation is not None:
            response.headers[GENERATION] = self.generation
        if request.url_rule is not None and request.path != "/":
            milliseconds = (perf_counter() - request.begun) * 1000
            if request.ids.problem is None:
                _log_request(request, response, milliseconds)
            if self.parts.config.telemetry_on:
                self.parts.telemetry.answered(_answered(request, response, milliseconds, self.parts.config))
        return response

    def unhandled(self, error: Exception) -> flask.Response:
        """The router's refusals as they are; anything else is the server's own fault."""
        if isinstance(error, HTTPException) and error.code and error.code < 400:
            return flask.make_response(error.get_response())
        if isinstance(error, HTTPException):
            return message_answer(error.code or 500, error.description or "")
        return self._tell(error, "server", SERVER_FAILED)

    # --- the routes

    def health(self) -> ResponseReturnValue:
        return AMLHealthy()

    def swagger(self) -> ResponseReturnValue:
        status, document = self.parts.swagger.answer(flask.request.args.get("version"))
        return json_answer(document, status)

    def score(self) -> flask.Response:
        request = _current()
        if not self.raw and request.method in ("HEAD", "OPTIONS"):
            return message_answer(405, "Method not allowed") if request.method == "HEAD" else AMLResponse("", 200)
        try:
            arguments = read_arguments(self.parts.script.form, request)
        except BadInput as refusal:
            return message_answer(refusal.status, str(refusal))
        return self._call(arguments)

    # --- run()

    def _call(self, arguments: dict[str, Any]) -> flask.Response:
        parts = self.parts
        parts.enter("run")
        begun = perf_counter()
        try:
            with parts.limit:
                result = parts.script.run(**arguments)
        except WorkerAborted as error:
            limit, facts = parts.config.worker_timeout * 1000, _request_facts(_current())
            parts.notify(problems.timed_out(error, limit, setting="WORKER_TIMEOUT", request=facts, status=500))
            raise
        except WorkerLeaving:
            raise
        except TimeoutError as error:
            return self._timed_out(error)
        except BaseException as error:
            return self._failed(error)
        finally:
            parts.enter("idle")
        milliseconds = (perf_counter() - begun) * 1000
        answer = self._answer_with(result, arguments)
        answer.headers[RUN_TIME] = f"{milliseconds:.3f}"
        if self.generation is not None and (answer.status_code < 500 or isinstance(result, flask.Response)):
            self._advise(milliseconds / 1000, answer)
        return answer

    def _advise(self, seconds: float, answer: flask.Response) -> None:
        """What Azure would make of an answer that run() itself gave."""
        has_schema = self.parts.script.form.mode is Mode.SCHEMA
        whole = has_schema and not answer.is_streamed and not answer.direct_passthrough
        body = answer.get_data() if whole else None
        seconds = 0.0 if self.parts.paused() else seconds
        for text in advice.on_answer(
            advice.Answered(seconds, answer.status_code, answer.content_type or "", body, has_schema)
        ):
            self.parts.notify(Note(text))

    def _answer_with(self, result: Any, arguments: dict[str, Any]) -> flask.Response:
        if isinstance(result, flask.Response):
            return self._own_response(result)
        try:
            text = "{}" if result is None else json.dumps(result)
        except Exception as error:
            return self._unserialisable(result, error)
        if self.parts.config.model_data and self.parts.config.telemetry_on:
            ids = _current().ids
            self.parts.telemetry.scored(ids.request or "", ids.client or "", _input_of(arguments, self.parts), result)
        answer = json_answer(text)
        if result is None or type(result) is tuple or "NaN" in text or "Infinity" in text:
            return self._warned(result, answer)
        return answer

    def _own_response(self, response: flask.Response) -> flask.Response:
        log.info("run() output is HTTP Response")
        if response.status_code >= 500:
            response.headers[RUN_FAILED] = "True"
        if response.is_streamed and not response.direct_passthrough:
            response.response = self._watched(response, response.response, _current())
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
            status = response.status_code if begun else 500
            self._notify(self._described(error, "response", request, status), error)
            raise AnswerFailed(str(error)) from error
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _warned(self, result: Any, answer: flask.Response) -> flask.Response:
        facts, run = _request_facts(_current()), self.parts.script.run

        def warn() -> None:
            warning = results.result_warning(result, run, request=facts)
            if warning is not None:
                self._notify(warning)

        answer.call_on_close(warn)
        return answer

    # --- what went wrong

    def _failed(self, error: BaseException) -> flask.Response:
        return self._tell(error, "run", SCRIPT_FAILED, failed=True)

    def _timed_out(self, error: TimeoutError) -> flask.Response:
        milliseconds = self.parts.limit.milliseconds
        message = f"Scoring timeout after {milliseconds} ms"
        if not self.parts.limit.has_raised(error):
            return self._tell(error, "run", message, failed=True)
        facts = _request_facts(_current())
        self._telemetry_failed(error)
        return self._answer_error(
            lambda: problems.timed_out(error, milliseconds, request=facts, status=500), error, message, failed=True
        )

    def _unserialisable(self, result: Any, error: Exception) -> flask.Response:
        facts, run = _request_facts(_current()), self.parts.script.run
        self._telemetry_failed(error)
        return self._answer_error(
            lambda: results.unserialisable(result, error, run, request=facts), error, SCRIPT_FAILED, failed=True
        )

    def _tell(self, error: BaseException, phase: str, message: str, failed: bool = False) -> flask.Response:
        request = _current()
        self._telemetry_failed(error)
        return self._answer_error(lambda: self._described(error, phase, request, 500), error, message, failed)

    def _described(self, error: BaseException, phase: str, request: Request, status: int) -> RunError:
        facts = _request_facts(request)
        return report.describe(error, phase, function=self.parts.script.run, request=facts, status=status)

    def _telemetry_failed(self, error: BaseException) -> None:
        ids = _current().ids
        self.parts.telemetry.failed(error, ids.request or "", ids.client or "")

    def _answer_error(
        self, describe: Callable[[], RunError], error: BaseException, message: str, failed: bool
    ) -> flask.Response:
        """The answer first; what it does not need is worked out when it has been sent."""
        if self.generation is None or not is_local(_current()):
            answer = message_answer(500, message, failed)
            answer.call_on_close(lambda: self._notify(describe(), error))
            return answer
        found = describe()
        answer = message_answer(500, message, failed, render.error_object(found))
        answer.call_on_close(lambda: self._notify(found, error))
        return answer

    def _notify(self, found: RunError, error: BaseException | None = None) -> None:
        self.parts.notify(hints.explain(found, error, model_dir=self.parts.config.model_dir))


class AMLHealthy(flask.Response):
    """The answer of a live server."""

    def __init__(self) -> None:
        super().__init__("Healthy")


def _current() -> Request:
    return flask.request._get_current_object()  # type: ignore[attr-defined, no-any-return]


def _target(request: flask.Request) -> str:
    query = request.query_string.decode("latin-1")
    return f"{request.path}?{query}" if query else request.path


def _log_request(request: flask.Request, response: flask.Response, milliseconds: float) -> None:
    length = response.headers.get("Content-Length") or "N/A"
    target = _target(request)
    write_record(log, "%s %s %s %.3fms %s", request.method, target, response.status_code, milliseconds, length)


def _answered(request: Request, response: flask.Response, milliseconds: float, config: Config) -> Answered:
    whole = config.log_response and not response.is_streamed and not response.direct_passthrough
    return Answered(
        method=request.method,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        status=response.status_code,
        duration_ms=milliseconds,
        started=datetime.now(timezone.utc) - timedelta(milliseconds=milliseconds),
        request_id=request.ids.request or "",
        client_request_id=request.ids.client or "",
        body=response.get_data() if whole else None,
    )


def _request_facts(request: Request) -> report.Request:
    body = request.kept_body or b""
    return report.Request(
        method=request.method,
        path=_target(request),
        content_type=request.content_type or "",
        size=request.content_length or len(body),
        body=body.decode("utf-8", "replace")[:BODY_SHOWN],
    )


def _input_of(arguments: dict[str, Any], parts: Parts) -> Any:
    return arguments if parts.script.form.mode is Mode.SCHEMA else arguments.get(parts.script.form.first)
