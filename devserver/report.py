"""What a run tells, as data: exceptions and other findings come in, frozen records (and their JSON) go out."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from devserver import syntax, usercode
from devserver.files import Stamp
from devserver.syntax import Place

if TYPE_CHECKING:
    import threading
    from sys import UnraisableHookArgs

# ---------------------------------------------------------------------- records


@dataclass(frozen=True)
class Frame:
    """One call in the user's own code. Lines and columns count from 1; columns are characters, None if unknown."""

    path: str
    line: int
    column: int | None
    end_line: int | None
    end_column: int | None  # one past the last marked character
    function: str
    source: str  # the line's text as it was loaded, without indent; "" if unknown
    repeats: int = 1  # how many times in a row the cycle that this call belongs to was entered


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a source file as it was loaded, and the span to mark in one of them."""

    lines: tuple[tuple[int, str], ...]  # (number, text), ascending; blank neighbours are left out
    line: int
    column: int  # 1-based; with end_column equal to it nothing is marked
    end_column: int  # one past the last marked character


@dataclass(frozen=True)
class Cause:
    """An exception behind or inside another: `relation` is "cause", "while handling" or "in group"."""

    relation: str
    type: str
    message: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Request:
    """The request that was being answered; `size` in bytes, `body` its first 200 characters."""

    method: str
    path: str
    content_type: str
    size: int
    body: str


@dataclass(frozen=True)
class RunError:
    """One thing that is wrong, with its place in the user's own code.

    `severity` is "error" or "warning"; `phase` "config", "load", "init", "run", "response" or "server"; `type` is the
    exception's, "" where none was raised. `frames` are the user's, outermost first, cycles folded; `raised_in` names
    the library place that raised; `hidden` counts library frames. `status` is the HTTP status that was sent.
    """

    severity: str
    phase: str
    type: str
    message: str
    path: str
    line: int
    column: int
    excerpt: Excerpt | None = None
    frames: tuple[Frame, ...] = ()
    raised_in: str | None = None
    hidden: int = 0
    causes: tuple[Cause, ...] = ()
    hint: str | None = None
    request: Request | None = None
    traceback: str = ""
    thread: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class Times:
    """How long the parts of a load took, in milliseconds."""

    imports_ms: float = 0.0
    script_ms: float = 0.0
    init_ms: float = 0.0


@dataclass(frozen=True)
class LoadReport:
    """What loading one generation taught.

    `files`: absolute path -> stamp of the user's files as loaded. `wanted`: the user's folders in which a missing
    module was looked for; `absent`: the very paths (modules, files that were opened) whose appearance may repair it.
    `modules`: third-party modules that user code imported; `warm`: the process had imported them before the script.
    `environment`: variables that user code set before it imported one of them.
    """

    ok: bool
    files: dict[str, Stamp] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    times: Times = Times()
    error: RunError | None = None
    warm: bool = False
    environment: tuple[str, ...] = ()


_KINDS = {kind.__name__: kind for kind in (Frame, Excerpt, Cause, Request, RunError, Times, LoadReport, Stamp)}


def to_json(record: Any) -> Any:
    """A record as what `json.dumps` takes; its class stands under "kind"."""
    if dataclasses.is_dataclass(record):
        values = {item.name: to_json(getattr(record, item.name)) for item in dataclasses.fields(record)}
        return {"kind": type(record).__name__, **values}
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {name: to_json(value) for name, value in record.items()}
    return record


def from_json(data: Any) -> Any:
    """The record that `to_json` wrote. Errors: KeyError for an unknown kind, TypeError for unknown fields."""
    if isinstance(data, list):
        return tuple(from_json(item) for item in data)
    if not isinstance(data, dict):
        return data
    values = {name: from_json(value) for name, value in data.items() if name != "kind"}
    return _KINDS[data["kind"]](**values) if "kind" in data else values


# ------------------------------------------------------------------ stacks


class _Call(NamedTuple):
    code: CodeType
    line: int
    at: int  # offset of the instruction

    @property
    def path(self) -> str:
        return self.code.co_filename


Where = BaseException | TracebackType | FrameType | None
_MANY = 5000
_INLINE = {"<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<lambda>"}


def calls_of(where: Where) -> list[_Call]:
    """The calls that led to a place, outermost first; of very many the first and the last."""
    if isinstance(where, FrameType):
        return _stack(where)[::-1]
    trace = where.__traceback__ if isinstance(where, BaseException) else where
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(_Call(code, trace.tb_lineno or code.co_firstlineno, trace.tb_lasti))
        trace = trace.tb_next
    return found if len(found) <= _MANY else found[: _MANY // 10] + found[-_MANY:]


def _stack(frame: FrameType | None) -> list[_Call]:
    found = []
    while frame is not None:
        found.append(_Call(frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno, frame.f_lasti))
        frame = frame.f_back
    return found


def of_user(calls: Sequence[_Call]) -> list[_Call]:
    known = {path: usercode.is_user_code(path) for path in {call.path for call in calls}}
    return [call for call in calls if known[call.path]]


def _is_ours(call: _Call) -> bool:
    return usercode.is_own_file(call.path) or call.path.startswith("<frozen importlib")


def library_part(calls: Sequence[_Call], users: Sequence[_Call]) -> tuple[int, str | None]:
    """How many library calls stand below the user's first call, and the one that raised if it is one of them."""
    if not users:
        return 0, None
    mine = {call.path for call in users}
    below = [call for call in calls[calls.index(users[0]) :] if call.path in mine or not _is_ours(call)]
    theirs = sum(call.path not in mine for call in below)
    return theirs, None if below[-1].path in mine else _library_name(below[-1])


