"""Nothing is left behind: the mark of a run comes in, every process that carries it and should not live is ended."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from devserver.process.platform import System
from devserver.process.table import find, kill_all
from devserver.process.terminal import mender, settings

LAST_LOOKS = 3  # empty looks in a row before the guard believes that nobody is left
PAUSE = 0.05  # seconds between two looks
LIMIT = 3.0  # seconds
OVER = b"over"


class Reaper:
    """A small process that outlives this one, even by kill -9, for as long as it takes to end all that it started.

    Start it before threads, sockets and children exist. Where nothing can be forked there is none.
    """

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe

    @classmethod
    def start(cls, mark: str) -> Reaper | None:
        """Fork the guard of the run with this mark. From now on `end_strays` works in this process."""
        System.end_all_with_this_process()
        if not System.can_fork:
            return None
        System.adopt_orphans()
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
        kill_all(left)
        empty = 0 if left else empty + 1
        if empty == empty_looks:
            return
        time.sleep(PAUSE)


def _end_group(leader: int) -> None:
    if System.lists_processes:
        return  # found by the mark; the number may be somebody else's by now
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass
