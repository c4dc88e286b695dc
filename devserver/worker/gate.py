"""Whether the code that would answer is still the newest; asked before each connection is accepted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from devserver.process.scoreboard import Scoreboard
from devserver.worker.known import Differences

STUCK = 5.0  # seconds after which a closed gate gives way: whoever should have replaced this process saw no change
RING_AGAIN = 1.0  # seconds
COPYING = 0.3  # seconds from when on a file that is still being written counts as one that takes long
MOVES_WITHIN = 0.03  # seconds in which whoever copies writes again
_STEP = 0.002


class Known(Protocol):
    """What the generation depends on."""

    def differences(self) -> Differences:
        """What is not as it was loaded."""

    def accept(self, differences: Differences) -> None:
        """From now on these are known so."""


class FileGate:
    """Closed while anything that was loaded is another version now, and for good once the generation is retired.

    `ring` is told which paths differ. What the supervisor dismisses (it is the script's own doing, or no change after
    all) counts as known from then on, and so does what nothing comes of in 5 s. While a large file is being copied,
    requests that came before the copy was complete are answered by what is loaded; those that come later wait.
    `lock` is a descriptor that the workers of a generation share, where there are several.
    """

    def __init__(
        self,
        known: Known,
        ring: Callable[[tuple[str, ...]], None],
        recorder: Scoreboard,
        lock: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._known = known
        self._ring = ring
        self._recorder = recorder
        self._lock = lock
        self._clock = clock
        self._sleep = sleep
        self._dismissed = recorder.dismissals
        self._differing: Differences = {}
        self._given_way: Differences = {}
        self._told: deque[Differences] = deque(maxlen=64)  # with each ring, until it is answered
        self._closed_at = self._moved_at = self._rung_at = 0.0
        self._moves = 0

    def is_open(self) -> bool:
        """False while something differs from what was loaded, and once the generation is retired."""
        if not self._recorder.admit():
            return False
        self._hear_dismissals()
        differing = self._known.differences()
        if differing == self._given_way:
            self._differing = {}
            return True
        self._note(differing, self._clock())
        if self._clock() - self._moved_at > STUCK:
            self._given_way = differing
            return True
        return self._moves > 1 and self._clock() - self._closed_at > COPYING and self._still_moves(differing)

    def is_over(self) -> bool:
        """True when it will never be open again."""
        return self._recorder.is_retired

    def _hear_dismissals(self) -> None:
        """Each ring is answered, in order; a change that came after one has to wait for the next answer."""
        answers = (self._recorder.dismissals - self._dismissed) % 256
        self._dismissed = self._recorder.dismissals
        if answers:
            self._given_way = {}
        for _ in range(min(answers, len(self._told))):
            self._known.accept(self._told.popleft())

    def _note(self, differing: Differences, now: float) -> None:
        if not self._differing:
            self._closed_at, self._moves = now, 0
        news = differing.keys() - self._differing.keys()
        if differing != self._differing:
            self._moved_at, self._moves, self._differing = now, self._moves + 1, differing
        if news or now - self._rung_at > RING_AGAIN:
            self._rung_at = now
            self._told.append(differing)
            self._ring(tuple(differing))

    def _still_moves(self, before: Differences) -> bool:
        """Whether all that differs is written on at this moment, so that no save is complete yet."""
        end = self._clock() + MOVES_WITHIN
        moved: set[str] = set()
        while self._clock() < end:
            self._sleep(_STEP)
            now = self._known.differences()
            if now.keys() != before.keys():
                return False
            moved |= {path for path in now if now[path] != before[path]}
            if len(moved) == len(before):
                self._note(now, self._clock())
                return True
        return False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One worker at a time looks and accepts, so that none takes a connection that is newer than its look."""
        if self._lock is None:
            yield
            return
        import fcntl

        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
