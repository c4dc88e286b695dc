"""How a record looks: records come in; terminal text, JSON lines and the `error` object of an answer go out."""

from __future__ import annotations

import json
import linecache
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from devserver.replies import MOST_LINES as MOST_ANSWER_LINES
from devserver.replies import pretty
from devserver.report import Cause, Excerpt, Frame, LoadReport, Request, RunError, clean, to_json
from devserver.samples import ReplayReport, SampleSent
from devserver.syntax import shown

if TYPE_CHECKING:
    from devserver.watch.targets import Targets

Segment = tuple[str, str]  # (role, text)
Line = list[Segment]

MOST_LINES = 13  # of a block; the state line below it is the fourteenth
_MORE_HINT = 6  # lines of a hint below its first
_MESSAGE = 300  # characters of a message in a headline
_TAB = 4
_UNCUT = 100_000


# ---------------------------------------------------------------------- colour


def wants_colour(environ: Mapping[str, str], is_tty: bool) -> bool:
    """Whether to colour, decided in CPython's order."""
    if environ.get("PYTHON_COLORS") in ("0", "1"):
        return environ["PYTHON_COLORS"] == "1"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_tty and environ.get("TERM") != "dumb"


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """The colour of each role; chosen to be read on black and on white, so no yellow and no blue."""
    from colorama import Fore, Style

    return {
        "place": Style.BRIGHT,
        "error": Style.BRIGHT + Fore.RED,
        "warning": Style.BRIGHT + Fore.MAGENTA,
        "mark": Style.BRIGHT + Fore.RED,
        "hint": Style.BRIGHT + Fore.CYAN,
        "good": Style.BRIGHT + Fore.GREEN,
        "dim": Style.DIM,
        "end": Style.RESET_ALL,
    }


def _paint(lines: Iterable[Line], colour: bool) -> str:
    return "\n".join("".join(_painted(role, text, colour) for role, text in line) for line in lines)


def _painted(role: str, text: str, colour: bool) -> str:
    if not colour or not role or not text:
        return text
    return f"{_codes()[role]}{text}{_codes()['end']}"


# ----------------------------------------------------------------------- block


def block(
    error: RunError,
    *,
    colour: bool = False,
    width: int = 80,
    cwd: str | None = None,
    full_traceback: bool = False,
    count: int = 1,
) -> str:
    """The report of one error: a headline that says it all, and below it what people want to see.

    `width` is the terminal's in cells, `cwd` the folder that paths are shown relative to (default: the working
    directory). With `count` above 1 it is the same error again: the headline alone. No newline at the end.
    """
    head = _headline(error, cwd, count)
    if count > 1:
        return _paint([head], colour)
    below = _everything(error, width, cwd) if full_traceback else _essentials(error, width, cwd)
    return _paint([head, *map(_no_headline, below)], colour)


def headline(error: RunError, *, colour: bool = False, cwd: str | None = None, count: int = 1) -> str:
    """`path:line:column: error: Type: message`, one line."""
    return _paint([_headline(error, cwd, count)], colour)


def _headline(error: RunError, cwd: str | None, count: int) -> Line:
    message = _one_line(_message_lines(error)[0])
    line = [
        ("place", f"{_path(error.path, cwd)}:{error.line}:{error.column}:"),
        ("", " "),
        (error.severity, f"{error.severity}: {error.type or _cut(message, _MESSAGE)}"),
    ]
    if error.type and message:
        line.append(("", f": {_cut(message, _MESSAGE)}"))
    return [*line, ("dim", f" ({count} times)")] if count > 1 else line


def _path(path: str, cwd: str | None) -> str:
    return clean(shown(path, cwd)).replace("\n", "\\n") or "?"


def _message_lines(error: RunError) -> list[str]:
    return [line for line in error.message.split("\n") if line.strip()] or [""]


_LIKE_HEADLINE = re.compile(r"(:\d+): (?=(?:error|warning|info)\b)")


def _no_headline(line: Line) -> Line:
    """The line, changed by a space where a problem matcher would take it for a headline too."""
    text = "".join(part for _, part in line)
    if not _LIKE_HEADLINE.search(text):
        return line
    return [(role, _LIKE_HEADLINE.sub(r"\1 : ", part)) for role, part in line] if len(line) > 1 else _plain(text)


