"""Targets come in; rings, looks and surveys are brought together; each real and finished change goes out."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from devserver.records.changes import ChangeSet, FileChange, Role, Targets
from devserver.records.stamps import Stamp
from devserver.watch.debounce import Finish, Pending, Settling
from devserver.watch.files import Singles
from devserver.watch.links import within
from devserver.watch.observer import Bell, Ring, Spot
from devserver.watch.scanner import Scout, Surveyed
from devserver.watch.snapshot import MANY
from devserver.watch.targets import MODULE_ENDINGS, AreaRule, areas_of, is_litter, roles_of
from devserver.watch.trees import Area

_SWEEP = 0.25  # seconds between two looks at the single files, rung or not
_LISTEN = 1.0  # seconds after which to find out anew where to listen, if no file gave a reason before
_NAP = 0.1  # seconds, for so many pending files or more, and less for less
_MANY_PENDING = 5000
_END = 1.0  # seconds to wait for the thread


@dataclass(frozen=True)
class _Aim:
    targets: Targets
    loaded: Mapping[str, Stamp | None]
    asked_ns: int = field(default_factory=time.time_ns)


@dataclass(frozen=True)
class _Refused:
    reason: str


@dataclass(frozen=True)
class _Look:
    paths: tuple[str, ...]
    asker: int


class _Close:
    pass


_Message = _Aim | _Refused | _Look | _Close | Ring | Surveyed


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
        self._inbox.put(_Aim(targets, dict(loaded or {})))

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
        self._bell = None if poll else Bell(inbox.put, self._refuse)
        self._scout = Scout(None if poll else Bell(inbox.put, self._refuse), inbox.put)
        self._singles = Singles()
        self._areas: dict[AreaRule, Area] = {}
        self._settling = Settling()
        self._open = True
        self._said = False
        self._sweep_at = -math.inf
        self._listen_at = -math.inf
        self._asked_ns: int | None = None  # the last delivery, before it the first aim

    def run(self) -> None:
        self._scout.start()
        try:
            while self._open:
                self._turn()
        finally:
            self._scout.close()
            if self._bell is not None:
                self._bell.close()

    def _turn(self) -> None:
        for message in self._arrived():
            self._take(message)
        now = self._clock()
        if now >= self._sweep_at:
            self._sweep(now)
        for area in self._areas.values():
            if now >= area.walk_at():
                self._scout.send(area.order())
        if self._open:
            self._deliver_ripe(now)
            self._answer_askers()

    def _arrived(self) -> Iterator[_Message]:
        """What lies in the inbox; waits for the first until it is time to do something else."""
        times = (self._sweep_at, self._settling.due(self._clock(), self._unsettled()), *self._walk_times())
        try:
            yield self._inbox.get(timeout=max(0.0, min(times) - self._clock()))
            # A turn costs by the number of pending files: with many of them, let more rings come together for it.
            time.sleep(min(_NAP, len(self._settling.pending) * _NAP / _MANY_PENDING))
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _walk_times(self) -> Iterator[float]:
        return (area.walk_at() for area in self._areas.values())

    def _unsettled(self) -> float:
        return min((area.stale_since for area in self._areas.values()), default=math.inf)

    def _take(self, message: _Message) -> None:
        match message:
            case Ring():
                self._heed(message, self._clock())
            case Surveyed():
                self._learn(message, self._clock())
            case _Aim():
                self._aim(message)
            case _Look():
                self._look_for(message)
            case _Refused():
                self._admit(message.reason)
            case _Close():
                self._open = False

    def _refuse(self, reason: str) -> None:
        self._inbox.put(_Refused(reason))

    def _admit(self, reason: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"cannot watch {reason}; looking there from time to time instead")

    def _look_for(self, asked: _Look) -> None:
        self._askers.append(asked.asker)
        now = self._clock()
        self._sweep(now)
        for path in asked.paths:
            if path in self._singles.roles:
                self._look_at_single(path, Finish.SEEN, now, closely=True)
            for area in self._areas.values():
                if self._home(path) is area and area.surveyed:
                    self._look_in_area(area, path, Finish.SEEN, now, closely=True)

    def _answer_askers(self) -> None:
        walked = all(area.surveyed for area in self._areas.values())
        if self._askers and walked and not self._settling.pending and self._unsettled() == math.inf:
            askers, self._askers = self._askers, []
            for asker in askers:
                self._calm(asker)

    # What to watch

    def _aim(self, aim: _Aim) -> None:
        self._asked_ns = self._asked_ns or aim.asked_ns
        roles = roles_of(aim.targets)
        self._singles.retarget(roles, aim.loaded, self._asked_ns, aim.targets.links)
        rules = dict.fromkeys(areas_of(aim.targets))
        told: dict[str, dict[str, Stamp]] = {}
        for rule in [rule for rule in self._areas if rule not in rules]:
            area = self._areas.pop(rule)
            if rule.searched:
                told[rule.root] = area.known
            self._scout.forget(rule)
        self._areas = {
            rule: self._areas.get(rule) or Area(rule, aim.asked_ns, told.get(rule.root) if rule.searched else None)
            for rule in rules
        }
        for path in self._settling.pending.keys() - roles.keys():
            if self._home(path) is None:
                self._settling.drop(path)
        now = self._clock()
        self._listen_at = now
        self._sweep(now)
        for path in aim.loaded.keys() & self._singles.roles.keys():
            self._look_at_single(path, Finish.SEEN, now, closely=True)

    def _home(self, path: str) -> Area | None:
        """The area to which this file belongs; None if it is a single file, or nothing that we watch."""
        if path in self._singles.roles or self._singles.named(path):
            return None
        return next((area for area in self._areas.values() if area.counts(path)), None)

    def _listen(self) -> None:
        folders = self._singles.folders().union(*(area.folders() for area in self._areas.values()))
        if self._bell is not None:
            self._bell.hang({Spot(folder, deep=False) for folder in folders})

    # What happened

    def _heed(self, ring: Ring, at: float) -> None:
        self._settling.closes |= ring.finish is Finish.CLOSED
        files = self._singles.named(ring.path)
        for path in files:
            self._settling.stir(path, at)
            self._look_at_single(path, ring.finish, at, closely=True)
        if not files:
            self._heed_other(ring, at)
        above = ring.folder and any(within(place, ring.path) for place in self._singles.places())
        if above or (files and os.path.islink(ring.path)):
            self._sweep_at = self._listen_at = at  # what we know may be somewhere else from now on

    def _heed_other(self, ring: Ring, at: float) -> None:
        if ring.path.endswith(MODULE_ENDINGS) and not is_litter(os.path.basename(ring.path)):
            self._settling.stir(ring.path, at)
        for area in self._areas.values():
            self._heed_in(area, ring, at)

    def _heed_in(self, area: Area, ring: Ring, at: float) -> None:
        path = area.spell(ring.path)
        if path is None:
            if area.hangs_on(ring.path):
                area.mark_stale(at, folder=ring.folder)
        elif area.must_be_walked_for(path, folder=ring.folder):
            area.mark_stale(at, folder=ring.folder)
        elif not area.surveyed:
            area.early.add(path)
        elif self._home(path) is area:
            self._look_in_area(area, path, ring.finish, at, closely=ring.finish is not Finish.OPEN)

    def _learn(self, news: Surveyed, now: float) -> None:
        area = self._areas.get(news.rule)
        if area is None:
            return
        before = area.folders()
        heard = news.heard and not self._refused() & before
        files = area.adopt(news.survey, now, heard=heard)
        files |= {path for path in self._settling.pending if area.counts(path)}
        closely = len(files) <= MANY
        moved = [self._look_in_area(area, path, Finish.SEEN, now, closely=closely) for path in files]
        area.doubtful = any(moved)
        if area.folders() - before:
            self._listen()
            area.mark_stale(now)

    def _refused(self) -> set[str]:
        return {spot.folder for spot in self._bell.refused} if self._bell is not None else set()

    def _sweep(self, now: float) -> None:
        differs = [path for path in self._singles.roles if self._look_at_single(path, Finish.SEEN, now)]
        if differs or now >= self._listen_at:
            self._listen()
            self._listen_at = now + _LISTEN
        deaf = self._scout.is_deaf()
        for area in self._areas.values():
            area.check_place(now, deaf=deaf)
        self._sweep_at = now + _SWEEP

    # What it means

    def _look_at_single(self, path: str, finish: Finish, at: float, *, closely: bool = False) -> bool:
        before, after = self._singles.known.get(path), self._singles.look(path, closely=closely)
        if after is before and path not in self._settling.pending:
            return False
        return self._weigh(path, self._singles.roles[path], before, after, finish, at)

    def _look_in_area(self, area: Area, path: str, finish: Finish, at: float, *, closely: bool) -> bool:
        after = area.look(path, closely=closely)
        if self._home(path) is not area:
            area.settle(path, after)
            return False
        if area.rule.role is Role.CODE:
            self._settling.stir(path, at)
        return self._weigh(path, area.rule.role, area.known.get(path), after, finish, at)

    def _weigh(
        self, path: str, role: Role, before: Stamp | None, after: Stamp | None, finish: Finish, at: float
    ) -> bool:
        """Whether what is known of a difference has changed."""
        if after is before or (after is not None and after.same_content(before)):
            self._settling.drop(path)
            self._settle(path, after)
            return False
        return self._settling.note(path, role, before, after, finish, at)

    def _settle(self, path: str, stamp: Stamp | None) -> None:
        if path in self._singles.roles:
            self._singles.settle(path, stamp)
        for area in self._areas.values():
            area.settle(path, stamp)

    # What is told

    def _deliver_ripe(self, now: float) -> None:
        names = self._settling.ripe(now, self._unsettled())
        if not names or not self._is_final(names, now):
            return
        changes = {name: self._settling.pending[name] for name in names if name in self._settling.pending}
        self._singles.tell(changes)
        for name, change in changes.items():
            self._settle(name, change.after)
            self._settling.drop(name)
        if changes:
            self._asked_ns = time.time_ns()
            self._deliver(ChangeSet(tuple(_as_change(name, change) for name, change in changes.items())))

    def _is_final(self, names: list[str], now: float) -> bool:
        """Look once more at what is about to be told; what a walk has found is confirmed by a second walk."""
        large = [name for name in names if self._settling.pending[name].patient]
        doubtful = [area for area in self._areas.values() if area.doubtful and any(map(area.counts, large))]
        for area in doubtful:
            area.doubtful = False
            area.mark_stale(now)
        return not doubtful and not any(self._look_again(name, now, closely=len(names) <= MANY) for name in names)

    def _look_again(self, path: str, now: float, *, closely: bool) -> bool:
        area = self._home(path)
        if area is not None:
            return self._look_in_area(area, path, Finish.SEEN, now, closely=closely)
        return self._look_at_single(path, Finish.SEEN, now, closely=closely)


def _as_change(path: str, pending: Pending) -> FileChange:
    if pending.before is None:
        return FileChange(path, "added", pending.role)
    return FileChange(path, "deleted" if pending.after is None else "modified", pending.role)
