"""The begin and end lines of the tool, and other single lines."""

from __future__ import annotations

import os

from devserver.display.cells import cut, indented, no_headline, one_line, request_in_words
from devserver.display.colour import Line, paint
from devserver.records.changes import ChangeSet, Targets
from devserver.records.commands import CommandRan
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import Kept, LoadReport
from devserver.records.samples import ReplayReport, SampleSent
from devserver.replay.compare import MOST_LINES as MOST_ANSWER_LINES
from devserver.replay.compare import SHOWN, pretty
from devserver.text import path_for_people

MOST_NAMES = 3  # of changed files in one line


def starting(script: str, *, colour: bool = False) -> str:
    """The line that opens the first load."""
    return bracket("", f"starting {path_for_people(script, None)}", colour)


def restarting(changes: ChangeSet, folder: str, *, colour: bool = False) -> str:
    """The line that opens a reload: what changed, with paths below `folder` relative to it, or why else."""
    return bracket("", f"restarting: {files_in_words(changes, folder) or 'as asked'}", colour)


def retrying(*, colour: bool = False) -> str:
    """The line that opens a load which is tried again: what may have been in its way is gone."""
    return bracket("", "restarting: the code from before the save has ended, so the load is tried again", colour)


def files_in_words(changes: ChangeSet, folder: str | None = None) -> str:
    """`score.py, helper.py` or `model/iris.pkl and 199 more`; empty when nothing changed."""
    paths = list(dict.fromkeys(change.path for change in changes.changes))
    named = paths if len(paths) <= MOST_NAMES else paths[:1]
    names = ", ".join(path_for_people(path, folder) for path in named)
    return names if len(named) == len(paths) else f"{names} and {len(paths) - 1} more"


def restarting_after_death(pause: float, *, colour: bool = False) -> str:
    """The line that opens the load after the process died by itself; `pause` in seconds."""
    return bracket("", f"restarting{f' in {pause:g} s' if pause else ''}: the process died", colour)


def still(phase: str, seconds: float, *, colour: bool = False) -> str:
    """What takes long goes on; `phase` as in `lifecycle.Slow`."""
    what = "loading" if phase == "load" else f"in {phase}()"
    return bracket("dim", f"still {what}, {int(seconds)} s", colour)


def ready(loaded: LoadReport, seconds: float, url: str, why: str = "", *, colour: bool = False) -> str:
    """The line that closes a load which went well, with what took how long; below a millisecond is nothing.

    `why` says why init() ran again.
    """
    if loaded.kept_ms is not None:
        told = f"kept: init() of {_time(loaded.kept_ms)} not run again"
        return bracket("good", f"ready in {_time(seconds * 1000)} ({told}): POST {url}", colour)
    times = loaded.times
    imports = 0.0 if loaded.warm else times.imports_ms
    parts = [(imports, f"imports {_time(imports)}"), (1, f"script {_time(times.script_ms)}")]
    parts += [(times.init_ms, f"init {_time(times.init_ms)}"), (loaded.warm, "warm")]
    told = ", ".join(text for worth, text in parts if worth >= 1)
    told += f"; init() ran again: {why}" if why else ""
    return bracket("good", f"ready in {_time(seconds * 1000)} ({told}): POST {url}", colour)


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def overran(limit: float, *, colour: bool = False) -> str:
    """What was in flight did not finish within `limit` seconds."""
    return bracket("", f"work that was in flight did not finish within {limit:g} s; its process was ended", colour)


def stopping(*, colour: bool = False) -> str:
    """The line before the end."""
    return bracket("", "stopping", colour)


def not_ready(error: Diagnostic, seconds: float | None = None, again: bool = False, *, colour: bool = False) -> str:
    """The line that closes a load which failed; `again`: it is tried again when nothing else runs any more."""
    what = {
        "init": "init() failed",
        "config": "the configuration is wrong",
        "server": "no process to answer with",
    }.get(error.phase, "the script did not load")
    after = f" after {seconds:.1f} s" if seconds is not None else ""
    then = "Save a change to try again."
    if again:
        then = "It is tried again when the code from before the save has ended, which may be in its way."
    return bracket("error", f"not ready: {what}{after}; requests get 503. {then}", colour)


def given_up(error: Diagnostic, *, colour: bool = False) -> str:
    """The line that closes a load which failed where no save is waited for, in words that people search for."""
    what = "the script could not be loaded"
    if error.type and error.phase in ("init", "load"):
        what = {"init": "User's init function failed", "load": "Failed to import user script"}[error.phase]
    return bracket("error", f"not ready: {what}", colour)


def request_failed(error: Diagnostic, *, colour: bool = False) -> str:
    """The line that opens the report of an error, or a warning, of a request (or of a thread)."""
    verb = "request failed" if error.severity == "error" else "request failed a check"
    what = (
        request_in_words(error.request) if error.request else f"thread {one_line(error.thread)}" if error.thread else ""
    )
    status = f" -> {error.status}" if error.status else ""
    return bracket(error.severity, f"{verb}: {what}{status}" if what or status else verb, colour)


def past(error: Diagnostic, *, colour: bool = False) -> str:
    """The line above an error that was before the code that answers now."""
    what = "was repaired" if error.phase in ("config", "load", "init") else "is from before the last load"
    return bracket("", f"the last error {what}; the script is ready", colour)


def end_of_report(reloads: bool = True, *, colour: bool = False) -> str:
    """The line that closes the report of a request; `reloads`: its version goes on serving until a save."""
    what = "; still serving this version. Save a change to reload." if reloads else ""
    return bracket("dim", f"end of report{what}", colour)


def sample_sent(sent: SampleSent, *, colour: bool = False, width: int = 80) -> str:
    """What came of one sample: a line of the tool, and below it the answer and what differs from the last one."""
    what = f"sample {one_line(sent.name)}: {_request_words(sent)}"
    below = [*_notes_of_sample(sent), *_answer_lines(sent, width), *_difference_lines(sent, width)]
    return "\n".join([bracket("good" if sent.ok else "error", what, colour), paint(below, colour)]).rstrip()


def _request_words(sent: SampleSent) -> str:
    if sent.problem is not None:
        return f"not answered: {one_line(sent.problem)}"
    words = f"{sent.status} after {sent.milliseconds:.0f} ms, {sent.size} bytes"
    if (sent.method, sent.target) == ("POST", "/score"):
        return words
    return f"{cut(one_line(f'{sent.method} {sent.target}'), 80)} -> {words}"


def _notes_of_sample(sent: SampleSent) -> list[Line]:
    return [[("dim", f"  note: {one_line(note)}")] for note in sent.notes]


def _answer_lines(sent: SampleSent, width: int) -> list[Line]:
    """At most as many lines as can be taken in at a glance."""
    if sent.problem is not None or not sent.size:
        return []
    if sent.answer is None:
        return [[("dim", f"  no text: {one_line(sent.content_type) or 'no content type'}")]]
    lines = pretty(sent.answer, width - 2, whole=len(sent.answer) < SHOWN)
    shown = [_plain_answer(line, width) for line in lines[:MOST_ANSWER_LINES]]
    return [*shown, *([("dim", f"  {line}")] for line in lines[MOST_ANSWER_LINES:])]


def _plain_answer(line: str, width: int) -> Line:
    return no_headline(indented(line, width))


def _difference_lines(sent: SampleSent, width: int) -> list[Line]:
    if sent.difference is None:
        return []
    if not sent.difference:
        return [[("dim", "  the same answer as before")]]
    return [[("hint", "  changed: "), ("", cut(one_line(line), max(width - 11, 20)))] for line in sent.difference]


def replayed(report: ReplayReport, *, colour: bool = False) -> str:
    """The line that closes a round of several samples."""
    text = f"{report.sent - report.failed} of {report.sent} samples passed in {report.seconds:.2f} s"
    return bracket("error" if report.failed else "good", text, colour)


def command_ran(ran: CommandRan, *, colour: bool = False, width: int = 80) -> str:
    """What came of the command of --run: a line of the tool, and below it the first line that tells of a failure."""
    head = bracket("good" if ran.ok else "error", f"{cut(one_line(ran.command), 60)}: {ran.outcome}", colour)
    return f"{head}\n  {cut(one_line(ran.line), max(width - 2, 20))}" if ran.line else head


def watched(targets: Targets, base: str) -> str:
    """Every file and folder that is watched, a line each."""
    rows = [
        *(("code", path) for path in targets.code),
        *(("data", path) for path in (*targets.data, *targets.links)),
        *(("new module in", path) for path in targets.searches),
        *(("new file in", path) for path in targets.listed),
        *(("everything in", path) for path in targets.trees),
        *(("model", path) for path in targets.models),
        *(("sample", path) for path in targets.samples),
        *(("included", path) for path in targets.include),
        *(("left out", path) for path in targets.exclude),
        *(("configuration", path) for path in targets.config if os.path.exists(path)),
    ]
    return "\n".join(
        [bracket("", "watched:", False), *(f"  {what:<14} {path_for_people(path, base)}" for what, path in rows)]
    )


def kept(what: Kept | None, megabytes: float | None, base: str) -> str:
    """What is kept of init(), for an edit that does not concern it."""
    if what is None:
        return bracket("", "kept: nothing; init() runs again after each save", False)
    memory = f", {megabytes:.0f} MB of its own" if megabytes is not None else ""
    names = ", ".join(path_for_people(path, base) for path in what.files if path.endswith(".py"))
    return bracket("", f"kept: init() of {_time(what.init_ms)} (process {what.pid}{memory}): {names}", False)


def bracket(role: str, text: str, colour: bool) -> str:
    """A line of the tool itself, which editors know by its beginning."""
    return paint([[("dim", _NAME), ("", " "), (role, text)]], colour)


def is_own(line: str) -> bool:
    """Whether `bracket` has made it."""
    return line.startswith((_NAME, _PAINTED_NAME))


_NAME = "[azmlinfsrv]"
_PAINTED_NAME = paint([[("dim", _NAME)]], True)
