"""The terminal, or the file in its place, as the tool writes to it.

Whole messages at once, so that nothing comes between. In a terminal a blank line stands before each report, and no word
is broken at the edge.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from devserver.display.cells import wrapped
from devserver.display.lines import is_own
from devserver.process.streams import is_terminal, write_whole

FILE_WIDTH = 120  # cells of a line where there is no terminal


class Screen:
    """Where the tool's own lines go; the script writes there, too, by itself."""

    def __init__(self) -> None:
        self.is_terminal = is_terminal(sys.stdout)
        self._moving = ""
        self._take_line: Callable[[], bool] = lambda: False

    def share_line(self, take: Callable[[], bool]) -> None:
        """`take` says whether the script has left a line unfinished, which we finish then."""
        self._take_line = take

    @property
    def width(self) -> int:
        """Cells of a line, as it is now."""
        return shutil.get_terminal_size().columns if self.is_terminal else FILE_WIDTH

    def report(self, *texts: str) -> None:
        """Texts that begin something new, each ended by a newline; a person sees a blank line before them."""
        self.write(*([""] if self.is_terminal else []), *texts)

    def write(self, *texts: str) -> None:
        """Texts, each ended by a newline."""
        clear = "\r\x1b[K" if self._moving else ""
        self._moving = ""
        self.raw(clear + "\n".join(map(self._fitted, texts)) + "\n")

    def move(self, text: str) -> None:
        """A text that the next one replaces; on a terminal only."""
        if text == self._moving:
            return
        # the cursor goes back to the left edge, so that whatever comes next writes over it
        self.raw(f"\r\x1b[K{text}\r")
        self._moving = text

    def raw(self, text: str) -> None:
        """As it is."""
        try:
            sys.stdout.flush()  # where the script's own text waits, when it runs in this process
            write_whole(sys.stdout, "\n" + text if self._take_line() else text)
        except (OSError, ValueError, AttributeError):
            pass  # nobody reads it any more

    def _fitted(self, text: str) -> str:
        """Lines of the tool are broken at words; what it quotes has been made to fit, or is a place and stays whole."""
        if not self.is_terminal:
            return text
        width = self.width
        return "\n".join("\n".join(wrapped(line, width)) if is_own(line) else line for line in text.split("\n"))
