"""What two processes know of a generation at once: phases, crashes and the word to accept no more."""

from __future__ import annotations

import faulthandler
import mmap
import os
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Literal

from devserver.process.platform import System
from devserver.process.workload import END as WORKLOAD_END
from devserver.process.workload import Workload
from devserver.records.messages import LastWords, Phase

_PHASES: tuple[Phase, ...] = ("start", "load", "init", "idle", "run", "told", "refused")
_PHASE, _ADMITS, _RETIRED, _LOADS, _DISMISSALS, _LINE = range(6)  # bytes of the page
_CALLS = WORKLOAD_END  # where the places for calls begin: each holds when the call began that is made there, or 0
_TIME = struct.Struct("d")
_PLACES = struct.Struct(f"{(mmap.PAGESIZE - _CALLS) // _TIME.size}d")
_PATIENCE = 1.0  # seconds for all that are asked
_PAUSE = 0.02  # seconds without news after which one has told all
DUMP_LIMIT = 1 << 16  # bytes of a dump


class Scoreboard:
    """Two files without a name: a page of single bytes, and what faulthandler writes in a crash.

    The parent makes it before the worker exists; `descriptors` may be handed to another process.
    """

    def __init__(self, descriptors: tuple[int, int] | None = None) -> None:
        if descriptors is None:
            descriptors = _two_files()
            os.write(descriptors[0], bytes(mmap.PAGESIZE))
        self.descriptors = descriptors
        self._page = mmap.mmap(descriptors[0], mmap.PAGESIZE)
        self.workload = Workload(self._page)

    def enter(self, phase: Phase) -> None:
        """Notes what begins now; costs less than a microsecond."""
        self._page[_PHASE] = _PHASES.index(phase)

    def loads(self, what: Literal["load", "init"]) -> None:
        """What a load is at, as the supervisor sees it; a worker notes its own phase for the process that forked it."""
        self._page[_LOADS] = what == "init"

    @property
    def loading(self) -> Literal["load", "init"]:
        return "init" if self._page[_LOADS] else "load"

    def call(self, place: int, since: float) -> None:
        """A call of run() begins at this time of the monotonic clock, which all processes share; 0 for its end.

        Each thread of each worker has a place of its own.
        """
        _TIME.pack_into(self._page, _CALLS + place * _TIME.size % _PLACES.size, since)

    def oldest_call(self) -> float | None:
        """When that call of run() began which goes on for longest."""
        return min((since for since in _PLACES.unpack_from(self._page, _CALLS) if since), default=None)

    def admit(self) -> bool:
        """In a worker, before it accepts a connection: False once the generation is retired."""
        self._page[_ADMITS] = 1
        return not self.is_retired

    def retire(self) -> bool:
        """In the supervisor: from this moment on nothing is accepted. Returns whether anything may have been before."""
        self._page[_RETIRED] = 1
        return bool(self._page[_ADMITS])

    @property
    def is_retired(self) -> bool:
        return bool(self._page[_RETIRED])

    def dismiss(self) -> None:
        """In the supervisor: what a worker saw to differ is no reason to replace it."""
        self._page[_DISMISSALS] = (self._page[_DISMISSALS] + 1) % 256

    @property
    def dismissals(self) -> int:
        """How often that has happened, modulo 256."""
        return self._page[_DISMISSALS]

    def leave_line(self, unfinished: bool) -> None:
        """In a worker: what it has written to the terminal ends, or does not end, with its line."""
        self._page[_LINE] = unfinished

    def take_line(self) -> bool:
        """In the supervisor, which begins a new line then: whether one is unfinished."""
        unfinished = bool(self._page[_LINE])
        self._page[_LINE] = False
        return unfinished

    def watch_crashes(self) -> None:
        """From now on a crash of this process leaves its stack here, also where the script or a library of its asks.

        faulthandler has room for one file, and the report names the line for which people ask it.
        """
        _enable(self.descriptors[1], all_threads=False)
        faulthandler.enable = _nothing
        faulthandler.disable = _nothing

    def answer_when_asked(self) -> None:
        """From now on `ask_stacks` works for this process and those that it forks, whatever they do then."""
        System.dump_when_asked(self.descriptors[1])

    def ask_stacks(self, processes: Iterable[int]) -> Iterator[str]:
        """What faulthandler writes of each of these, which are to be ended: not all survive this.

        One after the other, when the next text is asked for: two that write at once would spoil each other's lines.
        """
        end = time.monotonic() + _PATIENCE
        for pid in processes:
            yield self._stacks_of(pid, end)

    def _stacks_of(self, pid: int, end: float) -> str:
        """What it writes when asked, up to a pause; nothing where it has ended, or the system knows no such signal."""
        before = seen = len(_content(self.descriptors[1]))
        now = since = time.monotonic()
        if not System.ask_for_dump(pid):
            return ""
        while now < end and (seen == before or now - since < _PAUSE):
            time.sleep(_PAUSE / 4)
            now, size = time.monotonic(), len(_content(self.descriptors[1]))
            if size != seen:
                seen, since = size, now
        return _content(self.descriptors[1])[before:].decode("utf-8", "replace")

    def last_words(self) -> LastWords:
        """What is known now."""
        return LastWords(_PHASES[self._page[_PHASE]], _content(self.descriptors[1]).decode("utf-8", "replace"))

    def close(self) -> None:
        """Gives everything back."""
        self._page.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


def _two_files() -> tuple[int, int]:
    first = System.nameless_file()
    try:
        return first, System.nameless_file()
    except OSError:
        os.close(first)
        raise


_enable = faulthandler.enable


def _nothing(file: object = None, all_threads: bool = True, c_stack: bool = True) -> None:
    """In place of functions that would take the crash away."""


def _content(descriptor: int) -> bytes:
    """The whole file; where its processes stand in it stays as it is, also where the system has no pread."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return b""
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as content:
        return content[:DUMP_LIMIT]
