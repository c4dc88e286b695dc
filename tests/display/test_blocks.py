"""How the records look: blocks, begin and end lines, JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gallery
import pytest
from live import ROOT
from mistakes import HAS_COLUMNS, INIT, RUN, World

from devserver.display import blocks, colour, console
from devserver.display.lines import (
    end_of_report,
    given_up,
    not_ready,
    ready,
    request_failed,
    restarting,
    restarting_after_death,
    starting,
)
from devserver.records import as_json
from devserver.records.changes import ChangeSet, FileChange, Role
from devserver.records.diagnostic import Cause, Diagnostic, Excerpt, Frame, Request
from devserver.records.messages import LoadReport, Times

# as in the task that the README shows for VS Code, and a looser one that takes a line without a column
EDITOR = re.compile(r"^(.+?):(\d+):(\d+): (error|warning|info): (.*)$")
LOOSE = re.compile(r"^(.+?):(\d+)(?::(\d+))?: (error|warning)[: ]")
BEGINS = re.compile(r"^\[azmlinfsrv\] (?:starting|restarting|request failed)\b")
ENDS = re.compile(r"^\[azmlinfsrv\] (?:ready|not ready|still serving|end of report)\b")
CODE = re.compile(r"\x1b\[[\d;]*m")

HERE = os.path.join(os.getcwd(), "score.py")
SAVED = ChangeSet((FileChange("/p/score.py", "modified", Role.CODE),))
ERROR = Diagnostic(
    "error",
    "run",
    "KeyError",
    "'income'",
    HERE,
    10,
    13,
    excerpt=Excerpt(((8, "def run(raw_data):"), (9, "    data = 1"), (10, '    total = data["income"]')), 10, 13, 27),
    frames=(Frame(HERE, 10, 13, 10, 27, "run", 'total = data["income"]'),),
    request=Request("POST", "/score?a=1", "application/json", 21, '{"data":\n [1]}'),
    status=500,
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path, monkeypatch)
    yield found
    found.close()


def cells(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


# ----------------------------------------------------------------------- block


def test_block_of_a_request() -> None:
    """The whole picture: headline, excerpt with carets, place, hint, request."""
    error = replace(ERROR, hint="the request has the fields 'data'", hidden=2, raised_in="pandas/base.py get_loc")
    assert (
        blocks.block(error, width=100)
        == f"""\
score.py:10:13: error: KeyError: 'income'
   8 | def run(raw_data):
   9 |     data = 1
> 10 |     total = data["income"]
     |             ^^^^^^^^^^^^^^
  File "{HERE}", line 10, in run
  raised in pandas/base.py get_loc (2 library frames hidden)
  hint: the request has the fields 'data'
  request: POST /score?a=1 application/json 21 bytes {{"data": [1]}} -> 500"""
    )


SAMPLES = list(gallery.samples())


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("error", [error for _, error in SAMPLES], ids=[title for title, _ in SAMPLES])
def test_every_sample_keeps_the_rules(error: Diagnostic, width: int) -> None:
    """One line for the editor, at most 13 lines, the same text with and without colour, one File line at least."""
    plain, coloured = blocks.block(error, width=width), blocks.block(error, width=width, colour=True)
    lines = plain.split("\n")
    assert CODE.sub("", coloured) == plain
    assert coloured != plain
    assert [bool(LOOSE.match(line)) for line in lines] == [True] + [False] * (len(lines) - 1)
    found = EDITOR.match(lines[0])
    assert found is not None
    assert (found[1], int(found[2]), int(found[3]), found[4]) == (error.path, error.line, error.column, error.severity)
    assert len(lines) <= blocks.MOST_LINES
    assert f'File "{error.path}", line {error.line}' in plain
    assert not any(line.startswith("[") for line in lines)
    assert not any(line != line.rstrip() for line in lines)


def test_path_is_relative_below_the_working_directory() -> None:
    """Elsewhere it is absolute."""
    assert blocks.headline(ERROR).startswith("score.py:10:13: error: ")
    assert blocks.headline(ERROR, cwd=os.path.join(os.getcwd(), "other")).startswith(f"{HERE}:10:13: error: ")


def test_same_error_again_is_the_headline_with_a_count() -> None:
    """Nobody reads the same block twice."""
    assert blocks.block(ERROR, count=3) == "score.py:10:13: error: KeyError: 'income' (3 times)"


def test_type_without_message_and_message_without_type() -> None:
    """Neither leaves a dangling colon."""
    assert blocks.headline(replace(ERROR, message="")) == "score.py:10:13: error: KeyError"
    assert blocks.headline(replace(ERROR, type="")) == "score.py:10:13: error: 'income'"


def test_only_the_headline_looks_like_one(world: World) -> None:
    """Messages, sources, causes and bodies that look like an error line are changed by a space."""
    bait = "lib.c:3:5: error: bad"
    error = world.mistake(
        f"try:\n    1 / 0  # {bait}\nexcept ZeroDivisionError as error:\n"
        f"    raise ValueError('x\\n{bait}') from ValueError('{bait}')  # {bait}\n"
    )
    error = replace(error, hint=bait, request=replace(ERROR.request or _never(), body=bait))
    for full in (False, True):
        lines = blocks.block(error, full_traceback=full, width=200).split("\n")
        assert [bool(LOOSE.match(line)) for line in lines].count(True) == 1
        assert sum("lib.c:3:5 : error: bad" in line for line in lines) >= 4


def _never() -> Any:
    raise AssertionError


def test_long_reports_give_way_where_they_are_long() -> None:
    """Many causes, frames and message lines leave room for the excerpt, the hint and the request."""
    error = replace(
        ERROR,
        message="\n".join(f"line {n}" for n in range(9)),
        frames=tuple(Frame(f"/p/{n}.py", n, None, None, None, "f", "call()") for n in range(1, 9)),
        causes=tuple(Cause("in group", "ValueError", f"row {n}", "/p/score.py", n) for n in range(1, 7)),
        hint="look there",
        hidden=1,
        raised_in="json/decoder.py x",
    )
    text = blocks.block(error, width=100)
    assert len(text.split("\n")) <= blocks.MOST_LINES
    for part in ("> 10 |", "     | ", "hint: look there", "request: ", "(and 5 more)", "... 6 more calls", "line 1"):
        assert part in text


def test_full_traceback_shows_everything(world: World) -> None:
    """All lines of the message, all calls with their sources, also the library's."""
    error = world.mistake("import json\n" + INIT + "def run(raw_data):\n    return json.loads('{')\n")
    text = blocks.block(error, full_traceback=True, width=60)
    assert "decoder.py" in text
    assert "obj, end = self.raw_decode(s, idx=_w(s, 0).end())" in text
    assert "return json.loads('{')" in text
    assert LOOSE.match(text.split("\n")[0])


