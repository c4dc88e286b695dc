"""Folders to listen at come in; a `Ring` goes out whenever the system tells that something happened in one of them.

The only room that knows watchdog. What watchdog says is a bell, not a fact: the files are looked at elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.utils import BaseThread

from devserver.watch.debounce import Finish
from devserver.watch.links import identity

_STOP = 0.5  # seconds that an observer gets to end its threads

# Named one by one: with its default filter watchdog also reports every reading of a file.
_FILTER: list[type[events.FileSystemEvent]] = [
    events.FileCreatedEvent,
    events.FileModifiedEvent,
    events.FileMovedEvent,
    events.FileDeletedEvent,
    events.FileClosedEvent,
    events.DirCreatedEvent,
    events.DirMovedEvent,
    events.DirDeletedEvent,
]
_FINISH = {
    events.EVENT_TYPE_CREATED: Finish.SEEN,
    events.EVENT_TYPE_DELETED: Finish.SEEN,
    events.EVENT_TYPE_MODIFIED: Finish.OPEN,
    events.EVENT_TYPE_CLOSED: Finish.CLOSED,
    events.EVENT_TYPE_MOVED: Finish.SEEN,
}


@dataclass(frozen=True)
class Spot:
    """A real folder to listen at, alone or with everything below it."""

    folder: str
    deep: bool


@dataclass(frozen=True)
class Ring:
    """Something happened to `path` (a real path), which is or was a folder if `folder` says so."""

    path: str
    finish: Finish
    folder: bool


class Bell:
    """Listens at folders until closed. All methods belong to one thread; `ring` is called from others.

    `refuse` gets the reason each time when the system cannot listen at a folder (for instance when its limit of
    inotify watches is reached); the folder is then in `refused` and is not tried again while it stays the same.
    """

    def __init__(self, ring: Callable[[Ring], None], refuse: Callable[[str], None]) -> None:
        self._handler = _Handler(ring)
        self._refuse = refuse
        self._observer: BaseObserver | None = None
        self._hung: dict[Spot, tuple[ObservedWatch, tuple[int, int] | None]] = {}
        self._refused: dict[Spot, tuple[int, int] | None] = {}
        _hush()

    @property
    def refused(self) -> Set[Spot]:
        return self._refused.keys()

    def is_deaf(self) -> bool:
        """Whether something of it has died; `hang` makes that good. Can be asked from any thread."""
        observer = self._observer
        return observer is not None and not all(map(_alive, [observer, *observer.emitters]))

    def hang(self, spots: Set[Spot], afresh: Set[Spot] = frozenset()) -> None:
        """Listen at exactly these places: those in `afresh` anew, and those of which the folder was replaced."""
        if self._observer is not None and not _alive(self._observer):
            self.close()
        for spot in self._lost() | (self._hung.keys() - spots) | (self._hung.keys() & afresh):
            self._take_down(spot)
        for spot in spots - self._hung.keys():
            self._put_up(spot)

    def close(self) -> None:
        if self._observer is not None and self._observer.is_alive():
            self._observer.stop()
            self._observer.join(_STOP)
        self._observer = None
        self._hung.clear()

    def _lost(self) -> set[Spot]:
        """Those of which the folder or the emitter is no longer what it was."""
        if self._observer is None:
            return set()
        sound = {emitter.watch for emitter in self._observer.emitters if _alive(emitter)}
        return {spot for spot, (watch, was) in self._hung.items() if watch not in sound or identity(spot.folder) != was}

    def _take_down(self, spot: Spot) -> None:
        watch, _ = self._hung.pop(spot)
        with contextlib.suppress(KeyError, OSError):  # its folder is gone, and watchdog may have noticed before us
            self._observed().unschedule(watch)

    def _put_up(self, spot: Spot) -> None:
        now = identity(spot.folder)
        if now is None or self._refused.get(spot) == now:
            return
        self._refused.pop(spot, None)
        try:
            watch = self._observed().schedule(self._handler, spot.folder, recursive=spot.deep, event_filter=_FILTER)
            self._hung[spot] = (watch, now)
            if spot.deep:
                _try_one_more(self._handler, spot.folder)
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone again; whoever asked for it will look again
        except (OSError, RuntimeError) as error:
            self._give_up(spot, now, error)

    def _give_up(self, spot: Spot, now: tuple[int, int], error: Exception) -> None:
        if spot in self._hung:
            self._take_down(spot)
        self._refused[spot] = now
        self._refuse(f"{spot.folder}: {error.strerror if isinstance(error, OSError) and error.strerror else error}")

    def _observed(self) -> BaseObserver:
        if self._observer is None:
            self._observer = _started()
        return self._observer


class _Handler(events.FileSystemEventHandler):
    def __init__(self, ring: Callable[[Ring], None]) -> None:
        self._ring = ring

    def dispatch(self, event: events.FileSystemEvent) -> None:
        finish = _FINISH.get(event.event_type)
        if finish is None:
            return
        self._ring(Ring(os.fsdecode(event.src_path), finish, event.is_directory))
        if event.dest_path:
            self._ring(Ring(os.fsdecode(event.dest_path), Finish.MOVED, event.is_directory))


def _started() -> BaseObserver:
    observer = Observer()
    observer.start()
    return observer


def _try_one_more(handler: _Handler, folder: str) -> None:
    """OSError if the system has no watch left: watchdog 7 says nothing when it could not watch a folder in a tree."""
    observer = _started()
    try:
        observer.schedule(handler, folder, event_filter=_FILTER)
    finally:
        observer.stop()
        observer.join(_STOP)


def _alive(thread: threading.Thread) -> bool:
    """Whether an observer or emitter works: watchdog's reading threads die of a KeyError when folders move about."""
    return all(one.is_alive() for one in (thread, *_held(thread)))


def _held(thread: threading.Thread) -> Iterator[threading.Thread]:
    return (value for value in vars(thread).values() if isinstance(value, threading.Thread))


def _hush() -> None:
    """Keep watchdog's own troubles off the terminal: each is noticed here and made good, or does not matter."""
    _hush_threads()
    warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
    logger = logging.getLogger("watchdog")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


@functools.cache
def _hush_threads() -> None:
    others = threading.excepthook

    def on_death(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.thread, BaseThread):
            others(args)

    threading.excepthook = on_death
