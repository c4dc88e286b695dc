"""Observes folders by watchdog, which nobody else knows, and makes its events few and plain.

An event says that something happened, and no more: the files themselves are looked at elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Set

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventEmitter, ObservedWatch
from watchdog.utils import BaseThread

from devserver.records.record import record
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


@record(frozen=True)
class ObservedFolder:
    """A real folder to listen at, alone or with everything below it."""

    folder: str
    deep: bool


@record(frozen=True)
class FileEvent:
    """Something happened to `path` (a real path), which is or was a folder if `folder` says so."""

    path: str
    finish: Finish
    folder: bool


class FolderObserver:
    """Observes folders until closed. All methods belong to one thread; `notify` is called from others.

    `refuse` gets the reason each time when the system cannot listen at a folder (for instance when its limit of
    inotify watches is reached); the folder is then in `refused` and is not tried again while it stays the same.
    """

    def __init__(self, notify: Callable[[FileEvent], None], refuse: Callable[[str], None]) -> None:
        self._handler = _Handler(notify)
        self._refuse = refuse
        self._observer: BaseObserver | None = None
        self._observed: dict[ObservedFolder, tuple[ObservedWatch, tuple[int, int] | None]] = {}
        self._refused: dict[ObservedFolder, tuple[int, int] | None] = {}
        _hush()
        EventEmitter.stop = _stop_once  # type: ignore[assignment,method-assign]

    @property
    def refused(self) -> Set[ObservedFolder]:
        return self._refused.keys()

    def is_dead(self) -> bool:
        """Whether something of it has died; `observe` makes that good. Can be asked from any thread."""
        observer = self._observer
        return observer is not None and not all(map(_alive, [observer, *observer.emitters]))

    def observe(self, observed: Set[ObservedFolder], afresh: Set[ObservedFolder] = frozenset()) -> None:
        """Listen at exactly these places: those in `afresh` anew, and those of which the folder was replaced."""
        if self._observer is not None and not _alive(self._observer):
            self.close()
        for folder_observed in self._lost() | (self._observed.keys() - observed) | (self._observed.keys() & afresh):
            self._unschedule(folder_observed)
        for folder_observed in observed - self._observed.keys():
            self._schedule(folder_observed)

    def close(self) -> None:
        if self._observer is not None and self._observer.is_alive():
            self._observer.stop()
            self._observer.join(_STOP)
        self._observer = None
        self._observed.clear()

    def _lost(self) -> set[ObservedFolder]:
        """Those of which the folder or the emitter is no longer what it was."""
        if self._observer is None:
            return set()
        sound = {emitter.watch for emitter in self._observer.emitters if _alive(emitter)}
        return {
            folder_observed
            for folder_observed, (watch, was) in self._observed.items()
            if watch not in sound or identity(folder_observed.folder) != was
        }

    def _unschedule(self, folder_observed: ObservedFolder) -> None:
        watch, _ = self._observed.pop(folder_observed)
        with contextlib.suppress(KeyError, OSError):  # its folder is gone, and watchdog may have noticed before us
            self._running().unschedule(watch)

    def _schedule(self, folder_observed: ObservedFolder) -> None:
        now = identity(folder_observed.folder)
        if now is None or self._refused.get(folder_observed) == now:
            return
        self._refused.pop(folder_observed, None)
        try:
            watch = self._running().schedule(
                self._handler, folder_observed.folder, recursive=folder_observed.deep, event_filter=_FILTER
            )
            self._observed[folder_observed] = (watch, now)
            if folder_observed.deep:
                _try_one_more(self._handler, folder_observed.folder)
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone again; whoever asked for it will look again
        except (OSError, RuntimeError) as error:
            self._give_up(folder_observed, now, error)

    def _give_up(self, folder_observed: ObservedFolder, now: tuple[int, int], error: Exception) -> None:
        if folder_observed in self._observed:
            self._unschedule(folder_observed)
        self._refused[folder_observed] = now
        self._refuse(
            f"{folder_observed.folder}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
        )

    def _running(self) -> BaseObserver:
        if self._observer is None:
            self._observer = _started()
        return self._observer


class _Handler(events.FileSystemEventHandler):
    def __init__(self, notify: Callable[[FileEvent], None]) -> None:
        self._notify = notify

    def dispatch(self, event: events.FileSystemEvent) -> None:
        finish = _FINISH.get(event.event_type)
        if finish is None:
            return
        self._notify(FileEvent(os.fsdecode(event.src_path), finish, event.is_directory))
        if event.dest_path:
            self._notify(FileEvent(os.fsdecode(event.dest_path), Finish.MOVED, event.is_directory))


def _started() -> BaseObserver:
    observer = Observer()
    observer.start()
    return observer


_stopping = threading.Lock()


def _stop_once(emitter: BaseThread) -> None:
    """On Windows watchdog 6 may stop one twice and close its handle twice: by then it can be that of a pipe of ours."""
    with _stopping:
        is_first = emitter.should_keep_running()
        emitter.stopped_event.set()
    if is_first:
        BaseThread.stop(emitter)


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
