"""The one loop of `--reload`: events come in, the lifecycle decides, and its actions are performed here."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeAlias

from devserver import debugging, guard, lifecycle, problems, report
from devserver.changes import ChangeSet, Scope, plan_reload
from devserver.config import Config, ConfigError
from devserver.console import Console, Listening, Look
from devserver.files import Stamp, full_stamp
from devserver.keys import Keys
from devserver.lifecycle import Action, Death, Event, Model
from devserver.notes import (
    ColdWanted,
    FilesLoaded,
    FileWritten,
    Keyboard,
    Note,
    Remembered,
    SawChange,
    StopWanted,
    WorkerDied,
)
from devserver.nursery import Nursery
from devserver.obituary import obituary
from devserver.process import Briefing, Child, Gone, Listener
from devserver.recorder import Recorder
from devserver.replay import Replays
from devserver.report import LoadReport, RunError
from devserver.serve.handoff import Handoff
from devserver.syntax import shown
from devserver.terminal import Terminal
from devserver.watch import Targets, Watch, exclude_pattern

SETTLED_AFTER = 5.0  # seconds of good running after which an earlier death is forgotten
SLOW_EVERY = 1.0  # seconds between two looks at a generation that loads
STOP_LIMIT = 1.5  # seconds that a generation gets to finish when the tool ends

WAITS = "the code from before the save waits for the keyboard here; it stays until it goes on"


@dataclass(frozen=True)
class Heard:
    """A record, or `Gone`, from the process of a generation."""

    generation: int
    record: object


Arrival: TypeAlias = Event | Heard | Look
Versions: TypeAlias = dict[str, Stamp | None]  # None: not there


@dataclass
class Life:
    """What the supervisor keeps of one generation until it is gone."""

    child: Child
    recorder: Recorder
    files: Versions  # that it has loaded
    has_keyboard: bool = False
    good_workers: int = 0
    ending: WorkerDied | None = None
    spared: bool = False  # not cut off for the sake of a debugger


class Supervisor:
    """Owns the listeners, the children, the watch and the clock; `run` returns the exit code."""

    def __init__(
        self, config: Config, reread: Callable[[], Config], console: Console, environ: dict[str, str], mark: str
    ) -> None:
        self._config = config
        self._reread = reread
        self._console = console
        self._environ = environ
        self._mark = mark
        self._arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._alarms = Alarms()
        self._model = Model()
        self._lives: dict[int, Life] = {}
        self._listeners: list[Listener] = []
        self._code: dict[str, Stamp | None] = {}
        self._wanted: tuple[str, ...] = ()
        self._written: set[str] = set()  # by the current generation
        self._settings = _versions(config.watched_files)  # as they were when `config` was read
        self._unusable: RunError | None = None  # the configuration, since it was changed
        self._deadly: Versions = {}  # what the latest generation that died had loaded
        self._left_out = ""
        self._terminal = Terminal()
        self._replays = Replays(lambda generation, sent: self._arrivals.put(lifecycle.Noted(generation, sent)))
        self._done = False

    def run(self) -> int:
        """Until somebody asks it to stop. Errors: `process.ListenError`."""
        with ExitStack() as stack:
            self._listen_for_debugger()
            with debugging.unseen():
                self._guard = guard.Guard.start(self._mark)
            if self._guard is not None:
                stack.callback(self._guard.close)
            # the guard, a debugger's adapter, what a shell had started before it became this command
            self._companions = guard.descendants()
            self._listen(stack)
            stack.enter_context(self._terminal)
            self._watch = Watch(self._changed, self._console.note, poll=self._config.reload_poll)
            stack.callback(self._watch.close)
            say, warmed = self._console.note, self._console.warmed
            self._nursery = Nursery(
                self._sockets(stack),
                self._environ,
                sys.path,
                self._heard,
                say,
                warmed,
                warm=self._config.warm,
                becomes=self._config.server == "waitress",
            )
            stack.callback(self._nursery.close)
            self._hear_signals()
            stack.enter_context(Keys(self._terminal, self._arrivals.put))
            self._retarget()
            self._watch.start()
            self._begin()
            self._loop()
        self._console.stopped()
        return 0

    def _listen_for_debugger(self) -> None:
        """Before the guard: what debugpy starts here for itself shall not count as left behind by a generation."""
        if self._config.debug is not None:
            self._console.note(debugging.listen(self._config.debug))

    def _begin(self) -> None:
        """With `--debug_wait` the first generation waits for a debugger."""
        if self._config.debug is not None:
            debugging.watch(self._debugger_came_or_went)
        if self._config.debug_wait and not debugging.is_attached():
            self._console.note("nothing is loaded until a debugger is attached")
        else:
            self._arrivals.put(lifecycle.StartAsked())

    def _debugger_came_or_went(self, attached: bool) -> None:
        """From a thread. A generation can be debugged only from its start on, so that one that lives is replaced."""
        self._console.note("a debugger is attached" if attached else "the debugger is gone")
        if attached:
            started = self._model.generation > 0
            self._arrivals.put(lifecycle.ReloadAsked() if started else lifecycle.StartAsked())

    def _listen(self, stack: ExitStack) -> None:
        config = self._config
        if config.separate_health:
            self._listeners.append(Listener.bind(config.host, config.health_port, "--health_port"))
        self._listeners.append(Listener.bind(config.host, config.port))
        for listener in self._listeners:
            stack.callback(listener.close)
        self._config = self._with_real_ports(config)
        self._console.show(Listening.on(self._listeners))

    def _sockets(self, stack: ExitStack) -> list[Listener]:
        """What every generation gets: the listeners, and the handoff of connections between generations."""
        handoff = Handoff.make()
        if handoff is None:
            return self._listeners
        stack.callback(handoff.close)
        return [*self._listeners, *(Listener(end, "") for end in handoff.sockets)]

    def _with_real_ports(self, config: Config) -> Config:
        health = self._listeners[0].port if config.separate_health else config.health_port
        return dataclasses.replace(config, port=self._listeners[-1].port, health_port=health)

    def _hear_signals(self) -> None:
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            signal.signal(number, lambda *_: self._arrivals.put(lifecycle.StopAsked()))

    # --- the loop

    def _loop(self) -> None:
        while not self._done:
            try:
                arrival = self._arrivals.get(timeout=self._alarms.wait())
            except queue.Empty:
                for due in self._alarms.due():
                    self._take(due)
            else:
                self._take(arrival)

    def _take(self, arrival: Arrival) -> None:
        if isinstance(arrival, Look):
            self._console.show(arrival)
            return
        for event in self._translate(arrival) if isinstance(arrival, Heard) else (arrival,):
            if isinstance(event, lifecycle.Overdue) and self._is_spared(event):
                continue
            self._model, actions = lifecycle.step(self._model, event)
            for action in actions:
                self._perform(action)
            if isinstance(event, lifecycle.Slow) and event.generation == self._model.generation:
                self._look_again(event)

    def _is_spared(self, overdue: lifecycle.Overdue) -> bool:
        """A generation that may be paused at a breakpoint is not cut off by a save."""
        life = self._lives.get(overdue.generation)
        if life is None or not self._is_debugged():
            return False
        if not life.spared:
            life.spared = True
            self._console.note(
                f"generation {overdue.generation} has not finished; it may be paused at a breakpoint, and is not cut "
                "off while a debugger is attached"
            )
        self._alarms.set(("deadline", overdue.generation), self._config.graceful_timeout, overdue)
        return True

    def _is_debugged(self) -> bool:
        """Whether generations may take their time; not once the tool itself has to end."""
        ends = self._model.state in (lifecycle.State.STOPPING, lifecycle.State.STOPPED)
        return not ends and (debugging.is_attached() or self._config.debug_port is not None)

    def _look_again(self, slow: lifecycle.Slow) -> None:
        if self._model.state is lifecycle.State.STARTING:
            again = dataclasses.replace(slow, seconds=slow.seconds + SLOW_EVERY)
            self._alarms.set(("slow", slow.generation), SLOW_EVERY, again)

    def _changed(self, changes: ChangeSet) -> None:
        """From the watch's thread. What the script itself writes does not count."""
        foreign = ChangeSet(tuple(change for change in changes.changes if change.path not in self._written))
        if foreign:
            self._arrivals.put(lifecycle.Changed(plan_reload(foreign)))

    # --- what a generation tells

    def _translate(self, heard: Heard) -> tuple[Event, ...]:
        generation, life = heard.generation, self._lives[heard.generation]
        match heard.record:
            case FilesLoaded(files):
                life.files |= files
                self._learn(generation, files)
            case FileWritten(path):
                self._written.add(path)
            case SawChange():
                self._watch.ring()
            case WorkerDied() as ending:
                life.ending = life.ending or ending
            case StopWanted():
                return (lifecycle.StopAsked(), lifecycle.StopAsked())  # it waits for the person, who will not answer
            case ColdWanted(names) if generation == self._model.generation:
                self._nursery.learned((), True, (), {}, _why_not_warm(names))
                return (lifecycle.ReloadAsked(cold=True),)
            case Keyboard(lent):
                self._lend(generation, life, lent)
            case Remembered(request):
                self._replays.remember(request)
            case LoadReport() as loaded:
                return self._heard_of_load(generation, life, loaded)
            case RunError() | Note() as told:
                return (lifecycle.Noted(generation, told),)
            case Gone(code):
                return (self._bury(generation, code),)
        return ()

    def _heard_of_load(self, generation: int, life: Life, loaded: LoadReport) -> tuple[Event, ...]:
        self._learn(generation, loaded.files, loaded)
        folders, settings = self._user_folders(), self._config.environment()
        self._nursery.learned(loaded.modules, loaded.warm, folders, settings, _why_not_warm(loaded.environment))
        if not loaded.ok:
            return (lifecycle.LoadFailed(generation, loaded),)
        life.good_workers += 1
        workers = self._config.worker_count if self._config.server == "gunicorn" else 1
        if life.good_workers < workers:
            return ()
        self._alarms.set(("settled", generation), SETTLED_AFTER, lifecycle.Settled(generation))
        return (lifecycle.Loaded(generation, loaded),)

    def _learn(self, generation: int, files: dict[str, Stamp], loaded: LoadReport | None = None) -> None:
        """Which files to watch from now on; what was known before is kept until a load has gone well."""
        if generation != self._model.generation:
            return
        if loaded is not None:
            self._code = {} if loaded.ok else self._code
            self._wanted = loaded.wanted
            self._code |= dict.fromkeys(loaded.absent)
        self._code |= files
        self._retarget(files)

    def _user_folders(self) -> tuple[str, ...]:
        return (self._config.base, *self._config.search_path)

    def _bury(self, generation: int, code: int) -> Event:
        life = self._lives.pop(generation)
        if generation == self._model.generation:
            self._deadly = life.files
        self._terminal.take_back(life.child.process.pid)
        if life.has_keyboard:
            self._console.keyboard(False)
        # how one ended that was told to end is no matter, and to find it out may take a while
        death = Death() if generation in self._model.retired else self._death_of(life, code)
        life.recorder.close()
        for name in ("deadline", "slow", "settled"):
            self._alarms.drop((name, generation))
        self._end_strays()
        return lifecycle.Exited(generation, death)

    def _end_strays(self) -> None:
        generations = {life.child.process.pid for life in self._lives.values()}
        guard.end_strays(generations | self._companions | self._nursery.pids)

    def _death_of(self, life: Life, code: int) -> Death:
        ending = life.ending or obituary(life.recorder.last_words(), code, self._config.script, tuple(self._code))
        name = problems.signal_name(-ending.code) if ending.code < 0 else None
        return Death(name, ending.code if ending.code >= 0 else None, ending.phase, ending.error)

    # --- what the lifecycle asks for

    def _perform(self, action: Action) -> None:
        match action:
            case lifecycle.Launch(generation, scope, hold):
                self._launch(generation, scope, hold)
            case lifecycle.LaunchLater(seconds):
                self._alarms.set("launch", seconds, lifecycle.LaunchDue())
            case lifecycle.Retire(generation):
                self._retire(generation)
            case lifecycle.SetDeadline(generation, kind):
                self._set_deadline(generation, kind)
            case lifecycle.Kill(generation):
                self._kill(generation)
            case lifecycle.Replay(generation, changes):
                self._replays.start(generation, changes, self._config, self._listeners[-1].address)
            case lifecycle.Show(message):
                self._console.show(message)
            case lifecycle.Quit():
                self._done = True

    def _kill(self, generation: int) -> None:
        life = self._lives.get(generation)
        if life is None:
            return  # it could not be started
        stopping = self._model.state is lifecycle.State.STOPPING
        place = None if stopping else life.recorder.ask_place(guard.members(life.child.process.pid))
        life.child.kill()
        if place is not None:
            self._console.note(f"a request from before the save was at {shown(place[0], self._config.base)}:{place[1]}")

    def _set_deadline(self, generation: int, kind: str) -> None:
        """A person who sits at the prompt of a debugger is not hurried."""
        life, limit = self._lives.get(generation), self._config.graceful_timeout
        if kind == "graceful" and life is not None and life.has_keyboard:
            self._alarms.drop(("deadline", generation))
            self._console.note(WAITS)
            return
        limit = min(limit, STOP_LIMIT) if kind == "stop" else limit
        self._alarms.set(("deadline", generation), limit, lifecycle.Overdue(generation))

    def _lend(self, generation: int, life: Life, lent: bool) -> None:
        life.has_keyboard = lent
        self._console.keyboard(lent)
        if generation in self._model.retired and self._model.state is not lifecycle.State.STOPPING:
            self._retire(generation)
            self._set_deadline(generation, "graceful")

    def _launch(self, generation: int, scope: Scope, hold: Death | None) -> None:
        self._alarms.drop("launch")
        self._replays.cancel()
        if scope >= Scope.RESTART:
            self._read_config_again()
        held = self._unusable or (hold.report if hold is not None else None)
        files = self._deadly if hold is not None else self._script_version()
        self._written = set()
        briefing = Briefing(
            generation,
            self._config,
            held,
            tuple(sys.argv),
            known=self._settings | (files if held is not None else {}),
            left_out=self._left_out,
        )
        with ExitStack() as undo:
            try:
                recorder = Recorder()
                undo.callback(recorder.close)
                child = self._nursery.launch(briefing, recorder.descriptors, cold=scope >= Scope.REWARM)
            except OSError as error:
                death = Death(report=report.describe(error, "server", script=self._config.script))
                self._arrivals.put(lifecycle.Exited(generation, death))
                return
            undo.pop_all()
        self._lives[generation] = Life(child, recorder, files)
        if self._guard is not None:
            self._guard.watch_group(child.process.pid)
        self._alarms.set(("slow", generation), SLOW_EVERY, lifecycle.Slow(generation, SLOW_EVERY))

    def _heard(self, generation: int, record: object) -> None:
        """From the threads that listen to the children."""
        self._arrivals.put(Heard(generation, record))

    def _script_version(self) -> Versions:
        return _versions([os.path.realpath(self._config.script)] if self._config.script else [])

    def _read_config_again(self) -> None:
        before = _versions(self._config.watched_files)
        try:
            config = self._reread()
        except ConfigError as error:
            self._settings, self._unusable = before, problems.config_problem(str(error))
            return
        self._settings, self._unusable = _versions(config.watched_files) | before, None
        self._config = dataclasses.replace(
            config, host=self._config.host, port=self._config.port, health_port=self._config.health_port
        )
        self._retarget()

    def _retire(self, generation: int) -> None:
        """A generation that has accepted nothing yet is not waited for, unless somebody may be looking at it."""
        life = self._lives.get(generation)
        if life is None:
            return
        if life.recorder.retire():
            life.child.retire()
        elif not (life.has_keyboard or self._is_debugged()):  # else it leaves by itself when it has loaded
            life.child.kill()

    def _retarget(self, loaded: dict[str, Stamp] | None = None) -> None:
        config = self._config
        script = (config.script,) if config.script else ()
        targets = Targets(
            code=tuple(dict.fromkeys((*script, *self._code))),
            wanted=self._wanted,
            trees=(config.absolute_model_dir,) if config.absolute_model_dir else (),
            config=config.watched_files,
            samples=config.samples,
            include=config.reload_include,
            exclude=config.reload_exclude,
            base=config.base,
        )
        self._left_out = exclude_pattern(targets)
        self._watch.retarget(targets, loaded or {})
        self._console.watching(targets)


def _versions(paths: Iterable[str]) -> Versions:
    return {path: full_stamp(path) for path in paths}


def _why_not_warm(variables: Sequence[str]) -> str | None:
    """A library that reads them while it is imported must not be imported ahead of the script."""
    return f"the script sets {', '.join(variables)} before it imports libraries" if variables else None


class Alarms:
    """Events that are due at some time; one per name, a later one replaces it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._heap: list[tuple[float, int, object]] = []
        self._current: dict[object, tuple[int, Event]] = {}

    def set(self, name: object, seconds: float, event: Event) -> None:
        number = next(self._count)
        self._current[name] = (number, event)
        heapq.heappush(self._heap, (self._clock() + seconds, number, name))

    def drop(self, name: object) -> None:
        self._current.pop(name, None)

    def wait(self) -> float | None:
        """Seconds until the next one; None when there is none."""
        while self._heap and self._current.get(self._heap[0][2], (-1,))[0] != self._heap[0][1]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def due(self) -> Sequence[Event]:
        """Those whose time has come, earliest first."""
        found = []
        while self.wait() == 0.0:
            _, _, name = heapq.heappop(self._heap)
            found.append(self._current.pop(name)[1])
        return found
