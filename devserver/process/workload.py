"""When the processes of a generation have worked: in memory that the supervisor shares, so that nothing is sent."""

from __future__ import annotations

import struct
from typing import Protocol, TypeAlias

from devserver.records.record import record

Span: TypeAlias = tuple[int, int]
"""From when to when (time.time_ns)."""

TICK_NS = 5_000_000  # by so much the clock that gives files their times may be behind
_START = 64  # where it begins in the page
_SPANS = 128
_APART_NS = 250_000_000  # work that begins so soon after other work counts as one span with it
_HEAD = struct.Struct("=qqqqq")  # begin and end of the first request, how many spans, how many run now, since when
_SPAN = struct.Struct("=qq")
END = _START + _HEAD.size + _SPANS * _SPAN.size  # one past its last byte in the page


class Page(Protocol):
    """A shared page of memory."""

    def __getitem__(self, place: slice, /) -> bytes: ...

    def __setitem__(self, place: slice, content: bytes, /) -> None: ...


@record(frozen=True)
class Spans:
    """`first`: the first request of all. `busy`: the latest times without a pause; the last may go on.

    `since`: from when on something is being worked on now; None where nothing is.
    """

    first: Span = (0, 0)
    busy: tuple[Span, ...] = ()
    since: int | None = None

    def in_first(self, at_ns: int) -> bool:
        """Whether it was while the first request was answered."""
        return self.first[0] - TICK_NS <= at_ns <= self.first[1]

    def in_any(self, at_ns: int) -> bool:
        """Whether anything was worked on."""
        return any(begun - TICK_NS <= at_ns <= ended for begun, ended in self.busy)


class Workload:
    """Written by those who work, read by the supervisor. Two that write at once may spoil one span."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def begins(self, now_ns: int) -> None:
        """A request is taken up."""
        first, ended, count, running, since = self._head()
        begun, last = self._span(count - 1) if count else (0, -_APART_NS)
        if running <= 0 and now_ns - last > _APART_NS:
            count, begun, last = count + 1, now_ns, now_ns
        self._keep(count - 1, (begun, last))
        since = since if running > 0 else now_ns
        self._write(_START, _HEAD.pack(first or now_ns, ended, count, max(running, 0) + 1, since))

    def ends(self, now_ns: int) -> None:
        """It is answered."""
        first, ended, count, running, since = self._head()
        self._keep(count - 1, (self._span(count - 1)[0], now_ns))
        self._write(_START, _HEAD.pack(first, ended or now_ns, count, max(running - 1, 0), since))

    def read(self, now_ns: int) -> Spans:
        """What is known now."""
        first, ended, count, running, since = self._head()
        spans = [self._span(number) for number in range(max(0, count - _SPANS), count)]
        if spans and running > 0:
            spans[-1] = (spans[-1][0], now_ns)
        first_span = (first, ended or now_ns) if first else (0, 0)
        return Spans(first_span, tuple(spans), since if running > 0 else None)

    def _head(self) -> tuple[int, int, int, int, int]:
        first, ended, count, running, since = _HEAD.unpack(self._page[_START : _START + _HEAD.size])
        return first, ended, count, running, since

    def _span(self, number: int) -> Span:
        place = self._place(number)
        begun, ended = _SPAN.unpack(self._page[place : place + _SPAN.size])
        return begun, ended

    def _keep(self, number: int, span: Span) -> None:
        self._write(self._place(number), _SPAN.pack(*span))

    def _place(self, number: int) -> int:
        return _START + _HEAD.size + number % _SPANS * _SPAN.size

    def _write(self, place: int, content: bytes) -> None:
        self._page[place : place + len(content)] = content
