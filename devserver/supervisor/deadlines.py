"""The timers of the loop, and who is spared for the sake of a debugger."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from devserver.lifecycle import Event, LaunchDue, Overdue, Settled
from devserver.supervisor.arrivals import LookDue, PauseOver, WaitOver

LOOK_EVERY = 0.5  # seconds between two looks at what a generation is at
STOP_LIMIT = 1.5  # seconds that a generation gets to finish when the tool ends
SETTLED_AFTER = 5.0  # seconds of good running after which an earlier death is forgotten

Name: TypeAlias = tuple[str, int]  # what for, and the generation; 0 for none
Due: TypeAlias = Event | LookDue | PauseOver | WaitOver
LAUNCH: Name = ("launch", 0)
REST: Name = ("rest", 0)
LIBRARIES: Name = ("libraries", 0)


class Deadlines:
    """Events that are due at some time; one per name, a later one replaces it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._heap: list[tuple[float, int, Name]] = []
        self._current: dict[Name, tuple[int, Due]] = {}
        self._spared: set[int] = set()

    # --- what for

    def launch_in(self, seconds: float) -> None:
        """The next generation starts then."""
        self._set(LAUNCH, seconds, LaunchDue())

    def launches(self) -> None:
        """It starts now."""
        self._drop(LAUNCH)

    def wait_for_libraries(self, seconds: float) -> None:
        """A start waits for them until then."""
        self._set(LIBRARIES, seconds, WaitOver())

    def look_at(self, generation: int) -> None:
        """It is looked once, a little later, what it is at."""
        self._set(("look", generation), LOOK_EVERY, LookDue(generation))

    def answers(self, generation: int) -> None:
        """It has loaded; when it has lived for a while, earlier deaths are forgotten."""
        self._set(("settled", generation), SETTLED_AFTER, Settled(generation))

    def must_end(self, generation: int, seconds: float) -> None:
        """It was told to end, and has this long."""
        self._set(("end", generation), seconds, Overdue(generation))

    def may_stay(self, generation: int) -> None:
        """A person sits at its prompt, and is not hurried."""
        self._drop(("end", generation))

    def spare(self, generation: int, seconds: float) -> bool:
        """It gets the time once more, since it may be paused at a breakpoint; whether this is the first time."""
        self.must_end(generation, seconds)
        first = generation not in self._spared
        self._spared.add(generation)
        return first

    def rest(self, seconds: float) -> None:
        """Changes wait until then for more of them."""
        self._set(REST, seconds, PauseOver())

    def rest_is_over(self) -> None:
        """Nothing waits any more."""
        self._drop(REST)

    def forget(self, generation: int) -> None:
        """It is gone."""
        for kind in ("end", "look", "settled"):
            self._drop((kind, generation))
        self._spared.discard(generation)

    # --- when

    def wait(self) -> float | None:
        """Seconds until the next one; None when there is none."""
        while self._heap and self._current.get(self._heap[0][2], (-1,))[0] != self._heap[0][1]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def due(self) -> Sequence[Due]:
        """Those whose time has come, earliest first."""
        found = []
        while self.wait() == 0.0:
            _, _, name = heapq.heappop(self._heap)
            found.append(self._current.pop(name)[1])
        return found

    def _set(self, name: Name, seconds: float, event: Due) -> None:
        number = next(self._count)
        self._current[name] = (number, event)
        heapq.heappush(self._heap, (self._clock() + seconds, number, name))

    def _drop(self, name: Name) -> None:
        self._current.pop(name, None)
