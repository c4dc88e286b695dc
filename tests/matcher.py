"""The part of VS Code that reads a background task: its lines go in, the problems that it marks come out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One mark in the editor. The same file, line and column count as one problem."""

    file: str
    line: int
    column: int
    severity: str
    message: str
    end: tuple[int, int] | None = None  # line and column


class BackgroundMatcher:
    """A problem matcher of tasks.json as VS Code runs it, line by line.

    `problems` are shown to the person; `active` is what holds back whoever has the task as `preLaunchTask`.
    """

    def __init__(self, matcher: Mapping[str, Any]) -> None:
        background = matcher["background"]
        self._pattern = matcher["pattern"]
        self._regexp = re.compile(self._pattern["regexp"])
        self._begins = re.compile(background["beginsPattern"])
        self._ends = re.compile(background["endsPattern"])
        self.active = bool(background.get("activeOnStart", False))
        self.problems: tuple[Problem, ...] = ()
        self.stray: list[Problem] = []  # between an end and a begin: shown late, and never taken back
        self._found: dict[tuple[str, int, int], Problem] = {}

    def take(self, line: str) -> bool:
        """One line, without its newline; whether it ended a round."""
        if self._begins.search(line):  # tested first: such a line is never a problem
            if not self.active:
                self.active, self._found = True, {}
            return False
        if self._ends.search(line):
            ended, self.active = self.active, False
            if ended:
                self.problems = tuple(self._found.values())  # what was not found again is taken away
            return ended
        problem = self._problem(line)
        if problem is not None and self.active:
            self._found.setdefault((problem.file, problem.line, problem.column), problem)
        elif problem is not None:
            self.stray.append(problem)
        return False

    def _problem(self, line: str) -> Problem | None:
        found = self._regexp.search(line)
        if found is None:
            return None
        file, row, column, severity, message = (
            found[self._pattern[name]] for name in ("file", "line", "column", "severity", "message")
        )
        end_line, end_column = (found[self._pattern[name]] for name in ("endLine", "endColumn"))
        end = None if end_line is None else (int(end_line), int(end_column))
        return Problem(file, int(row), int(column), severity, message, end)
