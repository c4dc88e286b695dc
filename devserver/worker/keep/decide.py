"""Whether init() is concerned by a save: the rules, in their order, over what was compared and what was watched."""

from __future__ import annotations

import dis
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import decode_source
from types import CodeType

from devserver.records.reasons import Reason, Why
from devserver.records.record import record
from devserver.worker.keep.change import Change, Loaded, compiled, make_change
from devserver.worker.keep.codes import (
    everything,
    inner,
    is_function,
    positions,
)
from devserver.worker.keep.compare import Difference, Source, compare
from devserver.worker.keep.executed import Executed, History, names_of, words_of
from devserver.worker.keep.plain import BUILTIN_TYPES, Single
from devserver.worker.keep.watching import Seen, stat_of


@record(frozen=True)
class Plan:
    """init() stays as it is: a fork applies these changes. `changed` names the functions with another body."""

    changes: tuple[Change, ...] = ()

    @property
    def changed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for change in self.changes for name in change.changed))


def decide(
    history: History, contents: Mapping[str, bytes], imported_later: Collection[str] = (), by_fork: bool = True
) -> Plan | Reason:
    """What to do when these files (absolute paths) have these contents now; files that are not named are as they were.

    Always compared with what was loaded, never with a save in between. A file may be named that has not changed.
    `imported_later`: files that a generation has imported in a request, and init() has not: forks read them anew.
    `by_fork` is false for a spare, which is the process that ran init().
    """
    reason = why_never(history, by_fork)
    if reason is not None:
        return reason
    changes: list[Change] = []
    differences: list[Difference] = []
    for path, content in contents.items():
        for found in _changes_of(history, path, content, path in imported_later):
            if isinstance(found, Reason):
                return replace(found, path=path)
            changes.append(found[0])
            differences.append(found[1])
    reason = _why_not(history, changes, differences)
    return Plan(tuple(changes)) if reason is None else reason


def still_as_left(seen: Seen) -> Reason | None:
    """Files that load or init() have written must be as they left them: a fresh start would write them again."""
    changed = next((path for path, stat in seen.written.items() if stat_of(path) != stat), None)
    return Reason(Why.WRITTEN, fact=changed) if changed is not None else None


# --- file by file


def _changes_of(
    history: History, path: str, content: bytes, imported_later: bool
) -> Iterable[tuple[Change, Difference] | Reason]:
    executions = history.of(path)
    if not executions:
        if not imported_later or _reader_of(history, path):
            yield Reason(Why.NOT_COMPILED)
        return
    try:
        text = decode_source(content)
    except (SyntaxError, UnicodeError, LookupError):
        yield Reason(Why.BROKEN)
        return
    if any(one.source.text != executions[0].source.text for one in executions):
        yield Reason(Why.TEXTS_DIFFER)
    elif text != executions[0].source.text:
        for one in executions:
            yield _change(one, text, content)


def _change(loaded: Loaded, text: str, content: bytes) -> tuple[Change, Difference] | Reason:
    try:
        new = Source.of(text)
        code, warned = compiled(content, loaded.code.co_filename)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Reason(Why.BROKEN, line=getattr(error, "lineno", None) or 0)
    difference = compare(loaded.source, new)
    if isinstance(difference, Reason):
        return difference
    if warned and Counter(warned) - Counter(compiled(loaded.source.text, loaded.code.co_filename)[1]):
        return Reason(Why.COMPILER_WARNS)
    change = make_change(loaded, new, code, difference)
    return change if isinstance(change, Reason) else (change, difference)


def _reader_of(history: History, path: str) -> str:
    """Who has read the text of this file, other than to load it."""
    real, ending = os.path.realpath(path), os.path.normcase(os.path.splitext(path)[1])
    for found, who in history.seen.text_read.items():  # libraries have many
        if found == path or (os.path.normcase(found).endswith(ending) and os.path.realpath(found) == real):
            return who
    return ""


# --- all together


