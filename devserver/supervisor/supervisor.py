"""The one loop of `--reload`: everything that happens arrives in one queue, `lifecycle.step` decides, and what it asks
for is done here. Threads and signal handlers put into the queue and do nothing else; only the loop writes the console.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Mapping

from devserver import lifecycle
from devserver.config.settings import Config
from devserver.diagnostics import exceptions
from devserver.display.console import Console
from devserver.lifecycle import Action, Death, Event, Model, State
from devserver.process import debugger
from devserver.process.command import Command
from devserver.records.changes import ChangeSet, Scope, plan_reload
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import (
    ColdWanted,
    Dependencies,
    FilesLoaded,
    FileWritten,
    Gone,
    Keyboard,
    LoadReport,
    Look,
    Note,
    PageAt,
    Remembered,
    RequestsAnswered,
    SawChange,
    StopWanted,
    WorkerDied,
)
from devserver.records.stamps import Stamp
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
    WarmedUp,
)
from devserver.supervisor.deadlines import Deadlines
from devserver.supervisor.edits import Edits
from devserver.supervisor.endings import Endings
from devserver.supervisor.generations import Generations, Life
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
        self._replays = Replays(lambda generation, sent: arrivals.put(lifecycle.Noted(generation, sent)), command)
        self._deadlines = Deadlines()
        self._edits = Edits(project.config, generations, self._deadlines, console.note)
        self._endings = Endings(console, project, generations, self._deadlines)
        self._model = Model()
        self._done = False

    def begin(self) -> None:
        """Watch, and ask for the first generation; with `--debug_wait` a debugger that attaches does."""
        config = self._project.config
        self._retarget()
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
            case Look() | PageAt():
                self._console.show(arrival)
            case Note(text):
                self._console.note(text)
            case WarmedUp(process, told):
                self._spawner.warmed(process, told)
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
            case Heard():
                for event in self._events_of(arrival):
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

    def _changed(self, edits: ChangeSet) -> None:
        if edits:
            self._step(lifecycle.Changed(plan_reload(edits)))

    def _debugger_came(self, attached: bool) -> None:
        """A generation can be debugged only from its start on, so that one that lives is replaced."""
        self._console.note("a debugger is attached" if attached else "the debugger is gone")
        if attached:
            self._step(lifecycle.ReloadAsked() if self._model.generation else lifecycle.StartAsked())

    def _events_of(self, heard: Heard) -> tuple[Event, ...]:
        generation, life, record = heard.generation, self._generations[heard.generation], heard.record
        match record:
            case FilesLoaded(files):
                life.load(files)
                self._learn(generation, files)
            case Dependencies():
                self._depend(generation, record)
            case FileWritten(path, at_ns):
                self._edits.wrote(path, at_ns)
            case SawChange(paths):
                self._watch.look(paths, generation)
            case WorkerDied():
                life.ending = life.ending or record
            case StopWanted():
                return (lifecycle.StopAsked(), lifecycle.StopAsked())  # it waits for the person, who will not answer
            case ColdWanted(names) if generation == self._model.generation:
                self._spawner.too_early(names)
                return (lifecycle.ReloadAsked(cold=True),)
            case Keyboard(lent):
                self._endings.lend(generation, lent, self._model)
            case Remembered(request):
                self._replays.remember(request)
            case LoadReport():
                return self._loaded(generation, life, record)
            case Diagnostic() | Note() | RequestsAnswered():
                return (lifecycle.Noted(generation, record),)
            case Gone(code):
                self._edits.ends()
                return (self._endings.bury(generation, code, self._model),)
        return ()

    def _loaded(self, generation: int, life: Life, loaded: LoadReport) -> tuple[Event, ...]:
        self._learn(generation, loaded.files, loaded)
        if generation == self._model.generation:
            self._edits.loaded()
        config = self._project.config
        self._spawner.learned(loaded, self._project.user_folders, config.environment())
        if not loaded.ok:
            return (lifecycle.LoadFailed(generation, loaded),)
        life.good_workers += 1
        if life.good_workers < (config.worker_count if config.server == "gunicorn" else 1):
            return ()
        self._deadlines.answers(generation)
        return (lifecycle.Loaded(generation, loaded),)

    def _learn(self, generation: int, files: dict[str, Stamp], loaded: LoadReport | None = None) -> None:
        if generation == self._model.generation:
            self._project.learn(files, loaded)
            self._retarget({**files, **loaded.depends.versions()} if loaded is not None else files)

    def _depend(self, generation: int, more: Dependencies) -> None:
        if generation == self._model.generation:
            self._project.depend(more)
            self._retarget(more.versions())

    # --- what the lifecycle asks for

    def _perform(self, action: Action) -> None:
        match action:
            case lifecycle.Launch(generation, scope, hold):
                self._launch(generation, scope, hold)
            case lifecycle.LaunchLater(seconds):
                self._deadlines.launch_in(seconds)
            case lifecycle.Retire(generation):
                self._endings.retire(generation, self._model)
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
            self._retarget()
        files = self._generations.died_with if hold is not None else self._project.script_version()
        report = hold.report if hold is not None else None
        briefing = self._project.briefing(generation, tuple(sys.argv), report, files)
        try:
            self._generations.launch(briefing, files, cold=scope >= Scope.REWARM)
        except OSError as error:
            death = Death(report=exceptions.describe(error, "server", script=self._project.config.script))
            self._arrivals.put(lifecycle.Exited(generation, death))
        else:
            self._deadlines.look_at(generation)
            self._edits.launched(generation)

    def _retarget(self, loaded: Mapping[str, Stamp | None] | None = None) -> None:
        targets = self._project.targets()
        self._watch.retarget(targets, loaded or {})
        self._console.watching(targets)
