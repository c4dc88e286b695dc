"""What is heard of a generation: what it teaches is learned, and what it is to the lifecycle goes back to the loop."""

from __future__ import annotations

from collections.abc import Mapping

from devserver import lifecycle
from devserver.diagnostics import contention
from devserver.display.console import Console
from devserver.lifecycle import Event, Model
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import (
    ColdWanted,
    Dependencies,
    FilesLoaded,
    FileWritten,
    Gone,
    Keyboard,
    LoadReport,
    Note,
    ProgramStarted,
    Remembered,
    RequestsAnswered,
    SawChange,
    StopWanted,
    WorkerDied,
)
from devserver.records.stamps import Stamp
from devserver.replay.rounds import Replays
from devserver.supervisor.arrivals import (
    Heard,
)
from devserver.supervisor.deadlines import Deadlines
from devserver.supervisor.edits import Edits
from devserver.supervisor.endings import Endings
from devserver.supervisor.generations import Generations, Life
from devserver.supervisor.project import Project
from devserver.supervisor.spawner import Spawner
from devserver.watch.watcher import Watch


class News:
    """Hears the records of generations. All is called from the loop."""

    def __init__(
        self,
        console: Console,
        project: Project,
        generations: Generations,
        spawner: Spawner,
        watch: Watch,
        edits: Edits,
        endings: Endings,
        replays: Replays,
        deadlines: Deadlines,
    ) -> None:
        self._console = console
        self._project = project
        self._generations = generations
        self._spawner = spawner
        self._watch = watch
        self._edits = edits
        self._endings = endings
        self._replays = replays
        self._deadlines = deadlines

    def events_of(self, heard: Heard, model: Model) -> tuple[Event, ...]:
        """What it is to the lifecycle; what it teaches is learned here."""
        generation, life, record = heard.generation, self._generations[heard.generation], heard.record
        match record:
            case FilesLoaded(files):
                life.load(files)
                self._learn(generation == model.generation, files)
            case Dependencies():
                self._depend(generation == model.generation, record)
            case FileWritten():
                self._edits.wrote(record)
            case ProgramStarted(at_ns):
                self._edits.started(at_ns)
            case SawChange(paths):
                self._watch.look(paths, generation)
            case WorkerDied():
                life.ending = life.ending or record
            case StopWanted():
                return (lifecycle.StopAsked(), lifecycle.StopAsked())  # it waits for the person, who will not answer
            case ColdWanted(names) if generation == model.generation:
                self._spawner.too_early(names)
                return (lifecycle.ReloadAsked(cold=True),)
            case Keyboard(lent):
                self._endings.lend(generation, lent, model)
            case Remembered(request):
                self._replays.heard(request, goes_along=self._project.config.replay is not None)
            case LoadReport():
                return self._loaded(generation, life, record, model.generation)
            case Diagnostic() | Note() | RequestsAnswered():
                return (lifecycle.Noted(generation, record),)
            case Gone(code):
                self._edits.ends()
                return (self._endings.bury(generation, code, model),)
        return ()

    def _loaded(self, generation: int, life: Life, loaded: LoadReport, newest: int) -> tuple[Event, ...]:
        self._learn(generation == newest, loaded.files, loaded)
        loaded = self._generations.learned(generation, loaded, generation == newest, self._project)
        if generation == newest:
            self._edits.loaded()
        config = self._project.config
        if not loaded.ok:
            return (lifecycle.LoadFailed(generation, loaded, contention.is_possible(loaded.error)),)
        life.good_workers += 1
        if life.good_workers < (config.worker_count if config.server == "gunicorn" else 1):
            return ()
        self._deadlines.answers(generation)
        return (lifecycle.Loaded(generation, loaded),)

    def _learn(self, is_newest: bool, files: dict[str, Stamp], loaded: LoadReport | None = None) -> None:
        if is_newest:
            self._project.learn(files, loaded)
            self.retarget({**files, **loaded.depends.versions()} if loaded is not None else files)

    def _depend(self, is_newest: bool, more: Dependencies) -> None:
        if is_newest:
            self._project.depend(more)
            self.retarget(more.versions())

    def retarget(self, loaded: Mapping[str, Stamp | None] | None = None) -> None:
        """Watch what counts now; `loaded` are versions that a generation has loaded."""
        targets = self._project.targets()
        self._watch.retarget(targets, loaded or {})
        self._console.watching(targets)
