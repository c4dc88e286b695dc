"""What a generation depends on, as it knows it, compared with the disk before each connection is accepted.

There may be hundreds of files, of places where a file would win and of listed folders, and this has to cost less than
anybody notices: a stat for each file, one for each folder, and a closer look only where a stat differs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain, islice
from typing import Protocol, TypeAlias

from devserver.records.searches import Names, packages, present
from devserver.records.stamps import Identity, Stamp, full_stamp, identity, link_stamp, stat_stamp

State: TypeAlias = Identity | str | None
"""How something is now, as far as a look tells: two that are equal are the same version."""

Differences: TypeAlias = dict[str, State]
"""Paths that are not as they are known, and how they are now."""

Counts: TypeAlias = Callable[[str], bool]

MOST_DATA = 300  # files of each kind of data that are looked at each time; of the others only their folders,
MOST_FOLDERS = 200  # and of these so many
TICK_NS = 20_000_000  # two writes within it may have the same time,
COARSE_NS = 2_000_000_000  # or within this one where the file system counts in whole seconds


class Part(Protocol):
    """One kind of what a generation depends on."""

    def differences(self) -> Differences:
        """What is not as known."""

    def accept(self, path: str, state: State) -> None:
        """From now on it is known so."""


def is_fresh(mtime_ns: int, now_ns: int) -> bool:
    """Whether a file of this time may be written again without a change of its time."""
    return abs(now_ns - mtime_ns) < (TICK_NS if mtime_ns % 1_000_000_000 else COARSE_NS)


class Files:
    """Files with their stamps; None stands for one that was not there. A touch is no difference.

    `books` may grow while this is used. Those in `data` may be many. `counts` says whether a path matters.
    """

    def __init__(
        self,
        books: Sequence[Mapping[str, Stamp | None]],
        data: Sequence[Mapping[str, Stamp]],
        counts: Counts,
    ) -> None:
        self._books, self._data, self._counts = books, data, counts
        self._folders: dict[str, State] = {}
        self.forget()

    def forget(self) -> None:
        """What is known may have been read anew: no look at it counts that was before."""
        self._since_ns = time.time_ns()
        # stamps, and the stats that are certain to be of the same
        self._quick: dict[str, tuple[Stamp, State]] = {}
        self._seen: dict[str, tuple[Stamp | None, Stamp | None]] = {}  # what was known, and what counts as the same
        self._sure: set[str] = set()  # written about when they were loaded, and found the same later
        self._rest: dict[str, list[tuple[str, Stamp]]] = {}  # what is too much to be looked at each time, by its folder
        self._rest_of: list[int] = []

    def differences(self) -> Differences:
        found: Differences = {}
        for book in self._books:
            self._compare(list(book.items()), found)  # a copy: threads may add some
        items = chain.from_iterable(list(islice(book.items(), MOST_DATA)) for book in self._data)
        self._compare(items, found)
        self._compare(self._in_moved_folders(), found)
        return found

    def accept(self, path: str, state: State) -> None:
        known = next((book[path] for book in (*self._books, *self._data) if path in book), None)
        now = stat_stamp(path)
        if _state(now) == state:
            self._seen[path] = (known, now)

    def _compare(self, items: Iterable[tuple[str, Stamp | None]], found: Differences) -> None:
        quick = self._quick
        for path, stamp in items:
            known, seen = quick.get(path, (None, None))
            if seen is None or known is not stamp or identity(path) != seen:
                self._look(path, stamp, found)

    def _look(self, path: str, stamp: Stamp | None, found: Differences) -> None:
        now = stat_stamp(path)
        if not self._is_same(path, stamp, now) and self._counts(path):
            found[path] = _state(now)
        elif stamp is not None and now is not None and self._is_certain(path, now):
            self._quick[path] = (stamp, _state(now))

    def _is_same(self, path: str, stamp: Stamp | None, now: Stamp | None) -> bool:
        known, same = self._seen.get(path, (stamp, stamp))
        if known is not stamp:
            same = stamp  # it was read again
        if now is None or same is None:
            return now is same
        if now.same_stat(same) and self._is_certain(path, now):
            return True
        if same.digest is None:
            return now.same_stat(same)
        content = full_stamp(path)
        if content is None or not content.same_content(same):
            return False
        self._seen[path] = (stamp, content)
        if not is_fresh(content.mtime_ns, time.time_ns()):
            self._sure.add(path)
        return True

    def _is_certain(self, path: str, now: Stamp) -> bool:
        """Whether the stat tells all: not of a file that was written when, or since, it was loaded."""
        return path in self._sure or now.mtime_ns < self._since_ns - COARSE_NS

    def _in_moved_folders(self) -> list[tuple[str, Stamp]]:
        """Of the files that are too many those whose folders have changed."""
        sizes = [len(book) for book in self._data]
        if sizes != self._rest_of:
            self._rest_of, self._rest = sizes, {}
            for book in self._data:
                for path, stamp in list(islice(book.items(), MOST_DATA, None)):
                    self._rest.setdefault(os.path.dirname(path), []).append((path, stamp))
        moved = []
        for folder in list(self._rest)[:MOST_FOLDERS]:
            now = _folder_state(folder)
            if self._folders.setdefault(folder, now) != now:
                moved += self._rest[folder]
        return moved


class Links:
    """Links on the way to what was loaded: a link that leads elsewhere is another version of all that lies behind."""

    def __init__(self, links: Mapping[str, Stamp]) -> None:
        self._links = links
        self._accepted: dict[str, State] = {}

    def differences(self) -> Differences:
        found: Differences = {}
        for path, stamp in list(self._links.items()):
            now = _digest(link_stamp(path))
            if now != self._accepted.get(path, stamp.digest):
                found[path] = now
        return found

    def accept(self, path: str, state: State) -> None:
        if path in self._links:
            self._accepted[path] = state


class Places:
    """Files that were not there when they were looked for: `absent` ones, and `searches` for modules.

    Their folders tell whether anything came; only where a folder has changed are they looked for again.
    """

    def __init__(self, absent: Mapping[str, None], searches: Mapping[str, Names], counts: Counts) -> None:
        self._absent, self._searches, self._counts = absent, searches, counts
        self._quiet: dict[str, tuple[int, tuple[State, ...]]] = {}
        self._inside: dict[str, list[str]] = {}
        self._accepted: dict[str, State] = {}
        self._groups: tuple[int, dict[str, list[str]]] = (-1, {})

    def differences(self) -> Differences:
        found: Differences = {}
        for folder, names in list(self._searches.items()):
            found |= self._look(f"{folder}{os.sep}", folder, len(names), partial(self._came, folder, names))
        for folder, paths in self._by_folder().items():
            found |= self._look(folder, folder, len(paths), partial(_those_there, paths))
        return found

    def accept(self, path: str, state: State) -> None:
        self._accepted[path] = state
        self._quiet.clear()

    def _came(self, folder: str, names: Names) -> list[str]:
        names = dict(names)
        self._inside[f"{folder}{os.sep}"] = packages(folder, names)
        return present(folder, names)

    def _look(self, key: str, folder: str, size: int, look: Callable[[], list[str]]) -> Differences:
        """What came into the folder, unless it is as it was when nothing had come."""
        states = (_folder_state(folder), *map(_folder_state, self._inside.get(key, ())))
        if self._quiet.get(key) == (size, states):
            return {}
        now_ns = time.time_ns()
        came = {path: _state(stat_stamp(path)) for path in look() if self._counts(path)}
        found = {path: state for path, state in came.items() if self._accepted.get(path, "") != state}
        states = (_folder_state(folder), *map(_folder_state, self._inside.get(key, ())))
        fresh = any(is_fresh(state[0], now_ns) for state in states if isinstance(state, tuple))
        if not found and not fresh:
            self._quiet[key] = (size, states)
        return found

    def _by_folder(self) -> dict[str, list[str]]:
        """The absent files by the folder in which something has to appear first."""
        count, groups = self._groups
        stale = any(not os.path.isdir(folder) for folder in groups)
        if count == len(self._absent) and not stale and not self._deeper(groups):
            return groups
        groups = {}
        for path in list(self._absent):
            groups.setdefault(_nearest(os.path.dirname(path)), []).append(path)
        self._groups = (len(self._absent), groups)
        return groups

    def _deeper(self, groups: dict[str, list[str]]) -> bool:
        """Whether a folder has come that lies nearer to one of the files."""
        moved = [folder for folder in groups if (self._quiet.get(folder) or (0, ()))[1] != (_folder_state(folder),)]
        return any(_nearest(os.path.dirname(path)) != folder for folder in moved for path in groups[folder])


class Listings:
    """Folders that were listed: which names they hold. `counts` says of a path whether it matters at this moment."""

    def __init__(
        self, folders: Callable[[], Iterable[str]], names_of: Callable[[str], Collection[str]], counts: Counts
    ) -> None:
        self._folders, self._names_of, self._counts = folders, names_of, counts
        self._known: dict[str, frozenset[str]] = {}
        self._quiet: dict[str, State] = {}

    def note(self, folder: str) -> None:
        """Take down what it holds now."""
        self._known[folder] = frozenset(self._names_of(folder))

    def differences(self) -> Differences:
        found: Differences = {}
        for folder in self._folders():
            now = _folder_state(folder)
            if folder in self._quiet and self._quiet[folder] == now:
                continue
            now_ns, names = time.time_ns(), frozenset(self._names_of(folder))
            known = self._known.setdefault(folder, names)
            for path in (os.path.join(folder, name) for name in names ^ known):
                if self._counts(path):
                    found[path] = _state(stat_stamp(path)) or ("came" if os.path.lexists(path) else None)
            if not found and not (isinstance(now, tuple) and is_fresh(now[0], now_ns)):
                self._quiet[folder] = now
        return found

    def accept(self, path: str, state: State) -> None:
        folder, name = os.path.split(path)
        if folder in self._known:
            known = self._known[folder]
            self._known[folder] = known - {name} if state is None else known | {name}
            self._quiet.pop(folder, None)


class Known:
    """All parts together."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def differences(self) -> Differences:
        """What is not as known, in any part."""
        found: Differences = {}
        for part in self._parts:
            found |= part.differences()
        return found

    def accept(self, differences: Differences) -> None:
        """From now on these are known so; where they have changed again, they differ again."""
        for path, state in differences.items():
            for part in self._parts:
                part.accept(path, state)


def _those_there(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if os.path.lexists(path)]


def _state(stamp: Stamp | None) -> State:
    return None if stamp is None else (stamp.mtime_ns, stamp.size, stamp.inode)


def _digest(stamp: Stamp | None) -> State:
    return None if stamp is None else stamp.digest


@lru_cache(maxsize=4096)
def _parent(path: str) -> str:
    return os.path.dirname(path)


def _nearest(folder: str) -> str:
    """The folder, or the nearest above it that exists."""
    while not os.path.isdir(folder) and _parent(folder) != folder:
        folder = _parent(folder)
    return folder


def _folder_state(folder: str) -> State:
    try:
        found = os.stat(folder)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ino, found.st_dev
