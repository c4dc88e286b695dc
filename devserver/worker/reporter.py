"""What a worker tells: what happened to the script and to its requests becomes diagnostics, hints, advice, telemetry.

The scoring half says only what happened; here it is described in the words of the person who edits the script.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any, Literal

import flask

from devserver.config.files import ConfigError
from devserver.config.settings import Config
from devserver.diagnostics import azure_advice, exceptions, hints, problems, return_value
from devserver.diagnostics.exits import obituary
from devserver.records import as_json
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import LastWords, Note, Phase, Told
from devserver.records.record import record
from devserver.replay.capture import SAMPLE
from devserver.scoring.inputs import Mode
from devserver.scoring.request import Request, current
from devserver.scoring.script import (
    MissingFunction,
    NotPython,
    Script,
    ScriptProblem,
    UnreadableFile,
    WrongSignature,
)
from devserver.scoring.telemetry import Answered, Telemetry
from devserver.serve import WorkerAborted
from devserver.usercode import loader
from devserver.worker.answers import PROBLEM

Tell = Callable[[Told], None]


@record(frozen=True)
class LoadReporter:
    """Tells of a script that is loaded, and of what no request has to do with. `script` is its path."""

    config: Config
    script: str | None
    tell: Tell

    def failure(self, error: BaseException, phase: Literal["load", "init"]) -> Diagnostic:
        """Why the script cannot be used, with a hint; a worker that has no more time does without one."""
        found = self._described(error, phase)
        if isinstance(error, WorkerAborted):
            return found
        return hints.explain(found, error, model_dir=self.config.model_dir)

    def _described(self, error: BaseException, phase: str) -> Diagnostic:
        if isinstance(error, ScriptProblem):
            return _of_script(error)
        if isinstance(error, ConfigError):
            return problems.config_problem(error)
        if isinstance(error, WorkerAborted):
            limit = self.config.worker_timeout * 1000
            return problems.timed_out(error, limit, phase=phase, setting="WORKER_TIMEOUT")
        return exceptions.describe(error, phase, script=self.script)

    def died(self, words: LastWords, code: int) -> None:
        """A worker has ended by itself."""
        self.tell(obituary(words, code, self.script))

    def advise(self) -> None:
        """What Azure would not install of what the script has imported; takes a while."""
        folder, deployed = os.path.dirname(self.script or ""), self.config.deployed
        for text in azure_advice.on_load(list(loader.modules), folder, deployed):
            self.tell(Note(text))

    def advise_on_start(self, seconds: float) -> None:
        """What Azure would make of a load that takes so long."""
        for text in azure_advice.on_start(seconds, self.config.limits):
            self.tell(Note(text))

    def advise_on_places(self) -> None:
        """What was found where Azure would not look for it."""
        config = self.config
        searched = (config.base, config.app_root, os.path.join(config.app_root, config.source_directory or ""))
        if names := loader.found_beside_script(searched):
            self.tell(Note(azure_advice.found_beside_script(names, self.script or "")))

    def hear_unraised(self) -> None:
        """What ends a thread of the script, or is ignored by Python, is reported like any other exception."""
        ignored = sys.unraisablehook

        def unraisable(args: Any) -> None:
            found = exceptions.describe_unraisable(args)
            self._tell_found(found, args.exc_value) if found is not None else ignored(args)

        def ended(args: threading.ExceptHookArgs) -> None:
            self._tell_found(exceptions.describe_thread(args), args.exc_value)

        threading.excepthook = ended
        sys.unraisablehook = unraisable
        self._hear_logging()

    def _hear_logging(self) -> None:
        """A wrong logging call is reported at its line; Python would print all calls, ours among them."""
        unheard = logging.Handler.handleError

        def failed(handler: logging.Handler, record: logging.LogRecord) -> None:
            error = sys.exc_info()[1]
            found = exceptions.describe_logging(record, error, sys._getframe(1)) if logging.raiseExceptions else None
            self._tell_found(found, error) if found is not None else unheard(handler, record)

        logging.Handler.handleError = failed  # type: ignore[method-assign,assignment]

    def _tell_found(self, found: Diagnostic | None, error: BaseException | None) -> None:
        if found is not None:
            self.tell(hints.explain(found, error, model_dir=self.config.model_dir))


def _of_script(problem: ScriptProblem) -> Diagnostic:
    match problem:
        case UnreadableFile(path, error):
            return problems.unreadable_script(path, error)
        case NotPython(path):
            return problems.not_python(path)
        case MissingFunction(path, name):
            return problems.missing_function(path, name)
        case WrongSignature(run, reason):
            return problems.wrong_signature(run, reason)
    raise TypeError(f"{type(problem).__name__} has no words yet")


class LazyReport:
    """A failure that is described when somebody wants to know, and only once; the hint follows the answer."""

    def __init__(self, describe: Callable[[], Diagnostic], tell: Callable[[Diagnostic], None]) -> None:
        self._describe = describe
        self._tell = tell

    @cached_property
    def _found(self) -> Diagnostic:
        return self._describe()

    def error_object(self) -> Mapping[str, Any]:
        return as_json.error_object(self._found)

    def tell(self) -> None:
        self._tell(self._found)


@record(frozen=True)
class RequestReporter:
    """The reporter of an app. `enter` notes a phase; `paused` says whether a person may have kept the script waiting.

    Advice is given `in_loop` only.
    """

    config: Config
    script: Script
    telemetry: Telemetry
    tell: Tell
    enter: Callable[[Phase], None]
    in_loop: bool = False
    paused: Callable[[], bool] = lambda: False

    def run_begins(self) -> None:
        self.enter("run")

    def run_ends(self) -> None:
        self.enter("idle")

    # --- failures that are answered

    def raised(self, error: BaseException, request: Request, phase: Literal["run", "server"]) -> LazyReport:
        return self._failed(error, request, lambda: self._of_request(error, phase, request))

    def timed_out(self, error: TimeoutError, request: Request, milliseconds: int) -> LazyReport:
        setting, facts = self.config.name_of_time_limit, request.facts
        return self._failed(
            error, request, lambda: problems.timed_out(error, milliseconds, setting=setting, request=facts, status=500)
        )

    def no_json(self, result: object, error: Exception, request: Request) -> LazyReport:
        run = self.script.run
        return self._failed(
            error, request, lambda: return_value.unserialisable(result, error, run, request=request.facts)
        )

    def _failed(self, error: BaseException, request: Request, describe: Callable[[], Diagnostic]) -> LazyReport:
        self.telemetry.failed(error, request.ids.request or "", request.ids.client or "")
        return LazyReport(describe, lambda found: self._tell_found(found, error, request))

    def _described(self, error: BaseException, phase: str, request: Request, status: int) -> Diagnostic:
        return exceptions.describe(error, phase, function=self.script.run, request=request.facts, status=status)

    def _of_request(self, error: BaseException, phase: str, request: Request) -> Diagnostic:
        found, sample = self._described(error, phase, request, 500), request.environ.get(SAMPLE)
        return problems.of_sample(found, error, sample) if sample is not None else found

    def _tell_found(self, found: Diagnostic, error: BaseException | None, request: Request) -> None:
        request.environ[PROBLEM] = found
        self.tell(hints.explain(found, error, model_dir=self.config.model_dir))

    # --- failures that no answer tells

    def aborted(self, error: WorkerAborted, request: Request) -> None:
        limit = self.config.worker_timeout * 1000
        self.tell(problems.timed_out(error, limit, setting="WORKER_TIMEOUT", request=request.facts, status=500))

    def body_failed(self, error: Exception, request: Request, status: int) -> None:
        self._tell_found(self._described(error, "response", request, status), error, request)

    def odd_result(self, result: object, request: Request) -> None:
        warning = return_value.result_warning(result, self.script.run, request=request.facts)
        if warning is not None:
            self._tell_found(warning, None, request)

    # --- answers

    def scored(self, arguments: Mapping[str, Any], result: object, request: Request) -> None:
        if self.config.model_data and self.config.telemetry_on:
            form = self.script.form
            given = arguments if form.mode is Mode.SCHEMA else arguments.get(form.first)
            self.telemetry.scored(request.ids.request or "", request.ids.client or "", given, result)

    def ran(self, seconds: float, answer: flask.Response) -> None:
        """What Azure would make of an answer that run() itself gave."""
        if not self.in_loop:
            return
        has_schema = self.script.form.mode is Mode.SCHEMA
        body = answer.get_data() if has_schema and _is_whole(answer) else None
        seconds = 0.0 if self.paused() else seconds
        for text in azure_advice.on_answer(
            azure_advice.Answered(seconds, answer.status_code, answer.content_type or "", body, has_schema),
            self.config.limits,
        ):
            self.tell(Note(text))
        request = current()
        if self.script.form.mode is Mode.PLAIN and request.kept_body == b"" and (request.form or request.files):
            self.tell(Note(azure_advice.on_form(request.mimetype)))

    def answered(self, request: Request, answer: flask.Response, milliseconds: float) -> None:
        if self.config.telemetry_on:
            self.telemetry.answered(self._as_item(request, answer, milliseconds))

    def _as_item(self, request: Request, answer: flask.Response, milliseconds: float) -> Answered:
        return Answered(
            method=request.method,
            path=request.path,
            url=request.url,
            status=answer.status_code,
            duration_ms=milliseconds,
            started=datetime.now(timezone.utc) - timedelta(milliseconds=milliseconds),
            request_id=request.ids.request or "",
            client_request_id=request.ids.client or "",
            body=answer.get_data() if self.config.log_response and _is_whole(answer) else None,
        )


def _is_whole(answer: flask.Response) -> bool:
    """Whether its body is there already, and not made or read while it is sent."""
    return not answer.is_streamed and not answer.direct_passthrough
