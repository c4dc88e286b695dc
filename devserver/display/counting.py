"""What is shown only now and then: the same error again, and that something still goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from devserver import lifecycle
from devserver.records.diagnostic import Diagnostic

SLOW_LINES = (10, 30, 60, 120, 300, 600)  # seconds at which a line says so where there is no terminal


class Slowness:
    """Which line is due about what takes long: one at each of `SLOW_LINES`, beginning anew with what is slow next."""

    def __init__(self) -> None:
        self._latest = lifecycle.Slow(0, 0.0)
        self._told = 0

    def due(self, slow: lifecycle.Slow) -> int | None:
        """The seconds to tell, if a line is due."""
        same = (slow.generation, slow.phase) == (self._latest.generation, self._latest.phase)
        if not same or slow.seconds < self._latest.seconds:
            self._told = 0
        self._latest = slow
        passed = max((each for each in SLOW_LINES if each <= slow.seconds), default=0)
        due = passed if passed > self._told else None
        self._told = max(passed, self._told)
        return due


class Repeats:
    """Counts the same error coming again within a minute of the last time: the same in all that is told of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, seconds: float = 60.0) -> None:
        self._clock, self._seconds = clock, seconds
        self._seen: dict[tuple[Diagnostic, int | None], tuple[int, float]] = {}

    def count(self, error: Diagnostic, generation: int | None = None) -> int:
        """1 for an error that is new in this generation; 2, 3, ... for one that comes again."""
        now = self._clock()
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[1] < self._seconds}
        count = self._seen.get((error, generation), (0, now))[0] + 1
        self._seen[error, generation] = (count, now)
        return count

    def forget(self) -> None:
        """What comes next is new: what was shown has scrolled away, or belongs to other code."""
        self._seen.clear()
