"""A script that was loaded in a test's process: the app that would serve it, asked without a port."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType, TracebackType
from typing import Any, Literal

from werkzeug.datastructures import Headers

from devserver.config.files import ConfigError
from devserver.config.settings import Config
from devserver.config.sources import read_config
from devserver.display import blocks
from devserver.records.diagnostic import Diagnostic
from devserver.scoring import swagger
from devserver.scoring.app import Parts, create_app
from devserver.scoring.request import Request
from devserver.scoring.script import Script
from devserver.scoring.script import load as load_functions
from devserver.scoring.telemetry import Off
from devserver.scoring.time_limit import TimeLimit, time_limit
from devserver.testing import ScriptFailed
from devserver.testing.surroundings import Surroundings
from devserver.usercode import loader
from devserver.worker.reporter import LazyReport, LoadReporter, RequestReporter

Body = str | bytes | dict[str, Any] | list[Any] | int | float | bool | None
told: list[str] = []  # the reports since the latest test began; the plugin shows them with a test that fails


@dataclass(frozen=True, repr=False)
class Answer:
    """What a client gets: `headers` are found in any letter case. `errors` were reported while it was made."""

    status: int
    headers: Headers
    body: bytes
    errors: tuple[Diagnostic, ...] = ()

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.body[:200]!r}>"

    @property
    def text(self) -> str:
        """The body as text. Errors: UnicodeDecodeError."""
        return self.body.decode("utf-8")

    @cached_property
    def json(self) -> Any:
        """The body as JSON. Errors: ValueError where it is none."""
        return json.loads(self.body)


class _Reporter(RequestReporter):
    """What a test itself raises through run(), to end itself, is no failure of run()."""

    def raised(self, error: BaseException, request: Request, phase: Literal["run", "server"]) -> LazyReport:
        if not isinstance(error, (Exception, SystemExit, GeneratorExit)):
            raise error  # Ctrl-C, a time limit of pytest's, a skip
        return super().raised(error, request, phase)


class Scoring:
    """A loaded script, ready to be asked. `module` is the script's own; `config` what it was loaded with."""

    def __init__(self, config: Config, variables: dict[str, str]) -> None:
        self.config = config
        self._surroundings = Surroundings(config, variables)
        self._errors: list[Diagnostic] = []
        self._path = os.path.realpath(config.script) if config.script else None
        try:
            with self._surroundings:
                script = self._load()
        except BaseException:
            self.close()
            raise
        self.module: ModuleType | None = loader.entry
        self._client = create_app(self._parts(script)).test_client(use_cookies=False)

    def _load(self) -> Script:
        __tracebackhide__ = True
        phase: Literal["load", "init"] = "load"
        try:
            script = load_functions(self._path)
            phase = "init"
            script.init()
        except (Exception, SystemExit) as error:
            reporter = LoadReporter(self.config, self._path, self._tell)
            report = reporter.failure(error, phase)
        else:
            return script
        raise ScriptFailed(_report(report))

    def _parts(self, script: Script) -> Parts:
        documents = swagger.prepare(script.run, self.config, lambda _: None)
        reporter = _Reporter(self.config, script, Off(), self._tell, lambda _: None)
        return Parts(self.config, script, documents, self._limit(), reporter)

    def _limit(self) -> TimeLimit:
        """By a thread: the alarm may be pytest's own."""
        limited = "scoring_timeout_ms" in self.config.sources
        return time_limit(self.config.scoring_timeout_ms if limited else 0, in_main_thread=False)

    def _tell(self, record: object) -> None:
        if isinstance(record, Diagnostic):
            self._errors.append(record)
            told.append(_report(record))

    def post(self, body: Body = None, headers: Mapping[str, str] | None = None, path: str = "/score") -> Answer:
        """POST; text and what JSON knows is sent as JSON unless `headers` say otherwise, bytes without a type."""
        return self.request("POST", path, body, headers)

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> Answer:
        """GET; `/` is the liveness probe, `/score?a=1` calls run()."""
        return self.request("GET", path, None, headers)

    def request(self, method: str, path: str, body: Body = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Any request. The answer is whole when this returns; what a stream raises in its midst is raised here."""
        content = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
        sent = Headers(dict(headers or {}))
        if isinstance(content, str):
            sent.setdefault("Content-Type", "application/json")
        before = len(self._errors)
        with self._surroundings, self._client.open(path, method=method, data=content, headers=sent) as response:
            answer = Answer(response.status_code, response.headers, response.get_data())
        return Answer(answer.status, answer.headers, answer.body, tuple(self._errors[before:]))

    def close(self) -> None:
        """The process's environment, sys.path and modules are as before; nothing happens if they are already."""
        self._surroundings.leave()

    def __enter__(self) -> Scoring:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def load_script(
    script: str | None, model_dir: str | None, deployment: str | None, variables: Mapping[str, str]
) -> Scoring:
    """As `devserver.testing.load`."""
    __tracebackhide__ = True
    given = {"--entry_script": script, "--model_dir": model_dir, "--deployment": deployment}
    words = [f"{flag}={os.fspath(value)}" for flag, value in given.items() if value is not None]
    try:
        config = read_config(words)
    except ConfigError as error:
        problem = str(error)
    else:
        return Scoring(config, dict(variables))
    raise ScriptFailed(problem)


def _report(error: Diagnostic) -> str:
    return blocks.block(error, width=120)
