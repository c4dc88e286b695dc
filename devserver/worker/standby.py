"""A process that loads what the generation beside it has loaded, runs init(), and waits for its turn to be the next.

It is for code that cannot be forked: threads, sockets and child processes of init() are its own. Nothing is heard of
it before its turn, and others go first on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from devserver.process.platform import System
from devserver.process.wire import KeptOrder, read_turn
from devserver.records.messages import StandsBy, Taken, Told
from devserver.records.reasons import Reason
from devserver.usercode.ownership import is_own_file, is_user_file
from devserver.worker.initialised import is_known, learn, plan_for, why_stale
from devserver.worker.keep.observing import Made, Observer
from devserver.worker.keep.stage import change, initialised
from devserver.worker.kept import watching
from devserver.worker.libraries import imported_libraries
from devserver.worker.rehearsal import silence


class Standby:
    """`control` is where its turn is told, `tell` how it answers."""

    def __init__(self, control: BinaryIO, tell: Callable[[Told], None]) -> None:
        self._control = control
        self._tell = tell
        self._quiet = ExitStack()
        self._observer = Observer(is_user_file, is_own_file)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around load and init()."""
        System.step_back(True)
        self._quiet.enter_context(silence())
        with watching(self._observer):
            yield

    def wait(self, made: Made) -> KeptOrder:
        """Until its turn comes; then the code is that of the order. Ends the process where it does not come."""
        state, libraries = initialised(self._observer, by_fork=False), imported_libraries()
        self._tell(StandsBy(made.init_ms, made.files))
        try:
            order = read_turn(self._control)
        except (EOFError, OSError):
            raise SystemExit(0) from None
        plan = plan_for(order, state, by_fork=False)
        reason = plan if isinstance(plan, Reason) else why_stale(order, state, made, libraries)
        if isinstance(plan, Reason) or reason is not None:
            self._tell(Taken(reason))
            raise SystemExit(0)
        change(state, plan, is_known)
        learn(order)
        System.obey(self._control)
        System.step_back(False)
        self._quiet.close()
        self._tell(Taken(None))
        return order