def why_never(history: History, by_fork: bool) -> Reason | None:
    """What speaks against it whatever the edit is."""
    seen = history.seen
    if history.record is None:
        return Reason(Why.NO_RECORD)
    if seen.programs:
        return Reason(Why.PROGRAM, fact=seen.programs[0])
    if by_fork and seen.pid_taken:
        return Reason(Why.PID, fact=seen.pid_taken)
    if by_fork and seen.at_fork:
        return Reason(Why.AT_FORK, fact=seen.at_fork)
    if by_fork and seen.exits_unknown:
        return Reason(Why.EXIT_HANDLER)
    return None


def _why_not(history: History, changes: Sequence[Change], differences: Sequence[Difference]) -> Reason | None:
    if not changes:
        return None
    executed = Executed(history)
    for change in changes:
        reason = _about_text(history, change, executed) or _about_code(history, change, executed)
        if reason is not None:
            return replace(reason, path=change.loaded.path)
    return _about_names(history, changes, differences, executed) or _about_lines(history, changes, executed)


def _about_text(history: History, change: Change, executed: Executed) -> Reason | None:
    if who := _reader_of(history, change.loaded.path):
        return Reason(Why.TEXT_READ, fact=who)
    if "__file__" in executed.names and (asked := sorted(_STAMPS & executed.names)):
        return Reason(Why.STAMP_READ, fact=asked[0])
    return None


def _about_code(history: History, change: Change, executed: Executed) -> Reason | None:
    holders, read = history.holders, history.seen.code_read
    lost = set(change.removed)
    for code in inner(change.loaded.code):
        if code.co_name in lost and is_function(code) and executed.ran(code):
            return Reason(Why.RAN, place=code.co_name)
    for pair in change.pairs:
        name = pair.place or getattr(pair.old, "co_qualname", pair.old.co_name)
        if pair.place and executed.ran(pair.old):
            return Reason(Why.RAN, place=name, line=pair.new.co_firstlineno)
        if not pair.place and positions(pair.old) == positions(pair.new):
            continue
        if id(pair.old) in holders.suspended:
            return Reason(Why.SUSPENDED, place=name, line=pair.new.co_firstlineno)
        if id(pair.old) in read:
            return Reason(Why.CODE_READ, place=name, line=pair.new.co_firstlineno, fact=read[id(pair.old)][1])
    return _about_strangers(history, change)


def _about_strangers(history: History, change: Change) -> Reason | None:
    """Functions whose code nobody knows: made over by `types.coroutine`, by a compiler, by exec."""
    paired = {id(pair.old) for pair in change.pairs}
    for function in history.holders.strangers:
        if function.__code__.co_filename == change.loaded.code.co_filename:
            return Reason(Why.UNPAIRED, place=function.__qualname__)
    left = [code for code in everything(change.loaded.code) if id(code) not in paired]
    held = [function for code in left for function in history.holders.functions.get(id(code), ())]
    lost = [function for function in held if function.__qualname__ not in change.removed]
    return Reason(Why.UNPAIRED, place=lost[0].__qualname__) if lost else None


def _about_names(
    history: History, changes: Sequence[Change], differences: Sequence[Difference], executed: Executed
) -> Reason | None:
    """A new or lost function cannot be noticed where nothing that ran knows its name or looks through names."""
    singles = [single for difference in differences for single in (*difference.added, *difference.removed)]
    if not singles:
        return None
    after = _words_after(history, changes, executed)
    asked = _look_ups(history, changes, executed)
    for change, difference in zip(changes, differences, strict=True):
        found = [(single, executed.words) for single in difference.added]
        found += [(single, after) for single in difference.removed]
        for single, words in found:
            known = "a name like it" if single.name in words | history.seen.found_classes else ""
            fact = known or asked or _stored(change, single)
            if fact:
                return Reason(Why.NAME, change.loaded.path, single.name, single.line, fact)
    return None


def _look_ups(history: History, changes: Sequence[Change], executed: Executed) -> str:
    """What may have looked through names in init(), or may show their order in run()."""
    codes = [one.code for one in history.loaded] + [change.pairs[0].new for change in changes]
    everywhere = names_of(code for module in codes for code in everything(module))
    stars = {"import *"} if "*" in executed.words else set()
    return min((executed.names & _LOOK_UP) | (everywhere & _SEE_ORDER) | stars, default="")


