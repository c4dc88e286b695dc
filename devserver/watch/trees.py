"""A folder of which the files are not known beforehand: which of them to look at, and when to walk it again."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from devserver.records.stamps import SMALL, Stamp, full_stamp
from devserver.watch.links import identity, nearest, resolve, within
from devserver.watch.scanner import ScanOrder
from devserver.watch.snapshot import Snapshot, glance
from devserver.watch.targets import TreeRule, is_litter

_CALM = {True: 0.1, False: 0.03}  # seconds without news of folders before a deep or a flat tree is walked
# A tree is walked now and then even if no event comes, so rarely that it costs nothing: at least so many seconds
# after the last walk, and at least so many times the processor time of that walk.
_CLOCK_NS = 10_000_000  # the times of files go by a clock that is so much behind
_POLLED = (0.25, 150.0)
_OBSERVED = (2.0, 1000.0)


class Tree:
    """What is known of one tree; nothing is until its first snapshot. Times are of the caller's clock."""

    def __init__(self, rule: TreeRule, since_ns: int, told: Mapping[str, Stamp] | None = None) -> None:
        """`told`: what was delivered of the same folder before its rule became another one."""
        self.rule = rule
        self.known: dict[str, Stamp] = dict(told or {})
        self.scanned = False
        self.stale_since = math.inf
        self.doubtful = False
        self.early: set[str] = set()  # told of before the first snapshot
        self._since_ns = since_ns if rule.since_ns is None else rule.since_ns - _CLOCK_NS
        self._snapshot: Snapshot | None = None
        self._marks: tuple[str, ...] = ()
        self._place: tuple[str, tuple[int, int] | None] = ("", None)
        self._stale_at = -math.inf
        self._walking = False
        self._afresh = False
        self._next_walk = -math.inf

    def folders(self) -> set[str]:
        """The single folders at which to listen: above the root, at every link, and the root itself if it is flat."""
        way = resolve(self.rule.root)
        self._marks = way.marks()
        flat = self._snapshot.flat if self._snapshot else frozenset()
        own = set() if self.rule.deep else {way.real}
        return {nearest(folder) for folder in {os.path.dirname(mark) for mark in way.marks()} | flat | own}

    def counts(self, path: str) -> bool:
        """Whether a change of this file (spelled as in the tree) is a change of the tree."""
        return self.rule.counts(path)

    def spell(self, real: str) -> str | None:
        """The path in this tree of a real place; None if it lies elsewhere."""
        top = self._place[0]
        return self.rule.root + real[len(top) :] if top and within(real, top) and real != top else None

    def hangs_on(self, real: str) -> bool:
        """Whether this place outside of the tree decides what the tree, or a link in it, means."""
        seen = self._snapshot
        behind = seen is not None and (real in seen.aliases or any(within(real, folder) for folder in seen.deep))
        return behind or real in self._marks

    def must_be_walked_for(self, path: str, *, folder: bool) -> bool:
        """Whether an event for `path` (spelled as in the tree) cannot be answered by one look at that path."""
        if folder:
            names = path[len(self.rule.root) :].split(os.sep)
            return not any(map(is_litter, names)) and not self.rule.left_out(path)
        return self._snapshot is not None and self._snapshot.linked and self.rule.counts(path)

    def mark_stale(self, at: float, *, folder: bool = False) -> None:
        """Folders came or went, or a link did: only a walk can tell what that means."""
        self.stale_since = min(self.stale_since, at)
        self._stale_at = at
        self._afresh |= folder

    def check_place(self, now: float, *, dead: bool) -> None:
        """Notice that the root was removed, made again, or switched to another folder, or that nobody listens."""
        real = resolve(self.rule.root).real
        lost = (real, identity(real)) != self._place or (dead and self.rule.deep)
        if lost and self.scanned and not self._walking and self.stale_since == math.inf:
            self.mark_stale(now)

    def walk_at(self) -> float:
        """When the tree wants to be walked; infinity while it is being walked."""
        if self._walking:
            return math.inf
        return min(self._next_walk, self._stale_at + _CALM[self.rule.deep] if self.stale_since < math.inf else math.inf)

    def order(self) -> ScanOrder:
        """The order for a walk that begins now."""
        real = resolve(self.rule.root).real
        self._place = (real, identity(real))
        self._walking = True
        self._stale_at = math.inf
        afresh, self._afresh = self._afresh, False
        seen = self._snapshot
        return ScanOrder(
            rule=self.rule,
            known=self.known,
            since_ns=None if self.scanned else self._since_ns,
            linked=seen.deep if seen else frozenset(),
            afresh=afresh,
        )

    def adopt(self, seen: Snapshot, now: float, *, observed: bool) -> set[str]:
        """Take in a snapshot; the files that have to be looked at."""
        self._snapshot, self._walking = seen, False
        if self._stale_at == math.inf:
            self.stale_since = math.inf
        least, times = _OBSERVED if observed else _POLLED
        self._next_walk = now + max(least, times * seen.cost)
        if self.scanned:
            return self._differing(seen.found)
        self.scanned = True
        if self.rule.searched:  # none of them was there when they were looked for
            return self._differing(seen.found) | self.early
        self.known = {path: stamp for path, stamp in seen.found.items() if path not in seen.fresh}
        return self.early | seen.fresh

    def _differing(self, found: dict[str, Stamp]) -> set[str]:
        other = {path for path, stamp in found.items() if stamp is not self.known.get(path)}
        return other | (self.known.keys() - found.keys())

    def look(self, path: str, *, closely: bool) -> Stamp | None:
        """How the file is now; the known stamp itself where nothing shows a difference. `closely`: read small files."""
        before, now = self.known.get(path), glance(path, folders=self.rule.names)
        if self.rule.names and before is not None and now is not None:
            return before
        if now is None or now.size > SMALL or not closely:
            return before if now is not None and now.same_stat(before) else now
        comparable = before is None or before.digest is not None
        return (full_stamp(path) if comparable else None) or now

    def settle(self, path: str, stamp: Stamp | None) -> None:
        """This is the version that is known from now on."""
        if stamp is None:
            self.known.pop(path, None)
        elif self.scanned and self.counts(path):
            self.known[path] = stamp
