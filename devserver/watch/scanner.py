"""Observes and walks trees in a thread of its own, because a large one takes a while."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

from devserver.records.record import record
from devserver.records.stamps import Stamp
from devserver.watch.links import resolve
from devserver.watch.observer import FolderObserver, ObservedFolder
from devserver.watch.snapshot import Snapshot, take_snapshot
from devserver.watch.targets import TreeRule

_END = 0.5  # seconds to wait for the thread


@record(frozen=True)
class ScanOrder:
    """Walk this tree; `known` and `since_ns` as `take_snapshot` takes them.

    `linked`: folders outside that links in the tree lead to, as the last snapshot had them. `afresh`: folders came or
    went, so listen anew (watchdog 6 does not follow a folder that was moved into a tree).
    """

    rule: TreeRule
    known: Mapping[str, Stamp]
    since_ns: int | None
    linked: frozenset[str]
    afresh: bool


@record(frozen=True)
class Scanned:
    """The answer to an order; `observed`: whether events tell of changes in the whole tree."""

    rule: TreeRule
    snapshot: Snapshot
    observed: bool


class Scanner:
    """Observes and walks trees one after another; `observer` is None when nothing can or may be observed."""

    def __init__(self, observer: FolderObserver | None, report: Callable[[Scanned], None]) -> None:
        self._observer = observer
        self._report = report
        self._orders: queue.SimpleQueue[ScanOrder | TreeRule | None] = queue.SimpleQueue()
        self._folders_observed: dict[TreeRule, set[ObservedFolder]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-scan", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, order: ScanOrder) -> None:
        self._orders.put(order)

    def forget(self, rule: TreeRule) -> None:
        """The tree is no longer wanted."""
        self._orders.put(rule)

    def is_dead(self) -> bool:
        """Whether something that should listen has died."""
        return self._observer is not None and self._observer.is_dead()

    def close(self) -> None:
        self._closing.set()
        self._orders.put(None)
        if self._thread.ident is not None:
            self._thread.join(_END)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None and not self._closing.is_set():
            if isinstance(order, ScanOrder):
                self._go(order)
            else:
                self._folders_observed.pop(order, None)
                self._observe()
        if self._observer is not None:
            self._observer.close()

    def _go(self, order: ScanOrder) -> None:
        self._observe_tree(order.rule, order.linked, afresh=order.afresh)
        seen = self._walk(order)
        if not seen.deep <= order.linked:  # what changed there between walking and listening is seen by walking again
            self._observe_tree(order.rule, seen.deep)
            seen = self._walk(order)
        self._report(Scanned(order.rule, seen, self._is_observed(order.rule)))

    def _walk(self, order: ScanOrder) -> Snapshot:
        return take_snapshot(order.rule, order.known, order.since_ns, self._closing.is_set)

    def _observe_tree(self, rule: TreeRule, linked: frozenset[str], *, afresh: bool = False) -> None:
        roots = {resolve(rule.root).real} if rule.deep else set()
        self._folders_observed[rule] = {ObservedFolder(folder, deep=True) for folder in roots | linked}
        self._observe(self._folders_observed[rule] if afresh else set())

    def _observe(self, afresh: set[ObservedFolder] | None = None) -> None:
        if self._observer is not None:
            self._observer.observe(set().union(*self._folders_observed.values()), afresh or set())

    def _is_observed(self, rule: TreeRule) -> bool:
        return self._observer is not None and not self._folders_observed[rule] & self._observer.refused