def test_warning_is_not_red() -> None:
    """Roles decide the colour; neither yellow nor blue, which one of the backgrounds swallows."""
    warning = blocks.block(replace(ERROR, severity="warning"), colour=True)
    assert "\x1b[31m" not in warning and "\x1b[35m" in warning
    assert not re.search(r"\x1b\[(33|34|93|94)m", "".join(blocks.block(e, colour=True) for _, e in SAMPLES))


# --------------------------------------------------------------------- excerpt


def excerpt(text: str, column: int, end_column: int, width: int) -> list[str]:
    """The marked line and its carets."""
    error = replace(ERROR, excerpt=Excerpt(((10, text),), 10, column, end_column))
    return blocks.block(error, width=width).split("\n")[1:3]


def marked(lines: list[str]) -> str:
    """What stands above the carets, by cells."""
    start, end = lines[1].index("^"), lines[1].rindex("^") + 1
    found, at = "", 0
    for character in lines[0]:
        if start <= at < end:
            found += character
        at += cells(character)
    return found


@pytest.mark.parametrize("width", [30, 50, 80, 300])
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("total = one + two", "two"),
        ("\tif x:\treturn y", "y"),
        ("名前 = '模型' + value", "value"),
        ("x = '" + "模型" * 60 + "' + value", "value"),
        ("x = '" + "a" * 300 + "' + value + '" + "b" * 300 + "'", "value"),
        ("e\u0301te\u0301 = value", "value"),
    ],
)
def test_carets_stand_under_the_place(text: str, part: str, width: int) -> None:
    """Also with tabs, wide and combining characters, and where the line is cut."""
    column = text.index(part) + 1
    lines = excerpt(text, column, column + len(part), width)
    assert marked(lines) == part
    assert all(cells(line) <= width for line in lines)


def test_long_span_is_cut_at_the_edge() -> None:
    """Carets end where the shown text ends."""
    lines = excerpt("value = call(" + "a, " * 100 + ")", 9, 315, 50)
    assert cells(lines[0]) == 50 and lines[0].endswith("…")
    assert marked(lines).startswith("call(")
    assert cells(lines[1]) <= 50


def test_unknown_columns_mark_the_line_only() -> None:
    """Before Python 3.11 there are no carets."""
    lines = blocks.block(replace(ERROR, excerpt=Excerpt(((10, "a = 1"),), 10, 1, 1))).split("\n")
    assert lines[1] == "> 10 | a = 1"
    assert "^" not in lines[2]


def test_source_is_shown_safely() -> None:
    """Control characters and odd spaces in a source line are escapes, and the carets still fit."""
    text = "x = '\x1b[31m\u00a0' + value"
    lines = excerpt(text, text.index("value") + 1, text.index("value") + 6, 80)
    assert "\x1b" not in lines[0] and "\\x1b[31m\\xa0" in lines[0]
    assert marked(lines) == "value"


@pytest.mark.skipif(not HAS_COLUMNS, reason="positions of instructions came with Python 3.11")
def test_place_of_a_real_error_is_underlined(world: World) -> None:
    """From the exception to the carets."""
    error = world.mistake("def init():\n    return len('é') + 'a'.size\n" + RUN)
    assert marked(blocks.block(error).split("\n")[2:4]) == "'a'.size"


