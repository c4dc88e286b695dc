"""Which initialised stage the next generation may come from, and whether it does, or why init() has to run again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from devserver.config.settings import Config
from devserver.process.child import Child, Deliver
from devserver.process.platform import System
from devserver.process.wire import Briefing, KeptOrder
from devserver.records.messages import Kept, LoadReport
from devserver.records.reasons import Reason, Why
from devserver.records.stamps import Stamp, full_stamp, read_stamped, stat_stamp
from devserver.supervisor.stage_process import LOST, StageProcess

SOURCE = ".py"


class Keeping:
    """At most one stage is the current one; others wait for the end of generations that came from them."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._current: StageProcess | None = None
        self._unkept: Reason | None = None  # why the code that was loaded last left no stage
        self._coming: dict[int, StageProcess] = {}  # by the generation that may make it
        self._others: list[StageProcess] = []

    @property
    def pids(self) -> set[int]:
        """The processes of all stages."""
        stages = [*self._others, *self._coming.values(), *([self._current] if self._current else [])]
        return {made.pid for stage in stages if (made := stage.made) is not None}

    @property
    def kept(self) -> Kept | None:
        """The current stage, for people."""
        made = self._current.made if self._current is not None else None
        return Kept(made.pid, made.init_ms, tuple(sorted(made.files))) if made is not None else None

    # --- where stages come from

    @contextmanager
    def offer(self, briefing: Briefing) -> Iterator[Briefing]:
        """The briefing of a generation that starts from nothing, or libraries; it may make a stage."""
        if not _may_keep(briefing.config) or briefing.hold is not None:
            yield briefing
            return
        stage = self._coming[briefing.generation] = StageProcess(briefing.generation)
        try:
            yield dataclasses.replace(briefing, channel=stage.given.fileno())
        except OSError:
            self._drop(self._coming.pop(briefing.generation))
            raise
        finally:
            stage.given.close()

    def learned(self, generation: int, loaded: LoadReport, is_current: bool) -> None:
        """It has loaded, or not; where the code is good and init() ran, its stage takes the place of the last one."""
        stage = self._coming.pop(generation, None)
        if loaded.ok and is_current:
            if stage is not None:
                self._drop(self._current)
                self._current, self._unkept = stage, None
            self._unkept = loaded.unkept or self._unkept
        elif stage is not None:
            self._drop(stage)

    def imported(self, generation: int, files: Iterable[str]) -> None:
        """It has imported these in a request."""
        if self._current is not None and generation in self._current.generations:
            self._current.later |= set(files)

    def forget(self) -> None:
        """Something else than code is new."""
        self._drop(self._current)
        for stage in self._coming.values():
            self._drop(stage)
        self._coming.clear()
        self._current = self._unkept = None

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

    # --- the next generation

    def launch(self, briefing: Briefing) -> Child | Reason | None:
        """A fork of the stage, or why init() has to run; None where there is nothing to tell. Errors: OSError."""
        stage = self._current
        if stage is None:
            return self._unkept
        made = stage.wait()
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
        later = tuple(stage.later - files.keys())
        order = KeptOrder(dataclasses.replace(briefing, warm=True), contents, later)
        return Child.ask_for(briefing.generation, lambda passed: stage.launch(order, passed), self._deliver)


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
