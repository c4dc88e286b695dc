"""A sample request, and what came of it."""

from __future__ import annotations

from dataclasses import field

from devserver.records.record import record

Headers = tuple[tuple[str, str], ...]


@record(frozen=True)
class Sample:
    """A request to send. `path` is the absolute file it was read from, None for a request that was remembered.

    The headers may hold secrets: they are sent, and appear nowhere else.
    """

    name: str
    path: str | None = None
    method: str = "POST"
    target: str = "/score"
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    notes: tuple[str, ...] = ()


@record(frozen=True)
class Unusable:
    """A sample file of which no request can be made; `problem` is one line for the person."""

    name: str
    path: str
    problem: str


@record(frozen=True)
class SampleSent:
    """What came of one sample. Exactly one of `status` and `problem` is None.

    `milliseconds` is the time until the whole answer was there, `size` its bytes. `answer` is its text as far as it is
    kept, None for what is no text; `difference` what differs from the answer before, None where there was none.
    """

    name: str
    path: str | None
    method: str
    target: str
    status: int | None = None
    milliseconds: float = 0.0
    size: int = 0
    content_type: str = ""
    answer: str | None = None
    difference: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it was answered, and not with an error."""
        return self.status is not None and self.status < 400


@record(frozen=True)
class ReplayReport:
    """All samples of one round are through."""

    sent: int
    failed: int
    seconds: float