def _plain(text: str) -> Line:
    return [("", _LIKE_HEADLINE.sub(r"\1 : ", text))]


def _essentials(error: RunError, width: int, cwd: str | None) -> list[Line]:
    """At most `MOST_LINES` lines with the headline: what is long gives way first."""
    message = [_indented(text, width) for text in _message_lines(error)[1:4]]
    frames = _frame_lines(error, width)
    causes = [_cause_line(cause, width, cwd) for cause in error.causes[:3]]
    library, ends = _library_line(error), [*_hint_lines(error.hint), *_request_line(error, width)]
    rest = MOST_LINES - 1 - len(library) - len(ends)
    for part, least in ((causes, 2), (message, 2), (frames, 2), (causes, 1), (message, 1)):
        if len(message) + len(frames) + len(causes) > rest - 5:  # a whole excerpt has five lines
            del part[least:]
    if len(error.causes) > len(causes):
        causes[-1] = [*causes[-1], ("dim", f" (and {len(error.causes) - len(causes)} more)")]
    context = min(3, rest - 2 - len(message) - len(frames) - len(causes))
    return [*message, *_excerpt_lines(error, width, max(0, context)), *frames, *library, *causes, *ends]


def _everything(error: RunError, width: int, cwd: str | None) -> list[Line]:
    message = [_indented(text, _UNCUT) for text in _message_lines(error)[1:]]
    trace = [_indented(line, _UNCUT) for line in _with_sources(error.traceback.rstrip().split("\n")) if error.traceback]
    causes = [] if trace else [_cause_line(cause, width, cwd) for cause in error.causes]
    ends = [*_hint_lines(error.hint), *_request_line(error, width)]
    return [*message, *_excerpt_lines(error, width, 3), *(trace or _frame_lines(error, width)), *causes, *ends]


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


def _frame_lines(error: RunError, width: int) -> list[Line]:
    """At most three `File` lines, outermost first; the last one is the place."""
    frames = list(error.frames)
    last = frames[-1] if frames else None
    if last is None or (last.path, last.line) != (error.path, error.line):
        frames.append(Frame(error.path, error.line, None, None, None, "", ""))
    skipped = len(frames) - 3
    if skipped > 0:
        frames = [frames[0], *frames[-2:]]
    notes = [f" ... {skipped} more call{'s' if skipped > 1 else ''}" if skipped > 0 else "", "", ""]
    notes[len(frames) - 1] = f", in thread {_one_line(error.thread)}" if error.thread else ""
    return [_frame_line(frame, width, note, frame is frames[-1]) for frame, note in zip(frames, notes, strict=False)]


def _frame_line(frame: Frame, width: int, note: str, last: bool) -> Line:
    """The place is never cut, the source line is; the last call's is in the excerpt."""
    text = f'  File "{clean(frame.path)}", line {frame.line}'
    text += f", in {clean(frame.function)}" if frame.function else ""
    text += f" ({frame.repeats} times)" if frame.repeats > 1 else ""
    source, room = _one_line(frame.source), width - _cells(text + note) - 2
    if source and not last and room > 12:
        text += f": {_cut(source, room)}"
    return [("dim", text + note)]


def _library_line(error: RunError) -> list[Line]:
    if not error.hidden:
        return []
    count = f"{error.hidden} library frame{'s' if error.hidden > 1 else ''} hidden"
    verb = "raised in" if error.type else "inside"
    return [[("dim", f"  {verb} {clean(error.raised_in)} ({count})" if error.raised_in else f"  {count}")]]


def _cause_line(cause: Cause, width: int, cwd: str | None) -> Line:
    place = f" at {_path(cause.path, cwd)}:{cause.line}" if cause.path else ""
    message = _one_line(cause.message)
    label = f"  {cause.relation}: "
    text = f"{cause.type}: {message}" if message else cause.type
    return [("dim", label), ("", _cut(text, max(width - len(label) - _cells(place), 30))), ("dim", place)]