def _library_name(call: _Call) -> str:
    """A library place for people: `pandas/core/indexes/base.py get_loc`."""
    path = call.path.replace("\\", "/")
    if path.startswith("<"):
        return f"{path[8:-1]} {call.code.co_name}" if path.startswith("<frozen ") else f"code without a file, {path}"
    for mark in ("/site-packages/", "/dist-packages/", os.path.dirname(os.__file__).replace("\\", "/") + "/"):
        if mark in path:
            return f"{path.rpartition(mark)[2]} {call.code.co_name}"
    return f"{os.path.basename(path)} {call.code.co_name}"


def span_of(call: _Call) -> tuple[Place, int | None]:
    """The place of a call's instruction (without columns before Python 3.11) and the line where its span ends."""
    path = os.path.abspath(call.path)
    positions = getattr(call.code, "co_positions", None)
    if positions is not None and call.at >= 0:
        for number, (line, end_line, column, end_column) in enumerate(positions()):
            if number == call.at // 2:
                if line == call.line and None not in (end_line, column, end_column):
                    return syntax.span(path, line, column, end_line, end_column), end_line
                break
    return Place(path, call.line), None


def _frame(call: _Call, function: str, repeats: int) -> Frame:
    place, end_line = span_of(call)
    known = end_line is not None
    return Frame(
        path=place.path,
        line=place.line,
        column=place.column if known else None,
        end_line=end_line,
        end_column=place.end_column if known else None,
        function=function,
        source=syntax.line_at(place.path, place.line).strip()[:500],
        repeats=repeats,
    )


def frames_of(users: Sequence[_Call]) -> tuple[Frame, ...]:
    """The user's calls as frames: cycles folded, a comprehension's call joined to the line that holds it."""
    found: list[Frame] = []
    for call, repeats in _folded(users, 20):
        last = found[-1] if found else None
        inline = last is not None and call.code.co_name in _INLINE
        if last is not None and inline and (last.path, last.line) == (os.path.abspath(call.path), call.line):
            found[-1] = _frame(call, last.function, max(repeats, last.repeats))
        else:
            found.append(_frame(call, call.code.co_name, repeats))
    return tuple(found)


