"""A process that has come so far that generations can start from it: the libraries are imported, no code of the
user's. Each generation is forked from it, or it becomes one."""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import replace
from typing import NoReturn

from devserver.process.platform import System, leave
from devserver.process.streams import lines
from devserver.process.wire import Briefing, Forked, Link, Order, WarmOrder, receive_order
from devserver.records.messages import Became, Refused, Warmed
from devserver.scoring import logs
from devserver.worker.forks import Office, Successor, wait_until_told
from devserver.worker.libraries import Imports, ThreadsStarted
from devserver.worker.rehearsal import why_not_fork


def main(descriptor: int, lifeline: int) -> None:
    """Serve orders until the supervisor is gone, or no generation can come from here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines.follow(lambda _unfinished: None)  # libraries may keep the streams that they see
    _Warm(socket.socket(fileno=descriptor), lifeline).serve()


class _Warm:
    """What this process has imported, how it answers the supervisor, and the process that comes next."""

    def __init__(self, channel: socket.socket, lifeline: int) -> None:
        self._office = Office(channel)
        self._lifeline = lifeline
        self._imports = Imports()
        self._forks = False
        self._next = Successor(self._office, self._live, _prepare)

    def serve(self) -> None:
        """Take orders until there are no more."""
        serving = True
        while serving:
            if self._next.wait_for_order(may_fork=self._forks):
                serving = self._take_order()

    def _take_order(self) -> bool:
        try:
            order, descriptors = receive_order(self._office.channel)
        except (OSError, EOFError):
            return False
        if isinstance(order, WarmOrder):
            return self._warm_up(order)
        assert isinstance(order, Briefing)
        return self._fork(order, descriptors) if self._forks else self._become(order, descriptors)

    # --- importing

    def _warm_up(self, order: WarmOrder) -> bool:
        self._next.dismiss()
        try:
            refusal = self._imports.add(order)
        except ThreadsStarted as error:
            self._office.tell(Warmed(why_not_fork(), error.library))
            return False
        lost_by_fork = why_not_fork()
        self._forks = lost_by_fork is None
        if refusal is None and not order.becomes:
            refusal = lost_by_fork
        self._office.tell(Warmed(refusal))
        return refusal is None

    # --- the next generation

    def _fork(self, order: Briefing, descriptors: list[int]) -> bool:
        """It makes itself ready while it is looked whether the libraries are still what was imported."""
        pid = self._next.launch(order, descriptors)
        problem = self._imports.problem()
        if problem is not None:
            os.killpg(pid, signal.SIGKILL)  # nobody has told it to load anything
            self._office.tell(Refused(problem))
            return False
        self._office.tell_process(Forked(pid), pid)
        return True

    def _become(self, order: Briefing, descriptors: list[int]) -> bool:
        problem = self._imports.problem()
        self._office.tell(Refused(problem) if problem is not None else Became())
        if problem is None:
            self._office.leave()
            _live(order, descriptors, self._lifeline)
        return False

    def _live(self, order: Order, descriptors: list[int]) -> NoReturn:
        assert isinstance(order, Briefing)
        _live(order, descriptors, self._lifeline)


def _prepare() -> None:
    """What is done once more with the order, then in memory that is the process's own."""
    logs.configure(None, "INFO", True)


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
    link, page, dump, told, *channel = descriptors
    order = replace(order, channel=channel[0] if channel else -1)
    control = os.fdopen(told, "rb")
    code = 1
    try:
        System.lead_own_group()
        hang_on(lifeline)
        code = main.begin(order, Link(link), Scoreboard((page, dump)), control, lambda: wait_until_told(told))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    leave(code, with_group=True)


def _reseed() -> None:
    """Two generations must not draw the same random numbers; Python's own generator sees to that by itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
