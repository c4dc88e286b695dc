"""The event stream: what happens as JSON lines, for editors, tests and scripts.

Each function makes the event of one message; `EventStream` writes them to the file of `--events`.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import field
from typing import Any

from devserver.config.files import ConfigError
from devserver.lifecycle import Died
from devserver.records import as_json
from devserver.records.changes import ChangeSet
from devserver.records.commands import CommandRan
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import Listening, LoadReport, RequestAnswered
from devserver.records.record import record
from devserver.records.samples import ReplayReport, SampleSent


@record(frozen=True)
class Event:
    """One line of the stream; records among its facts become objects."""

    name: str
    facts: dict[str, Any]
    at: float = field(default_factory=lambda: round(time.time(), 3))


def event(name: str, /, **facts: Any) -> Event:
    return Event(name, facts)


def listening(on: Listening) -> Event:
    return event("listening", host=on.host, port=on.port, url=f"http://{on.address}/score")


def restarting(changes: ChangeSet, retry: bool = False) -> Event:
    files = [{"path": each.path, "kind": each.kind, "role": each.role.value} for each in changes.changes]
    return event("restarting", changes=files, retry=retry)


def ready(loaded: LoadReport, generation: int | None, seconds: float, url: str) -> Event:
    facts = {"pid": os.getpid(), "seconds": seconds, "times": loaded.times, "warm": loaded.warm, "url": url}
    return event("ready", generation=generation, kept_ms=loaded.kept_ms, anew=loaded.anew, **facts)


def not_ready(error: Diagnostic, generation: int | None, seconds: float, again: bool = False) -> Event:
    return event("not_ready", generation=generation, seconds=seconds, again=again, error=error)


def failed(error: Diagnostic, generation: int | None, count: int) -> Event:
    name = "request_failed" if error.severity == "error" else "warning"
    return event(name, generation=generation, count=count, error=error)


def command(ran: CommandRan, generation: int) -> Event:
    return event("command", generation=generation, ok=ran.ok, **dataclasses.asdict(ran))


def request(answered: RequestAnswered, generation: int) -> Event:
    # the facts themselves: there may be many a second
    return event("request", generation=generation, **vars(answered))


def died(what: Died) -> Event:
    death = what.death
    facts = {"signal": death.signal, "exit_code": death.exit_code, "phase": death.phase, "error": death.report}
    return event("died", generation=what.generation, again_in=what.again_in, holding=what.holding, **facts)


def sample(sent: SampleSent, generation: int) -> Event:
    return event("sample", generation=generation, ok=sent.ok, **dataclasses.asdict(sent))


def replayed(report: ReplayReport, generation: int) -> Event:
    return event("replayed", generation=generation, **dataclasses.asdict(report))


def as_line(what: Event) -> str:
    """The event as it is written."""
    return as_json.event(what.name, at=what.at, **what.facts)


class EventStream:
    """Appends to the file at `path`, a line each, written at once and whole. Errors: ConfigError where it cannot."""

    def __init__(self, path: str) -> None:
        try:
            self._file = open(path, "ab", buffering=0)
        except OSError as error:
            raise ConfigError(f"argument --events: {path} cannot be written: {error.strerror}") from None

    def write(self, line: str) -> str | None:
        """Returns why it could not be written, once; from then on nothing is."""
        if self._file.closed:
            return None
        try:
            self._file.write(line.encode() + b"\n")
        except OSError as error:
            self._file.close()
            return f"--events: no more is written: {error.strerror}"
        return None
