"""Another text for code that is loaded: which code object becomes which, and the exchange of it in a fork.

The module's code is compiled anew as a whole, and old and new code objects are paired by their place. In the fork each
function object gets the code of its pair, also the unchanged ones, for all lines move. Function objects are found
beforehand, by the garbage collector, in the process that forks: tables, partials, decorators and classes hold them,
and looking for them in each fork would unshare all memory.
"""

from __future__ import annotations

import ast
import dis
import gc
import inspect
import types
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

from devserver.records.reasons import Reason, Why
from devserver.records.record import record
from devserver.worker.keep.codes import everything, inner, is_container
from devserver.worker.keep.compare import Difference, Place, Source
from devserver.worker.keep.hook import quiet
from devserver.worker.keep.plain import Single

FUTURE = 0x1FE0000  # flags of `from __future__`
KINDS = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_OPTIMIZED
    | inspect.CO_NEWLOCALS
    | FUTURE
)


@record(frozen=True)
class Loaded:
    """One execution of a source file: its text as it was compiled, the module's code, and the module it ran in."""

    path: str
    source: Source
    code: CodeType
    module: ModuleType


@record(frozen=True)
class Pair:
    """`place` names a function whose body has changed, or is "" for code that is the same in another place."""

    old: CodeType
    new: CodeType
    place: str = ""


@record(frozen=True)
class Change:
    """What the exchange does to one loaded file."""

    loaded: Loaded
    text: str
    pairs: tuple[Pair, ...]
    added: tuple[CodeType, ...]  # module code that defines one function
    removed: tuple[str, ...]
    changed: tuple[str, ...]  # functions with another body, for people


def compiled(text: str | bytes, path: str) -> tuple[CodeType, tuple[str, ...]]:
    """The module's code and what the compiler warns of. Errors: SyntaxError, ValueError, Recursion- and MemoryError."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        code: CodeType = compile(text, path, "exec", dont_inherit=True)
    return code, tuple(sorted(f"{found.category.__name__}: {found.message}" for found in caught))


def make_change(loaded: Loaded, new: Source, code: CodeType, difference: Difference) -> Change | Reason:
    """The pairs of old and new code. The reason's path is left empty."""
    pool = _Pool(loaded.code)
    pairs = _paired(loaded.code, pool.unified(code), difference)
    if isinstance(pairs, Reason):
        return pairs
    return Change(
        loaded,
        new.text,
        tuple(pairs),
        tuple(pool.unified(_definition(new, single, loaded.code)) for single in difference.added),
        tuple(single.name for single in difference.removed),
        tuple(place.name for place in difference.changed),
    )


def _definition(new: Source, single: Single, like: CodeType) -> CodeType:
    """Code that defines this one function at its own line, under the module's future imports."""
    node = next(found for found in new.tree.body if isinstance(found, ast.FunctionDef) and found.name == single.name)
    flags = like.co_flags & FUTURE
    code: CodeType = compile(ast.Module([node], []), like.co_filename, "exec", flags=flags, dont_inherit=True)
    return code


# --- pairing


class _Unpaired(Exception):
    def __init__(self, why: Why, place: str, line: int) -> None:
        super().__init__(why)
        self.reason = Reason(why, place=place, line=line)


def _paired(old: CodeType, new: CodeType, difference: Difference) -> list[Pair] | Reason:
    places = {(place.code_name, place.old_line): place for place in difference.changed}
    before = _Side(difference.removed, difference.old_apart)
    after = _Side(difference.added, difference.new_apart)
    try:
        return [Pair(old, new), *_pairs(before.children(old), after.children(new), places, before, after)]
    except _Unpaired as unpaired:
        return unpaired.reason


@record(frozen=True)
class _Side:
    """What is only in one of the texts."""

    singles: Sequence[Single]
    apart: Sequence[tuple[int, int]]

    def children(self, code: CodeType) -> list[CodeType]:
        return [child for child in inner(code) if not self._is_left_out(child)]

    def _is_left_out(self, code: CodeType) -> bool:
        line = code.co_firstlineno
        single = any((single.name, single.line) == (code.co_name, line) for single in self.singles)
        return single or any(first <= line <= last for first, last in self.apart)


