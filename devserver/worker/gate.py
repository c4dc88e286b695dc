"""Whether the code that would answer is still the newest; asked before each connection is accepted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from devserver.process.scoreboard import Scoreboard
from devserver.records.stamps import Stamp, full_stamp, stat_stamp

STUCK = 5.0  # seconds after which a closed gate gives way: whoever should have replaced this process saw no change


class FileGate:
    """Looks at the loaded files before each connection is accepted: a stat each, tens of microseconds in all.

    `files` are the versions that count, and may grow while the gate is used; None stands for a file that was not there,
    whose appearance is a change, too. `counts` says of a path whether it matters. `ring` is called when the gate
    closes. A touched file with the same content does not close it. `recorder` is the generation's: once it is retired
    the gate is closed for good. `lock` is a descriptor that the workers of a generation share, where there are several.
    """

    def __init__(
        self,
        files: Sequence[Mapping[str, Stamp | None]],
        counts: Callable[[str], bool],
        ring: Callable[[], None],
        recorder: Scoreboard,
        lock: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._counts = lru_cache(maxsize=None)(counts)
        self._ring = ring
        self._recorder = recorder
        self._lock = lock
        self._clock = clock
        self._touched: dict[str, Stamp] = {}
        self._closed_since: float | None = None

    def is_open(self) -> bool:
        """False while a loaded file differs from what was loaded, and once the generation is retired."""
        if not self._recorder.admit():
            return False
        if self._all_same():
            self._closed_since = None
            return True
        now = self._clock()
        if self._closed_since is None:
            self._closed_since = now
            self._ring()
        return now - self._closed_since > STUCK

    def is_over(self) -> bool:
        """True when it will never be open again."""
        return self._recorder.is_retired

    def _all_same(self) -> bool:
        known = [item for book in self._files for item in list(book.items())]  # threads may add some
        return all(self._same(path, stamp) for path, stamp in known if self._counts(path))

    def _same(self, path: str, stamp: Stamp | None) -> bool:
        if stamp is None:
            return not os.path.lexists(path)
        return self._touched.get(path, stamp).same_stat(stat_stamp(path)) or self._same_content(path, stamp)

    def _same_content(self, path: str, stamp: Stamp) -> bool:
        found = full_stamp(path) if stamp.digest is not None else stat_stamp(path)
        if found is None or not found.same_content(stamp):
            return False
        self._touched[path] = found
        return True

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
