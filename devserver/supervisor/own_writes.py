"""Which changes are nobody's edit: the script's own, its programs' and the tool's.

What the script opens to write, moves or deletes is told by its process, with the time; a change of a file up to that
time is the script's. A later one is an edit, so that an edit of a file which the script also writes is not lost.

What libraries in C and programs write is told by nobody. There a loop gives it away: a file that changes again each
time while the script is loaded, or in the first request after that, or soon after a program was started, for which no
request may wait. Such changes are obeyed twice, a third time after a pause in which a person's saves have come to an
end, and after that they are left out. When the file changes at another time, an edit is seen in it again.

Times are of the wall clock, in nanoseconds, as the system gives them to files.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from devserver.process.workload import TICK_NS, Spans
from devserver.records.changes import ChangeSet, FileChange, Role
from devserver.records.record import record
from devserver.records.stamps import upwards

LATE_NS = 1_000_000  # how much later than the word of it a write may be, once the work in which it was made is done
APART_NS = 1_000_000_000  # the same for a child process, of which nobody tells when it is done
PROGRAM_NS = 2_000_000_000  # how long after its start a program may have changed what has changed
PROGRAMS = 200  # the latest starts that are known
AGAIN_NS = 100_000_000  # within which it is not told anew that a file is written
DELETED_NS = 3_000_000_000  # how long after the word of it a file may be seen to be gone
OBEYED = 2  # changes in a row that nobody explains and that start a generation at once; one more does after a pause
PAUSE = 1.0  # seconds without a change
MOST = 10_000  # files of which it is known that the script wrote them
_SUSPECT = (Role.MODEL, Role.DATA, Role.INCLUDED)


@record(frozen=True)
class Judgement:
    """`edits`: what asks for a new generation, after `pause` seconds. `left_out`: what is from now on left out."""

    edits: ChangeSet
    pause: float = 0.0
    left_out: tuple[str, ...] = ()


@dataclass
class _Generation:
    """When it was loaded (`loaded_ns` None: not yet), and when it has worked since, as last read."""

    begun_ns: int
    read: Callable[[int], Spans]
    loaded_ns: int | None = None
    spans: Spans = field(default_factory=Spans)

    def look(self, now_ns: int) -> None:
        try:
            self.spans = self.read(now_ns)
        except ValueError:
            pass  # it is gone, and what it had is closed

    def works_since(self, at_ns: int) -> bool:
        """Whether the work goes on in which it was at that time."""
        since = self.begun_ns if self.loaded_ns is None else self.spans.since
        return since is not None and since - TICK_NS <= at_ns

    def loaded_at(self, at_ns: int) -> bool:
        return self.begun_ns - TICK_NS <= at_ns and (self.loaded_ns is None or at_ns <= self.loaded_ns)


@dataclass
class OwnWrites:
    """`changed_at` gives the time of a file's last change, None where it is gone.

    `is_output` says whether the tool itself writes it, `is_held` whether a generation has it open to write, `root_of`
    to which folder a new file belongs, `is_mapped` whether a generation writes it through its memory.
    """

    changed_at: Callable[[str], int | None]
    is_output: Callable[[str], bool] = lambda _: False
    is_held: Callable[[str], bool] = lambda _: False
    root_of: Callable[[str], str] = os.path.dirname
    is_mapped: Callable[[str], bool] = lambda _: False
    _written: dict[str, int] = field(default_factory=dict)
    # of those told to be opened: the last change until they were closed
    _closed: dict[str, int] = field(default_factory=dict)
    _generations: list[_Generation] = field(default_factory=list)
    _in_a_row: dict[str, tuple[int, int]] = field(default_factory=dict)  # how often, and since which generation not
    _left_out: set[str] = field(default_factory=set)
    _programs: deque[int] = field(default_factory=lambda: deque(maxlen=PROGRAMS))

    def launched(self, at_ns: int, read: Callable[[int], Spans]) -> None:
        """A generation begins to load; `read` gives the times at which it works."""
        self.loaded(at_ns)
        self._generations = [*self._generations[-2:], _Generation(at_ns, read)]

    def loaded(self, at_ns: int) -> None:
        """The newest has loaded, or failed to."""
        for generation in self._generations[-1:]:
            generation.loaded_ns = generation.loaded_ns or at_ns

    def look(self, now_ns: int) -> None:
        """One is about to be gone: what it has done is kept."""
        for generation in self._generations:
            generation.look(now_ns)

    def started(self, at_ns: int) -> None:
        """The script has started a program."""
        self._programs.append(at_ns)

    def wrote(self, path: str, at_ns: int, done: bool = False, apart: bool = False) -> None:
        """The script itself writes there, or (`done`) has done so until then; a child (`apart`) a little longer."""
        closed = self._closed.pop(path, -1)
        if done and closed >= self._written.get(path, 0):
            at_ns = closed  # what came after that was another's
        elif not done:
            self._closed[path] = -1
        self._written.pop(path, None)
        self._written[path] = at_ns + (APART_NS if apart else 0)
        if len(self._written) > MOST:
            del self._written[next(iter(self._written))]
        if len(self._closed) > MOST:
            del self._closed[next(iter(self._closed))]

    def judge(self, changes: ChangeSet, now_ns: int) -> Judgement:
        """What of these is an edit."""
        self.look(now_ns)
        times = {change.path: self.changed_at(change.path) for change in changes.changes}
        foreign = [change for change in changes.changes if not self._is_own(change, times[change.path], now_ns)]
        at_work = [change for change in foreign if self._is_suspect(change, times[change.path] or now_ns, set())]
        keys = {key for change in at_work for key in self._keys(change)}
        suspect = [change for change in foreign if self._is_suspect(change, times[change.path] or now_ns, keys)]
        edits = [change for change in foreign if change not in suspect]
        for key in {key for change in edits for key in self._keys(change)}:
            self._in_a_row.pop(key, None)
            self._left_out.discard(key)
        if edits:
            return Judgement(_only([change for change in foreign if not self._is_left_out(change)]))
        return self._weigh(suspect)

    def _weigh(self, suspect: list[FileChange]) -> Judgement:
        for key in {key for change in suspect for key in self._keys(change)}:
            self._count(key)
        news = [self._leave_out(change) for change in suspect if not self._is_left_out(change)]
        obeyed = [change for change in suspect if not self._is_left_out(change)]
        waits = bool(obeyed) and all(self._times(change) > OBEYED for change in obeyed)
        return Judgement(_only(obeyed), PAUSE if waits else 0.0, tuple(dict.fromkeys(filter(None, news))))

    def _count(self, key: str) -> None:
        """Once for each generation: a person may save many times while one is loaded."""
        count, since = self._in_a_row.get(key, (0, -1))
        newest = self._generations[-1].begun_ns
        self._in_a_row[key] = (count + (newest != since), newest)

    def _times(self, change: FileChange) -> int:
        return max(self._in_a_row[key][0] for key in self._keys(change))

    def _leave_out(self, change: FileChange) -> str | None:
        """What is left out for its sake, where it has come too often."""
        for key in self._keys(change):
            if self._in_a_row[key][0] > OBEYED + 1 and not self._is_left_out(change):
                self._left_out.add(key)
                return key
        return None

    def _is_left_out(self, change: FileChange) -> bool:
        return not self._left_out.isdisjoint(self._keys(change))

    def _keys(self, change: FileChange) -> tuple[str, ...]:
        """What is counted: the file, and where it came or went the folder: the next one may have another name."""
        if change.kind == "modified":
            return (change.path,)
        return (change.path, os.path.join(self.root_of(change.path), ""))

    def _is_own(self, change: FileChange, at_ns: int | None, now_ns: int) -> bool:
        if self.is_output(change.path):
            return True
        # what was moved with its folder was told by that folder
        told = max((self._written[path] for path in upwards(change.path) if path in self._written), default=None)
        if told is None:
            return False
        if self.is_held(change.path):
            return True
        if at_ns is not None and at_ns <= told + LATE_NS:
            if change.path in self._closed:
                self._closed[change.path] = max(at_ns, told)
            return True
        if any(generation.works_since(told) for generation in self._generations):
            return at_ns is None or self._is_of_one_piece(change.path, told, at_ns)
        return at_ns is None and now_ns - told <= DELETED_NS

    def _is_of_one_piece(self, path: str, told: int, at_ns: int) -> bool:
        """Whether it was written on without a pause, in work that goes on; once closed it would have been told anew."""
        closed = self._closed.get(path)
        if closed is None:
            return True  # it was told in another way than by its own name, or is told at the end of the work
        if told <= closed < at_ns - AGAIN_NS and not self.is_mapped(path):
            return False
        self._closed[path] = at_ns
        return True

    def _is_suspect(self, change: FileChange, at_ns: int, others: set[str]) -> bool:
        """Whether it may be the work of a library or program of the script's: of data, and while the script worked.

        A program may go on when the work is done that has started it. Of a file that is left out, or goes with `others`
        that are suspect, any request counts and not only the first.
        """
        again = self._is_left_out(change) or not others.isdisjoint(self._keys(change))
        if change.role in _SUSPECT and any(at - TICK_NS <= at_ns <= at + PROGRAM_NS for at in self._programs):
            return True
        return change.role in _SUSPECT and any(
            generation.loaded_at(at_ns)
            or generation.spans.in_first(at_ns)
            or (again and generation.spans.in_any(at_ns))
            for generation in self._generations
        )


def _only(changes: list[FileChange]) -> ChangeSet:
    return ChangeSet(tuple(changes))


def names_for_people(paths: tuple[str, ...], shown: Callable[[str], str]) -> str:
    """The line that tells what is left out."""
    names = ", ".join(f"files in {shown(path[:-1])}" if path.endswith(os.sep) else shown(path) for path in paths)
    return (
        f"each of the last {OBEYED + 2} loads was followed by a change that came while the script worked, so that it "
        f"is taken for the script's own and left out, until it comes at another time: {names}"
    )
