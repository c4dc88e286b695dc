"""What VS Code marks while the dev loop goes on: the tool's real output, read by the task that it writes itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from loop import Loop, answering
from matcher import BackgroundMatcher, Problem
from mistakes import HAS_COLUMNS

from devserver.config import vscode

COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # a terminal takes these out before a line is read
FAILING = "def init(): pass\n\ndef run(data):\n    return 1 / 0\n"


class Watched:
    """The output of a loop, read by the task's problem matcher up to each end line."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.matcher = BackgroundMatcher(vscode.PROBLEM_MATCHER)
        self._lines = 0

    def next_round(self) -> tuple[Problem, ...]:
        """The problems after the next end line."""
        while True:
            self._loop.wait_until(lambda: len(self._whole_lines()) > self._lines, "another line")
            line = self._whole_lines()[self._lines]
            self._lines += 1
            if self.matcher.take(COLOUR.sub("", line)):
                return self.matcher.problems

    def rest(self) -> None:
        """Every line that is there already."""
        for line in self._whole_lines()[self._lines :]:
            self.matcher.take(COLOUR.sub("", line))

    def _whole_lines(self) -> list[str]:
        return [line.rstrip("\r\n") for line in self._loop.output().splitlines(keepends=True) if line.endswith("\n")]


def column(number: int) -> int:
    """Of an instruction that failed."""
    return number if HAS_COLUMNS else 1


def places(problems: tuple[Problem, ...]) -> list[tuple[str, int, int, str, str]]:
    """Without what follows the type of the error."""
    return [(p.file, p.line, p.column, p.severity, p.message.partition(":")[0]) for p in problems]


@pytest.mark.parametrize("colour", [False, True])
def test_problems_come_and_go(tmp_path: Path, colour: bool) -> None:
    """Errors of load, init() and run() are marked after each end line, and gone once they are repaired."""
    env = {"FORCE_COLOR": "1" if colour else None, "NO_COLOR": None, "PYTHON_COLORS": None}
    with Loop(tmp_path, score="def init(:\n", env=env, until="not_ready") as loop:
        watched = Watched(loop)
        assert watched.matcher.active
        assert places(watched.next_round()) == [("score.py", 1, 10, "error", "SyntaxError")]
        loop.save("score.py", answering(1))
        assert watched.next_round() == ()
        loop.save("score.py", answering(1, init="missing()"))
        assert places(watched.next_round()) == [("score.py", 3, column(5), "error", "NameError")]
        loop.save("score.py", FAILING)
        assert watched.next_round() == ()
        for _ in range(2):
            assert loop.ask().status == 500
            assert places(watched.next_round()) == [("score.py", 4, column(12), "error", "ZeroDivisionError")]
        loop.save("score.py", answering(2))
        assert watched.next_round() == ()
        assert loop.ask().json() == 2
        loop.wait_until(lambda: "POST /score 200" in loop.output(), "the line of the request")
        watched.rest()
        assert not watched.matcher.stray and not watched.matcher.active and watched.matcher.problems == ()
        assert ("\x1b[" in loop.output()) == colour


TWO_FAULTS = """def init(): pass

def run(data):
    if "first" in data:
        return {}["first"]
    return first
"""


def test_all_problems_that_are_still_true(tmp_path: Path) -> None:
    """Each report names what the ones before named; spans and hints are marked; a good answer takes nothing back."""
    task = vscode.tasks((), vscode.IN_VENV)[0]
    with Loop(tmp_path, score=TWO_FAULTS, env=task["options"]["env"]) as loop:
        watched = Watched(loop)
        assert watched.next_round() == ()
        assert loop.ask('"first"').status == loop.ask("{}").status == 500
        (first,) = watched.next_round()
        assert (first.line, first.column, first.message[:8]) == (5, column(16), "KeyError")
        newest, before = watched.next_round()
        assert before == first
        assert newest.line == 6 and newest.message.startswith("NameError: name 'first' is not defined")
        if HAS_COLUMNS:
            assert (first.end, newest.end) == ((5, 27), (6, 17))
        assert loop.ask('"first"').status == 500
        again, other = watched.next_round()
        assert (again.line, other.line) == (5, 6) and "(2 times)" in again.message
        loop.save("score.py", answering(1, init="jso.dumps(1)", top="import json"))
        (load,) = watched.next_round()
        assert (load.line, load.message.partition("; hint: ")[2][:13]) == (3, "did you mean ")
        loop.save("score.py", answering(1))
        assert watched.next_round() == () and not watched.matcher.stray


def test_a_process_that_dies_is_a_problem(tmp_path: Path) -> None:
    """A script that ends its own process while it loads is marked like any other error, and the mark goes with it."""
    with Loop(tmp_path, score="import os\nos._exit(7)\n", until="not_ready") as loop:
        watched = Watched(loop)
        problems = watched.next_round()
        while not problems:
            problems = watched.next_round()
        assert [problem.file for problem in problems] == ["score.py"]
        loop.save("score.py", answering(1))
        assert watched.next_round() == ()
        assert not watched.matcher.stray


def test_a_helper_is_marked_where_it_is(tmp_path: Path) -> None:
    """A mistake in a module of the project is marked in that module."""
    files = {"parts/helper.py": "def help():\n    return [][0]\n", "parts/__init__.py": ""}
    score = "from parts.helper import help\ndef init(): help()\ndef run(data): return 1\n"
    with Loop(tmp_path, score=score, files=files, until="not_ready") as loop:
        assert places(Watched(loop).next_round()) == [
            (os.path.join("parts", "helper.py"), 2, column(12), "error", "IndexError")
        ]


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-02 03:04:05,678 I [42] azmlinfsrv - POST /score 200 1.234ms 17",
        '127.0.0.1 - - [02/Jan/2026:03:04:05 +0000] "POST /score HTTP/1.1" 200 17 "-" "curl/8.0"',
        '  File "/project/score.py", line 4, in run',
        "[azmlinfsrv] still loading, 10 s",
        "ready or not, [azmlinfsrv] ready",
    ],
)
def test_ordinary_lines_mean_nothing(line: str) -> None:
    """Lines of logs and of the script neither begin nor end anything, nor are they problems."""
    matcher = BackgroundMatcher(vscode.PROBLEM_MATCHER)
    assert not matcher.take(line) and matcher.active
    assert matcher.take("[azmlinfsrv] ready in 5 ms: POST http://127.0.0.1:5001/score")
    assert matcher.problems == () and not matcher.stray
    assert not matcher.take(line) and not matcher.active and not matcher.stray


@pytest.mark.parametrize("file", ["/a folder/score.py", "C:\\project\\score.py", "score.py"])
def test_any_path(file: str) -> None:
    """A path may hold spaces, or begin with a drive letter."""
    matcher = BackgroundMatcher(vscode.PROBLEM_MATCHER)
    matcher.take(f"{file}:12:5: error: KeyError: 'a:1:2'")
    matcher.take("[azmlinfsrv] not ready: init() failed")
    assert matcher.problems == (Problem(file, 12, 5, "error", "KeyError: 'a:1:2'"),)
