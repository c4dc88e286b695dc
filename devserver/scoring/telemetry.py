"""What the app tells about its work, and what it tells it to.

The app calls `Telemetry` and knows nothing of Application Insights: `insights` collects, `azure_monitor` sends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from devserver.records.record import record


@record(frozen=True)
class Answered:
    """A request that was answered. `url` is whole, `started` in UTC, ids are "" where there is none.

    `body` is the answer's; None when it was streamed, is too big to keep or must not be sent.
    """

    method: str
    path: str
    url: str
    status: int
    duration_ms: float
    started: datetime
    request_id: str
    client_request_id: str
    body: bytes | None


@record(frozen=True)
class Record:
    """One line of the log: printed text, an error, model data. `at` is in nanoseconds since 1970."""

    text: str
    facts: Mapping[str, str]
    is_error: bool = False
    request_id: str = ""
    at: int = field(default_factory=time.time_ns)


class Telemetry:
    """What the server tells about its work. Every call returns at once and raises nothing; this one drops it all."""

    on = False

    def answered(self, facts: Answered) -> None:
        """A request was answered; `GET /` is left out."""

    def printed(self, text: str) -> None:
        """The script printed `text`."""

    def failed(self, error: BaseException, request_id: str, client_request_id: str) -> None:
        """run() or init() raised; `request_id` is "Unknown" for init()."""

    def scored(self, request_id: str, client_request_id: str, input: object, prediction: object) -> None:
        """run() got `input` (a text, or its arguments by name) and returned `prediction`; dropped unless asked for."""

    def flush(self, seconds: float) -> None:
        """Send what waits now, and wait for that, `seconds` or `PATIENCE` at most."""

    def close(self) -> None:
        """Send what waits, and end; may be called again. All flushes and closes together wait `PATIENCE` at most."""


class Off(Telemetry):
    """Application Insights is switched off, or cannot be used."""


def one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
