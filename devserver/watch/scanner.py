"""Walks large areas in a thread of its own, because that takes a while."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from devserver.records.stamps import Stamp
from devserver.watch.links import trail
from devserver.watch.observer import Bell, Spot
from devserver.watch.snapshot import Survey, survey
from devserver.watch.targets import AreaRule

_END = 0.5  # seconds to wait for the thread


@dataclass(frozen=True)
class Order:
    """Walk this area; `known` and `since_ns` as `survey` takes them.

    `linked`: folders outside that links in the area lead to, as the last survey saw them. `afresh`: folders came or
    went, so listen anew (watchdog 6 does not follow a folder that was moved into a tree).
    """

    rule: AreaRule
    known: Mapping[str, Stamp]
    since_ns: int | None
    linked: frozenset[str]
    afresh: bool


@dataclass(frozen=True)
class Surveyed:
    """The answer to an order; `heard`: whether changes in the whole area ring a bell."""

    rule: AreaRule
    survey: Survey
    heard: bool


class Scout:
    """Arms and walks areas one after another; `bell` is None when nothing can or may be listened at."""

    def __init__(self, bell: Bell | None, report: Callable[[Surveyed], None]) -> None:
        self._bell = bell
        self._report = report
        self._orders: queue.SimpleQueue[Order | AreaRule | None] = queue.SimpleQueue()
        self._spots: dict[AreaRule, set[Spot]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-scout", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, order: Order) -> None:
        self._orders.put(order)

    def forget(self, rule: AreaRule) -> None:
        """The area is no longer wanted."""
        self._orders.put(rule)

    def is_deaf(self) -> bool:
        """Whether something that should listen has died."""
        return self._bell is not None and self._bell.is_deaf()

    def close(self) -> None:
        self._closing.set()
        self._orders.put(None)
        if self._thread.ident is not None:
            self._thread.join(_END)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None and not self._closing.is_set():
            if isinstance(order, Order):
                self._go(order)
            else:
                self._spots.pop(order, None)
                self._hang()
        if self._bell is not None:
            self._bell.close()

    def _go(self, order: Order) -> None:
        self._listen(order.rule, order.linked, afresh=order.afresh)
        seen = self._walk(order)
        if not seen.deep <= order.linked:  # what changed there between walking and listening is seen by walking again
            self._listen(order.rule, seen.deep)
            seen = self._walk(order)
        self._report(Surveyed(order.rule, seen, self._hears(order.rule)))

    def _walk(self, order: Order) -> Survey:
        return survey(order.rule, order.known, order.since_ns, self._closing.is_set)

    def _listen(self, rule: AreaRule, linked: frozenset[str], *, afresh: bool = False) -> None:
        roots = {trail(rule.root).real} if rule.deep else set()
        self._spots[rule] = {Spot(folder, deep=True) for folder in roots | linked}
        self._hang(self._spots[rule] if afresh else set())

    def _hang(self, afresh: set[Spot] | None = None) -> None:
        if self._bell is not None:
            self._bell.hang(set().union(*self._spots.values()), afresh or set())

    def _hears(self, rule: AreaRule) -> bool:
        return self._bell is not None and not self._spots[rule] & self._bell.refused
