"""Problems as blocks for one screen, and which of them are still true."""

from __future__ import annotations

from devserver.config.settings import Config
from devserver.display import blocks, lines
from devserver.display.cells import filled
from devserver.display.colour import Line, paint
from devserver.display.screen import Screen
from devserver.display.standing import Standing
from devserver.records.diagnostic import Diagnostic


class Reports:
    """Draws problems; `for_editor`: each on one whole line with all that can be marked.

    `standing` are those that are still true.
    """

    def __init__(self, config: Config, screen: Screen, colour: bool, for_editor: bool) -> None:
        self.standing = Standing()
        self._config = config
        self._screen = screen
        self._colour = colour
        self._for_editor = for_editor
        self._last: Diagnostic | None = None
        self._is_past = False  # whether a load has gone well since the last one

    def keep(self, error: Diagnostic) -> None:
        """This is the last one now."""
        self._last, self._is_past = error, False

    def load_went_well(self) -> None:
        """What was the last problem until now is one of the past."""
        self._is_past = True

    def block(self, error: Diagnostic, count: int = 1, full: bool = False) -> str:
        """All that is shown of it; `full`: with the whole traceback."""
        return blocks.block(
            error,
            colour=self._colour,
            width=self._screen.width,
            cwd=self._config.base,
            full_traceback=self._config.full_traceback or full,
            count=count,
            head=self._headline(error, count),
            breaks=self._screen.is_terminal,
        )

    def _headline(self, error: Diagnostic, count: int = 1) -> Line:
        if self._for_editor:
            return blocks.headline_for_editor(error, self._config.base, count)
        line = blocks.headline_of(error, self._config.base, count)
        return filled(line, self._screen.width) if self._screen.is_terminal else line

    def others(self) -> list[str]:
        """The headlines of all other problems that are still true: whoever marks them takes back what is not named."""
        heads = [self._headline(error) for error in self.standing.rest()]
        return [paint([[("dim", text) for _, text in head]], self._colour) for head in heads]

    def last_in_full(self) -> str:
        """The last problem with its whole traceback, and whether it is one still."""
        if self._last is None:
            return lines.bracket("", "there was no error yet", self._colour)
        block = self.block(self._last, full=True)
        if not self._is_past or self.standing.is_of_config(self._last):
            return block
        return f"{lines.past(self._last, colour=self._colour)}\n{block}"
