"""Timers of the loop."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence

from devserver.lifecycle import Event

SLOW_EVERY = 1.0  # seconds between two looks at a generation that loads
STOP_LIMIT = 1.5  # seconds that a generation gets to finish when the tool ends

WAITS = "the code from before the save waits for the keyboard here; it stays until it goes on"


class Alarms:
    """Events that are due at some time; one per name, a later one replaces it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._heap: list[tuple[float, int, object]] = []
        self._current: dict[object, tuple[int, Event]] = {}

    def set(self, name: object, seconds: float, event: Event) -> None:
        number = next(self._count)
        self._current[name] = (number, event)
        heapq.heappush(self._heap, (self._clock() + seconds, number, name))

    def drop(self, name: object) -> None:
        self._current.pop(name, None)

    def wait(self) -> float | None:
        """Seconds until the next one; None when there is none."""
        while self._heap and self._current.get(self._heap[0][2], (-1,))[0] != self._heap[0][1]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def due(self) -> Sequence[Event]:
        """Those whose time has come, earliest first."""
        found = []
        while self.wait() == 0.0:
            _, _, name = heapq.heappop(self._heap)
            found.append(self._current.pop(name)[1])
        return found
