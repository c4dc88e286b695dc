"""What every report has to name, since an editor takes away the marks that it does not."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from matcher import BackgroundMatcher

from devserver import lifecycle
from devserver.config import vscode
from devserver.config.settings import Config
from devserver.display import blocks
from devserver.display.colour import paint
from devserver.display.console import Console
from devserver.display.standing import MOST, Standing
from devserver.records.changes import ChangeSet, FileChange, Role
from devserver.records.diagnostic import Diagnostic, Excerpt, Frame
from devserver.records.messages import LoadReport

ERROR = Diagnostic("error", "run", "KeyError", "'a'", "/p/score.py", 7, 3)
OTHER = replace(ERROR, line=9, type="ValueError")
CONFIG = replace(ERROR, phase="config", path="/p/deployment.yml")
LOADED = LoadReport(True)


class Screen:
    """What a console in an editor's task shows, as the editor marks it."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self._console = Console(Config(entry_script="score.py", reload=True), colour=False, for_editor=True)
        self._matcher = BackgroundMatcher(vscode.PROBLEM_MATCHER)
        self.show(lifecycle.Starting(), lifecycle.Ready(1, LOADED))

    def show(self, *messages: object) -> list[tuple[str, int]]:
        """File and line of each mark after these."""
        for message in messages:
            if isinstance(message, Diagnostic):
                self._console.config_kept(message)
            else:
                self._console.show(message)
        for line in self._capfd.readouterr().out.splitlines():
            self._matcher.take(line)
        assert not self._matcher.stray
        return [(problem.file, problem.line) for problem in self._matcher.problems]


@pytest.fixture
def screen(capfd: pytest.CaptureFixture[str]) -> Screen:
    return Screen(capfd)


def test_marks_stay_until_the_next_load(screen: Screen) -> None:
    """All of them, and not those of code that is replaced already."""
    assert screen.show(lifecycle.Noted(1, ERROR)) == [("/p/score.py", 7)]
    assert screen.show(lifecycle.Noted(1, OTHER)) == [("/p/score.py", 9), ("/p/score.py", 7)]
    broken = replace(ERROR, line=1, phase="load")
    failed = lifecycle.NotReady(2, LoadReport(False, error=broken))
    assert screen.show(lifecycle.Restarting(ChangeSet()), failed) == [("/p/score.py", 1)]
    assert screen.show(lifecycle.Noted(1, OTHER)) == [("/p/score.py", 9), ("/p/score.py", 1)]
    assert screen.show(lifecycle.Noted(1, ERROR)) == [("/p/score.py", 7), ("/p/score.py", 1)]
    assert screen.show(lifecycle.Restarting(ChangeSet()), lifecycle.Ready(3, LOADED)) == []


def test_a_death_takes_nothing_back(screen: Screen) -> None:
    """The same code starts again, with the faults that it had."""
    screen.show(lifecycle.Noted(1, ERROR))
    died = lifecycle.Died(1, lifecycle.Death(signal="SIGSEGV", report=OTHER), 0.0, False)
    assert screen.show(died, lifecycle.Ready(2, LOADED)) == [("/p/score.py", 9), ("/p/score.py", 7)]


def test_the_configuration_is_marked_until_it_is_read_again(screen: Screen) -> None:
    """Saves of the script do not mend it."""
    config = ChangeSet((FileChange("/p/deployment.yml", "modified", Role.CONFIG),))
    place = ("/p/deployment.yml", 7)
    assert screen.show(lifecycle.Restarting(config), CONFIG, lifecycle.Ready(2, LOADED)) == [place]
    assert screen.show(lifecycle.Restarting(ChangeSet()), lifecycle.Ready(3, LOADED)) == [place]
    assert screen.show(lifecycle.Noted(3, ERROR)) == [("/p/score.py", 7), place]
    assert screen.show(lifecycle.Restarting(config), lifecycle.Ready(4, LOADED)) == []


def test_there_is_a_limit() -> None:
    """The newest are kept."""
    standing = Standing()
    for line in range(MOST + 5):
        standing.tell(replace(ERROR, line=line))
    standing.report()
    assert [error.line for error in standing.rest()] == list(range(5, MOST + 5)) and standing.rest() == ()


def test_an_editor_gets_hint_and_end_on_the_line() -> None:
    """The end of the span is that of the call, or of the excerpt; a hint of several lines is one."""
    folder = os.path.abspath("p")
    error = replace(ERROR, path=os.path.join(folder, "score.py"))
    frame = Frame(error.path, 7, 3, 8, 12, "run", "a[")
    excerpt = Excerpt(((7, "  a[b]"),), 7, 3, 6)
    hint = "the request has\nthe fields 'b'"

    def line(error: Diagnostic) -> str:
        return paint([blocks.headline_for_editor(error, folder)], False)

    assert line(error) == "score.py:7:3: error: KeyError: 'a'"
    assert line(replace(error, frames=(frame,), excerpt=excerpt)).endswith("'a' (to 8:12)")
    assert line(replace(error, hint=hint, excerpt=excerpt)).endswith(
        "'a'; hint: the request has the fields 'b' (to 7:6)"
    )
    matcher = BackgroundMatcher(vscode.PROBLEM_MATCHER)
    matcher.take(line(replace(error, hint=hint, excerpt=excerpt)))
    matcher.take("[azmlinfsrv] end of report")
    (problem,) = matcher.problems
    assert (problem.end, problem.message) == ((7, 6), "KeyError: 'a'; hint: the request has the fields 'b'")
