"""Putting right in a fork what forking has changed, so that the script finds itself as init() has left it.

Python gives `random` another seed in each fork; a script that has seeded it gets its own state back. numpy's global
generator is the other way round: one that nobody has seeded must not draw the same numbers in each fork. Exit handlers
of load and init() belong to the process that ran them: temporary folders are removed once, when it ends.
"""

from __future__ import annotations

import atexit
import random
import sys
import weakref
from collections.abc import Callable, Collection
from typing import Any

from devserver.records.record import record
from devserver.worker.keep.forkable import Forkable, copy_memory, reopen
from devserver.worker.keep.watching import Seen


@record(frozen=True)
class Left:
    """What load and init() left that a fork has to look after; taken once, in the process that ran them."""

    random_state: tuple[Any, ...] | None  # None: nobody has seeded it
    reseed_numpy: bool
    exit_handlers: tuple[Callable[..., Any], ...]
    finalizers: tuple[weakref.finalize[..., Any], ...]
    forkable: Forkable


def finalizers_now() -> frozenset[int]:
    """Which finalizers there are, by id; for `left`."""
    return frozenset(map(id, _registry()))


def left(seen: Seen, finalizers_before: Collection[int], found: Forkable) -> Left:
    """To be taken after init(), before the first fork."""
    return Left(
        random.getstate() if seen.random_seeded else None,
        "numpy.random" in sys.modules and not seen.numpy_seeded,
        tuple(handler for handler in seen.exit_handlers if not _serves_any_process(handler)),
        tuple(finalizer for finalizer in _registry() if id(finalizer) not in finalizers_before),
        found,
    )


def mend(state: Left) -> None:
    """In each fork, before anything else of the script's runs.

    Errors: OSError where a file cannot be opened anew, or memory is short.
    """
    if state.random_state is not None:
        random.setstate(state.random_state)
    if state.reseed_numpy:
        sys.modules["numpy.random"].seed()
    part(state)


def part(state: Left) -> None:
    """In a process from which another one was forked that keeps all this: they share nothing from here on.

    Errors: OSError as of `mend`.
    """
    disown(state)
    reopen(state.forkable.reopen)
    copy_memory(state.forkable.copy)


def disown(state: Left) -> None:
    """Exit handlers of load and init() run in another process."""
    for handler in state.exit_handlers:
        atexit.unregister(handler)
    for finalizer in state.finalizers:
        finalizer.atexit = False


def _registry() -> dict[weakref.finalize[..., Any], Any]:
    return weakref.finalize._registry  # type: ignore[attr-defined,no-any-return]


def _serves_any_process(handler: Callable[..., Any]) -> bool:
    """These look after whatever the process has when it ends: its log handlers, its own children, its finalizers."""
    name = f"{getattr(handler, '__module__', '')}.{getattr(handler, '__qualname__', '')}"
    return name in ("logging.shutdown", "multiprocessing.util._exit_function", "weakref.finalize._exitfunc")
