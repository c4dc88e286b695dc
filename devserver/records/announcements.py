"""What the lifecycle has shown: small records that say what becomes of the generations."""

from __future__ import annotations

from typing import Literal

from devserver.records.changes import ChangeSet
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import LoadReport
from devserver.records.record import record


@record(frozen=True)
class Death:
    """How a process ended that nobody had asked to end.

    `signal` is a name ("SIGSEGV"), `phase` where it was; `report` is what else is known, handed through. `contended`:
    another process may have been the reason.
    """

    signal: str | None = None
    exit_code: int | None = None
    phase: Literal["load", "init", "run"] | None = None
    report: Diagnostic | None = None
    contended: bool = False


@record(frozen=True)
class Starting:
    """The first generation is on its way."""


@record(frozen=True)
class Restarting:
    """The next generation is on its way because of `changes`; they are empty when somebody asked for it."""

    changes: ChangeSet


@record(frozen=True)
class Retrying:
    """The generations are gone for which a load may have failed: the next one is on its way."""


@record(frozen=True)
class Ready:
    """The generation answers."""

    generation: int
    report: LoadReport | None = None


@record(frozen=True)
class NotReady:
    """The generation answers with the error; `again`: it is tried again when the retired ones are gone."""

    generation: int
    report: LoadReport | None = None
    again: bool = False


@record(frozen=True)
class Died:
    """The generation ended unasked; in `again_in` seconds the next one starts, to serve or (`holding`) to hold."""

    generation: int
    death: Death
    again_in: float
    holding: bool


@record(frozen=True)
class Overran:
    """The retired generation did not end in time and is killed."""

    generation: int


@record(frozen=True)
class Stopping:
    """The tool ends as soon as all generations are gone."""
