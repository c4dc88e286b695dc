"""Nothing is left behind: the mark of a run comes in, every process that carries it and should not live is ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection

from devserver.process import RUN_VARIABLE, WINDOWS
from devserver.terminal import mender

LAST_LOOKS = 3  # empty looks in a row before the guard believes that nobody is left
PAUSE = 0.05  # seconds between two looks
LIMIT = 3.0  # seconds


def find(mark: str) -> list[int]:
    """The processes that carry the mark in their environment, without this one. Empty where /proc is not there."""
    wanted = f"{RUN_VARIABLE}={mark}".encode()
    return [pid for pid in _pids() if pid != os.getpid() and wanted in _environment(pid).split(b"\0")]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc") else []


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def end_strays(mark: str, living: Collection[int]) -> list[int]:
    """Ends the marked processes that do not descend from `living`: what a generation that is gone has left.

    Returns their numbers.
    """
    strays = [pid for pid in find(mark) if pid not in living and not _descends(pid, living)]
    _end(strays)
    return strays


def _descends(pid: int, ancestors: Collection[int]) -> bool:
    for _ in range(100):  # a loop cannot come about, but processes change while they are read
        pid = _parent(pid)
        if pid in ancestors:
            return True
        if pid <= 1:
            return False
    return False


def _end(pids: Collection[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
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
        """Fork the guard of the run with this mark."""
        if WINDOWS:
            return None
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(reading)
            return cls(pid, writing)
        try:
            os.close(writing)
            _stand_guard(reading, mark)
        finally:
            os._exit(0)

    def watch_group(self, leader: int) -> None:
        """Tells the guard of a process group to end, for systems on which processes cannot be found by their mark."""
        try:
            os.write(self._pipe, b"%d\n" % leader)
        except OSError:
            pass

    def close(self) -> None:
        """The run is over: the guard looks once more and ends; waits for it."""
        os.close(self._pipe)
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            time.sleep(0.002)


def _stand_guard(pipe: int, mark: str) -> None:
    os.setsid()  # Ctrl-C and the end of the terminal are for the others
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    mend_terminal = mender()
    _let_go_of_streams()
    groups = _read_groups(pipe)
    end = time.monotonic() + LIMIT
    empty = 0
    for group in groups:
        _end_group(group)
    while empty < LAST_LOOKS and time.monotonic() < end:
        left = find(mark)
        _end(left)
        empty = 0 if left else empty + 1
        if left:
            time.sleep(PAUSE)
    mend_terminal()


def _let_go_of_streams() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _read_groups(pipe: int) -> set[int]:
    """The groups it was told of, when the run is over: nobody holds the other end any more."""
    text = b""
    while True:
        part = os.read(pipe, 4096)
        if not part:
            break
        text += part
    return {int(line) for line in text.split()}


def _end_group(leader: int) -> None:
    if os.path.isdir("/proc"):
        return  # found by the mark; the number may be somebody else's by now
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass
