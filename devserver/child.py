"""One generation, from briefing to exit: the environment is set, the script loaded, what happened told, and served."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn, TypeVar

from devserver import advice, debugging, hints, problems, process, render, report, usercode
from devserver.ambient import Preparations
from devserver.config import Config, ConfigError
from devserver.files import Stamp
from devserver.gate import FileGate
from devserver.notes import ColdWanted, FilesLoaded, FileWritten, Keyboard, Note, SawChange, StopWanted
from devserver.obituary import obituary
from devserver.opened import OpenedFiles
from devserver.process import Briefing, Link
from devserver.recorder import Phase, Recorder, nameless_file
from devserver.report import LoadReport, RunError, Times
from devserver.scoring import compat, logs, swagger, telemetry
from devserver.scoring.answers import GENERATION
from devserver.scoring.app import Parts, create_app
from devserver.scoring.memory import remembering
from devserver.scoring.script import Script, ScriptProblem, add_to_search_path, load, time_limit
from devserver.serve import Plan, WorkerAborted, WorkerLeaving, Wsgi, serve
from devserver.status import holding_app
from devserver.terminal import Loan, lend_to_breakpoints

log = logging.getLogger("azmlinfsrv")
script_log = logging.getLogger("azmlinfsrv.user_script")
LOAD_FAILED = 3
COLD_PATIENCE = 10.0  # seconds
NO_LIMIT = 86400.0  # seconds: in the dev loop it is the supervisor who ends what takes too long
Result = TypeVar("Result")


@dataclass(frozen=True)
class Post:
    """Where a generation stands. `number` is None outside of the dev loop; `hold` makes it answer with that error.

    `known` and `left_out` as in a briefing.
    """

    config: Config
    listeners: Sequence[socket.socket]
    tell: Callable[[object], None]
    number: int | None = None
    hold: RunError | None = None
    recorder: Recorder | None = None
    warm: bool = False
    known: Mapping[str, Stamp | None] = field(default_factory=dict)
    left_out: str = ""
    wait_until_told: Callable[[], None] = lambda: None  # returns when the code may be loaded
    paused: Callable[[], bool] = lambda: False  # whether a person may have kept the script waiting


def main(pipe: BinaryIO, link: str, *recorder: str) -> NoReturn:
    """The process that the supervisor started; `link` and `recorder` are the descriptors that it passed."""
    process.lead_own_group()
    briefing = process.read_briefing(pipe)
    sender = process.Link(process.inherited_descriptor(link, os.O_WRONLY))
    page, dump = map(process.inherited_descriptor, recorder)
    process.leave(begin(briefing, sender, Recorder((page, dump))))


def begin(
    briefing: Briefing, link: Link, recorder: Recorder, wait_until_told: Callable[[], None] = lambda: None
) -> int:
    """The generation of this briefing in this process, until it ends; returns the exit code."""
    process.adopt_orphans()
    recorder.answer_when_asked()
    _stand_in(briefing.config.base)
    sys.argv = list(briefing.arguments)
    loan = Loan(lambda lent: link.send(Keyboard(lent)))
    lend_to_breakpoints(loan)
    _hear_keyboard(lambda: link.send(StopWanted()))
    post = Post(
        briefing.config,
        process.open_listeners(briefing),
        link.send,
        briefing.generation,
        briefing.hold,
        recorder,
        briefing.warm,
        briefing.known or {},
        briefing.left_out,
        wait_until_told,
        lambda: loan.used or debugging.is_loaded(),
    )
    return run_generation(post)


def _hear_keyboard(stop: Callable[[], None]) -> None:
    """While the script has the keyboard, Ctrl-C is heard here, and Ctrl-Z would stop what nobody lets go on."""
    signal.signal(signal.SIGINT, lambda *_: stop())
    if hasattr(signal, "SIGTSTP"):
        signal.signal(signal.SIGTSTP, lambda *_: None)


def _stand_in(folder: str) -> None:
    """The project folder may have been removed since the tool began, and made again or not."""
    while True:
        try:
            return os.chdir(folder)
        except OSError:
            folder = os.path.dirname(folder)  # a process that stands in a removed folder can do very little


def run_generation(post: Post) -> int:
    """Serve until a signal; returns the exit code, 3 where the script could not be loaded outside of the dev loop."""
    config = post.config
    os.environ.update(config.environment())
    _extend_path(config)
    logs.configure(None, config.log_level, post.number is not None)
    compat.install()
    generation = _Generation(post)
    plan = Plan(
        server=config.server,
        listeners=post.listeners,
        factory=generation.make_app,
        workers=config.worker_count,
        worker_timeout=config.worker_timeout,
        # a large model may take longer than any answer: only a limit that was asked for counts while it loads
        limit_loading="worker_timeout" in config.sources,
        graceful_timeout=NO_LIMIT if post.number is not None else 30.0,
        preload=config.worker_preload and post.number is None,
        close_connections=post.number is not None,
        headers=() if post.number is None else ((GENERATION, str(post.number)),),
        gate=generation.gate,
        witness=generation,
    )
    return serve(plan)


def _extend_path(config: Config) -> None:
    add_to_search_path(config.search_path)
    if config.base not in sys.path:
        sys.path.insert(0, config.base)


class _Generation:
    """The script's way from file to app, and the witness of the workers in which it happens."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.config = post.config
        self.recorder = post.recorder or Recorder()
        self.in_loop = post.number is not None
        self.chatter = logging.DEBUG if self.in_loop else logging.INFO
        self.path = os.path.realpath(post.config.script) if post.config.script else None
        self.model_dir = post.config.absolute_model_dir
        folders = [post.config.base, *post.config.search_path, *([self.model_dir] if self.model_dir else [])]
        self.opened = OpenedFiles(folders, lambda path: self.post.tell(FileWritten(path)))
        self.absent: dict[str, None] = {}
        self.times: dict[str, float] = {}
        self.preparations = Preparations()
        self.gate = self._gate() if self.in_loop else None

    def _gate(self) -> FileGate:
        shared = self.config.worker_count > 1 and self.config.server == "gunicorn"
        lock = nameless_file() if shared else None
        files = (self.post.known, usercode.loaded, self.opened.stamps, self.absent)
        return FileGate(files, self._counts, lambda: self.post.tell(SawChange()), self.recorder, lock)

    def _counts(self, path: str) -> bool:
        left_out = self.post.left_out
        return path == self.path or not left_out or not re.fullmatch(left_out, path.replace(os.sep, "/"))

    # --- witness

    def forking(self, worker: Any) -> None:
        worker.recorder = Recorder()

    def forked(self, worker: Any) -> None:
        self.recorder = worker.recorder

    def booted(self, _worker: Any) -> None:
        self.recorder.enter("idle")
        log.log(self.chatter, "Worker with pid %s ready for serving traffic", os.getpid())

    def aborting(self, _worker: Any) -> None:
        if self.recorder.last_words().phase == "run":
            self.recorder.enter("told")

    def ended(self, worker: Any, status: int | None) -> int | None:
        words = worker.recorder.last_words()
        worker.recorder.close()
        code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
        if words.phase == "refused":
            return LOAD_FAILED
        if not self.in_loop and (words.phase, code) == ("idle", 0):
            return None  # it was told to leave: SIGHUP replaces all workers
        self.post.tell(obituary(words, code, self.path))
        if self.in_loop:
            return 1
        return None if words.phase in ("idle", "run", "told") else LOAD_FAILED

    # --- from file to app

    def make_app(self) -> Wsgi:
        """The app that answers: for the script, or in the dev loop for the error that keeps it from loading."""
        self.recorder.watch_crashes()
        if self.gate is not None and self.gate.is_over():
            raise SystemExit(0)  # one of several workers, which starts when the generation is retired already
        self.post.wait_until_told()
        if self.post.hold is not None:
            return self._answer_with(self.post.hold)
        try:
            app = self._load()
        except WorkerAborted as error:
            return self._answer_with(self._described(error), error)
        except WorkerLeaving:
            raise
        except BaseException as error:
            found = hints.explain(self._described(error), error, model_dir=self.config.model_dir)
            return self._answer_with(found, error)
        self._tell_loaded(None)
        if self.in_loop and not self.post.warm and not self.config.check:
            threading.Thread(target=self._advise, daemon=True, name="advice").start()
        return self._remembering(app)

    def _advise(self) -> None:
        """Beside the first answers, for it takes a while; a warm generation has seen no import."""
        for text in advice.on_load(list(usercode.modules), os.path.dirname(self.path or "")):
            self.post.tell(Note(text))

    def _load(self) -> Wsgi:
        logs.configure(self._logging_file(), self.config.log_level, self.in_loop)
        self._connect_debugger()
        insights = telemetry.start(self.config, lambda line: log.warning("%s", line))
        logs.redirect_print(insights.printed)
        self._hear_unraised()
        usercode.UserCode().install()
        usercode.hearers.append(self._file_loaded)
        try:
            with self.preparations, self.opened:
                script = self._timed("load", lambda: load(self.path))
                for line in (script.describe(), script.form.describe()):
                    script_log.log(self.chatter, "%s", line)
                self._init(script, insights)
        finally:
            if self.post.warm and self.preparations.before_import:
                self._ask_for_cold()
        return create_app(self._parts(script, insights))

    def _ask_for_cold(self) -> NoReturn:
        """The libraries were imported too early for this script; the supervisor ends this process."""
        self.post.tell(ColdWanted(tuple(self.preparations.before_import)))
        time.sleep(COLD_PATIENCE)
        raise SystemExit(1)

    def _init(self, script: Script, insights: telemetry.Telemetry) -> None:
        log.log(self.chatter, "Invoking user's init function")
        try:
            self._timed("init", script.init)
        except Exception as error:
            insights.failed(error, "Unknown", "")
            raise
        log.log(self.chatter, "Users's init has completed successfully")

    def _timed(self, phase: Phase, work: Callable[[], Result]) -> Result:
        self.recorder.enter(phase)
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self.times[phase] = (time.perf_counter() - begun) * 1000

    def _parts(self, script: Script, insights: telemetry.Telemetry) -> Parts:
        say = logging.getLogger("azmlinfsrv.swagger").log
        documents = swagger.prepare(script.run, self.config, lambda line: say(self.chatter, "%s", line))
        limit = time_limit(self.config.scoring_timeout_ms, in_main_thread=self.config.server == "gunicorn")
        log.log(self.chatter, "Scoring timeout is set to %s", self.config.scoring_timeout_ms)
        post, enter = self.post, self.recorder.enter
        return Parts(self.config, script, documents, insights, limit, post.tell, enter, post.number, post.paused)

    def _logging_file(self) -> str | None:
        folders = [self.config.app_root] + ([os.path.dirname(self.path)] if self.path else [])
        paths = [os.path.join(folder, "logging.json") for folder in folders]
        return next((path for path in paths if os.path.isfile(path)), None)

    def _connect_debugger(self) -> None:
        port = self.config.debug_port
        if port is None or debugging.is_loaded():
            return
        log.warning(
            "A debugger is attached to the server because AZUREML_DEBUG_PORT is set: never do so in production."
        )
        try:
            import debugpy
        except ImportError:
            raise ConfigError(f"AZUREML_DEBUG_PORT needs debugpy; run: {debugging.PIP}", LOAD_FAILED) from None
        debugpy.connect(port)
        debugpy.wait_for_client()

    # --- what is told

    def _file_loaded(self, path: str, stamp: Stamp) -> None:
        if self.in_loop:
            self.post.tell(FilesLoaded({path: stamp}))

    def _tell_loaded(self, error: RunError | None) -> None:
        config = self.config
        searched = (config.base, config.app_root, os.path.join(config.app_root, config.source_directory or ""))
        if names := usercode.found_beside_script(searched):
            self.post.tell(Note(render.found_beside_script(names, self.path or "")))
        self.post.tell(
            LoadReport(
                ok=error is None,
                files={**usercode.loaded, **self._data_files()},
                wanted=tuple(dict.fromkeys(folder for found in usercode.missing.values() for folder in found)),
                absent=tuple(self.absent),
                modules=tuple(usercode.modules),
                times=self._times(),
                error=error,
                warm=self.post.warm,
                environment=tuple(self.preparations.before_import),
            )
        )

    def _data_files(self) -> dict[str, Stamp]:
        """Those that no watched folder holds."""
        inside = os.path.join(self.model_dir, "") if self.model_dir else None
        return {path: stamp for path, stamp in self.opened.stamps.items() if not inside or not path.startswith(inside)}

    def _times(self) -> Times:
        script, imports = self.times.get("load", 0.0), usercode.import_seconds() * 1000
        return Times(min(imports, script), max(0.0, script - imports), self.times.get("init", 0.0))

    def _answer_with(self, problem: RunError, error: BaseException | None = None) -> Wsgi:
        if error is not None:
            self.absent |= dict.fromkeys(report.absent_files(error))
        self._tell_loaded(problem)
        if self.post.number is None:
            self.recorder.enter("refused")
            raise SystemExit(LOAD_FAILED)
        app = holding_app(problem, self.post.number, self.config.server_version)
        return self._remembering(app) if self.config.replay == "last" else app

    def _remembering(self, app: Wsgi) -> Wsgi:
        if not self.in_loop or self.config.replay is None:
            return app
        return remembering(app, self.post.tell, only_failed=self.config.replay == "failed")

    def _described(self, error: BaseException) -> RunError:
        phase = "init" if "init" in self.times else "load"
        if isinstance(error, ScriptProblem):
            return error.error
        if isinstance(error, ConfigError):
            return problems.config_problem(str(error))
        if isinstance(error, WorkerAborted):
            limit = self.config.worker_timeout * 1000
            return problems.timed_out(error, limit, phase=phase, setting="WORKER_TIMEOUT")
        return report.describe(error, phase, script=self.path)

    def _hear_unraised(self) -> None:
        """What ends a thread of the script, or is ignored by Python, is reported like any other exception."""

        def tell(found: RunError | None, error: BaseException | None) -> None:
            if found is not None:
                self.post.tell(hints.explain(found, error, model_dir=self.config.model_dir))

        threading.excepthook = lambda args: tell(report.describe_thread(args), args.exc_value)
        ignored = sys.unraisablehook

        def unraisable(args: Any) -> None:
            found = report.describe_unraisable(args)
            tell(found, args.exc_value) if found is not None else ignored(args)

        sys.unraisablehook = unraisable
