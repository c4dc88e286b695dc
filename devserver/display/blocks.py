"""One diagnostic as a block of text: headline, excerpt, frames, causes and hint."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable, Sequence

from devserver.display.cells import (
    cells_of,
    cut,
    indented,
    no_headline,
    one_line,
    request_in_words,
    slice,
    stripped,
    wrapped,
)
from devserver.display.colour import Line, paint
from devserver.records.diagnostic import Cause, Diagnostic, Excerpt, Frame
from devserver.text import clean, path_for_people

MOST_LINES = 13  # of a block; the state line below it is the fourteenth
_MORE_HINT = 6  # lines of a hint below its first
_MESSAGE = 300  # characters of a message in a headline
_HINT = 200  # characters of a hint in a headline
_UNCUT = 100_000


# ----------------------------------------------------------------------- block


def block(
    error: Diagnostic,
    *,
    colour: bool = False,
    width: int = 80,
    cwd: str | None = None,
    full_traceback: bool = False,
    count: int = 1,
    head: Line | None = None,
    breaks: bool = False,
) -> str:
    """The report of one error: a headline that says it all, and below it what people want to see.

    `width` is the terminal's in cells, `cwd` the folder that paths are shown relative to (default: the working
    directory). With `count` above 1 it is the same error again: the headline alone. `head` replaces the headline.
    `breaks`: hints are broken at words, as terminals would break them anywhere. No newline at the end.
    """
    head = headline_of(error, cwd, count) if head is None else head
    if count > 1:
        return paint([head], colour)
    row = width if breaks else _UNCUT
    hint = _hint_lines(error.hint, row)
    below = _everything(error, width, cwd, hint, row) if full_traceback else _essentials(error, width, cwd, hint)
    return paint([head, *map(no_headline, below)], colour)


def headline(error: Diagnostic, *, colour: bool = False, cwd: str | None = None, count: int = 1) -> str:
    """`path:line:column: error: Type: message`, one line; without a place `error: Type: message`."""
    return paint([headline_of(error, cwd, count)], colour)


def headline_for_editor(error: Diagnostic, cwd: str | None = None, count: int = 1) -> Line:
    """The headline, the hint and the end of the marked span on one line, for a problem matcher."""
    line = headline_of(error, cwd, count)
    if error.hint:
        line.append(("", f"; hint: {cut(one_line(error.hint), _HINT)}"))
    end = _end_of(error)
    return [*line, ("dim", f" (to {end[0]}:{end[1]})")] if end is not None else line


def _end_of(error: Diagnostic) -> tuple[int, int] | None:
    """Line and column one past what is marked at the error's place, where that is known."""
    here, frame, excerpt = (error.line, error.column), error.frames[-1] if error.frames else None, error.excerpt
    is_here = frame is not None and frame.path == error.path and (frame.line, frame.column) == here
    if is_here and frame is not None and frame.end_line is not None and frame.end_column is not None:
        return frame.end_line, frame.end_column
    if excerpt is not None and (excerpt.line, excerpt.column) == here and excerpt.end_column > excerpt.column:
        return excerpt.line, excerpt.end_column
    return None


def headline_of(error: Diagnostic, cwd: str | None, count: int = 1) -> Line:
    """What `headline` paints."""
    message = one_line(_message_lines(error)[0])
    line = _place(error, cwd)
    line.append((error.severity, f"{error.severity}: {error.type or cut(message, _MESSAGE)}"))
    if error.type and message:
        line.append(("", f": {cut(message, _MESSAGE)}"))
    return [*line, ("dim", f" ({count} times)")] if count > 1 else line


def _place(error: Diagnostic, cwd: str | None) -> Line:
    """`path:line:column: `; nothing for what has no place."""
    if error.path is None:
        return []
    return [("place", f"{path_for_people(error.path, cwd)}:{error.line}:{error.column}:"), ("", " ")]


def _message_lines(error: Diagnostic) -> list[str]:
    return [line for line in error.message.split("\n") if line.strip()] or [""]


def _essentials(error: Diagnostic, width: int, cwd: str | None, hint: list[Line]) -> list[Line]:
    """At most `MOST_LINES` lines with the headline: what is long gives way first."""
    message = [indented(text, width) for text in _message_lines(error)[1:4]]
    frames = _frame_lines(error, width)
    causes = [_cause_line(cause, width, cwd) for cause in error.causes[:3]]
    library, ends = _library_line(error), [*hint, *_request_line(error, width)]
    rest = MOST_LINES - 1 - len(library) - len(ends)
    for part, least in ((causes, 2), (message, 2), (frames, 2), (causes, 1), (message, 1)):
        if len(message) + len(frames) + len(causes) > rest - 5:  # a whole excerpt has five lines
            del part[least:]
    if len(error.causes) > len(causes):
        causes[-1] = [*causes[-1], ("dim", f" (and {len(error.causes) - len(causes)} more)")]
    context = min(3, rest - 2 - len(message) - len(frames) - len(causes))
    return [*message, *_excerpt_lines(error, width, max(0, context)), *frames, *library, *causes, *ends]


def _everything(error: Diagnostic, width: int, cwd: str | None, hint: list[Line], row: int) -> list[Line]:
    message = [line for text in _message_lines(error)[1:] for line in _uncut(text, row)]
    texts = _with_sources(error.traceback.rstrip().split("\n")) if error.traceback else ()
    trace = [line for text in texts for line in _uncut(text, row)]
    causes = [] if trace else [_cause_line(cause, width, cwd) for cause in error.causes]
    ends = [*hint, *_request_line(error, width)]
    return [*message, *_excerpt_lines(error, width, 3), *(trace or _frame_lines(error, width)), *causes, *ends]