def _folded(calls: Sequence[_Call], most: int) -> list[tuple[_Call, int]]:
    """The calls with each run of equal cycles (up to 12 calls long) once, and how often it ran; the ends of many."""
    keys = [(id(call.code), call.line) for call in calls]
    found: list[tuple[_Call, int]] = []
    at = 0
    while at < len(calls):
        length, times = max(
            (_cycle(keys, at, length) for length in range(1, 13)), key=lambda run: run[0] * (run[1] - 1)
        )
        if times < 3:
            length, times = 1, 1
        found += [(call, times) for call in calls[at : at + length]]
        at += length * times
    return found if len(found) <= most else found[: most // 2] + found[-most // 2 :]


def _cycle(keys: Sequence[object], at: int, length: int) -> tuple[int, int]:
    cycle, times = keys[at : at + length], 1
    while keys[at + length * times : at + length * (times + 1)] == cycle:
        times += 1
    return length, times


# ------------------------------------------------------------------ texts


def clean(text: str) -> str:
    """The text with everything that a terminal might act on, or cannot show, as escapes; newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


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
    shown = [call for call in calls[calls.index(users[0]) :] if not _is_ours(call)] if users else calls
    yield "Traceback (most recent call last):"
    for number, call in enumerate(shown):
        if 100 <= number < len(shown) - 100:
            if number == 100:
                yield f"  ... {len(shown) - 200} more calls ..."
            continue
        yield f'  File "{clean(call.path)}", line {call.line}, in {call.code.co_name}'
        source = syntax.line_at(call.path, call.line).strip() if call.path in mine else ""
        if source:
            yield f"    {clean(source)}"
    if place := _syntax_place(exception):
        yield f'  File "{clean(place.path)}", line {place.line}'
        yield f"    {clean(syntax.line_at(place.path, place.line).strip())}"
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
) -> RunError:
    """An exception as a record, with its place in the user's own code.

    Where no call of the user's is involved, the place is the definition of what was called (`function`, else init()
    or run() of the script), or the script's first line. `script` is the entry script's path if it was not loaded by
    `usercode.load_script`.
    """
    script = script or usercode.script
    calls = calls_of(exception)
    users = of_user(calls)
    place = _syntax_place(exception) or _remote_place(exception) or (span_of(users[-1])[0] if users else None)
    hidden, raised_in = library_part(calls, users)
    if place is None and phase == "server" and calls:
        place = span_of(calls[-1])[0]
    return RunError(
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


def describe_thread(args: threading.ExceptHookArgs, phase: str = "run") -> RunError | None:
    """What `threading.excepthook` was given; None for what ends a thread silently."""
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return None
    return describe(args.exc_value, phase, thread=args.thread.name if args.thread else "unknown")


def describe_unraisable(args: UnraisableHookArgs, phase: str = "run") -> RunError | None:
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


def problem(phase: str, message: str, place: Place, hint: str | None = None) -> RunError:
    return RunError("error", phase, "", clean(message), **_at(place), hint=hint)


def _at(place: Place) -> dict[str, Any]:
    """The fields of a `RunError` that say where."""
    lines = syntax.surroundings(place.path, place.line)
    excerpt = Excerpt(lines, place.line, place.column, place.end_column) if lines else None
    return {"path": place.path, "line": place.line, "column": place.column, "excerpt": excerpt}


def called_place(phase: str, function: object, script: str | None) -> Place:
    name = {"init": "init", "run": "run", "response": "run"}.get(phase)
    if name or function is not None:
        return syntax.definition_place(function, name or "", script)
    return Place(script or "", 1)


def _syntax_place(exception: BaseException) -> Place | None:
    """Where a SyntaxError says it is, if that is in a file of the user's."""
    if not isinstance(exception, SyntaxError) or not exception.filename or not exception.lineno:
        return None
    path, line = os.path.abspath(str(exception.filename)), exception.lineno
    if not usercode.is_user_code(path):
        return None
    width = len(syntax.line_at(path, line).rstrip()) + 1
    column = min(max(exception.offset or 1, 1), width)
    end = exception.end_offset if exception.end_lineno == line and exception.end_offset else column + 1
    return Place(path, line, column, min(max(end, column + 1), width + 1))


STACK_LINE = re.compile(r'File "([^"]+)", line (\d+),? in ([^\n]+)')


def _remote_place(exception: BaseException) -> Place | None:
    """The user's innermost line in another process, which only a text tells (multiprocessing, joblib)."""
    if not _is_remote(exception.__cause__):
        return None
    found = [(path, int(line)) for path, line, _ in STACK_LINE.findall(str(exception.__cause__))]
    mine = [(path, line) for path, line in found if usercode.is_user_code(path)]
    return syntax.Place(os.path.abspath(mine[-1][0]), mine[-1][1]) if mine else None


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
