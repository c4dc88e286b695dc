"""What a worker was doing, readable after its death: phases and crashes come in, last words go out."""

from __future__ import annotations

import faulthandler
import mmap
import os
import re
import tempfile
from dataclasses import dataclass
from typing import Literal

Phase = Literal["start", "load", "init", "idle", "run"]
_PHASES: tuple[Phase, ...] = ("start", "load", "init", "idle", "run")
_FRAME = re.compile(r'File "(?P<path>.+)", line (?P<line>\d+) in (?P<function>.+)')


@dataclass(frozen=True)
class LastWords:
    """`phase` at the end, and the stack that faulthandler left: (path, line, function), innermost first."""

    phase: Phase
    stack: tuple[tuple[str, int, str], ...] = ()


class Recorder:
    """Two files without a name: a page with the phase, and what faulthandler writes in a crash.

    The parent makes it before the worker exists; `descriptors` may be handed to another process.
    """

    def __init__(self, descriptors: tuple[int, int] | None = None) -> None:
        if descriptors is None:
            descriptors = (_nameless(), _nameless())
            os.ftruncate(descriptors[0], mmap.PAGESIZE)
        self.descriptors = descriptors
        self._page = mmap.mmap(descriptors[0], mmap.PAGESIZE)

    def enter(self, phase: Phase) -> None:
        """Notes what begins now; costs less than a microsecond."""
        self._page[0] = _PHASES.index(phase)

    def watch_crashes(self) -> None:
        """From now on a crash of this process leaves its stack here."""
        faulthandler.enable(self.descriptors[1], all_threads=False)

    def last_words(self) -> LastWords:
        """What is known now."""
        text = os.pread(self.descriptors[1], 1 << 16, 0).decode("utf-8", "replace")
        stack = tuple((m["path"], int(m["line"]), m["function"]) for m in _FRAME.finditer(text))
        return LastWords(_PHASES[self._page[0]], stack)

    def close(self) -> None:
        """Gives everything back."""
        self._page.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


def _nameless() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
