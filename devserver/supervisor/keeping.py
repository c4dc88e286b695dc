"""What the next generation may come from that has run init() already, and whether it does, or why init() runs again.

It is an initialised stage, of which it is a fork; or, where the code cannot be forked, a process that stands by.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from devserver.config.settings import Config
from devserver.process import table
from devserver.process.child import Child, Deliver
from devserver.process.platform import System
from devserver.process.wire import Briefing, KeptOrder
from devserver.records.messages import FileWritten, Kept, LoadReport
from devserver.records.reasons import Reason, Why
from devserver.records.stamps import Stamp, full_stamp, read_stamped, stat_stamp
from devserver.supervisor.stage_process import LOST, StageProcess
from devserver.supervisor.standby_process import StandbyProcess

SOURCE = ".py"
WORTH_MS = 500.0  # of init(); what takes less is not worth another process


class Keeping:
    """At most one stage is the current one; others wait for the end of generations that came from them.

    `start` makes a process for a generation that stands by, from nothing or from libraries. `tell` is called from
    threads when something waits in which init() is over, and for files that one which stands by has written.
    """

    def __init__(
        self, deliver: Deliver, start: Callable[[Briefing, Deliver], Child], tell: Callable[[Kept | FileWritten], None]
    ) -> None:
        self._start = start
        self._tell = tell
        self._standby: StandbyProcess | None = None
        self._wants_standby = False
        self._ending: list[StandbyProcess] = []
        self._deliver = deliver
        self._current: StageProcess | None = None
        self._unkept: Reason | None = None  # why the code that was loaded last left no stage
        self._coming: dict[int, StageProcess] = {}  # by the generation that may make it
        self._others: list[StageProcess] = []

    @property
    def pids(self) -> set[int]:
        """The processes of all stages."""
        stages = [*self._others, *self._coming.values(), *([self._current] if self._current else [])]
        standbys = [*self._ending, *([self._standby] if self._standby else [])]
        return {made.pid for stage in stages if (made := stage.made) is not None} | {each.pid for each in standbys}

    @property
    def kept(self) -> Kept | None:
        """The current stage, for people."""
        found = self._current or self._standby
        return found.kept if found is not None else None

    # --- where stages come from

    @contextmanager
    def offer(self, briefing: Briefing) -> Iterator[Briefing]:
        """The briefing of a generation that starts from nothing, or libraries; it may make a stage."""
        if not _may_keep(briefing.config) or briefing.hold is not None:
            yield briefing
            return
        stage = self._coming[briefing.generation] = StageProcess(briefing.generation, self._tell)
        try:
            yield dataclasses.replace(briefing, channel=stage.given.fileno())
        except OSError:
            self._drop(self._coming.pop(briefing.generation))
            raise
        finally:
            stage.given.close()
            stage.listen()

    def learned(self, generation: int, loaded: LoadReport, is_current: bool) -> None:
        """It has loaded, or not; where the code is good and init() ran, its stage takes the place of the last one."""
        stage = self._coming.pop(generation, None)
        if not (loaded.ok and is_current):
            self._drop(stage)
            return
        if stage is not None:
            self._drop(self._current)
            self._current, self._unkept = stage, None
        if loaded.unkept is not None:  # told by the one of several workers that would have made the stage
            self._drop(self._current)
            self._current, self._unkept = None, loaded.unkept
        self._wants_standby = loaded.could_stand_by and loaded.times.init_ms >= WORTH_MS
        self._end_standby()

    def forget(self) -> None:
        """Something else than code is new."""
        self._drop(self._current)
        for stage in self._coming.values():
            self._drop(stage)
        self._coming.clear()
        self._current = self._unkept = None
        self._end_standby()
        self._wants_standby = False

    def gone(self, generation: int) -> None:
        """It has ended: what load and init() have left for it may be cleared away, where nobody else needs it."""
        if (stage := self._coming.pop(generation, None)) is not None:
            self._drop(stage)
        for stage in [*self._others, *([self._current] if self._current else [])]:
            stage.generations.discard(generation)
        self._clear()

    def _drop(self, stage: StageProcess | None) -> None:
        if stage is not None:
            self._others.append(stage)
        self._clear()

    def _clear(self) -> None:
        for stage in self._others:
            if not stage.generations:
                stage.close()
        self._others = [stage for stage in self._others if stage.generations or stage.made is not None]

    def close(self) -> None:
        """Nobody lives any more: ends all stages, when they have cleared away."""
        self.forget()
        for stage in self._others:
            stage.close()
        for stage in self._others:
            stage.join()
        for standby in self._ending:
            standby.join()

    # --- the process that stands by

    def stand_by(self, briefing: Briefing, beside: int) -> None:
        """Start the next one, where it is wanted and there is none yet; `beside`: the process that answers now."""
        if self._standby is not None and self._standby.is_over:
            self._end_standby()
            self._wants_standby = False  # as this one could not be, so will others
        one_worker = briefing.config.worker_count == 1 or briefing.config.server != "gunicorn"
        if self._wants_standby and one_worker and self._standby is None and _has_room(beside):
            briefing = dataclasses.replace(briefing, stands_by=True)
            try:
                self._standby = StandbyProcess(lambda hear: self._start(briefing, hear), self._deliver, self._tell)
            except OSError:
                self._wants_standby = False

    def _end_standby(self) -> None:
        if self._standby is not None:
            self._standby.end()
            self._ending = [each for each in self._ending if not each.is_gone] + [self._standby]
        self._standby = None

    def _take_standby(self, standby: StandbyProcess, briefing: Briefing) -> Child | Reason | None:
        """The generation that it is now. Where it has not run init() yet, nothing has been gained by it."""
        contents = _contents(standby.files, briefing.config) if standby.made is not None else None
        if contents is None or isinstance(contents, Reason):
            self._end_standby()
            return contents or self._unkept
        child = standby.launch(KeptOrder(briefing, contents))
        if isinstance(child, Child):
            self._standby = None
        else:
            self._end_standby()
        return child

    # --- the next generation

    def launch(self, briefing: Briefing) -> Child | Reason | None:
        """A fork of the stage, or why init() has to run; None where there is nothing to tell. Errors: OSError."""
        stage = self._current
        if stage is None and self._standby is not None:
            return self._take_standby(self._standby, briefing)
        if stage is None:
            return self._unkept
        made = stage.wait()
        if made is None and not stage.is_lost:
            return None  # it was not worth it
        child = self._launch(stage, made.files, briefing) if made is not None else LOST
        if isinstance(child, Child):
            stage.generations.add(briefing.generation)
        elif child == LOST:
            self._drop(stage)
            self._current = None
        return child

    def _launch(self, stage: StageProcess, files: Mapping[str, Stamp], briefing: Briefing) -> Child | Reason:
        contents = _contents(files, briefing.config)
        if isinstance(contents, Reason):
            return contents
        order = KeptOrder(dataclasses.replace(briefing, warm=True), contents)
        return Child.ask_for(briefing.generation, lambda passed: stage.launch(order, passed), self._deliver)


def _has_room(beside: int) -> bool:
    """Whether another process like this one would have less than a quarter of the memory that is free."""
    needed = sum(table.own_memory(pid) or 0 for pid in table.members(beside))
    free = table.free_memory()
    return free is None or needed < free / 4


def _may_keep(config: Config) -> bool:
    return config.keep and System.forks_safely and System.sees_itself


def _contents(files: Mapping[str, Stamp], config: Config) -> dict[str, tuple[bytes, Stamp]] | Reason:
    """The source files that are not as they were loaded, as they are now; or one that speaks for a fresh start."""
    if config.script and os.path.realpath(config.script) not in files:
        return Reason(Why.NOT_COMPILED, path=os.path.realpath(config.script))
    found = {}
    for path, stamp in files.items():
        if stamp.same_stat(stat_stamp(path)):
            continue
        if not path.endswith(SOURCE):
            if not stamp.same_content(full_stamp(path)):
                return Reason(Why.DATA, path=path)
            continue
        try:
            found[path] = read_stamped(path)
        except OSError:
            return Reason(Why.GONE, path=path)
    return found