def _uncut(text: str, row: int) -> list[Line]:
    """The whole text, in rows that are broken at words; a place stays whole, for terminals make a link of it."""
    if _FILE_LINE.match(text):
        return [indented(text, _UNCUT)]
    return [indented(part, _UNCUT) for part in wrapped(text.rstrip(), row - 2, f"{_indent_of(text)}  ")]


_FILE_LINE = re.compile(r'(\s*(?:\| )*)\s\sFile "([^"]+)", line (\d+)')


def _with_sources(lines: Sequence[str]) -> Iterable[str]:
    """The traceback with the library's source lines, which a report does not carry."""
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        yield line
        found = _FILE_LINE.match(line)
        if found and not following.startswith(found[1] + "    "):
            source = linecache.getline(found[2], int(found[3])).strip()
            if source:
                yield f"{found[1]}    {clean(source)}"


def _frame_lines(error: Diagnostic, width: int) -> list[Line]:
    """At most three `File` lines, outermost first; the last one is the place."""
    frames = list(error.frames)
    last = frames[-1] if frames else None
    if (
        error.path is not None
        and error.line is not None
        and (last is None or (last.path, last.line) != (error.path, error.line))
    ):
        frames.append(Frame(error.path, error.line, None, None, None, "", ""))
    skipped = len(frames) - 3
    if skipped > 0:
        frames = [frames[0], *frames[-2:]]
    notes = [f" ... {skipped} more call{'s' if skipped > 1 else ''}" if skipped > 0 else "", "", ""]
    notes[max(0, len(frames) - 1)] = f", in thread {one_line(error.thread)}" if error.thread else ""
    return [_frame_line(frame, width, note, frame is frames[-1]) for frame, note in zip(frames, notes, strict=False)]


def _frame_line(frame: Frame, width: int, note: str, last: bool) -> Line:
    """The place is never cut, the source line is; the last call's is in the excerpt."""
    text = f'  File "{clean(frame.path)}", line {frame.line}'
    text += f", in {clean(frame.function)}" if frame.function else ""
    text += f" ({frame.repeats} times)" if frame.repeats > 1 else ""
    source, room = one_line(frame.source), width - cells_of(text + note) - 2
    if source and not last and room > 12:
        text += f": {cut(source, room)}"
    return [("dim", text + note)]


def _library_line(error: Diagnostic) -> list[Line]:
    if not error.hidden:
        return []
    count = f"{error.hidden} library frame{'s' if error.hidden > 1 else ''} hidden"
    verb = "raised in" if error.type else "inside"
    return [[("dim", f"  {verb} {clean(error.raised_in)} ({count})" if error.raised_in else f"  {count}")]]


def _cause_line(cause: Cause, width: int, cwd: str | None) -> Line:
    place = f" at {path_for_people(cause.path, cwd)}:{cause.line}" if cause.path else ""
    message = one_line(cause.message)
    label = f"  {cause.relation}: "
    text = f"{cause.type}: {message}" if message else cause.type
    return [("dim", label), ("", cut(text, max(width - len(label) - cells_of(place), 30))), ("dim", place)]


def _hint_lines(hint: str | None, width: int) -> list[Line]:
    if not hint:
        return []
    texts = clean(hint).split("\n")[: _MORE_HINT + 1]
    first, *more = [row for text in texts for row in wrapped(text, width - 8, _indent_of(text))]
    return [[("", "  "), ("hint", "hint:"), ("", f" {first}")], *([("", f"        {line}")] for line in more)]


def _indent_of(text: str) -> str:
    return text[: len(text) - len(text.lstrip(" "))]


def _request_line(error: Diagnostic, width: int) -> list[Line]:
    request = error.request
    if request is None:
        return []
    start = f"  request: {request_in_words(request)} {request.content_type or 'no content type'} {request.size} bytes "
    end = f" -> {error.status}" if error.status else ""
    body = cut(one_line(request.body), max(width - cells_of(start) - len(end), 20))
    return [[("dim", one_line(start, keep=True) + body + end)]]


# --------------------------------------------------------------------- excerpt


def _excerpt_lines(error: Diagnostic, width: int, context: int) -> list[Line]:
    """The marked line with at most `context` others around it, and a line of carets below it."""
    excerpt = error.excerpt
    if excerpt is None:
        return []
    lines = _nearest_lines(excerpt, context)
    digits = max(2, len(str(lines[-1][0])))
    room = max(width - digits - 5, 20)
    marked = next(text for number, text in lines if number == excerpt.line)
    start, end = cells_of(marked[: excerpt.column - 1]), cells_of(marked[: excerpt.end_column - 1])
    left = _left_edge(cells_of(marked), start, end, room)
    found: list[Line] = []
    for number, text in lines:
        here = number == excerpt.line
        if here or cells_of(text) > left:
            gutter = (error.severity, ">") if here else ("", " ")
            found.append([gutter, ("dim", f" {number:>{digits}} | "), ("", slice(text, left, room))])
        if here and end > start:
            carets = " " * (start - left) + "^" * max(1, min(end, left + room) - start)
            found.append([("dim", f"  {' ' * digits} | "), (error.severity, carets)])
    return [stripped(line) for line in found]


def _nearest_lines(excerpt: Excerpt, context: int) -> list[tuple[int, str]]:
    at = next(index for index, (number, _) in enumerate(excerpt.lines) if number == excerpt.line)
    above = at if context > 2 else min(at, 1)
    below = 1 if context > 1 else 0
    return list(excerpt.lines[at - above : at + 1 + below])


def _left_edge(total: int, start: int, end: int, room: int) -> int:
    """The first cell to show so that the marked span is seen."""
    if total <= room or end < room or start < room // 3:
        return 0
    return max(0, min(start - room // 4, end - room + 2) if end - start < room // 2 else start - 2)