def _hint_lines(hint: str | None) -> list[Line]:
    if not hint:
        return []
    first, *more = clean(hint).split("\n")
    return [
        [("", "  "), ("hint", "hint:"), ("", f" {first}")],
        *([("", f"        {line}")] for line in more[:_MORE_HINT]),
    ]


def _request_line(error: RunError, width: int) -> list[Line]:
    request = error.request
    if request is None:
        return []
    start = f"  request: {_request(request)} {request.content_type or 'no content type'} {request.size} bytes "
    end = f" -> {error.status}" if error.status else ""
    body = _cut(_one_line(request.body), max(width - _cells(start) - len(end), 20))
    return [[("dim", _one_line(start, keep=True) + body + end)]]


def _request(request: Request) -> str:
    return _cut(_one_line(f"{request.method} {request.path}"), 80)


# --------------------------------------------------------------------- excerpt


def _excerpt_lines(error: RunError, width: int, context: int) -> list[Line]:
    """The marked line with at most `context` others around it, and a line of carets below it."""
    excerpt = error.excerpt
    if excerpt is None:
        return []
    lines = _nearest_lines(excerpt, context)
    digits = max(2, len(str(lines[-1][0])))
    room = max(width - digits - 5, 20)
    marked = next(text for number, text in lines if number == excerpt.line)
    start, end = _cells(marked[: excerpt.column - 1]), _cells(marked[: excerpt.end_column - 1])
    left = _left_edge(_cells(marked), start, end, room)
    found: list[Line] = []
    for number, text in lines:
        here = number == excerpt.line
        if here or _cells(text) > left:
            gutter = (error.severity, ">") if here else ("", " ")
            found.append([gutter, ("dim", f" {number:>{digits}} | "), ("", _slice(text, left, room))])
        if here and end > start:
            carets = " " * (start - left) + "^" * max(1, min(end, left + room) - start)
            found.append([("dim", f"  {' ' * digits} | "), (error.severity, carets)])
    return [_stripped(line) for line in found]


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


def _slice(text: str, left: int, room: int) -> str:
    """The cells `left` to `left + room` of a line, with an ellipsis where something is cut."""
    grid = _grid(text)
    if left == 0 and len(grid) <= room:
        return "".join(grid)
    part = grid[left : left + room]
    if left and part:
        part[:2] = ["…", part[1] or " "] if len(part) > 1 else ["…"]
    if left + room < len(grid):
        part[-2:] = [part[-2] if part[-1] else " ", "…"]
    return "".join(part)


def _grid(text: str) -> list[str]:
    """What stands in each cell of a line; the second cell of a wide character holds nothing."""
    grid: list[str] = []
    for piece in _pieces(text):
        width = _width(piece)
        if len(piece) > 1:
            grid += piece
        elif width:
            grid += [piece, ""][:width]
        elif grid:
            grid[-1 if grid[-1] else -2] += piece
    return grid


def _stripped(line: Line) -> Line:
    role, text = line[-1]
    return [*line[:-1], (role, text.rstrip())]


def _pieces(text: str) -> list[str]:
    """A line in pieces that can be shown: tabs as spaces, what cannot be shown as escapes."""
    if text.isascii() and text.isprintable():
        return list(text)
    found, column = [], 0
    for character in text:
        piece = " " * (_TAB - column % _TAB) if character == "\t" else clean(character).replace("\n", "\\n")
        column += _width(piece)
        found.append(piece)
    return found


