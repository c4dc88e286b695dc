"""A process that has come so far that generations can start from it: the libraries are imported, no code of the
user's. Each generation is forked from it, or it becomes one."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from devserver.process.platform import System, leave
from devserver.process.streams import lines
from devserver.process.wire import Answer, Briefing, Ended, Forked, Link, WarmOrder, receive_order, send
from devserver.records.messages import Became, Refused, Warmed
from devserver.worker.libraries import Imports
from devserver.worker.rehearsal import why_not_fork

SPARE_AFTER = 0.3  # seconds without orders after which the next generation is forked ahead


def main(descriptor: int, lifeline: int) -> None:
    """Serve orders until the supervisor is gone, or no generation can come from here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines.follow(lambda _unfinished: None)  # libraries may keep the streams that they see
    _Warm(socket.socket(fileno=descriptor), lifeline).serve()


class _Warm:
    """What this process has imported, how it answers the supervisor, and the process that comes next."""

    def __init__(self, channel: socket.socket, lifeline: int) -> None:
        self._channel = channel
        self._lifeline = lifeline
        self._imports = Imports()
        self._forks = False
        self._spare: Spare | None = None
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._ends[1])
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Take orders until there are no more."""
        serving = True
        while serving:
            pause = SPARE_AFTER if self._forks and self._spare is None else None
            ready = select.select([self._channel.fileno(), self._ends[0]], [], [], pause)[0]
            if not ready:
                self._spare = self._split()
            if self._ends[0] in ready:
                os.read(self._ends[0], 4096)
                self._reap()
            if self._channel.fileno() in ready:
                serving = self._take_order()

    def _reap(self) -> None:
        for pid, status in _ended_children():
            self._send(Ended(pid, os.waitstatus_to_exitcode(status)))

    def _send(self, message: Answer, descriptors: Sequence[int] = ()) -> None:
        try:
            send(self._channel, message, descriptors)
        except OSError:
            pass  # the supervisor is gone; the next look at the channel tells

    def _take_order(self) -> bool:
        try:
            order, descriptors = receive_order(self._channel)
        except (OSError, EOFError):
            return False
        if isinstance(order, WarmOrder):
            return self._warm_up(order)
        return self._fork(order, descriptors) if self._forks else self._become(order, descriptors)

    # --- importing

    def _warm_up(self, order: WarmOrder) -> bool:
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        refusal = self._imports.add(order)
        lost_by_fork = why_not_fork()
        self._forks = lost_by_fork is None
        if refusal is None and not order.becomes:
            refusal = lost_by_fork
        self._send(Warmed(refusal))
        return refusal is None

    # --- the next generation

    def _fork(self, order: Briefing, descriptors: list[int]) -> bool:
        """It makes itself ready while it is looked whether the libraries are still what was imported."""
        spare, self._spare = self._spare or self._split(), None
        if not spare.begin(order, descriptors):
            spare = self._split()
            spare.begin(order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        problem = self._imports.problem()
        if problem is not None:
            os.killpg(spare.pid, signal.SIGKILL)  # nobody has told it to load anything
            self._send(Refused(problem))
            return False
        process = os.pidfd_open(spare.pid)
        self._send(Forked(spare.pid), [process])
        os.close(process)
        return True

    def _split(self) -> Spare:
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            here.close()
            self._leave_office()
            _wait_for_order(there, self._lifeline)
        there.close()
        _lead_group(pid)
        return Spare(pid, here)

    def _become(self, order: Briefing, descriptors: list[int]) -> bool:
        problem = self._imports.problem()
        self._send(Refused(problem) if problem is not None else Became())
        if problem is None:
            self._leave_office()
            _live(order, descriptors, self._lifeline)
        return False

    def _leave_office(self) -> None:
        """From here on this process is, or waits to be, a generation."""
        signal.set_wakeup_fd(-1)
        self._channel.close()
        for end in self._ends:
            os.close(end)


@dataclass(frozen=True)
class Spare:
    """A fork of this process that waits to become a generation; it ends when its channel is closed."""

    pid: int
    channel: socket.socket

    def begin(self, order: Briefing, descriptors: Sequence[int]) -> bool:
        """Hand the order on; False where the process is gone."""
        with self.channel:
            try:
                send(self.channel, order, descriptors)
            except OSError:
                return False
        return True

    def close(self) -> None:
        self.channel.close()


def _ended_children() -> list[tuple[int, int]]:
    found = []
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(ended)
    except ChildProcessError:
        pass
    return found


def _lead_group(pid: int) -> None:
    """Here as well as in the generation, so that it can be killed from now on."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass


# --- becoming a generation


def _wait_for_order(channel: socket.socket, lifeline: int) -> NoReturn:
    try:
        order, descriptors = receive_order(channel)
    except (OSError, EOFError):
        os._exit(0)
    channel.close()
    assert isinstance(order, Briefing)
    _live(order, descriptors, lifeline)


def _live(order: Briefing, descriptors: list[int], lifeline: int) -> NoReturn:
    """This process is a generation from here on."""
    from devserver.process.lifeline import hang_on
    from devserver.process.scoreboard import Scoreboard
    from devserver.worker import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    added = [folder for folder in sys.path if folder not in order.path]
    sys.path[:] = [*order.path, *added]
    _reseed()
    link, page, dump, told = descriptors
    code = 1
    try:
        System.lead_own_group()
        hang_on(lifeline)
        code = main.begin(order, Link(link), Scoreboard((page, dump)), lambda: _wait_until_told(told))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    leave(code, with_group=True)


def _wait_until_told(told: int) -> None:
    """Until the supervisor takes this process for a generation; where it does not, the group ends.

    The message stays in the pipe for all workers of the generation, also later ones.
    """
    bell = select.poll()
    bell.register(told, select.POLLIN)
    if not any(flags & select.POLLIN for _, flags in bell.poll()):
        os.killpg(0, signal.SIGKILL)


def _reseed() -> None:
    """Two generations must not draw the same random numbers; Python's own generator sees to that by itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
