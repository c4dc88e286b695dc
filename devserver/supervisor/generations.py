"""The living processes: how they are launched, retired and killed, how they died, and what they leave behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from devserver.config.variables import variables_of
from devserver.diagnostics import contention, exits
from devserver.lifecycle import Death, Slow
from devserver.process import table
from devserver.process.child import Child
from devserver.process.reaper import Reaper
from devserver.process.terminal import Terminal
from devserver.process.wire import Briefing
from devserver.records.changes import Scope
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import LoadReport, WorkerDied
from devserver.records.reasons import Reason
from devserver.records.record import record
from devserver.records.stamps import Stamp, Versions
from devserver.supervisor.keeping import Keeping
from devserver.supervisor.project import Project
from devserver.supervisor.spawner import Spawner
from devserver.supervisor.stand_in import StandIn


@dataclass
class Life:
    """What is kept of one generation until it is gone."""

    child: Child
    files: Versions  # that it has loaded
    has_keyboard: bool = False
    good_workers: int = 0
    ending: WorkerDied | None = None  # as its own parent told
    anew: Reason | None = None  # why it starts from nothing although only code has changed
    launched: float = field(default_factory=time.monotonic)

    def load(self, files: dict[str, Stamp]) -> None:
        """It has loaded these, too."""
        self.files |= files

    def death(self, code: int, script: str | None, files: Iterable[str]) -> Death:
        """How it ended, although nobody had asked it to."""
        ending = exits.ending_of(self.ending, self.child.scoreboard.last_words(), code, script, files)
        name = exits.signal_name(-ending.code) if ending.code < 0 else None
        code_alone, contended = ending.code if ending.code >= 0 else None, contention.is_possible(ending.error)
        return Death(name, code_alone, ending.phase, ending.error, contended)


@record(frozen=True)
class Waiting:
    """A generation that starts when the libraries are there that are being imported."""

    briefing: Briefing
    files: Versions
    anew: Reason | None
    since: float = field(default_factory=time.monotonic)


class Generations:
    """All generations that are not gone yet, by their numbers.

    `companions` are children of this process that belong to no generation. `died_with` is what the newest generation
    had loaded when it died.
    """

    def __init__(
        self,
        spawner: Spawner,
        keeping: Keeping,
        terminal: Terminal,
        reaper: Reaper | None,
        companions: Collection[int],
        stand_in: StandIn | None = None,
    ) -> None:
        self.died_with: Versions = {}
        self._spawner = spawner
        self._keeping = keeping
        self._terminal = terminal
        self._reaper = reaper
        self._stand_in = stand_in
        self._companions = set(companions)
        self.making = threading.Lock()  # held while a process is made beside the generations, until it is spared
        self._spared: set[int] = set()
        self._lives: dict[int, Life] = {}
        self._line = False  # whether one that is gone has left a line unfinished
        self._newest = 0
        self._waiting: Waiting | None = None

    def __getitem__(self, generation: int) -> Life:
        return self._lives[generation]

    def get(self, generation: int) -> Life | None:
        """None for one that is gone, or could not be started."""
        return self._lives.get(generation)

    def launch(self, briefing: Briefing, files: Versions, scope: Scope) -> None:
        """Start it; `files` it will have loaded at least. Errors: OSError where no process can be made."""
        self._newest = briefing.generation
        if self._stand_in is not None:
            self._stand_in.end()
        kept, cold = self._from_stage(briefing, scope), scope >= Scope.REWARM
        if isinstance(kept, Child):
            self._add(briefing.generation, Life(kept, dict(files)))
        elif briefing.hold is None and not cold and self._spawner.patience():
            self._waiting = Waiting(briefing, files, kept)
            self._spawner.tell_wait()
        else:
            self._spawn(Waiting(briefing, files, kept), cold)

    def _spawn(self, start: Waiting, cold: bool = False) -> None:
        with self._keeping.offer(start.briefing) as offered:
            child = self._spawner.launch(offered, cold)
        self._add(start.briefing.generation, Life(child, dict(start.files), anew=start.anew, launched=start.since))

    def _add(self, generation: int, life: Life) -> None:
        self._lives[generation] = life
        if self._reaper is not None:
            self._reaper.watch_group(life.child.process.pid)

    # --- one that waits for libraries

    @property
    def waiting(self) -> int | None:
        """The generation that starts as soon as the libraries are there."""
        return self._waiting.briefing.generation if self._waiting is not None else None

    def go_on(self) -> None:
        """It starts now. Errors: OSError where no process can be made."""
        start, self._waiting = self._waiting, None
        if start is not None:
            self._spawn(start)

    def cancel(self, generation: int) -> bool:
        """Whether it still waited, and will not be started any more."""
        waited = self.waiting == generation
        if waited:
            self._waiting = None
        return waited

    def stand_in(self, generation: int, error: Diagnostic | None) -> None:
        """No process can answer for it: from now on this one does, until the next launch."""
        if self._stand_in is not None:
            self._stand_in.begin(generation, error)

    def _from_stage(self, briefing: Briefing, scope: Scope) -> Child | Reason | None:
        if scope > Scope.CODE:
            self._keeping.forget()
        return self._keeping.launch(briefing) if briefing.hold is None else None

    def stand_by(self, briefing: Briefing) -> None:
        """Beside this generation, which answers, another process may do what the next would have to wait for."""
        life = self._lives.get(briefing.generation)
        if life is not None and not self._spawner.patience():
            self._keeping.stand_by(briefing, life.child.process.pid)

    def learned(self, generation: int, loaded: LoadReport, is_current: bool, project: Project) -> LoadReport:
        """What it has told of its load, with what is known here beside."""
        if loaded.kept_ms is None:
            self._keeping.learned(generation, loaded, is_current)
            self._spawner.learned(loaded, project.user_folders, variables_of(project.config))
        return replace(loaded, anew=self._lives[generation].anew)

    def retire(self, generation: int, waits: bool) -> None:
        """It stops accepting at once, finishes what it has, and ends.

        One that has accepted nothing yet is not waited for, unless `waits`: it leaves by itself when it has loaded.
        """
        life = self._lives.get(generation)
        if life is None:
            return
        if life.child.scoreboard.retire():
            life.child.retire()
        elif not (life.has_keyboard or waits):
            life.child.kill()

    def kill(self, generation: int) -> None:
        """End it now, with its process group."""
        life = self._lives.get(generation)
        if life is not None:
            life.child.kill()

    def slow(self, generation: int, loads: bool) -> Slow | None:
        """What it is at and since when, while it `loads`; else the oldest call of run(), if there is one."""
        life, waiting = self._lives.get(generation), self._waiting
        if life is None:
            waits = waiting is not None and waiting.briefing.generation == generation
            return Slow(generation, time.monotonic() - waiting.since) if waiting is not None and waits else None
        board = life.child.scoreboard
        since = life.launched if loads else board.oldest_call()
        return None if since is None else Slow(generation, time.monotonic() - since, board.loading if loads else "run")

    def place_of(self, generation: int) -> tuple[str, int] | None:
        """Path and line at which it is in the user's code; not all of its processes survive the question."""
        life = self._lives.get(generation)
        if life is None:
            return None
        stacks = life.child.scoreboard.ask_stacks(table.members(life.child.process.pid))
        return next((place for stack in stacks if (place := exits.dumped_place(stack)) is not None), None)

    def bury(self, generation: int) -> Life:
        """It is gone: takes back what it had on loan. Who asked closes its child."""
        life = self._lives.pop(generation)
        if generation == self._newest:
            self.died_with = life.files
        self._line |= life.child.scoreboard.take_line()
        self._terminal.take_back(life.child.process.pid)
        self._keeping.gone(generation)
        return life

    def take_line(self) -> bool:
        """Whether one of them has left a line on the terminal unfinished, since this was asked last."""
        unfinished = [self._line, *(life.child.scoreboard.take_line() for life in self._lives.values())]
        self._line = False
        return any(unfinished)

    def holds(self, path: str) -> bool:
        """Whether a process of theirs has the file open to write it."""
        return any(table.is_held(table.members(life.child.process.pid), path) for life in self._lives.values())

    def maps(self, path: str) -> bool:
        """Whether a process of theirs writes it through its memory."""
        return any(table.is_mapped(table.members(life.child.process.pid), path) for life in self._lives.values())

    def dismiss(self, generation: int) -> None:
        """What it saw to differ is no reason to replace it."""
        life = self._lives.get(generation)
        if life is not None:
            life.child.scoreboard.dismiss()

    def spare(self, pid: int) -> None:
        """This process, which leads its group, is no stray: the command of --run. The one before has ended."""
        self._spared = {pid}
        if self._reaper is not None:
            self._reaper.watch_group(pid)

    def accompany(self, pid: int) -> None:
        """This process, which leads its group, and all that it starts are no strays until the tool ends."""
        self._companions.add(pid)
        if self._reaper is not None:
            self._reaper.watch_group(pid)

    def end_strays(self) -> None:
        """Ends what generations that are gone have left behind."""
        living = {life.child.process.pid for life in self._lives.values()}
        with self.making:
            kept = self._companions | self._spared | self._spawner.pids | self._keeping.pids
            table.end_strays(living | kept)