def _width(text: str) -> int:
    """Cells of a text that can be shown: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _cells(text: str) -> int:
    return _width(text) if "\t" not in text and text.isprintable() else sum(map(_width, _pieces(text)))


def _cut(text: str, room: int) -> str:
    """The beginning of the text that fits into `room` cells."""
    if _cells(text) <= room:
        return text
    used, found = 0, []
    for character in text:
        used += _cells(character)
        if used > room - 1:
            break
        found.append(character)
    return "".join(found).rstrip() + "…"


def _one_line(text: str | None, keep: bool = False) -> str:
    """Whitespace as single spaces (with `keep` only newlines and tabs are replaced), nothing that cannot be shown."""
    text = clean(text or "")
    return text.replace("\n", " ").replace("\t", " ") if keep else " ".join(text.split())


def _indented(text: str, width: int) -> Line:
    text = _cut(clean(text).replace("\t", " " * _TAB).rstrip(), width - 2)
    return [("", f"  {text}" if text else "")]


# --------------------------------------------------------------- begin and end


def starting(script: str, *, colour: bool = False) -> str:
    """The line that opens the first load."""
    return bracket("", f"starting {_path(script, None)}", colour)


def restarting(changes: str, *, colour: bool = False) -> str:
    """The line that opens a reload: what changed, or why else."""
    return bracket("", f"restarting: {_one_line(changes) or 'as asked'}", colour)


def restarting_after_death(pause: float, *, colour: bool = False) -> str:
    """The line that opens the load after the process died by itself; `pause` in seconds."""
    return bracket("", f"restarting{f' in {pause:g} s' if pause else ''}: the process died", colour)


def still_loading(seconds: float, *, colour: bool = False) -> str:
    return bracket("", f"still loading, {seconds:.0f} s", colour)


def ready(loaded: LoadReport, seconds: float, url: str, *, colour: bool = False) -> str:
    """The line that closes a load which went well, with what took how long; below a millisecond is nothing."""
    times = loaded.times
    imports = 0.0 if loaded.warm else times.imports_ms
    parts = [(imports, f"imports {_time(imports)}"), (1, f"script {_time(times.script_ms)}")]
    parts += [(times.init_ms, f"init {_time(times.init_ms)}"), (loaded.warm, "warm")]
    told = ", ".join(text for worth, text in parts if worth >= 1)
    return bracket("good", f"ready in {_time(seconds * 1000)} ({told}): POST {url}", colour)


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def overran(limit: float, *, colour: bool = False) -> str:
    """What was in flight did not finish within `limit` seconds."""
    return bracket("", f"work that was in flight did not finish within {limit:g} s; its process was ended", colour)


def stopping(*, colour: bool = False) -> str:
    """The line before the end."""
    return bracket("", "stopping", colour)


def not_ready(error: RunError, seconds: float | None = None, *, colour: bool = False) -> str:
    """The line that closes a load which failed."""
    what = {"init": "init() failed", "config": "the configuration is wrong"}.get(error.phase, "the script did not load")
    after = f" after {seconds:.1f} s" if seconds is not None else ""
    return bracket("error", f"not ready: {what}{after}; requests get 503. Save a change to try again.", colour)


def given_up(error: RunError, *, colour: bool = False) -> str:
    """The line that closes a load which failed where no save is waited for, in words that people search for."""
    what = "the script could not be loaded"
    if error.type and error.phase in ("init", "load"):
        what = {"init": "User's init function failed", "load": "Failed to import user script"}[error.phase]
    return bracket("error", f"not ready: {what}", colour)


def request_failed(error: RunError, *, colour: bool = False) -> str:
    """The line that opens the report of an error, or a warning, of a request (or of a thread)."""
    verb = "request failed" if error.severity == "error" else "request failed a check"
    what = _request(error.request) if error.request else f"thread {_one_line(error.thread)}" if error.thread else ""
    status = f" -> {error.status}" if error.status else ""
    return bracket(error.severity, f"{verb}: {what}{status}" if what or status else verb, colour)


def end_of_report(reloads: bool = True, *, colour: bool = False) -> str:
    """The line that closes the report of a request; `reloads`: its version goes on serving until a save."""
    what = "; still serving this version. Save a change to reload." if reloads else ""
    return bracket("dim", f"end of report{what}", colour)


def found_beside_script(names: Sequence[str], script: str) -> str:
    """The text of a note: modules that were found beside the script, where Azure ML may not look."""
    listed = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    folder = _path(os.path.dirname(script), None)
    return (
        f"{listed} was imported from {folder}, the script's own folder: Azure ML looks there only "
        "if it is the code folder (AML_APP_ROOT) or AZUREML_SOURCE_DIRECTORY"
    )


def sample_sent(sent: SampleSent, *, colour: bool = False, width: int = 80) -> str:
    """What came of one sample: a line of the tool, and below it the answer and what differs from the last one."""
    what = f"sample {_one_line(sent.name)}: {_request_words(sent)}"
    below = [*_notes_of_sample(sent), *_answer_lines(sent, width), *_difference_lines(sent, width)]
    return "\n".join([bracket("good" if sent.ok else "error", what, colour), _paint(below, colour)]).rstrip()


def _request_words(sent: SampleSent) -> str:
    if sent.problem is not None:
        return f"not answered: {_one_line(sent.problem)}"
    words = f"{sent.status} after {sent.milliseconds:.0f} ms, {sent.size} bytes"
    if (sent.method, sent.target) == ("POST", "/score"):
        return words
    return f"{_cut(_one_line(f'{sent.method} {sent.target}'), 80)} -> {words}"


def _notes_of_sample(sent: SampleSent) -> list[Line]:
    return [[("dim", f"  note: {_one_line(note)}")] for note in sent.notes]


def _answer_lines(sent: SampleSent, width: int) -> list[Line]:
    """At most as many lines as can be taken in at a glance."""
    if sent.problem is not None or not sent.size:
        return []
    if sent.answer is None:
        return [[("dim", f"  no text: {_one_line(sent.content_type) or 'no content type'}")]]
    lines = pretty(sent.answer, width - 2)
    shown = [_plain_answer(line, width) for line in lines[:MOST_ANSWER_LINES]]
    left = len(lines) - len(shown)
    return [*shown, *([[("dim", f"  … {left} more lines")]] if left else [])]


def _plain_answer(line: str, width: int) -> Line:
    return _no_headline(_indented(line, width))


def _difference_lines(sent: SampleSent, width: int) -> list[Line]:
    if sent.difference is None:
        return []
    if not sent.difference:
        return [[("dim", "  the same answer as before")]]
    return [[("hint", "  changed: "), ("", _cut(_one_line(line), max(width - 11, 20)))] for line in sent.difference]


def replayed(report: ReplayReport, *, colour: bool = False) -> str:
    """The line that closes a round of several samples."""
    text = f"{report.sent - report.failed} of {report.sent} samples passed in {report.seconds:.2f} s"
    return bracket("error" if report.failed else "good", text, colour)


def watched(targets: Targets, base: str) -> str:
    """Every file and folder that is watched, a line each."""
    rows = [
        *(("code", path) for path in targets.code),
        *(("new module in", path) for path in targets.wanted),
        *(("everything in", path) for path in targets.trees),
        *(("sample", path) for path in targets.samples),
        *(("included", path) for path in targets.include),
        *(("left out", path) for path in targets.exclude),
        *(("configuration", path) for path in targets.config if os.path.exists(path)),
    ]
    return "\n".join([bracket("", "watched:", False), *(f"  {what:<14} {_path(path, base)}" for what, path in rows)])


def bracket(role: str, text: str, colour: bool) -> str:
    """A line of the tool itself, which editors know by its beginning."""
    return _paint([[("dim", "[azmlinfsrv]"), ("", " "), (role, text)]], colour)


# ------------------------------------------------------------------ for programs


def event(name: str, /, **facts: Any) -> str:
    """One line of the event stream; records among the facts become objects."""
    return json.dumps({"v": 1, "event": name, **{key: to_json(value) for key, value in facts.items()}})


def error_object(error: RunError) -> dict[str, Any]:
    """The `error` object of an HTTP answer; only for clients on this machine."""
    return {
        "phase": error.phase,
        "type": error.type,
        "message": error.message,
        "file": error.path,
        "line": error.line,
        "column": error.column,
        "hint": error.hint,
        "frames": [
            {
                "file": item.path,
                "line": item.line,
                "column": item.column,
                "function": item.function,
                "source": item.source,
            }
            for item in error.frames
        ],
    }


class Repeats:
    """Counts the same error coming again within a minute of the last time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, seconds: float = 60.0) -> None:
        self._clock, self._seconds = clock, seconds
        self._seen: dict[tuple[object, ...], tuple[int, float]] = {}

    def count(self, error: RunError) -> int:
        """1 for an error that is new; 2, 3, ... for one that comes again."""
        now = self._clock()
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[1] < self._seconds}
        key = (error.severity, error.phase, error.type, error.message, error.path, error.line)
        count = self._seen.get(key, (0, now))[0] + 1
        self._seen[key] = (count, now)
        return count


if __name__ == "__main__":
    from devserver.gallery import main

    main()
