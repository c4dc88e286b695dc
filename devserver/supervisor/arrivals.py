"""What may stand in the supervisor's queue: all that threads, signal handlers and child processes deliver."""

from __future__ import annotations

import queue
from typing import TypeAlias

from devserver.lifecycle import Event
from devserver.records.changes import ChangeSet
from devserver.records.messages import FileWritten, Gone, Kept, Look, Note, PageAt, Told, Warmed
from devserver.records.record import record
from devserver.supervisor.spawner import Warm


@record(frozen=True)
class Heard:
    """What the process of a generation has told, or that it is gone."""

    generation: int
    record: Told | Gone


@record(frozen=True)
class FilesChanged:
    """The watch has seen that."""

    changes: ChangeSet


@record(frozen=True)
class NothingPending:
    """Of what a generation saw to differ nothing is left to be told."""

    generation: int


@record(frozen=True)
class PauseOver:
    """Changes that had to wait have come to rest."""


@record(frozen=True)
class WaitOver:
    """The libraries that a start waits for should have been imported by now."""


@record(frozen=True)
class DebuggerCame:
    """A debugger is attached to the tool, or (`attached` is false) has gone."""

    attached: bool


@record(frozen=True)
class LookDue:
    """It is time to look what this generation is at."""

    generation: int


@record(frozen=True)
class WarmedUp:
    """A warm process has imported what it was told to, or is gone."""

    process: Warm
    told: Warmed


Arrival: TypeAlias = (
    Event
    | Heard
    | FilesChanged
    | NothingPending
    | PauseOver
    | WaitOver
    | DebuggerCame
    | LookDue
    | WarmedUp
    | FileWritten
    | Kept
    | Note
    | Look
    | PageAt
)
Arrivals: TypeAlias = "queue.SimpleQueue[Arrival]"