def _pairs(
    olds: Sequence[CodeType], news: Sequence[CodeType], places: Mapping[tuple[str, int], Place], *sides: _Side
) -> Iterator[Pair]:
    if [code.co_name for code in olds] != [code.co_name for code in news]:
        found = next((code for code in (*news, *olds)), None)
        raise _Unpaired(Why.UNPAIRED, found.co_name if found else "", found.co_firstlineno if found else 0)
    for old, new in zip(olds, news, strict=True):
        place = places.get((old.co_name, old.co_firstlineno))
        if is_container(old):
            yield Pair(old, new)
            yield from _pairs(inner(old), inner(new), places, *sides)
        elif place is not None:
            yield _changed(old, new, place)
        else:
            yield from _same(old, new)


def _changed(old: CodeType, new: CodeType, place: Place) -> Pair:
    if new.co_firstlineno != place.new_line:
        raise _Unpaired(Why.UNPAIRED, place.name, place.new_line)
    if old.co_freevars != new.co_freevars:
        raise _Unpaired(Why.FREE_VARIABLES, place.name, place.new_line)
    if old.co_flags & KINDS != new.co_flags & KINDS:
        raise _Unpaired(Why.KIND, place.name, place.new_line)
    return Pair(old, new, place.name)


def _same(old: CodeType, new: CodeType) -> Iterator[Pair]:
    """Code with the same tree: all but lines is the same, or the pairs are wrong."""
    if _facts(old) != _facts(new):
        raise _Unpaired(Why.UNPAIRED, old.co_name, new.co_firstlineno)
    yield Pair(old, new)
    for one, other in zip(inner(old), inner(new), strict=True):
        yield from _same(one, other)


def _facts(code: CodeType) -> object:
    constants = [_key(constant) for constant in code.co_consts if not isinstance(constant, CodeType)]
    arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return names, arguments, constants, len(inner(code))


def _key(constant: object) -> object:
    """Tells constants apart as the compiler does."""
    if isinstance(constant, tuple):
        return tuple(map(_key, constant))
    if isinstance(constant, frozenset):
        return frozenset(map(_key, constant))
    return type(constant), repr(constant) if isinstance(constant, (float, complex)) else constant


class _Pool:
    """The constants of the loaded code: equal ones of a file are one object, also for what init() has kept of them."""

    def __init__(self, code: CodeType) -> None:
        self._known: dict[object, object] = {}
        for found in everything(code):
            for constant in found.co_consts:
                if not isinstance(constant, CodeType):
                    self._known.setdefault(_key(constant), constant)

    def unified(self, code: CodeType) -> CodeType:
        return code.replace(co_consts=tuple(map(self._constant, code.co_consts)))

    def _constant(self, constant: object) -> object:
        if isinstance(constant, CodeType):
            return self.unified(constant)
        return self._known.get(_key(constant), constant)


# --- who holds code


@record(frozen=True)
class Holders:
    """Who holds code of the user's files, found after init().

    `functions` by the id of their code; `suspended` ids of code in frames that are kept; `strangers` are functions
    whose code is of such a file but was not compiled with it.
    """

    functions: dict[int, list[FunctionType]]
    suspended: frozenset[int]
    strangers: tuple[FunctionType, ...]
    lines: frozenset[str]  # files whose line numbers are kept, in log records, warnings or summaries of tracebacks
    classes: tuple[type, ...]


