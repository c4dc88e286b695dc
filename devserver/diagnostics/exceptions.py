"""An exception as a diagnostic: what was raised, at which line of the user's, through which calls and why."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from devserver.diagnostics.stacks import STACK_LINE, calls_of, frames_of, is_ours, library_part, of_user, span_of
from devserver.records.diagnostic import Cause, Diagnostic, Excerpt, Request
from devserver.text import clean
from devserver.usercode import loader
from devserver.usercode.source import Place, definition_place, line_at, surroundings

if TYPE_CHECKING:
    import threading
    from sys import UnraisableHookArgs


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
    return clean(text[:4000].strip())


def _own_words(exception: BaseException) -> str:
    if isinstance(exception, SyntaxError) and isinstance(exception.msg, str) and _syntax_place(exception):
        return exception.msg
    if isinstance(exception, SystemExit) and exception.code is None:
        return ""
    return str(exception)


def full_text(exception: BaseException, depth: int = 0) -> str:
    """The traceback as Python prints it, without the calls of this server above and between.

    `depth` counts the groups that it stands in; what stands deeper than two is left out.
    """
    parts = []
    for relation, item in [*_chain(exception)][::-1]:
        parts.append("\n".join([*_trace_lines(item), *_inner_lines(item, depth)]))
        parts.append(_SENTENCES.get(relation, ""))
    return "\n\n".join(part for part in parts if part)


_SENTENCES = {
    "cause": "The above exception was the direct cause of the following exception:",
    "while handling": "During handling of the above exception, another exception occurred:",
}


def _trace_lines(exception: BaseException) -> Iterator[str]:
    calls = calls_of(exception)
    users = of_user(calls)
    mine = {call.path for call in users}
    shown = [call for call in calls[calls.index(users[0]) :] if not is_ours(call)] if users else calls
    yield "Traceback (most recent call last):"
    for number, call in enumerate(shown):
        if 100 <= number < len(shown) - 100:
            if number == 100:
                yield f"  ... {len(shown) - 200} more calls ..."
            continue
        yield f'  File "{clean(call.path)}", line {call.line}, in {call.code.co_name}'
        source = line_at(call.path, call.line).strip() if call.path in mine else ""
        if source:
            yield f"    {clean(source)}"
    if place := _syntax_place(exception):
        yield f'  File "{clean(place.path)}", line {place.line}'
        yield f"    {clean(line_at(place.path, place.line).strip())}"
    yield ": ".join(filter(None, [type_name(exception), message_of(exception)]))


def _inner_lines(exception: BaseException, depth: int) -> Iterator[str]:
    for number, inner in enumerate(_members(exception)[:10] if depth < 2 else (), 1):
        yield f"  +---------------- {number} ----------------"
        yield from ("  | " + line for line in full_text(inner, depth + 1).split("\n"))


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
    or run() of the script), or the script's first line. `script` is the entry script's path if it was not loaded by
    `usercode.load_script`.
    """
    script = script or loader.script
    calls = calls_of(exception)
    users = of_user(calls)
    place = _syntax_place(exception) or _remote_place(exception) or (span_of(users[-1])[0] if users else None)
    hidden, raised_in = library_part(calls, users)
    if place is None and phase == "server" and calls:
        place = span_of(calls[-1])[0]
    return Diagnostic(
        severity="error",
        phase=phase,
        type=type_name(exception),
        message=message_of(exception),
        **_at(place or called_place(phase, function, script)),
        frames=frames_of(users),
        raised_in=raised_in,
        hidden=hidden,
        causes=tuple(_causes(exception)),
        request=request,
        traceback=full_text(exception),
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
    if args.exc_value is None or not of_user(calls_of(args.exc_value)):
        return None
    error = describe(args.exc_value, phase)
    where = getattr(args.object, "__qualname__", None) or type(args.object).__qualname__
    note = f"{error.message} (ignored by Python: raised in {clean(str(where))})".strip()
    return dataclasses.replace(error, severity="warning", message=note)


def absent_files(exception: BaseException) -> tuple[str, ...]:
    """The paths that were opened in vain, in the exception or one behind it (absolute)."""
    names = [item.filename for _, item in _chain(exception) if isinstance(item, FileNotFoundError)]
    return tuple(dict.fromkeys(os.path.abspath(name) for name in names if isinstance(name, str)))


def problem(phase: str, message: str, place: Place, hint: str | None = None) -> Diagnostic:
    return Diagnostic("error", phase, "", clean(message), **_at(place), hint=hint)


def _at(place: Place) -> dict[str, Any]:
    """The fields of a `RunError` that say where."""
    lines = surroundings(place.path, place.line)
    excerpt = Excerpt(lines, place.line, place.column, place.end_column) if lines else None
    return {"path": place.path, "line": place.line, "column": place.column, "excerpt": excerpt}


def called_place(phase: str, function: object, script: str | None) -> Place:
    name = {"init": "init", "run": "run", "response": "run"}.get(phase)
    if name or function is not None:
        return definition_place(function, name or "", script)
    return Place(script or "", 1)


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


def _chain(exception: BaseException) -> Iterator[tuple[str, BaseException]]:
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


def _causes(exception: BaseException) -> Iterator[Cause]:
    for item in _members(exception)[:10]:
        yield _cause("in group", item)
    said = (type_name(exception), message_of(exception))
    for relation, item in _chain(exception):
        cause = _cause(relation, item)
        if relation and (cause.type, cause.message) != said:  # pandas raises the same KeyError again from itself
            yield cause


def _cause(relation: str, exception: BaseException) -> Cause:
    users = of_user(calls_of(exception))
    place = _syntax_place(exception) or (Place(os.path.abspath(users[-1].path), users[-1].line) if users else None)
    return Cause(
        relation,
        type_name(exception),
        message_of(exception)[:500],
        place.path if place else None,
        place.line if place else None,
    )
