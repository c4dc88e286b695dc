"""The whole of it for whoever runs a script: observe load and init(), then decide, fork and resume.

with Observer(is_user, is_ours) as observer:
    ... load the script; its loader calls observer.executing(...) before each of the user's modules; init() ...
stage = observer.initialised()
... after a save: plan = decide(stage.history, texts) ... fork ... resume(stage, plan, refresh)
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import CodeType, ModuleType

from devserver.records.reasons import Reason, Why
from devserver.worker.keep.change import Loaded, apply, find_holders
from devserver.worker.keep.compare import Source
from devserver.worker.keep.decide import Plan
from devserver.worker.keep.executed import History
from devserver.worker.keep.forkable import Forkable, State, forkable, state_now
from devserver.worker.keep.mend import Left, finalizers_now, left, mend
from devserver.worker.keep.ran import Record, start_record
from devserver.worker.keep.watching import Watch


@dataclass(frozen=True)
class Initialised:
    """A process that has loaded the script and run init(); `forkable` may say why it must not be forked."""

    history: History
    forkable: Forkable | Reason
    left: Left


class Observer:
    """In a `with` around load and init(). `ignore`: descriptors that the tool may open or change meanwhile."""

    def __init__(
        self, is_user: Callable[[str], bool], is_ours: Callable[[str], bool], ignore: Collection[int] = ()
    ) -> None:
        self._watch = Watch(is_user, is_ours)
        self._ignore = ignore
        self._record: Record | None = None
        self._loaded: list[Loaded] = []
        self._sources: dict[str, Source] = {}

    def __enter__(self) -> Observer:
        self._before: State = state_now(self._ignore)
        self._finalizers = finalizers_now()
        self._record = start_record()
        self._watch.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._watch.__exit__()
        if kind is not None:
            self.stop()

    def stop(self) -> None:
        """Nothing is recorded any more; what was stays known."""
        if self._record is not None:
            self._record.stop()

    def executing(self, path: str, text: str, code: CodeType, module: ModuleType) -> None:
        """To be called by the loader before it executes `code`, which was compiled from `text`."""
        if self._record is not None:
            self._record.watch(code)
        if path not in self._sources or self._sources[path].text != text:
            self._sources[path] = Source.of(text)
        self._loaded.append(Loaded(path, self._sources[path], code, module))

    def initialised(self, by_fork: bool = True) -> Initialised:
        """After the `with`: what a fork, or else this process, can build upon.

        Takes some 50 ms, more where many objects are alive.
        """
        gc.collect()
        seen = self._watch.seen()
        self.stop()
        may_fork = forkable(self._before, self._ignore) if by_fork else Reason(Why.SYSTEM)
        holders = find_holders(self._loaded, seen.has_frozen)
        history = History(tuple(self._loaded), seen, self._record, holders)
        return Initialised(
            history, may_fork, left(seen, self._finalizers, may_fork if isinstance(may_fork, Forkable) else Forkable())
        )


def resume(stage: Initialised, plan: Plan, refresh: Callable[[str, str], None]) -> None:
    """In the fork, before it answers: as after a fresh start of the new texts. Errors: OSError."""
    mend(stage.left)
    change(stage, plan, refresh)


def change(stage: Initialised, plan: Plan, refresh: Callable[[str, str], None]) -> None:
    """In a process that has run init() itself: the code is that of the new texts."""
    apply(plan.changes, stage.history.holders, refresh)