def _stored(change: Change, single: Single) -> str:
    """What speaks against it in the module as it is now: a new name that is there, an annotation that is set again."""
    space = vars(change.loaded.module)
    if single.name in change.removed:
        codes = [code for code in inner(change.loaded.code) if code.co_name == single.name]
        own = getattr(space.get(single.name), "__code__", None)
        return "" if len(codes) == 1 and own is codes[0] else "it is something else now"
    if single.name in space:
        return "it is there already"
    stores = _stores(change.loaded.code)
    return next((name for name in sorted(single.looked_up) if stores[name] > (name not in BUILTIN_TYPES)), "")


def _stores(module: CodeType) -> Counter[str]:
    """How often each name is bound in a file, as far as imports and annotations of new functions need to know."""
    count: Counter[str] = Counter()
    for code in everything(module):
        kinds = ("STORE_NAME", "STORE_GLOBAL") if code is module else ("STORE_GLOBAL",)
        count.update(str(step.argval) for step in dis.get_instructions(code) if step.opname in kinds)
    return count


def _words_after(history: History, changes: Sequence[Change], executed: Executed) -> frozenset[str]:
    changed = {id(change.loaded.code): change for change in changes}
    codes = executed.used(one.code for one in history.loaded if id(one.code) not in changed)
    for change in changed.values():
        codes += executed.used([change.pairs[0].new], executed.idle_in(change))
    return frozenset(names_of(codes) | words_of(codes))


def _about_lines(history: History, changes: Sequence[Change], executed: Executed) -> Reason | None:
    """Where lines were asked for, none may stand elsewhere or read otherwise, but in the changed functions."""
    asked = min(executed.names & _LINES, default="") or executed.asks_where_classes_begin
    if not asked and {"inspect", "stack"} <= executed.names:
        asked = "inspect.stack"
    for change in changes:
        kept = "a record" if change.loaded.code.co_filename in history.holders.lines else ""
        if (asked or kept) and _lines_differ(change):
            return Reason(Why.LINES_READ, change.loaded.path, fact=asked or kept)
    return None


def _lines_differ(change: Change) -> bool:
    before, after = change.loaded.source.text.split("\n"), change.text.split("\n")
    inside = {line for pair in change.pairs if pair.place for line in _lines_of(pair.old) | _lines_of(pair.new)}
    if len(before) != len(after) or any(not p.place and positions(p.old) != positions(p.new) for p in change.pairs):
        return True
    pairs = enumerate(zip(before, after, strict=True), 1)
    return any(old != new and number not in inside for number, (old, new) in pairs)


def _lines_of(code: CodeType) -> set[int]:
    lines = {line for found in everything(code) for *_, line in found.co_lines() if line}
    return set(range(min(lines), max(lines) + 1)) if lines else set()


_STAMPS = {"stat", "lstat", "getmtime", "getsize", "getctime", "st_mtime", "st_size", "scandir"}
_LOOK_UP = {
    "globals",
    "locals",
    "vars",
    "dir",
    "eval",
    "exec",
    "getattr",
    "hasattr",
    "setattr",
    "delattr",
    "__dict__",
} | {
    *("getmembers", "modules", "__import__", "import_module", "reload", "run_path", "run_module", "__globals__"),
    *("get_type_hints", "inspect", "gc"),
}
_SEE_ORDER = {"globals", "locals", "vars", "__dict__", "__globals__", "eval", "exec"}
_LINES = {
    "f_lineno",
    "tb_lineno",
    "co_firstlineno",
    "co_lines",
    "co_positions",
    "lineno",
    "f_code",
} | {
    *("_getframe", "_current_frames", "currentframe", "getframeinfo", "getouterframes", "getinnerframes"),
    *("format_exc", "format_exception", "extract_stack", "extract_tb", "format_tb", "format_stack", "walk_tb"),
    *("walk_stack", "TracebackException", "StackSummary", "getsourcelines", "findsource", "findCaller"),
    *("tb_frame", "tb_lasti", "f_lasti", "__traceback__", "exc_info"),
}
