"""Brings together events, looks at files and walks of trees, and tells each real change when it is complete."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field

from devserver.records.changes import ChangeSet, FileChange, Role, Targets
from devserver.records.record import record
from devserver.records.stamps import Stamp, is_link
from devserver.watch.debounce import Debounce, Finish, Pending
from devserver.watch.files import TrackedFiles
from devserver.watch.links import within
from devserver.watch.observer import FileEvent, FolderObserver, ObservedFolder
from devserver.watch.scanner import Scanned, Scanner
from devserver.watch.snapshot import MANY
from devserver.watch.targets import MODULE_ENDINGS, TreeRule, is_litter, roles_of, trees_of
from devserver.watch.trees import Tree

_SWEEP = 0.25  # seconds between two looks at the single files, whether or not an event came
_OBSERVE = 1.0  # seconds after which to find out anew where to listen, if no file gave a reason before
_NAP = 0.1  # seconds, for so many pending files or more, and less for less
_MANY_PENDING = 5000
_END = 1.0  # seconds to wait for the thread


@record(frozen=True)
class _Retarget:
    targets: Targets
    loaded: Mapping[str, Stamp | None]
    asked_ns: int = field(default_factory=time.time_ns)


@record(frozen=True)
class _Refused:
    reason: str


@record(frozen=True)
class _Look:
    paths: tuple[str, ...]
    asker: int


class _Close:
    pass


_Message = _Retarget | _Refused | _Look | _Close | FileEvent | Scanned


class Watch:
    """Tells `deliver` of each real change of what `retarget` named, from its own thread, once and when it is complete.

    `say` gets one line if something cannot be listened at and is looked at from time to time instead. `poll` never
    listens. `calm` is told of each `look` when nothing is pending any more. Every method can be called from any thread,
    `retarget` also before `start`.
    """

    def __init__(
        self,
        deliver: Callable[[ChangeSet], None],
        say: Callable[[str], None],
        calm: Callable[[int], None] = lambda _: None,
        *,
        poll: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._watcher = _Watcher(self._inbox, deliver, say, calm, poll=poll, clock=clock)
        self._thread = threading.Thread(target=self._watcher.run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def retarget(self, targets: Targets, loaded: Mapping[str, Stamp | None] | None = None) -> None:
        """Watch exactly this from now on.

        `loaded`: the versions of files that a generation has loaded, None for one that was not there. Where the disk
        holds another content by now, that is a change. Without it a new file is known as it is, and a known one stays
        as it was known.
        """
        self._inbox.put(_Retarget(targets, dict(loaded or {})))

    def look(self, paths: tuple[str, ...], asker: int) -> None:
        """Somebody noticed that these differ: look at them now. `calm` is told of the asker once all is delivered."""
        self._inbox.put(_Look(paths, asker))

    def close(self) -> None:
        """End the threads; nothing is delivered afterwards. May be called more than once."""
        self._inbox.put(_Close())
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_END)


class _Watcher:
    """What happens on the thread of a `Watch`."""

    def __init__(
        self,
        inbox: queue.SimpleQueue[_Message],
        deliver: Callable[[ChangeSet], None],
        say: Callable[[str], None],
        calm: Callable[[int], None],
        *,
        poll: bool,
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._deliver = deliver
        self._say = say
        self._calm = calm
        self._askers: list[int] = []
        self._clock = clock
        self._observer = None if poll else FolderObserver(inbox.put, self._refuse)
        self._scanner = Scanner(None if poll else FolderObserver(inbox.put, self._refuse), inbox.put)
        self._files = TrackedFiles()
        self._trees: dict[TreeRule, Tree] = {}
        self._debounce = Debounce()
        self._open = True
        self._said = False
        self._sweep_at = -math.inf
        self._observe_at = -math.inf
        self._asked_ns: int | None = None  # the last delivery, before it the first aim

    def run(self) -> None:
        self._scanner.start()
        try:
            while self._open:
                self._turn()
        finally:
            self._scanner.close()
            if self._observer is not None:
                self._observer.close()

    def _turn(self) -> None:
        for message in self._arrived():
            self._take(message)
        now = self._clock()
        if now >= self._sweep_at:
            self._sweep(now)
        for tree in self._trees.values():
            if now >= tree.walk_at():
                self._scanner.send(tree.order())
        if self._open:
            self._deliver_ready(now)
            self._answer_askers()

    def _arrived(self) -> Iterator[_Message]:
        """What lies in the inbox; waits for the first until it is time to do something else."""
        times = (self._sweep_at, self._debounce.due(self._clock(), self._unsettled()), *self._walk_times())
        try:
            yield self._inbox.get(timeout=max(0.0, min(times) - self._clock()))
            # A turn costs by the number of pending files: with many of them, let more events come together for it.
            time.sleep(min(_NAP, len(self._debounce.pending) * _NAP / _MANY_PENDING))
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _walk_times(self) -> Iterator[float]:
        return (tree.walk_at() for tree in self._trees.values())

    def _unsettled(self) -> float:
        return min((tree.stale_since for tree in self._trees.values()), default=math.inf)

    def _take(self, message: _Message) -> None:
        match message:
            case FileEvent():
                self._on_event(message, self._clock())
            case Scanned():
                self._on_scan(message, self._clock())
            case _Retarget():
                self._retarget(message)
            case _Look():
                self._look_for(message)
            case _Refused():
                self._report_refusal(message.reason)
            case _Close():
                self._open = False

    def _refuse(self, reason: str) -> None:
        self._inbox.put(_Refused(reason))

    def _report_refusal(self, reason: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"cannot watch {reason}; looking there from time to time instead")

    def _look_for(self, asked: _Look) -> None:
        self._askers.append(asked.asker)
        now = self._clock()
        self._sweep(now)
        for path in asked.paths:
            if path in self._files.roles:
                self._look_at_file(path, Finish.SEEN, now, closely=True)
            for tree in self._trees.values():
                if self._tree_of(path) is tree and tree.scanned:
                    self._look_in_tree(tree, path, Finish.SEEN, now, closely=True)

    def _answer_askers(self) -> None:
        walked = all(tree.scanned for tree in self._trees.values())
        if self._askers and walked and not self._debounce.pending and self._unsettled() == math.inf:
            askers, self._askers = self._askers, []
            for asker in askers:
                self._calm(asker)

    # What to watch

    def _retarget(self, aim: _Retarget) -> None:
        self._asked_ns = self._asked_ns or aim.asked_ns
        roles = roles_of(aim.targets)
        self._files.retarget(roles, aim.loaded, self._asked_ns, aim.targets.links)
        rules = dict.fromkeys(trees_of(aim.targets))
        told: dict[str, dict[str, Stamp]] = {}
        for rule in [rule for rule in self._trees if rule not in rules]:
            tree = self._trees.pop(rule)
            if rule.searched:
                told[rule.root] = tree.known
            self._scanner.forget(rule)
        self._trees = {
            rule: self._trees.get(rule) or Tree(rule, aim.asked_ns, told.get(rule.root) if rule.searched else None)
            for rule in rules
        }
        for path in self._debounce.pending.keys() - roles.keys():
            if self._tree_of(path) is None:
                self._debounce.drop(path)
        now = self._clock()
        self._observe_at = now
        self._sweep(now)
        for path in aim.loaded.keys() & self._files.roles.keys():
            self._look_at_file(path, Finish.SEEN, now, closely=True)

    def _tree_of(self, path: str) -> Tree | None:
        """The tree to which this file belongs; None if it is a single file, or nothing that we watch."""
        if path in self._files.roles or self._files.named(path):
            return None
        return next((tree for tree in self._trees.values() if tree.counts(path)), None)

    def _observe(self) -> None:
        folders = self._files.folders().union(*(tree.folders() for tree in self._trees.values()))
        if self._observer is not None:
            self._observer.observe({ObservedFolder(folder, deep=False) for folder in folders})

    # What happened

    def _on_event(self, event: FileEvent, at: float) -> None:
        self._debounce.closes |= event.finish is Finish.CLOSED
        files = self._files.named(event.path)
        for path in files:
            self._debounce.note_activity(path, at)
            self._look_at_file(path, event.finish, at, closely=True)
        if not files:
            self._on_event_elsewhere(event, at)
        above = event.folder and any(within(place, event.path) for place in self._files.places())
        if above or (files and is_link(event.path)):
            self._sweep_at = self._observe_at = at  # what we know may be somewhere else from now on

    def _on_event_elsewhere(self, event: FileEvent, at: float) -> None:
        if event.path.endswith(MODULE_ENDINGS) and not is_litter(os.path.basename(event.path)):
            self._debounce.note_activity(event.path, at)
        for tree in self._trees.values():
            self._on_event_in(tree, event, at)

    def _on_event_in(self, tree: Tree, event: FileEvent, at: float) -> None:
        path = tree.spell(event.path)
        if path is None:
            if tree.hangs_on(event.path):
                tree.mark_stale(at, folder=event.folder)
        elif tree.must_be_walked_for(path, folder=event.folder):
            tree.mark_stale(at, folder=event.folder)
        elif not tree.scanned:
            tree.early.add(path)
        elif self._tree_of(path) is tree:
            self._look_in_tree(tree, path, event.finish, at, closely=event.finish is not Finish.OPEN)

    def _on_scan(self, news: Scanned, now: float) -> None:
        tree = self._trees.get(news.rule)
        if tree is None:
            return
        before = tree.folders()
        observed = news.observed and not self._refused() & before
        files = tree.adopt(news.snapshot, now, observed=observed)
        files |= {path for path in self._debounce.pending if tree.counts(path)}
        closely = len(files) <= MANY
        moved = [self._look_in_tree(tree, path, Finish.SEEN, now, closely=closely) for path in files]
        tree.doubtful = any(moved)
        if tree.folders() - before:
            self._observe()
            tree.mark_stale(now)

    def _refused(self) -> set[str]:
        return (
            {folder_observed.folder for folder_observed in self._observer.refused}
            if self._observer is not None
            else set()
        )

    def _sweep(self, now: float) -> None:
        differs = [path for path in self._files.roles if self._look_at_file(path, Finish.SEEN, now)]
        if differs or now >= self._observe_at:
            self._observe()
            self._observe_at = now + _OBSERVE
        dead = self._scanner.is_dead()
        for tree in self._trees.values():
            tree.check_place(now, dead=dead)
        self._sweep_at = now + _SWEEP

    # What it means

    def _look_at_file(self, path: str, finish: Finish, at: float, *, closely: bool = False) -> bool:
        before, after = self._files.known.get(path), self._files.look(path, closely=closely)
        if after is before and path not in self._debounce.pending:
            return False
        return self._compare(path, self._files.roles[path], before, after, finish, at)

    def _look_in_tree(self, tree: Tree, path: str, finish: Finish, at: float, *, closely: bool) -> bool:
        after = tree.look(path, closely=closely)
        if self._tree_of(path) is not tree:
            tree.settle(path, after)
            return False
        if tree.rule.role is Role.CODE:
            self._debounce.note_activity(path, at)
        return self._compare(path, tree.rule.role, tree.known.get(path), after, finish, at)

    def _compare(
        self, path: str, role: Role, before: Stamp | None, after: Stamp | None, finish: Finish, at: float
    ) -> bool:
        """Whether what is known of a difference has changed."""
        if after is before or (after is not None and after.same_content(before)):
            self._debounce.drop(path)
            self._settle(path, after)
            return False
        return self._debounce.note(path, role, before, after, finish, at)

    def _settle(self, path: str, stamp: Stamp | None) -> None:
        if path in self._files.roles:
            self._files.settle(path, stamp)
        for tree in self._trees.values():
            tree.settle(path, stamp)

    # What is told

    def _deliver_ready(self, now: float) -> None:
        names = self._debounce.ready(now, self._unsettled())
        if not names or not self._is_final(names, now):
            return
        changes = {name: self._debounce.pending[name] for name in names if name in self._debounce.pending}
        self._files.tell(changes)
        for name, change in changes.items():
            self._settle(name, change.after)
            self._debounce.drop(name)
        if changes:
            self._asked_ns = time.time_ns()
            self._deliver(ChangeSet(tuple(_as_change(name, change) for name, change in changes.items())))

    def _is_final(self, names: list[str], now: float) -> bool:
        """Look once more at what is about to be told; what a walk has found is confirmed by a second walk."""
        large = [name for name in names if self._debounce.pending[name].patient]
        doubtful = [tree for tree in self._trees.values() if tree.doubtful and any(map(tree.counts, large))]
        for tree in doubtful:
            tree.doubtful = False
            tree.mark_stale(now)
        return not doubtful and not any(self._look_again(name, now, closely=len(names) <= MANY) for name in names)

    def _look_again(self, path: str, now: float, *, closely: bool) -> bool:
        tree = self._tree_of(path)
        if tree is not None:
            return self._look_in_tree(tree, path, Finish.SEEN, now, closely=closely)
        return self._look_at_file(path, Finish.SEEN, now, closely=closely)


def _as_change(path: str, pending: Pending) -> FileChange:
    if pending.before is None:
        return FileChange(path, "added", pending.role)
    return FileChange(path, "deleted" if pending.after is None else "modified", pending.role)