def find_holders(loaded: Iterable[Loaded], has_frozen: bool = False) -> Holders:
    """All holders in this process. `has_frozen`: the script may have hidden some from the collector; they thaw."""
    known = {id(code) for one in loaded for code in everything(one.code)}
    paths = {one.code.co_filename for one in loaded}
    if has_frozen:
        gc.unfreeze()
    functions: dict[int, list[FunctionType]] = defaultdict(list)
    suspended: set[int] = set()
    strangers: list[FunctionType] = []
    classes: list[type] = []
    lines: set[str] = set()
    modules = {one.module.__name__ for one in loaded}
    with quiet():
        for found in gc.get_objects():
            kind = type(found)
            if kind is FunctionType:
                code = found.__code__
                if id(code) in known:
                    functions[id(code)].append(found)
                elif code.co_filename in paths:
                    strangers.append(found)
            elif kind in _FRAMES:
                suspended.update(map(id, _codes_of(found)))
            elif kind.__name__ in _KEEP_LINES and kind.__module__ in ("logging", "warnings", "traceback"):
                lines.add(getattr(found, _KEEP_LINES[kind.__name__], ""))
            elif issubclass(kind, type) and found.__dict__.get("__module__") in modules:
                classes.append(found)
    return Holders(
        dict(functions), frozenset(suspended & known), tuple(strangers), frozenset(lines & paths), tuple(classes)
    )


_FRAMES = {
    types.FrameType,
    types.TracebackType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
}


_KEEP_LINES = {"LogRecord": "pathname", "WarningMessage": "filename", "FrameSummary": "filename"}


def _codes_of(found: Any) -> Iterator[CodeType]:
    """The code of a frame or generator, also of one that is nested in it."""
    if isinstance(found, types.TracebackType):
        yield found.tb_frame.f_code
    for name in ("f_code", "gi_code", "cr_code", "ag_code"):
        code = getattr(found, name, None)
        if code is not None and getattr(found, name.replace("_code", "_frame"), found) is not None:
            yield code


# --- the exchange


def apply(changes: Iterable[Change], holders: Holders, refresh: Callable[[str, str], None]) -> None:
    """Exchange the code, in the fork. `refresh(path, text)` makes reports, breakpoints and linecache follow."""
    with quiet():
        for change in changes:
            for pair in change.pairs:
                for function in holders.functions.get(id(pair.old), ()):
                    function.__code__ = pair.new
            space = vars(change.loaded.module)
            for name in change.removed:
                space.pop(name, None)
            for code in change.added:
                exec(code, space)
            _renew_classes(change, holders.classes)
            _renew_warnings(change, space)
            refresh(change.loaded.path, change.text)


def _renew_classes(change: Change, classes: Collection[type]) -> None:
    """Python 3.13 notes in each class where it begins and which attributes its methods set."""
    for pair in change.pairs:
        if not is_container(pair.old) or not class_notes(pair.old):
            continue
        before, after = class_notes(pair.old), class_notes(pair.new)
        for found in classes:
            space = found.__dict__
            if (space.get("__firstlineno__"), found.__qualname__) == (before[0], before[2]):
                type.__setattr__(found, "__firstlineno__", after[0])
                if "__static_attributes__" in space:
                    type.__setattr__(found, "__static_attributes__", after[1])


def class_notes(code: CodeType) -> tuple[Any, ...]:
    """First line, attributes, and qualified name that the body of a class notes; empty before Python 3.13."""
    if "__static_attributes__" not in code.co_names:
        return ()
    steps = list(dis.get_instructions(code))
    at = next(number for number, step in enumerate(steps) if step.argval == "__static_attributes__")
    return code.co_firstlineno, steps[at - 1].argval, code.co_qualname  # type: ignore[attr-defined,unused-ignore]


def _renew_warnings(change: Change, space: dict[str, Any]) -> None:
    """A warning that was shown once is known by its line."""
    registry = space.get("__warningregistry__")
    if not registry:
        return
    lines = dict(_moved_lines(change.pairs))
    entries = [(key, value) for key, value in registry.items() if isinstance(key, tuple) and len(key) == 3]
    for key, _ in entries:
        del registry[key]
    registry.update({(key[0], key[1], lines.get(key[2], key[2])): value for key, value in entries})


def _moved_lines(pairs: Iterable[Pair]) -> Iterator[tuple[int, int]]:
    for pair in pairs:
        if not pair.place:
            before, after = ([line for *_, line in code.co_lines() if line] for code in (pair.old, pair.new))
            if len(before) == len(after):
                yield from zip(before, after, strict=True)
