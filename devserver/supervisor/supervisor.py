"""The one loop of `--reload`: everything that happens arrives in one queue, `lifecycle.step` decides, and what it asks
for is done here. Threads and signal handlers put into the queue and do nothing else; only the loop writes the console.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable

from devserver import lifecycle
from devserver.config.settings import Config
from devserver.diagnostics import problems
from devserver.display.console import Console
from devserver.lifecycle import Action, Death, Event, Model, State
from devserver.process import debugger
from devserver.process.command import Command
from devserver.process.platform import System
from devserver.records.changes import ChangeSet, Scope, plan_reload
from devserver.records.messages import (
    FileWritten,
    Kept,
    LoadReport,
    Look,
    Note,
    PageAt,
)
from devserver.replay.rounds import Replays
from devserver.supervisor.arrivals import (
    Arrival,
    Arrivals,
    DebuggerCame,
    FilesChanged,
    Heard,
    LookDue,
    NothingPending,
    PauseOver,
    WaitOver,
    WarmedUp,
)
from devserver.supervisor.deadlines import Deadlines
from devserver.supervisor.edits import Edits
from devserver.supervisor.endings import Endings
from devserver.supervisor.generations import Generations
from devserver.supervisor.news import News
from devserver.supervisor.project import Project
from devserver.supervisor.spawner import Spawner
from devserver.watch.watcher import Watch


class Supervisor:
    """Takes out what has arrived, and does what the lifecycle makes of it."""

    def __init__(
        self,
        arrivals: Arrivals,
        console: Console,
        project: Project,
        generations: Generations,
        spawner: Spawner,
        watch: Watch,
        address: str,
        command: Callable[[Config, str], Command] | None = None,
    ) -> None:
        self._arrivals = arrivals
        self._console = console
        self._project = project
        self._generations = generations
        self._spawner = spawner
        self._watch = watch
        self._address = address
        self._replays = Replays(
            lambda generation, sent: arrivals.put(lifecycle.Noted(generation, sent)), command, System.cut
        )
        self._deadlines = Deadlines()
        self._edits = Edits(project.config, generations, self._deadlines, console.note)
        self._endings = Endings(console, project, generations, self._deadlines)
        self._news = News(
            console, project, generations, spawner, watch, self._edits, self._endings, self._replays, self._deadlines
        )
        self._model = Model()
        self._done = False

    def begin(self) -> None:
        """Watch, and ask for the first generation; with `--debug_wait` a debugger that attaches does."""
        config = self._project.config
        self._news.retarget()
        self._watch.start()
        if config.debug is not None:
            debugger.watch(lambda attached: self._arrivals.put(DebuggerCame(attached)))
        if config.debug_wait and not debugger.is_attached():
            self._console.note("nothing is loaded until a debugger is attached")
        else:
            self._arrivals.put(lifecycle.StartAsked())

    def loop(self) -> None:
        """Until the lifecycle says that it is over."""
        while not self._done:
            try:
                self._take(self._arrivals.get(timeout=self._deadlines.wait()))
            except queue.Empty:
                for due in self._deadlines.due():
                    self._take(due)

    def _take(self, arrival: Arrival) -> None:
        match arrival:
            case Look("samples"):
                text = self._replays.ask(self._project.config, self._model.state is State.RUNNING)
                self._console.show(Look("samples", text or ""))
            case Look() | PageAt() | Kept():
                self._console.show(arrival)
            case Note(text):
                self._console.note(text)
            case FileWritten():
                self._edits.wrote(arrival)
            case WarmedUp(process, told):
                self._spawner.warmed(process, told)
                self._wait_for_libraries()
            case WaitOver():
                self._wait_for_libraries()
            case FilesChanged(changes):
                self._changed(self._edits.among(changes))
            case PauseOver():
                self._changed(self._edits.rested())
            case NothingPending(generation):
                self._edits.dismiss(generation)
            case DebuggerCame(attached):
                self._debugger_came(attached)
            case LookDue(generation):
                self._look_at(generation)
            case Heard(generation) if self._generations.get(generation) is None:
                pass  # it could be started by half only
            case Heard():
                for event in self._news.events_of(arrival, self._model):
                    self._step(event)
            case _:
                self._step(arrival)

    def _step(self, event: Event) -> None:
        if isinstance(event, lifecycle.Overdue) and self._endings.is_spared(event.generation, self._model):
            return
        self._model, actions = lifecycle.step(self._model, event)
        for action in actions:
            self._perform(action)

    # --- what has happened

    def _look_at(self, generation: int) -> None:
        """What takes long is told, but for time at a breakpoint; a generation that was replaced has its deadline."""
        if generation != self._model.generation or self._model.state not in (State.STARTING, State.RUNNING):
            return
        slow = self._generations.slow(generation, loads=self._model.state is State.STARTING)
        if slow is not None and not debugger.is_attached():
            self._step(slow)
        self._deadlines.look_at(generation)
        if self._model.state is State.RUNNING:
            self._generations.stand_by(self._project.briefing(generation, tuple(sys.argv), None, {}))

    def _changed(self, edits: ChangeSet) -> None:
        if edits:
            self._step(lifecycle.Changed(plan_reload(edits, is_loaded_source=self._project.is_loaded_source)))

    def _debugger_came(self, attached: bool) -> None:
        """A generation can be debugged only from its start on, so that one that lives is replaced."""
        self._console.note("a debugger is attached" if attached else "the debugger is gone")
        if attached:
            self._step(lifecycle.ReloadAsked() if self._model.generation else lifecycle.StartAsked())

    # --- what the lifecycle asks for

    def _perform(self, action: Action) -> None:
        match action:
            case lifecycle.Launch(generation, scope, hold):
                self._launch(generation, scope, hold)
            case lifecycle.StandIn(generation, report):
                self._generations.stand_in(generation, report.error if report is not None else None)
            case lifecycle.LaunchLater(seconds):
                self._deadlines.launch_in(seconds)
            case lifecycle.Retire(generation):
                self._retire(generation)
            case lifecycle.SetDeadline(generation, kind):
                self._endings.limit(generation, kind)
            case lifecycle.Kill(generation):
                self._endings.kill(generation, self._model)
            case lifecycle.Replay(generation, changes):
                self._replays.start(generation, changes, self._project.config, self._address)
            case lifecycle.Show(message):
                self._console.show(message)
            case lifecycle.Quit():
                self._replays.cancel()
                self._done = True

    def _launch(self, generation: int, scope: Scope, hold: Death | None) -> None:
        self._deadlines.launches()
        self._replays.cancel()
        if scope >= Scope.RESTART:
            kept = self._project.read_again()
            if kept is not None:
                self._console.config_kept(kept)
            self._news.retarget()
        files = self._generations.died_with if hold is not None else self._project.script_version()
        report = hold.report if hold is not None else None
        briefing = self._project.briefing(generation, tuple(sys.argv), report, files)
        self._try(generation, lambda: self._generations.launch(briefing, files, scope))
        self._wait_for_libraries()

    def _retire(self, generation: int) -> None:
        if self._generations.cancel(generation):
            self._arrivals.put(lifecycle.NotLaunched(generation))
        else:
            self._endings.retire(generation, self._model)

    def _wait_for_libraries(self) -> None:
        """A generation may wait for them, which starts when they are there, or take too long."""
        generation, seconds = self._generations.waiting, self._spawner.patience()
        if generation is not None and seconds > 0:
            self._deadlines.wait_for_libraries(seconds)
        elif generation is not None:
            self._try(generation, self._generations.go_on)

    def _try(self, generation: int, launch: Callable[[], None]) -> None:
        try:
            launch()
        except OSError as error:
            failed = LoadReport(False, error=problems.no_process(error, sys.executable))
            self._arrivals.put(lifecycle.NotLaunched(generation, failed, error.filename is None))
        else:
            self._deadlines.look_at(generation)
            self._edits.launched(generation)
