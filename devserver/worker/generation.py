"""One generation: loads the script, calls init() and makes the app that answers."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from devserver.config.files import LOGGING, ConfigError
from devserver.diagnostics import exceptions
from devserver.display.requests import request_formatter
from devserver.process import debugger
from devserver.process.platform import System
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import Briefing
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import (
    ColdWanted,
    FilesLoaded,
    LoadReport,
    Phase,
    SawChange,
    Times,
    Told,
    WorkerReplaced,
)
from devserver.records.reasons import NO_FORK, Reason
from devserver.records.record import record
from devserver.records.stamps import Stamp
from devserver.replay.capture import Latest, knowing_samples, remembering
from devserver.scoring import logs, swagger
from devserver.scoring.app import Parts, create_app
from devserver.scoring.insights import start as start_telemetry
from devserver.scoring.script import Script, load
from devserver.scoring.telemetry import Telemetry
from devserver.scoring.time_limit import time_limit
from devserver.serve import GENERATION, WorkerAborted, WorkerLeaving, Wsgi
from devserver.usercode import loader
from devserver.usercode.env_writes import Preparations
from devserver.usercode.import_times import import_seconds
from devserver.worker.answers import Together, telling
from devserver.worker.dependencies import Dependence
from devserver.worker.gate import FileGate
from devserver.worker.holding import holding_app
from devserver.worker.reporter import LoadReporter, RequestReporter

if TYPE_CHECKING:
    from devserver.worker.initialised import Resumption
    from devserver.worker.keep.observing import Made
    from devserver.worker.kept import Keeper
    from devserver.worker.standby import Standby

log = logging.getLogger("azmlinfsrv")
script_log = logging.getLogger("azmlinfsrv.user_script")
LOAD_FAILED = 3
WORTH_MS = 10.0  # of load and init(); what takes less is done again sooner than a stage is made and asked
COLD_PATIENCE = 10.0  # seconds
Result = TypeVar("Result")


@record(frozen=True)
class Post:
    """Where a generation stands: what it has to know, and what it has in this process."""

    briefing: Briefing
    listeners: Sequence[socket.socket]
    tell: Callable[[Told], None]
    recorder: Scoreboard | None = None
    wait_until_told: Callable[[], None] = lambda: None  # returns when the code may be loaded
    paused: Callable[[], bool] = lambda: False  # whether a person may have kept the script waiting
    keeper: Keeper | None = None  # where init() may be kept from running again
    standby: Standby | None = None  # where it waits for its turn

    @property
    def number(self) -> int | None:
        """The generation's; None outside of the dev loop."""
        return self.briefing.generation or None


