"""What is known of a load and an init() that are over, and what of the user's code ran in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import CodeType

from devserver.records.record import record
from devserver.worker.keep.change import Change, Holders, Loaded, class_notes
from devserver.worker.keep.codes import inner, is_compiled_otherwise, outer_functions, used_in, words_in
from devserver.worker.keep.ran import Record
from devserver.worker.keep.watching import Seen


@record(frozen=True)
class History:
    """What is known of a load and an init() that are over. `loaded`: every execution of one of the user's files."""

    loaded: tuple[Loaded, ...]
    seen: Seen
    record: Record | None
    holders: Holders

    def of(self, path: str) -> list[Loaded]:
        return [one for one in self.loaded if one.path == path]


class Executed:
    """What ran in load and init(): by code, and the names that it uses."""

    def __init__(self, history: History) -> None:
        record = history.record
        assert record is not None
        self._loaded = history.loaded
        self._idle = frozenset(
            id(code)
            for one in history.loaded
            for code in outer_functions(one.code)
            if not record.ran(code) and not is_compiled_otherwise(code)
        )
        modules = [one.code for one in history.loaded]
        self.names = frozenset(names_of(self.used(modules)))
        codes = (code for code in self.used(modules) if not class_notes(code))
        self.asks_where_classes_begin = min(names_of(codes) & {"__firstlineno__"}, default="")
        self.words = self.names | words_of(self.used(modules))

    def ran(self, code: CodeType) -> bool:
        """For functions of modules and classes; for code inside of them it says what they did."""
        return id(code) not in self._idle

    def used(self, modules: Iterable[CodeType], idle: Collection[int] = ()) -> list[CodeType]:
        """All code of these modules but for functions that did not run."""
        left_out = self._idle | frozenset(idle)
        return [code for module in modules for code in used_in(module, left_out)]

    def idle_in(self, change: Change) -> set[int]:
        """The same functions, in the new code, and those that are new."""
        fresh = {(code.co_name, code.co_firstlineno) for added in change.added for code in inner(added)}
        paired = {id(pair.new) for pair in change.pairs if not self.ran(pair.old)}
        others = outer_functions(change.pairs[0].new)
        return paired | {id(code) for code in others if (code.co_name, code.co_firstlineno) in fresh}


def names_of(codes: Iterable[CodeType]) -> set[str]:
    return {name for code in codes for name in code.co_names}


def words_of(codes: Iterable[CodeType]) -> set[str]:
    return {word for code in codes for word in words_in(code)}
