"""The living processes: how they are launched, retired and killed, and how they died."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devserver.process.child import Child
from devserver.process.scoreboard import Scoreboard
from devserver.records.messages import WorkerDied
from devserver.supervisor.project import Versions

SETTLED_AFTER = 5.0  # seconds of good running after which an earlier death is forgotten


@dataclass(frozen=True)
class Heard:
    """A record, or `Gone`, from the process of a generation."""

    generation: int
    record: object


@dataclass
class Life:
    """What the supervisor keeps of one generation until it is gone."""

    child: Child
    recorder: Scoreboard
    files: Versions  # that it has loaded
    has_keyboard: bool = False
    good_workers: int = 0
    ending: WorkerDied | None = None
    spared: bool = False  # not cut off for the sake of a debugger


def why_not_warm(variables: Sequence[str]) -> str | None:
    """A library that reads them while it is imported must not be imported ahead of the script."""
    return f"the script sets {', '.join(variables)} before it imports libraries" if variables else None