# ---------------------------------------------------------------------- colour


@pytest.mark.parametrize(
    ("environ", "is_tty", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"PYTHON_COLORS": "1", "NO_COLOR": "1"}, False, True),
        ({"PYTHON_COLORS": "0", "FORCE_COLOR": "1"}, True, False),
        ({"PYTHON_COLORS": "yes"}, False, False),
    ],
)
def test_colour_is_decided_in_pythons_order(environ: dict[str, str], is_tty: bool, wanted: bool) -> None:
    """PYTHON_COLORS, NO_COLOR, FORCE_COLOR, TERM=dumb, the terminal."""
    assert colour.wants_colour(environ, is_tty) is wanted


# --------------------------------------------------------------- begin and end


def test_begin_and_end_lines_match_the_editors_patterns() -> None:
    """Whole lines from the left edge; none of them is a problem itself."""
    begins = [
        starting("/x/score.py"),
        restarting(SAVED, "/p"),
        restarting(ChangeSet(), "/p"),
        restarting_after_death(0.5),
        request_failed(ERROR),
        request_failed(replace(ERROR, severity="warning", status=200)),
        request_failed(replace(ERROR, request=None, status=None, thread="warm-up")),
    ]
    ends = [
        ready(LoadReport(True, times=Times(1234, 4, 0.4)), 1.3, "http://127.0.0.1:5001/score"),
        ready(LoadReport(True, times=Times(0, 4, 12), warm=True), 0.03, "http://127.0.0.1:5001/score"),
        given_up(replace(ERROR, phase="init")),
        not_ready(replace(ERROR, phase="init"), 2.0),
        not_ready(replace(ERROR, phase="load")),
        end_of_report(),
    ]
    assert all(BEGINS.match(line) and not ENDS.match(line) for line in begins)
    assert all(ENDS.match(line) and not BEGINS.match(line) for line in ends)
    assert not any(LOOSE.match(line) for line in begins + ends)
    assert begins[2:4] == ["[azmlinfsrv] restarting: as asked", "[azmlinfsrv] restarting in 0.5 s: the process died"]
    assert begins[4] == "[azmlinfsrv] request failed: POST /score?a=1 -> 500"
    assert begins[6] == "[azmlinfsrv] request failed: thread warm-up"
    assert ends[0] == "[azmlinfsrv] ready in 1.3 s (imports 1.2 s, script 4 ms): POST http://127.0.0.1:5001/score"
    assert ends[1].startswith("[azmlinfsrv] ready in 30 ms (script 4 ms, init 12 ms, warm): POST")
    assert ends[2] == "[azmlinfsrv] not ready: User's init function failed"
    assert ends[3].startswith("[azmlinfsrv] not ready: init() failed after 2.0 s")


def test_coloured_lines_have_the_same_text() -> None:
    """Also for begin and end lines."""
    good = LoadReport(True)
    assert CODE.sub("", ready(good, 1.0, "u", colour=True)) == ready(good, 1.0, "u")
    assert CODE.sub("", not_ready(ERROR, colour=True)) == not_ready(ERROR)


# ------------------------------------------------------------------ for programs


def test_event_is_one_line_of_json() -> None:
    """Versioned and named; a record in it can be read back."""
    line = as_json.event("request_failed", generation=2, error=ERROR)
    data = json.loads(line)
    assert "\n" not in line and "\x1b" not in line
    assert (data["v"], data["event"], data["generation"]) == (1, "request_failed", 2)
    assert as_json.from_json(data["error"]) == ERROR


def test_error_object_of_an_answer() -> None:
    """What a client on this machine is told."""
    found = as_json.error_object(replace(ERROR, hint="h"))
    assert json.loads(json.dumps(found)) == {
        "phase": "run",
        "type": "KeyError",
        "message": "'income'",
        "file": HERE,
        "line": 10,
        "column": 13,
        "hint": "h",
        "frames": [{"file": HERE, "line": 10, "column": 13, "function": "run", "source": 'total = data["income"]'}],
    }


def test_repeats_are_counted_for_a_minute() -> None:
    """A minute after the last time an error is new again; another error is another."""
    now = 100.0
    repeats = console.Repeats(lambda: now)
    assert [repeats.count(ERROR), repeats.count(replace(ERROR, line=9)), repeats.count(ERROR)] == [1, 1, 2]
    now += 59
    assert repeats.count(ERROR) == 3
    now += 61
    assert repeats.count(ERROR) == 1


def test_gallery_prints_everything() -> None:
    """`python docs/gallery.py` shows each kind of output, plain and coloured."""
    done = subprocess.run(
        [sys.executable, "-B", "docs/gallery.py"],
        capture_output=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "90"},
        cwd=ROOT,
    )
    text = done.stdout.decode().replace(os.linesep, "\n")
    plain, coloured = text[: len(text) // 3], text[len(text) // 2 :]
    assert "\x1b" not in plain and "\x1b[" in coloured
    for title, _ in SAMPLES:
        assert text.count(f"# {title}\n") == 2
    assert done.stderr == b""
