"""How generations end: they are told to, get their time, are spared or cut off, and are buried."""

from __future__ import annotations

from typing import Literal

from devserver.display.console import Console
from devserver.lifecycle import Death, Exited, Model, State
from devserver.process import debugger
from devserver.supervisor.deadlines import STOP_LIMIT, Deadlines
from devserver.supervisor.generations import Generations
from devserver.supervisor.project import Project
from devserver.text import shown

WAITS = "the code from before the save waits for the keyboard here; it stays until it goes on"
SPARED = (
    "generation {} has not finished; it may be paused at a breakpoint, and is not cut off while a debugger is attached"
)


class Endings:
    """What is done to generations that end. All is called from the loop, with the model as it is then."""

    def __init__(self, console: Console, project: Project, generations: Generations, deadlines: Deadlines) -> None:
        self._console = console
        self._project = project
        self._generations = generations
        self._deadlines = deadlines

    def retire(self, generation: int, model: Model) -> None:
        """Let it stop accepting at once, finish what it has, and end."""
        self._generations.retire(generation, waits=self._may_be_paused(model))

    def limit(self, generation: int, kind: Literal["graceful", "stop"]) -> None:
        """From now on it has so much time; a person who sits at the prompt of a debugger is not hurried."""
        life, limit = self._generations.get(generation), self._project.config.graceful_timeout
        if kind == "graceful" and life is not None and life.has_keyboard:
            self._deadlines.may_stay(generation)
            self._console.note(WAITS)
        else:
            self._deadlines.must_end(generation, min(limit, STOP_LIMIT) if kind == "stop" else limit)

    def lend(self, generation: int, lent: bool, model: Model) -> None:
        """It has taken the keyboard, or given it back: one that shall end is told so once more."""
        self._generations[generation].has_keyboard = lent
        self._console.keyboard(lent)
        if generation in model.retired and model.state is not State.STOPPING:
            self.retire(generation, model)
            self.limit(generation, "graceful")

    def is_spared(self, generation: int, model: Model) -> bool:
        """Its time is up; one that may be paused at a breakpoint is not cut off by a save, and gets it once more."""
        if self._generations.get(generation) is None or not self._may_be_paused(model):
            return False
        if self._deadlines.spare(generation, self._project.config.graceful_timeout):
            self._console.note(SPARED.format(generation))
        return True

    def _may_be_paused(self, model: Model) -> bool:
        """Whether a debugger may hold generations up; no matter once the tool itself has to end."""
        ends = model.state in (State.STOPPING, State.STOPPED)
        return not ends and (debugger.is_attached() or self._project.config.debug_port is not None)

    def kill(self, generation: int, model: Model) -> None:
        """End it now, and say where it was."""
        place = None if model.state is State.STOPPING else self._generations.place_of(generation)
        self._generations.kill(generation)
        if place is not None:
            path = shown(place[0], self._project.config.base)
            self._console.note(f"a request from before the save was at {path}:{place[1]}")

    def bury(self, generation: int, code: int, model: Model) -> Exited:
        """It is gone: gives back all that was kept of it, and says how it ended."""
        life, project = self._generations.bury(generation), self._project
        if life.has_keyboard:
            self._console.keyboard(False)
        # how one ended that was told to end is no matter, and to find it out may take a while
        was_told = generation in model.retired
        death = Death() if was_told else life.death(code, project.config.script, project.code)
        life.child.close()
        self._deadlines.forget(generation)
        self._generations.end_strays()
        return Exited(generation, death)
