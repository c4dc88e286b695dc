"""Nothing is left behind: the mark of a run comes in, every process that carries it and should not live is ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from devserver.process import RUN_VARIABLE, WINDOWS, adopt_orphans
from devserver.terminal import mender, settings

LAST_LOOKS = 3  # empty looks in a row before the guard believes that nobody is left
PAUSE = 0.05  # seconds between two looks
LIMIT = 3.0  # seconds
OVER = b"over"


def find(mark: str) -> list[int]:
    """The processes that carry the mark in their environment, and all that descend from them, without this one.

    Empty where /proc is not there.
    """
    wanted, table = f"{RUN_VARIABLE}={mark}".encode(), _processes()
    marked = [pid for pid in table if wanted in _environment(pid).split(b"\0")]
    return [pid for pid in _families(table, marked) if pid != os.getpid()]


def descendants() -> set[int]:
    """All that descend from this process now; none where /proc is not there."""
    return {pid for pid in _families(_processes(), [os.getpid()]) if pid != os.getpid()}


def members(group: int) -> list[int]:
    """The processes of a process group, its leader last; only the leader where /proc is not there."""
    return [*(pid for pid in _processes() if pid != group and _group(pid) == group), group]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def end_strays(living: Collection[int]) -> None:
    """Ends what generations that are gone have left behind: descendants of this process, but not of `living`.

    A process of which the parent is gone descends from its generation as long as that lives: both adopt orphans.
    """
    table = _processes()
    spared = {os.getpid(), *_families(table, living)}
    strays = [pid for pid in _families(table, [os.getpid()]) if pid not in spared]
    _end(strays)
    if strays:
        threading.Thread(target=_reap, args=(strays,), daemon=True, name="reap").start()


def _processes() -> dict[int, int]:
    """Every process, and its parent."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc") else []
    return {pid: found for pid in pids if (found := _parent(pid)) is not None}


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _families(table: dict[int, int], roots: Iterable[int]) -> list[int]:
    """The roots and all their descendants, each parent before its children."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, parent in table.items():
        children[parent].append(pid)
    found = dict.fromkeys(pid for pid in roots if pid in table)
    todo = list(found)
    while todo:
        new = [child for child in children[todo.pop()] if child not in found]
        found |= dict.fromkeys(new)
        todo += new
    return list(found)


def _end(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def _reap(pids: Iterable[int]) -> None:
    """When its parent has ended, a process is a child of ours."""
    for pid in pids:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass


class Guard:
    """A small process that outlives this one, even by kill -9, for as long as it takes to end all that it started.

    Start it before threads, sockets and children exist. On Windows there is none.
    """

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe

    @classmethod
    def start(cls, mark: str) -> Guard | None:
        """Fork the guard of the run with this mark. From now on `end_strays` works in this process."""
        if WINDOWS:
            return None
        adopt_orphans()
        reading, writing = os.pipe()
        saved = settings()  # now: the terminal may be another one when the new process comes to it
        pid = os.fork()
        if pid:
            os.close(reading)
            return cls(pid, writing)
        try:
            os.close(writing)
            _stand_guard(reading, mark, saved)
        finally:
            os._exit(0)

    def watch_group(self, leader: int) -> None:
        """Tells the guard of a process group to end, for systems on which processes cannot be found by their mark."""
        self._tell(b"%d" % leader)

    def _tell(self, word: bytes) -> None:
        try:
            os.write(self._pipe, word + b"\n")
        except OSError:
            pass  # somebody has killed it

    def close(self) -> None:
        """The run is over: the guard looks once more and ends; waits for it."""
        self._tell(OVER)
        os.close(self._pipe)
        end = time.monotonic() + LIMIT
        try:
            while time.monotonic() < end and not os.waitpid(self.pid, os.WNOHANG)[0]:
                time.sleep(0.002)
        except ChildProcessError:
            pass  # the tool was started with SIGCHLD ignored: the system has reaped it


def _stand_guard(pipe: int, mark: str, saved: list[Any] | None) -> None:
    os.setsid()  # Ctrl-C and the end of the terminal are for the others
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    mend_terminal = mender(saved)
    _let_go_of_streams()
    news = _read_all(pipe).split()
    for group in news:
        if group != OVER:
            _end_group(int(group))
    _end_all(mark, empty_looks=1 if OVER in news else LAST_LOOKS)
    mend_terminal()


def _let_go_of_streams() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _read_all(pipe: int) -> bytes:
    """What it was told, when the run is over: nobody holds the other end any more."""
    text = b""
    while part := os.read(pipe, 4096):
        text += part
    return text


def _end_all(mark: str, empty_looks: int) -> None:
    """Until nobody was found so often in a row: a process that was being started when the tool died shows up late."""
    end, empty = time.monotonic() + LIMIT, 0
    while time.monotonic() < end:
        left = find(mark)
        _end(left)
        empty = 0 if left else empty + 1
        if empty == empty_looks:
            return
        time.sleep(PAUSE)


def _end_group(leader: int) -> None:
    if os.path.isdir("/proc"):
        return  # found by the mark; the number may be somebody else's by now
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass
