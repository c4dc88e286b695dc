"""An exception as a diagnostic: what was raised, at which line of the user's, through which calls and why."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from devserver.diagnostics.stacks import STACK_LINE, Stack, stack_of
from devserver.records.diagnostic import Cause, Code, Diagnostic, Excerpt, Facts, LoggingCall, Request
from devserver.text import clean, without_colours
from devserver.usercode import loader
from devserver.usercode.source import Place, definition_place, line_at, surroundings

if TYPE_CHECKING:
    import threading
    from logging import LogRecord
    from sys import UnraisableHookArgs
    from types import FrameType


def type_name(exception: BaseException) -> str:
    return clean(str(type(exception).__name__))[:200]


def message_of(exception: BaseException) -> str:
    """What the exception says, with its notes, safe to print; "" when it says nothing or cannot be asked."""
    try:
        text = _own_words(exception)
        notes = getattr(exception, "__notes__", None) or ()
        text = "\n".join([text, *(note for note in notes if isinstance(note, str))])
    except BaseException:  # the user's own __str__
        return ""
    return clean(without_colours(text[:4000]).strip())


def _own_words(exception: BaseException) -> str:
    if isinstance(exception, SyntaxError) and isinstance(exception.msg, str) and _syntax_place(exception):
        return exception.msg
    if isinstance(exception, SystemExit) and exception.code is None:
        return ""
    return str(exception)


class _Walked:
    """The exceptions of one report, each of whose tracebacks is walked once; they live as long as it does."""

    def __init__(self) -> None:
        self._stacks: dict[int, Stack] = {}

    def stack_of(self, exception: BaseException) -> Stack:
        found = self._stacks.get(id(exception))
        if found is None:
            found = self._stacks[id(exception)] = stack_of(exception)
        return found


def full_text(exception: BaseException) -> str:
    """The traceback as Python prints it, without the calls of this server above and between."""
    return _full_text(exception, _Walked())


def _full_text(exception: BaseException, walked: _Walked, depth: int = 0) -> str:
    """`depth` counts the groups that it stands in; what stands deeper than two is left out."""
    parts = []
    for relation, item in [*chain_of(exception)][::-1]:
        parts.append("\n".join([*_trace_lines(item, walked.stack_of(item)), *_inner_lines(item, walked, depth)]))
        parts.append(_SENTENCES.get(relation, ""))
    return "\n\n".join(part for part in parts if part)


_SENTENCES = {
    "cause": "The above exception was the direct cause of the following exception:",
    "while handling": "During handling of the above exception, another exception occurred:",
}


def _trace_lines(exception: BaseException, stack: Stack) -> Iterator[str]:
    shown = stack.shown
    yield "Traceback (most recent call last):"
    for number, call in enumerate(shown):
        if 100 <= number < len(shown) - 100:
            if number == 100:
                yield f"  ... {len(shown) - 200} more calls ..."
            continue
        yield f'  File "{clean(call.path)}", line {call.line}, in {call.code.co_name}'
        source = line_at(call.path, call.line).strip() if call.path in stack.mine else ""
        if source:
            yield f"    {clean(source)}"
    if place := _syntax_place(exception):
        yield f'  File "{clean(place.path)}", line {place.line}'
        yield f"    {clean(line_at(place.path, place.line).strip())}"
    yield ": ".join(filter(None, [type_name(exception), message_of(exception)]))


def _inner_lines(exception: BaseException, walked: _Walked, depth: int) -> Iterator[str]:
    for number, inner in enumerate(_members(exception)[:10] if depth < 2 else (), 1):
        yield f"  +---------------- {number} ----------------"
        yield from ("  | " + line for line in _full_text(inner, walked, depth + 1).split("\n"))


# ------------------------------------------------------------------ exceptions


def describe(
    exception: BaseException,
    phase: str,
    *,
    script: str | None = None,
    function: object = None,
    request: Request | None = None,
    status: int | None = None,
    thread: str | None = None,
) -> Diagnostic:
    """An exception as a record, with its place in the user's own code.

    Where no call of the user's is involved, the place is the definition of what was called (`function`, else init()
    or run() of the script), or the script's first line; without a script there is none. `script` is the entry script's
    path if it was not loaded by `usercode.load_script`.
    """
    walked = _Walked()
    stack = walked.stack_of(exception)
    place = _syntax_place(exception) or _remote_place(exception) or stack.place
    if place is None and phase == "server":
        place = stack.innermost
    return Diagnostic(
        severity="error",
        phase=phase,
        type=type_name(exception),
        message=message_of(exception),
        **_at(place or called_place(phase, function, script or loader.script)),
        frames=stack.frames,
        raised_in=stack.raised_in,
        hidden=stack.hidden,
        causes=tuple(_causes(exception, walked)),
        request=request,
        traceback=_full_text(exception, walked),
        thread=thread,
        status=status,
    )


def describe_thread(args: threading.ExceptHookArgs, phase: str = "run") -> Diagnostic | None:
    """What `threading.excepthook` was given; None for what ends a thread silently."""
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return None
    return describe(args.exc_value, phase, thread=args.thread.name if args.thread else "unknown")


def describe_unraisable(args: UnraisableHookArgs, phase: str = "run") -> Diagnostic | None:
    """What `sys.unraisablehook` was given, as a warning; None when no code of the user's is involved."""
    if args.exc_value is None or not stack_of(args.exc_value).users:
        return None
    error = describe(args.exc_value, phase)
    where = getattr(args.object, "__qualname__", None) or type(args.object).__qualname__
    note = f"{error.message} (ignored by Python: raised in {clean(str(where))})".strip()
    return dataclasses.replace(error, severity="warning", message=note)


def describe_logging(record: LogRecord, error: BaseException | None, frame: FrameType) -> Diagnostic | None:
    """A log record that could not be made a text, as a warning placed at the logging call, which `frame` came from.

    None for what is no fault of its text, as a stream that is closed, and where no code of the user's is involved.
    """
    stack = stack_of(frame)
    steps = _steps_of_logging(error)
    if error is None or not stack.users or "format" not in steps:
        return None
    is_of_call = "getMessage" in steps
    what = "a logging call" if is_of_call else "the format of a log handler"
    message = f"{message_of(error)} ({what}; nothing was logged)"
    return dataclasses.replace(
        problem("run", message, stack.place, code="logging-call", facts=_of_call(record) if is_of_call else None),
        severity="warning",
        type=type_name(error),
        frames=stack.frames,
        traceback=full_text(error),
    )


def _steps_of_logging(error: BaseException | None) -> set[str]:
    """The functions of the logging module that the error came through."""
    import logging

    calls = stack_of(error).calls
    return {call.code.co_name for call in calls if call.path == logging.LogRecord.getMessage.__code__.co_filename}


def _of_call(record: LogRecord) -> LoggingCall:
    text = record.msg if isinstance(record.msg, str) else ""
    places = text.replace("%%", "").count("%")
    return LoggingCall(places, len(record.args) if isinstance(record.args, tuple) else places)


def absent_files(exception: BaseException) -> tuple[str, ...]:
    """The paths that were opened in vain, in the exception or one behind it (absolute)."""
    names = [item.filename for _, item in chain_of(exception) if isinstance(item, FileNotFoundError)]
    return tuple(dict.fromkeys(os.path.abspath(name) for name in names if isinstance(name, str)))


def problem(
    phase: str,
    message: str,
    place: Place | None,
    hint: str | None = None,
    *,
    code: Code = "exception",
    facts: Facts | None = None,
) -> Diagnostic:
    """What no exception tells; without a place it names none."""
    return Diagnostic("error", phase, "", clean(message), **_at(place), hint=hint, code=code, facts=facts)


class _At(TypedDict):
    path: str | None
    line: int | None
    column: int | None
    excerpt: Excerpt | None


def _at(place: Place | None) -> _At:
    """The fields of a diagnostic that say where."""
    if place is None:
        return {"path": None, "line": None, "column": None, "excerpt": None}
    lines = surroundings(place.path, place.line)
    excerpt = Excerpt(lines, place.line, place.column, place.end_column) if lines else None
    return {"path": place.path, "line": place.line, "column": place.column, "excerpt": excerpt}


def called_place(phase: str, function: object, script: str | None) -> Place | None:
    """The definition of what was called in this phase, else the script's first line; None without a script."""
    name = {"init": "init", "run": "run", "response": "run"}.get(phase)
    if name or function is not None:
        return definition_place(function, name or "", script)
    return Place(script, 1) if script else None


def _syntax_place(exception: BaseException) -> Place | None:
    """Where a SyntaxError says it is, if that is in a file of the user's."""
    if not isinstance(exception, SyntaxError) or not exception.filename or not exception.lineno:
        return None
    path, line = os.path.abspath(str(exception.filename)), exception.lineno
    if not loader.is_user_code(path):
        return None
    width = len(line_at(path, line).rstrip()) + 1
    column = min(max(exception.offset or 1, 1), width)
    end = exception.end_offset if exception.end_lineno == line and exception.end_offset else column + 1
    return Place(path, line, column, min(max(end, column + 1), width + 1))


def _remote_place(exception: BaseException) -> Place | None:
    """The user's innermost line in another process, which only a text tells (multiprocessing, joblib)."""
    if not _is_remote(exception.__cause__):
        return None
    found = [(path, int(line)) for path, line, _ in STACK_LINE.findall(str(exception.__cause__))]
    mine = [(path, line) for path, line in found if loader.is_user_code(path)]
    return Place(os.path.abspath(mine[-1][0]), mine[-1][1]) if mine else None


def _is_remote(exception: BaseException | None) -> bool:
    return exception is not None and type(exception).__name__.lstrip("_") == "RemoteTraceback"


def chain_of(exception: BaseException) -> Iterator[tuple[str, BaseException]]:
    """The exception and those behind it, each with its relation to the one before."""
    relation, item, seen = "", exception, list[int]()
    while id(item) not in seen and len(seen) < 10:
        yield relation, item
        seen.append(id(item))
        behind = item.__cause__ or (None if item.__suppress_context__ else item.__context__)
        if behind is None or _is_remote(behind):
            return
        relation, item = "cause" if item.__cause__ else "while handling", behind


def _members(exception: BaseException) -> list[BaseException]:
    """The first exceptions in a group, groups in it opened."""
    found: list[BaseException] = []
    todo = _inside(exception)
    for _ in range(_OPENED):
        if not todo or len(found) >= _MEMBERS:
            break
        item = todo.pop()
        inner = _inside(item)
        todo += inner
        found += [] if inner else [item]
    return found


_OPENED, _MEMBERS = 200, 20


def _inside(exception: BaseException) -> list[BaseException]:
    """What a group holds, the first one last."""
    inner = getattr(exception, "exceptions", None)
    if not isinstance(inner, (tuple, list)):
        return []
    return [item for item in inner[_MEMBERS::-1] if isinstance(item, BaseException)]


def _causes(exception: BaseException, walked: _Walked) -> Iterator[Cause]:
    for item in _members(exception)[:10]:
        yield _cause("in group", item, walked)
    said = (type_name(exception), message_of(exception))
    for relation, item in chain_of(exception):
        cause = _cause(relation, item, walked)
        if relation and (cause.type, cause.message) != said:  # pandas raises the same KeyError again from itself
            yield cause


def _cause(relation: str, exception: BaseException, walked: _Walked) -> Cause:
    place = _syntax_place(exception) or walked.stack_of(exception).line
    return Cause(
        relation,
        type_name(exception),
        message_of(exception)[:500],
        place.path if place else None,
        place.line if place else None,
    )
