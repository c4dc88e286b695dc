"""Puts the tool's own lines on standard output: each message in one write, so that no other output comes between."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from devserver.process.streams import is_terminal, write_whole

WIDTH = 120  # columns, where it is no terminal
CLEAR_LINE = "\r\x1b[K"
CLEAR_ALL = "\x1b[H\x1b[2J\x1b[3J"


class Writer:
    """Standard output, as far as it is the tool's; where nobody reads it any more, nothing happens."""

    def __init__(self) -> None:
        self.is_terminal = is_terminal(sys.stdout)
        self._moving = False
        self._take_line: Callable[[], bool] = lambda: False

    def share_line(self, take: Callable[[], bool]) -> None:
        """The script writes here, too; `take` says whether it has left a line unfinished, which we finish then."""
        self._take_line = take

    @property
    def width(self) -> int:
        return shutil.get_terminal_size().columns if self.is_terminal else WIDTH

    def write(self, *texts: str) -> None:
        """Lines that stay."""
        clear = CLEAR_LINE if self._moving else ""
        self._moving = False
        self._raw(clear + "\n".join(texts) + "\n")

    def write_moving(self, text: str) -> None:
        """A line for a terminal that whatever comes next is written over: the cursor goes back to the left edge."""
        self._raw(f"{CLEAR_LINE}{text}\r")
        self._moving = True

    def clear(self) -> None:
        """Empties the terminal, with what can be scrolled back to."""
        self._raw(CLEAR_ALL)

    def _raw(self, text: str) -> None:
        try:
            sys.stdout.flush()  # where the script's own text waits, when it runs in this process
            write_whole(sys.stdout, "\n" + text if self._take_line() else text)
        except (OSError, ValueError, AttributeError):
            pass  # nobody reads it any more
