"""What is made of an observed load and init(): the knowledge that decides about edits, and the change of code by them.

with Observer(is_user, is_ours) as observer:
    ... load the script; its loader calls observer.executing(...) before each of the user's modules; init() ...
stage = initialised(observer)
... after a save: plan = decide(stage.history, texts) ... fork ... resume(stage, plan, refresh)
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable

from devserver.records.reasons import NO_FORK, Reason
from devserver.records.record import record
from devserver.worker.keep.change import Loaded, apply, find_holders
from devserver.worker.keep.compare import Source
from devserver.worker.keep.decide import Plan
from devserver.worker.keep.executed import History
from devserver.worker.keep.forkable import Forkable
from devserver.worker.keep.mend import Left, mend
from devserver.worker.keep.observing import Execution, Observer


@record(frozen=True)
class Initialised:
    """A process that has loaded the script and run init(); `forkable` may say why it must not be forked."""

    history: History
    forkable: Forkable | Reason
    left: Left


def initialised(observer: Observer, by_fork: bool = True) -> Initialised:
    """After the `with` of this observer: what a fork, or else this process, can build upon.

    Takes some 50 ms where a large library was imported, more where many objects are alive: garbage is collected, and
    all that is left is looked at.
    """
    gc.collect()
    seen = observer.seen()
    observer.stop()
    may_fork = observer.may_fork() if by_fork else NO_FORK
    loaded = tuple(_loaded(observer.executions))
    history = History(loaded, seen, observer.record, find_holders(loaded, seen.has_frozen))
    return Initialised(history, may_fork, observer.left(seen, may_fork))


def _loaded(executions: Iterable[Execution]) -> Iterable[Loaded]:
    """A text that ran in several modules is parsed once."""
    sources: dict[str, Source] = {}
    for path, text, code, module in executions:
        source = sources[text] if text in sources else sources.setdefault(text, Source.of(text))
        yield Loaded(path, source, code, module)


def resume(stage: Initialised, plan: Plan, refresh: Callable[[str, str], None]) -> None:
    """In the fork, before it answers: as after a fresh start of the new texts. Errors: OSError."""
    mend(stage.left)
    change(stage, plan, refresh)


def change(stage: Initialised, plan: Plan, refresh: Callable[[str, str], None]) -> None:
    """In a process that has run init() itself: the code is that of the new texts."""
    apply(plan.changes, stage.history.holders, refresh)
