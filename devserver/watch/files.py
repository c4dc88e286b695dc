"""Single files: which version of each is known, and how each is now."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from devserver.records.changes import Role
from devserver.records.stamps import SMALL, Stamp, full_stamp, is_link, link_stamp, stat_stamp
from devserver.watch.links import ResolvedPath, nearest, resolve
from devserver.watch.snapshot import changed

_RACY_NS = 2_000_000_000  # the coarsest clock of a file system: within it two versions may have the same time


class TrackedFiles:
    """Code, configuration and sample files. `known` is what was last delivered, or what a generation has loaded."""

    def __init__(self) -> None:
        self.roles: dict[str, Role] = {}
        self._links: frozenset[str] = frozenset()
        self.known: dict[str, Stamp] = {}
        self._loaded: set[str] = set()
        self._told: defaultdict[str, list[Stamp | None]] = defaultdict(list)
        self._racy: set[str] = set()
        self._names: dict[str, set[str]] = {}

    def retarget(
        self,
        roles: dict[str, Role],
        loaded: Mapping[str, Stamp | None],
        since_ns: int,
        links: Collection[str] = (),
    ) -> None:
        """Take over a new list. New files are known as `loaded` says (None: not there), else as they are now.

        Of those in `links` it counts what the link says.

        A new file that nobody has loaded and that changed at or after `since_ns` counts as not known: it may have
        come after somebody looked for it in vain.
        """
        self.known = {path: stamp for path, stamp in self.known.items() if path in roles}
        self._loaded &= roles.keys()
        arrived = roles.keys() - self.roles.keys() - loaded.keys()
        self.roles, self._links = roles, frozenset(links)
        for path in loaded.keys() & roles.keys():
            self._believe(path, loaded[path])
        for path in arrived - set(changed(arrived, since_ns)):
            self.settle(path, self.look(path, closely=True))

    def settle(self, path: str, stamp: Stamp | None) -> None:
        """This is the version that is known from now on."""
        if stamp is None:
            self.known.pop(path, None)
        else:
            self.known[path] = stamp

    def tell(self, paths: Iterable[str]) -> None:
        """Remember that a change of these files is being delivered: the versions known so far are out of date."""
        self._loaded.clear()
        for path in self.roles.keys() & set(paths):
            self._told[path].append(self.known.get(path))

    def look(self, path: str, *, closely: bool = False) -> Stamp | None:
        """How the file is now; the known stamp itself where nothing shows a difference. `closely`: read it anyway."""
        before, now = self.known.get(path), link_stamp(path) if path in self._links else stat_stamp(path)
        if now is None or now.digest is not None:
            return now if now is None or not now.same_content(before) else before
        if now.same_stat(before) and not closely and path not in self._racy:
            return before
        return now if now.size > SMALL and self.roles[path] is not Role.CODE else self._read(path)

    def named(self, real: str) -> set[str]:
        """The files that mean this real place, or find their way through the link that lies there."""
        return self._names.get(real, set())

    def places(self) -> Iterable[str]:
        """All real places that `named` knows."""
        return self._names.keys()

    def folders(self) -> set[str]:
        """The folders at which to listen for changes of these files, as the links lead at this moment."""
        ways: dict[str, ResolvedPath] = {}
        names: defaultdict[str, set[str]] = defaultdict(set)
        for path in self.roles:
            for mark in self._marks(path, ways):
                names[mark].add(path)
        self._names = dict(names)
        return {nearest(folder) for folder in {os.path.dirname(mark) for mark in names}}

    def _marks(self, path: str, ways: dict[str, ResolvedPath]) -> tuple[str, ...]:
        folder, name = os.path.split(path)
        if folder not in ways:
            ways[folder] = resolve(folder)
        way = resolve(os.path.join(ways[folder].real, name)) if is_link(path) else None
        return (*ways[folder].links, *(way.marks() if way else (os.path.join(ways[folder].real, name),)))

    def _believe(self, path: str, stamp: Stamp | None) -> None:
        """Take what a generation has loaded as known, unless that hides a change.

        A version that a delivered change has replaced is old news. And where two workers of a generation have loaded
        two versions, the one that is not on the disk any more stays known: the difference has yet to be told.
        """
        known = self.known.get(path)
        if not _same(stamp, known):
            current = path in self._loaded and _same(stamp, self.look(path, closely=True))
            if current or stamp in self._told[path]:
                return
        self._told.pop(path, None)
        self._loaded.add(path)
        self.settle(path, stamp)

    def _read(self, path: str) -> Stamp | None:
        now = time.time_ns()  # not for waiting: to be compared with the times of files
        stamp = full_stamp(path)
        if stamp is not None and abs(now - stamp.mtime_ns) < _RACY_NS:
            self._racy.add(path)
        else:
            self._racy.discard(path)
        return stamp


def _same(one: Stamp | None, other: Stamp | None) -> bool:
    return one is other if one is None else one.same_content(other)
