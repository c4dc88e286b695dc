"""From what the watch has seen to what a person has changed: the script's own writes and the tool's are taken out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from devserver.config.settings import Config
from devserver.process import table
from devserver.process.outputs import Outputs
from devserver.records.changes import ChangeSet
from devserver.records.messages import FileWritten
from devserver.records.stamps import changed_at, leave_unread
from devserver.supervisor.deadlines import Deadlines
from devserver.supervisor.generations import Generations
from devserver.supervisor.own_writes import OwnWrites, names_for_people
from devserver.text import shown


class Edits:
    """`say` gets a line where a file is left out. All is called from the loop."""

    def __init__(
        self, config: Config, generations: Generations, deadlines: Deadlines, say: Callable[[str], None]
    ) -> None:
        self._base, events = config.base, config.events
        self._model = config.model_tree
        self._generations = generations
        self._deadlines = deadlines
        self._say = say
        self._outputs = Outputs(os.path.join(config.base, events) if events else None)
        self._waiting = ChangeSet()
        self._readers: list[int] | None = None  # of our output
        self._own = OwnWrites(changed_at, self._is_output, generations.holds, self._root_of, generations.maps)

    def launched(self, generation: int) -> None:
        """It begins to load, with the files as they are now."""
        self._waiting = ChangeSet()
        self._deadlines.rest_is_over()
        life = self._generations.get(generation)
        if life is not None:
            self._own.launched(time.time_ns(), life.child.scoreboard.workload.read)

    def loaded(self) -> None:
        """The newest has loaded."""
        self._own.loaded(time.time_ns())

    def ends(self) -> None:
        """One is about to be buried."""
        self._own.look(time.time_ns())

    def wrote(self, written: FileWritten) -> None:
        """The script itself did."""
        leave_unread(written.path)
        self._own.wrote(written.path, written.at_ns, written.done, written.apart)

    def started(self, at_ns: int) -> None:
        """The script has started another process."""
        self._own.started(at_ns)

    def among(self, changes: ChangeSet) -> ChangeSet:
        """What asks for a new generation now; what has to come to rest first is kept for `rested`."""
        self._readers = None
        found = self._own.judge(changes, time.time_ns())
        if found.left_out:
            self._say(names_for_people(found.left_out, lambda path: shown(path, self._base)))
        if found.pause:
            self._waiting |= found.edits
            self._deadlines.rest(found.pause)
            return ChangeSet()
        return self._waiting | found.edits if found.edits else found.edits

    def rested(self) -> ChangeSet:
        """What had to come to rest, and has."""
        return self._waiting

    def dismiss(self, generation: int) -> None:
        """What it saw to differ was no edit; unless it waits to be obeyed."""
        if not self._waiting:
            self._generations.dismiss(generation)

    def _root_of(self, path: str) -> str:
        top = self._model
        return top if top and path.startswith(os.path.join(top, "")) else os.path.dirname(path)

    def _is_output(self, path: str) -> bool:
        """Whether the tool writes it, or a program does to which the output goes (`| tee out.txt`)."""
        if self._readers is None:
            self._readers = table.readers_of((1, 2))
        return self._outputs.hold(path) or table.is_held(self._readers, path)
