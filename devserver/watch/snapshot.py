"""What is in a tree at one moment, and which folders to observe so that changes of it are told."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from devserver.records.record import record
from devserver.records.searches import packages, present
from devserver.records.stamps import SMALL, Stamp, changed_at, folder_stamp, full_stamp, link_stamp, stat_stamp
from devserver.watch.links import resolve, within
from devserver.watch.targets import TreeRule, is_litter

_READ_AT_MOST = 32 << 20  # bytes of small files that one walk reads, so that a huge tree does not load the machine
_LEAST_READ = 32 << 10  # what one file counts, however small it is
MANY = 1000  # files; of more at a time only a stat is taken


@record(frozen=True)
class Snapshot:
    """What one walk saw. Paths in `found` and `fresh` are as the caller spells them, all others are real.

    `fresh`: files that changed at or after the moment asked for. `deep`, `flat`: folders to listen at beside the root,
    with all below or alone.
    `aliases`: places outside of the tree that decide what a link in it means. `cost`: seconds of processor time.
    """

    found: dict[str, Stamp]
    fresh: frozenset[str]
    deep: frozenset[str]
    flat: frozenset[str]
    aliases: frozenset[str]
    linked: bool
    cost: float


def take_snapshot(
    rule: TreeRule,
    known: Mapping[str, Stamp],
    since_ns: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Snapshot:
    """Walk the tree once. Stamps of `known` are given back as they are where a stat shows no difference."""
    began = _clocks()
    walk = _Walk(rule, known, stop)
    if rule.searched:
        walk.modules()
    else:
        walk.tree()
    fresh = frozenset() if since_ns is None else frozenset(_changed_since(walk.found, since_ns))
    return Snapshot(
        found=walk.found,
        fresh=fresh,
        deep=frozenset(walk.deep),
        flat=frozenset(walk.flat),
        aliases=frozenset(walk.aliases),
        linked=walk.linked,
        cost=min(now - then for now, then in zip(_clocks(), began, strict=True)),
    )


def _clocks() -> tuple[float, float]:
    """Processor time, which leaves out that others go first; and time that passes, as the other may go by 1/64 s."""
    return time.thread_time(), time.perf_counter()


def glance(path: str, *, folders: bool = False) -> Stamp | None:
    """The stamp of a file by a stat; of a link that leads to no file, the stamp of the link itself."""
    return stat_stamp(path) or (folder_stamp(path) if folders else None) or link_stamp(path)


class _Walk:
    def __init__(self, rule: TreeRule, known: Mapping[str, Stamp], stop: Callable[[], bool]) -> None:
        self._rule = rule
        self._known = known
        self._stop = stop
        self._real = resolve(rule.root).real
        self._budget = _READ_AT_MOST
        self.found: dict[str, Stamp] = {}
        self.deep: set[str] = set()
        self.flat: set[str] = set()
        self.aliases: set[str] = set()
        self.linked = False

    def tree(self) -> None:
        todo = [self._rule.root]
        while todo and not self._stop():
            todo.extend(self._folder(todo.pop()))

    def modules(self) -> None:
        """The modules that are there, and the folders in which one may come."""
        root, names = self._rule.root, dict(self._rule.searched)
        self.flat.update(resolve(package).real for package in packages(root, names))
        for path in present(root, names):
            if not self._rule.left_out(path):
                self._take(path)

    def _folder(self, folder: str) -> Iterator[str]:
        for entry in _entries(folder):
            if is_litter(entry.name) or self._rule.left_out(entry.path):
                continue
            if self._rule.names:
                self._take(entry.path)
            elif entry.is_symlink():
                yield from self._follow(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                yield from [entry.path] if self._rule.deep else []
            elif self._rule.matches(entry.path):
                self._take(entry.path)

    def _follow(self, path: str) -> Iterator[str]:
        """A link counts by what it says and by what it leads to; folders that lie outside are walked, once each."""
        self.linked = True
        way = resolve(path)
        outside = [mark for mark in way.marks() if not within(mark, self._real)]
        self.aliases.update(outside)
        self.flat.update(os.path.dirname(mark) for mark in outside)
        if self._rule.matches(path):
            self._take(path)
        if self._rule.deep and way.real in outside and self._is_new_ground(way.real):
            self.deep.add(way.real)
            yield path

    def _is_new_ground(self, folder: str) -> bool:
        return folder not in self.deep and not within(self._real, folder) and os.path.isdir(folder)

    def _take(self, path: str) -> None:
        before, now = self._known.get(path), glance(path, folders=self._rule.names)
        if now is not None and self._rule.names:
            self.found[path] = before or now
        elif now is not None:
            self.found[path] = before if before is not None and before.same_stat(now) else self._with_digest(path, now)

    def _with_digest(self, path: str, stamp: Stamp) -> Stamp:
        if stamp.digest is not None or stamp.size > SMALL or self._budget <= 0:
            return stamp
        self._budget -= max(stamp.size, _LEAST_READ)
        return full_stamp(path) or stamp


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (OSError, ValueError):
        return []


def _changed_since(found: Mapping[str, Stamp], since_ns: int) -> Iterator[str]:
    if len(found) <= MANY:
        return changed(found, since_ns)
    return (path for path, stamp in found.items() if stamp.mtime_ns >= since_ns)


def changed(paths: Iterable[str], since_ns: int) -> Iterator[str]:
    """Those that were written, or put where they are, at or after this time of the wall clock."""
    return (path for path in paths if _written_since(path, since_ns) or (changed_at(path) or -1) >= since_ns)


def _written_since(path: str, since_ns: int) -> bool:
    """What may be written at this moment is found by this, and not opened, which on Windows could hinder it."""
    stamp = stat_stamp(path)
    return stamp is not None and stamp.mtime_ns >= since_ns
