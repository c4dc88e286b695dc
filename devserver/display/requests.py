"""The line of one answered request: dim, so that reports stand out, but for its status."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Mapping

from devserver.display.cells import cells_of, cut, no_headline, one_line
from devserver.display.colour import Line, paint, wants_colour
from devserver.process.streams import is_terminal

LEAST_ROOM = 20  # cells of a target, however small the terminal is


def request_line(method: str, target: str, status: int, milliseconds: float, size: str, width: int | None) -> Line:
    """`POST /score 200 1.2 ms 17 bytes`; the target is cut so that all fits into `width` cells, if there is a width."""
    before, after = (
        f"{one_line(method)} ",
        f" {_time(milliseconds)} {f'{size} bytes' if size.isdigit() else 'streamed'}",
    )
    target = one_line(target)
    if width is not None:
        target = cut(target, max(width - cells_of(f"{before} {status}{after}"), LEAST_ROOM))
    return no_headline([("dim", f"{before}{target} "), (_role(status), str(status)), ("dim", after)])


def _role(status: int) -> str:
    return "good" if status < 400 else "warning" if status < 500 else "error"


def _time(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"


class RequestFormatter(logging.Formatter):
    """Records of requests, whose arguments are those of `request_line`, as such lines behind the time of day."""

    def __init__(self, colour: bool, on_terminal: bool) -> None:
        super().__init__()
        self._colour = colour
        self._on_terminal = on_terminal

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its newline."""
        method, target, status, milliseconds, size = record.args or ()
        now = time.strftime("%H:%M:%S ", time.localtime(record.created))
        width = shutil.get_terminal_size().columns - len(now) if self._on_terminal else None
        line = request_line(str(method), str(target), int(str(status)), float(str(milliseconds)), str(size), width)
        # the supervisor may have left there how long the request has taken so far
        clear = "\x1b[K" if self._on_terminal else ""
        return clear + paint([[("dim", now), *line]], self._colour)


def request_formatter(environ: Mapping[str, str]) -> RequestFormatter:
    """For what this process writes to its standard output; in a file such a line is for searching, without colour."""
    on_terminal = is_terminal(sys.stdout)
    return RequestFormatter(on_terminal and wants_colour(environ, on_terminal), on_terminal)
