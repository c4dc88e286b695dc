"""Which differences are final, and when to look again at those that may not be.

No clock, file or thread in here: every time is an argument, in seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from enum import Enum

from devserver.records.changes import Role
from devserver.records.record import record
from devserver.records.stamps import SMALL, Stamp

PIECE = 1 << 16  # bytes: nobody copies a model in pieces smaller than this

GRACE = 0.002  # after a completed write of code: long enough for the next file of a checkout to show itself
QUIET = 0.04  # after anything else that happens to code
HELD = 0.2  # code that is being written, where the end of the writing will be told
GONE = 0.15  # code that vanished: many editors move a file away before they write the new one
EMPTY = 0.4  # code that became empty: some editors truncate first and write 300 ms later
CAP = 1.0  # no change of code waits longer for other changes,
TOGETHER = 2.0  # except for model files that are complete already and only have to be looked at again

MODEL_GONE = 0.6
MODEL_MOVED = 0.03  # moved into place: complete by construction
MODEL_REWRITTEN = 0.008  # a small file, written and closed: the next one of many may follow
MODEL_MORE = 0.3  # the same, but large or in company
MODEL_SEEN = 0.5
MODEL_NEW = 0.6  # written and closed, but new, or not small and of quite another size: may be the first piece
MODEL_AGAIN = 1.0  # was closed, then written again; or is being written, and who knows whether the end will be told
MODEL_OPEN = 2.0  # is being written, where the end of the writing will be told


class Finish(Enum):
    """What is known about the end of a write."""

    SEEN = "nothing: it was found by looking, or created, or deleted"
    OPEN = "it was being written"
    CLOSED = "it was written and closed"
    MOVED = "it was moved into place"

    @property
    def complete(self) -> bool:
        return self in (Finish.CLOSED, Finish.MOVED)


@record(frozen=True)
class Pending:
    """A file that differs from what was last delivered: `since` when, and when it was last seen to change (`moved`)."""

    role: Role
    before: Stamp | None
    after: Stamp | None
    finish: Finish
    since: float
    moved: float
    reopened: bool = False

    @property
    def patient(self) -> bool:
        """Whether it has to stop changing before it counts, however long that takes."""
        sizes = [stamp.size for stamp in (self.before, self.after) if stamp is not None]
        return self.role is Role.MODEL or (self.role is Role.INCLUDED and max(sizes, default=0) > SMALL)

    def stands_still(self, after: Stamp | None) -> bool:
        return self.after is after if self.after is None else self.after.same_stat(after)

    def ready_at(self, *, alone: bool, closes: bool) -> float:
        """From when on it counts, if nothing more happens; `closes`: ends of writes are told on this system."""
        return self.moved + (self._model_wait if self.patient else self._code_wait)(alone, closes)

    def _code_wait(self, alone: bool, closes: bool) -> float:
        if self.after is None:
            return GONE
        if self.after.size == 0:
            return EMPTY
        if self.finish.complete:
            return GRACE if alone and not self.reopened else QUIET
        return HELD if self.finish is Finish.OPEN and closes else QUIET

    def _model_wait(self, alone: bool, closes: bool) -> float:
        if self.after is None:
            return MODEL_GONE
        if self.finish is Finish.MOVED:
            return MODEL_MOVED if alone else MODEL_MORE
        if self.finish is Finish.CLOSED:
            return self._closed_wait(self.after, alone)
        if self.finish is Finish.OPEN:
            return MODEL_OPEN if closes else MODEL_AGAIN
        return MODEL_SEEN

    def _closed_wait(self, after: Stamp, alone: bool) -> float:
        if self.reopened:
            return MODEL_AGAIN
        if self.before is None or not (0 < after.size <= PIECE or _are_alike(self.before.size, after.size)):
            return MODEL_NEW
        return MODEL_REWRITTEN if alone and after.size <= SMALL else MODEL_MORE


def _are_alike(size: int, other: int) -> bool:
    return size / 2 <= other <= size * 2


class Debounce:
    """All pending differences, in the order in which they were noticed.

    Code goes first: it waits for model files only if these began to change a moment ago, so that one checkout is one
    change and yet a long copy of a model does not hold up an edit.
    """

    def __init__(self) -> None:
        self.closes = False
        self.pending: dict[str, Pending] = {}
        self._active: dict[str, float] = {}

    def note_activity(self, path: str, at: float) -> None:
        """Something happened to a file of code, watched or not: it may be one of many."""
        self._active = {other: when for other, when in self._active.items() if at - when < QUIET}
        self._active[path] = at

    def note(self, path: str, role: Role, before: Stamp | None, after: Stamp | None, finish: Finish, at: float) -> bool:
        """Take down that `path` differs from its baseline `before`; whether this is news since the last look."""
        old = self.pending.get(path)
        if old is not None and old.stands_still(after):
            self.pending[path] = _with_event(replace(old, after=after), finish, at)
            return False
        again = old is not None and (old.reopened or old.finish is Finish.CLOSED)
        since = at if old is None else old.since
        self.pending[path] = Pending(role, before, after, finish, since, at, again)
        return True

    def drop(self, path: str) -> None:
        """It is as it was before, or it has been delivered."""
        self.pending.pop(path, None)

    def ready(self, now: float, unsettled: float) -> list[str]:
        """What can be delivered now. `unsettled`: since when a tree has waited to be walked, or infinity."""
        code, models = self._sorted()
        code_at, models_at = self._ready_times(now, unsettled)
        if now >= code_at:
            return [*code, *(models if now >= models_at else ())]
        return list(models) if now >= models_at and not code else []

    def due(self, now: float, unsettled: float) -> float:
        """When `ready` may say something if nothing happens until then; infinity if never."""
        code_at, models_at = self._ready_times(now, unsettled)
        return models_at if code_at == math.inf else code_at

    def _sorted(self) -> tuple[dict[str, Pending], dict[str, Pending]]:
        code: dict[str, Pending] = {}
        models: dict[str, Pending] = {}
        for path, pending in self.pending.items():
            (models if pending.patient else code)[path] = pending
        return code, models

    def _ready_times(self, now: float, unsettled: float) -> tuple[float, float]:
        code, models = self._sorted()
        models_at = self._latest(models.values(), alone=len(models) == 1) if unsettled == math.inf else math.inf
        began = min([unsettled, *(pending.since for pending in models.values())])
        growing = any(pending.finish is Finish.OPEN for pending in models.values())
        code_at = self._code_ready(code, now)
        if began < math.inf:
            code_at = max(code_at, min(models_at, began + (CAP if growing else TOGETHER)))
        return code_at, models_at

    def _code_ready(self, code: dict[str, Pending], now: float) -> float:
        if not code:
            return math.inf
        crowd = {path for path, when in self._active.items() if now - when < QUIET} | code.keys()
        ready = self._latest(code.values(), alone=len(crowd) == 1)
        if len(crowd) > 1:
            ready = max(ready, max(self._active.values(), default=0.0) + QUIET)
        return min(ready, min(pending.since for pending in code.values()) + CAP)

    def _latest(self, pending: Collection[Pending], *, alone: bool) -> float:
        return max((one.ready_at(alone=alone, closes=self.closes) for one in pending), default=math.inf)


def _with_event(pending: Pending, finish: Finish, at: float) -> Pending:
    """The same difference after one more event: an end of the writing counts, and so does a new beginning."""
    if finish.complete and pending.after is not None:
        return replace(pending, finish=finish, moved=at)
    if finish is Finish.OPEN and pending.finish is Finish.CLOSED:
        return replace(pending, reopened=True, moved=at)
    return pending
