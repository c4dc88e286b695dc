"""What fits into a row of a terminal, and the line of one request."""

from __future__ import annotations

import logging
import re

import pytest

from devserver.display import blocks, lines
from devserver.display.cells import cells_of, filled, wrapped
from devserver.display.colour import Line, paint
from devserver.display.requests import RequestFormatter, request_line
from devserver.records.diagnostic import Diagnostic
from devserver.scoring import logs

LONG = (
    "FileNotFoundError: [Errno 2] No such file or directory: 'model/weights/classifier.pkl' in the folder /srv/models"
)


@pytest.mark.parametrize("width", [40, 80, 120, 500])
def test_no_word_of_a_line_is_broken(width: int) -> None:
    """Painted or not, with wide characters or not; the words are the same, in their order."""
    for colour in (False, True):
        for text in (LONG, "模型 " * 40, "short"):
            line = lines.bracket("error", text, colour)
            rows = wrapped(line, width)
            assert "".join(rows).replace(" ", "") == line.replace(" ", "")
            for row in rows:
                plain = re.sub(r"\x1b\[[0-9;]*m", "", row)
                assert cells_of(plain) <= width, plain
            assert all(row.startswith("  ") for row in rows[1:])


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_headline_is_one_line_that_a_terminal_breaks_between_words(width: int) -> None:
    """It is for a problem matcher, too, so that no newline may stand in it."""
    kind, _, message = LONG.partition(": ")
    error = Diagnostic("error", "init", kind, message, "/p/score.py", 12, 9)
    text = paint([filled(blocks.headline_of(error, "/p"), width)], False)
    assert "\n" not in text and text.split() == blocks.headline(error, cwd="/p").split()
    for start in range(width, len(text), width):
        assert text[start - 1] == " " or text[start] == " "


def test_a_word_that_is_longer_than_a_row_stays() -> None:
    """Nothing is put into it."""
    path: Line = [("place", "/" + "x" * 200 + ":1:1:"), ("", " "), ("error", "error: E")]
    assert paint([filled(path, 80)], False).startswith("/" + "x" * 200 + ":1:1: ")
    assert wrapped("x" * 200, 80) == ["x" * 200]


def test_long_hints_are_broken_at_words_in_a_terminal() -> None:
    """Below each other, and whole where there is no terminal; their own lines stay lines."""
    error = Diagnostic("error", "run", "E", "m", "/p/score.py", 1, 1, hint="word " * 30 + "\n  two\n  three")
    in_terminal = blocks.block(error, width=80, cwd="/p", breaks=True).split("\n")[1:]
    assert len(in_terminal) == 6 and all(len(line) <= 80 for line in in_terminal)  # with the File line
    assert in_terminal[1].startswith("  hint: word") and in_terminal[2].startswith("        word")
    assert in_terminal[-2:] == ["          two", "          three"]
    assert "  hint: " + "word " * 30 in blocks.block(error, width=80, cwd="/p")


@pytest.mark.parametrize(
    ("status", "milliseconds", "size", "says"),
    [
        (200, 1.24, "17", "POST /score 200 1.2 ms 17 bytes"),
        (404, 123.4, "5", "POST /score 404 123 ms 5 bytes"),
        (503, 2345.6, "N/A", "POST /score 503 2.3 s streamed"),
    ],
)
def test_the_line_of_a_request(status: int, milliseconds: float, size: str, says: str) -> None:
    """All of it is dim but the status."""
    line = request_line("POST", "/score", status, milliseconds, size, None)
    assert paint([line], False) == says
    assert [role for role, text in line if text != str(status)] == ["dim", "dim"]
    assert {200: "good", 404: "warning", 503: "error"}[status] in [role for role, _ in line]


def test_a_request_line_fits_and_holds_no_surprise() -> None:
    """A long target is cut; what a client has put into it moves no cursor, and is no problem for an editor."""
    line = paint([request_line("GET", "/a" * 100, 404, 1.0, "5", 71)], False)
    assert len(line) == 71 and line.endswith("… 404 1.0 ms 5 bytes")
    line = paint([request_line("GET", "/\x1b[2J\n/p/score.py:1:2: error: E", 404, 1.0, "5", None)], False)
    assert "\x1b" not in line and "\n" not in line and not re.match(r"^(.+?):(\d+):(\d+): (error|warning)", line)


def test_who_writes_request_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """The packaged configuration in the loop; a file of the user's that names azmlinfsrv gets them as records."""
    try:
        logs.configure(None, "INFO", True, RequestFormatter(colour=False, on_terminal=False))
        logs.write_record(logs.request_log, "%s %s %s %.3fms %s", "GET", "/x", 404, 1.0, "5")
        assert re.fullmatch(r"\d\d:\d\d:\d\d GET /x 404 1\.0 ms 5 bytes\n", capfd.readouterr().out)
        handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
        logging.config.dictConfig(
            {
                "version": 1,
                "handlers": {"h": handler},
                "loggers": {"azmlinfsrv": {"level": "INFO", "handlers": ["h"], "propagate": False}},
            }
        )
        logs.request_log.disabled = False
        logs.write_record(logs.request_log, "%s %s %s %.3fms %s", "GET", "/x", 404, 1.0, "5")
        assert capfd.readouterr().out == "GET /x 404 1.000ms 5\n"
    finally:
        logs.configure(None, "INFO", False)