class Generation:
    """The script's way from file to app, and the witness of the workers in which it happens.

    `go_on` is called in forks of the initialised stage, which have this object as it was after init().
    """

    def __init__(self, post: Post, go_on: Callable[[Generation, Resumption], NoReturn] | None = None) -> None:
        self.post = post
        self.go_on = go_on
        self.resumption: Resumption | None = None
        self.is_kept = False  # init() was over when this became a generation
        self.headers: list[tuple[str, str]] = []
        self.unkept: Reason | None = None
        self.could_stand_by = False
        config = self.config = post.briefing.config
        self.recorder = self.board = post.recorder or Scoreboard()  # the second one is what the supervisor looks at
        self.place = 0  # of this process's calls on the board
        self._places: set[int] = set()  # that the workers of this process have
        self._threads: dict[int, int] = {}
        self._numbers = itertools.count()
        self.in_loop = post.number is not None
        self.chatter = logging.DEBUG if self.in_loop else logging.INFO
        self.path = os.path.realpath(config.script) if config.script else None
        self.reporter = LoadReporter(config, self.path, self.tell)
        briefing, workload = post.briefing, self.recorder.workload
        self.depends = Dependence(config, briefing.known, briefing.left_out, self.tell, workload)
        self.times: dict[str, float] = {}
        self.preparations = Preparations()
        self.lazy: tuple[str, ...] = ()
        self.forks = 0
        self.gate = self._gate() if self.in_loop else None
        self._serve_as(post)

    def tell(self, record: Told) -> None:
        """Tell the supervisor, on behalf of the generation that this process is now."""
        self.post.tell(record)

    def take_post(self, post: Post, resumption: Resumption) -> None:
        """From now on this is another generation, which goes on from where init() was over."""
        self.resumption, self.is_kept = resumption, True
        self._serve_as(post)
        self.recorder = self.board = post.recorder or self.recorder
        self.forks, self.place = 0, 0
        self._places.clear()
        self.depends.go_on(self.recorder.workload)
        self.gate = self._gate()

    def _serve_as(self, post: Post) -> None:
        self.post = post
        self.headers[:] = [(GENERATION, str(post.number))] if self.in_loop else []

    def _gate(self) -> FileGate:
        shared = self.config.worker_count > 1 and self.config.server == "gunicorn"
        lock = System.nameless_file() if shared else None
        return FileGate(self.depends.known, lambda paths: self.tell(SawChange(paths)), self.recorder, lock)

    # --- witness

    def forking(self, worker: Any) -> None:
        worker.recorder = Scoreboard()
        worker.place = next(place for place in itertools.count() if place not in self._places)
        self._places.add(worker.place)
        self.forks += 1
        if not self.in_loop and self.forks > self.config.worker_count:
            self.tell(WorkerReplaced())

    def has_forked(self) -> None:
        if self.post.keeper is not None and self.forks == self.config.worker_count:
            self.post.keeper.give_up()  # the workers have it, and it ends with the one that makes the stage

    def forked(self, worker: Any) -> None:
        self.recorder, self.place = worker.recorder, worker.place
        self.recorder.watch_crashes()  # with preload the app is made already

    def booted(self, _worker: Any) -> None:
        self.recorder.enter("idle")
        log.log(self.chatter, "Worker with pid %s ready for serving traffic", os.getpid())

    def aborting(self, _worker: Any) -> None:
        if self.recorder.last_words().phase == "run":
            self.recorder.enter("told")

    def ended(self, worker: Any, status: int | None) -> int | None:
        words = worker.recorder.last_words()
        worker.recorder.close()
        self.board.call(worker.place, 0.0)
        self._places.discard(worker.place)
        code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
        if words.phase == "refused":
            return LOAD_FAILED
        if not self.in_loop and (words.phase, code) == ("idle", 0):
            return None  # it was told to leave: SIGHUP replaces all workers
        self.reporter.died(words, code)
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
        if self.post.briefing.hold is not None:
            return self._answer_with(self.post.briefing.hold)
        try:
            app = self._load() if self.resumption is None else self._resume(self.resumption)
        except BaseException as error:
            if isinstance(error, WorkerLeaving) and not isinstance(error, WorkerAborted):
                raise
            phase: Literal["load", "init"] = "init" if "init" in self.times else "load"
            return self._answer_with(self.reporter.failure(error, phase), error)
        self._tell_loaded(None)
        if not self.is_kept:
            self.reporter.advise_on_start(sum(self.times.values()) / 1000)
        if self.in_loop and not self.post.briefing.warm and not self.config.check and not self.is_kept:
            # beside the first answers, for it takes a while; a warm generation has seen no import
            threading.Thread(target=self.reporter.advise, daemon=True, name="advice").start()
        return self._remembering(self._telling(app) if self.in_loop else app)

    def _load(self) -> Wsgi:
        if (file := self.config.file_of(LOGGING)) is not None:  # without one it is as it was before the server began
            logs.configure(file, self.config.log_level, self.in_loop, request_formatter(os.environ))
        self._connect_debugger()
        insights = start_telemetry(self.config, lambda line: log.warning("%s", line))
        logs.redirect_print(insights.printed)
        self.reporter.hear_unraised()
        loader.UserCode().install()
        loader.hearers.append(self._file_loaded)
        if self.in_loop:
            self.depends.look()
        last = next(reversed(sys.modules))
        try:
            opened = self.depends.opened if self.in_loop else nullcontext()
            with self.preparations, opened, self._watching():
                script = self._timed("load", lambda: load(self.path, self._named))
                for line in (script.describe(), script.form.describe()):
                    script_log.log(self.chatter, "%s", line)
                self._init(script, insights)
        finally:
            if self.in_loop and self.preparations.sets_nothing:
                self.lazy = _imported_after(last)
            if self.post.briefing.warm and self.preparations.before_import:
                self._ask_for_cold()
        self.loaded = (script, insights)
        self._keep()
        self._stand_by()
        return create_app(self._parts(script, insights))

    def _keep(self) -> None:
        """Leave the stage behind from which the next generations may come; it never returns from here."""
        keeper, go_on, times = self.post.keeper, self.go_on, self._times()
        if debugger.is_loaded() or times.script_ms + times.init_ms < WORTH_MS:
            if keeper is not None:
                keeper.give_up()
        elif keeper is not None and go_on is not None:
            self.unkept = keeper.split(lambda resumption: go_on(self, resumption), self._made())
            self.could_stand_by = keeper.could_stand_by
        elif self.in_loop and self.config.keep and not self.post.standby:
            self.unkept, self.could_stand_by = NO_FORK, True

    def _watching(self) -> AbstractContextManager[None]:
        watcher = self.post.standby or self.post.keeper
        return watcher.watching() if watcher is not None else nullcontext()

    def _stand_by(self) -> None:
        """Where this process is no generation yet: until it is one."""
        if self.post.standby is not None:
            order = self.post.standby.wait(self._made())
            self.is_kept = True
            self.depends.go_on(self.recorder.workload)
            self._serve_as(replace(self.post, briefing=order.briefing, standby=None))

    def _made(self) -> Made:
        from devserver.worker.keep.observing import Made

        return Made(self.depends.known.differences, dict(loader.loaded), self.times["init"])

    def _resume(self, resumption: Resumption) -> Wsgi:
        try:
            resumption.resume()
        except OSError:
            self._ask_for_cold()
        return create_app(self._parts(*self.loaded))

    @property
    def _named(self) -> str | None:
        """Links are followed for the option, and not for a variable or the file."""
        return self.path if self.config.sources.get("entry_script") == "command line" else self.config.script

    def _ask_for_cold(self) -> NoReturn:
        """The libraries were imported too early for this script; the supervisor ends this process."""
        self.tell(ColdWanted(tuple(self.preparations.before_import)))
        time.sleep(COLD_PATIENCE)
        raise SystemExit(1)

    def _init(self, script: Script, insights: Telemetry) -> None:
        script_log.log(self.chatter, "Invoking user's init function")
        try:
            self._timed("init", script.init)
        except Exception as error:
            insights.failed(error, "Unknown", "")
            raise
        self.recorder.enter("idle")
        script_log.log(self.chatter, "Users's init has completed successfully")

    def _timed(self, phase: Literal["load", "init"], work: Callable[[], Result]) -> Result:
        self.recorder.enter(phase)
        self.board.loads(phase)
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self.times[phase] = (time.perf_counter() - begun) * 1000

    def _parts(self, script: Script, insights: Telemetry) -> Parts:
        say = logging.getLogger("azmlinfsrv.swagger").log
        documents = swagger.prepare(script.run, self.config, lambda line: say(self.chatter, "%s", line))
        limit = time_limit(self.config.scoring_timeout_ms, in_main_thread=self.config.server == "gunicorn")
        log.log(self.chatter, "Scoring timeout is set to %s", self.config.scoring_timeout_ms)
        return Parts(self.config, script, documents, limit, self._request_reporter(script, insights), self.post.number)

    def _request_reporter(self, script: Script, insights: Telemetry) -> RequestReporter:
        def enter(phase: Phase) -> None:
            self.board.call(self._place(), time.monotonic() if phase == "run" else 0.0)
            self.recorder.enter(phase)  # with preload a worker has another one than the process that made the app
            if self.in_loop and phase == "run":
                self.depends.works()
            elif self.in_loop:
                self.depends.worked()

        post = self.post
        return RequestReporter(self.config, script, insights, self.tell, enter, self.in_loop, post.paused)

    def _place(self) -> int:
        """Of the calls that this thread makes."""
        ident = threading.get_ident()
        number = self._threads.get(ident)
        if number is None:
            number = self._threads[ident] = next(self._numbers)
        return self.place + number

    def _connect_debugger(self) -> None:
        port = self.config.debug_port
        if port is None or debugger.is_loaded():
            return
        log.warning(
            "A debugger is attached to the server because AZUREML_DEBUG_PORT is set: never do so in production."
        )
        try:
            import debugpy
        except ImportError:
            raise ConfigError(f"AZUREML_DEBUG_PORT needs debugpy; run: {debugger.PIP}", LOAD_FAILED) from None
        debugpy.connect(port)
        debugpy.wait_for_client()

    # --- what is told

    def _file_loaded(self, path: str, stamp: Stamp) -> None:
        if self.in_loop:
            self.tell(FilesLoaded({path: stamp}))

    def _tell_loaded(self, error: Diagnostic | None) -> None:
        self.reporter.advise_on_places()
        self.tell(
            LoadReport(
                ok=error is None,
                files=dict(loader.loaded),
                depends=self.depends.found(),
                modules=tuple(loader.modules),
                indirect=frozenset(loader.indirect),
                lazy=self.lazy,
                times=self._times(),
                error=error,
                warm=self.post.briefing.warm,
                environment=tuple(self.preparations.before_import),
                kept_ms=self.times.get("init") if self.is_kept else None,
                unkept=self.unkept,
                could_stand_by=self.could_stand_by,
            )
        )

    def _times(self) -> Times:
        if self.is_kept:
            return Times()
        script, imports = self.times.get("load", 0.0), import_seconds() * 1000
        return Times(min(imports, script), max(0.0, script - imports), self.times.get("init", 0.0))

    def _answer_with(self, problem: Diagnostic, error: BaseException | None = None) -> Wsgi:
        if self.post.standby is not None:
            raise SystemExit(0)  # nobody waits for it
        if error is not None:
            self.depends.opened.absent |= dict.fromkeys(exceptions.absent_files(error))
        self._tell_loaded(problem)
        if self.post.number is None:
            self.recorder.enter("refused")
            raise SystemExit(LOAD_FAILED)
        app = self._telling(holding_app(problem, self.post.number, self.config.server_version), problem)
        return self._remembering(app) if self.config.replay != "failed" else app

    def _telling(self, app: Wsgi, problem: Diagnostic | None = None) -> Wsgi:
        return telling(app, Together(self.post.tell), self.config.base, problem)

    def _remembering(self, app: Wsgi) -> Wsgi:
        if not self.in_loop:
            return app
        app = knowing_samples(app, self.config.samples)
        if self.config.check:
            return app
        tell = self.tell if self.config.replay is not None else Latest(self.tell)
        return remembering(app, tell, only_failed=self.config.replay == "failed")


def _imported_after(last: str) -> tuple[str, ...]:
    from devserver.worker.libraries import imported_after  # a start that is not for the loop does without

    return imported_after(last)
