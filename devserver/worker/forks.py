"""What every process needs that generations are forked from, and every generation that was."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from devserver.process.wire import Answer, Ended, Order, receive_order, send

AHEAD_AFTER = 0.3  # seconds without orders after which the next generation is forked ahead


class Office:
    """Where a process that generations are forked from waits: for orders on its channel, and for the end of a child."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self._told: set[int] = set()  # processes of which the supervisor knows
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._ends[1])
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def wait(self, seconds: float | None) -> tuple[bool, bool]:
        """Whether an order has come (or nobody gives any more), and whether children may have ended."""
        ready = select.select([self.channel.fileno(), self._ends[0]], [], [], seconds)[0]
        if self._ends[0] in ready:
            os.read(self._ends[0], 4096)
        return self.channel.fileno() in ready, self._ends[0] in ready

    def tell(self, message: Answer, descriptors: Sequence[int] = ()) -> None:
        """Answer; nothing happens where the supervisor is gone: the next look at the channel tells."""
        try:
            send(self.channel, message, descriptors)
        except OSError:
            pass

    def tell_process(self, message: Answer, pid: int) -> None:
        """Answer with a descriptor of this process."""
        process = os.pidfd_open(pid)
        self.tell(message, [process])
        os.close(process)
        self._told.add(pid)

    def tell_ends(self) -> list[int]:
        """Tell how processes ended that were told of; returns all that have ended."""
        ended = ended_children()
        for pid, status in ended:
            if pid in self._told:
                self._told.discard(pid)
                self.tell(Ended(pid, os.waitstatus_to_exitcode(status)))
        return [pid for pid, _ in ended]

    def leave(self) -> None:
        """From here on this process is, or waits to be, a generation."""
        signal.set_wakeup_fd(-1)
        self.channel.close()
        for end in self._ends:
            os.close(end)


class Successor:
    """The next fork of this process: made ahead of its order while there is time, for a large process takes long.

    `live` is called in it, with the order and its descriptors; `prepare` before, in one that is made ahead.
    """

    def __init__(
        self,
        office: Office,
        live: Callable[[Order, list[int]], NoReturn],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._office = office
        self._live = live
        self._prepare = prepare
        self._waiting: tuple[int, socket.socket] | None = None
        self._is_wanted = True

    @property
    def pause(self) -> float | None:
        """How long to wait for an order before it is made ahead, in seconds; None for as long as it takes."""
        return AHEAD_AFTER if self._is_wanted else None

    def wait_for_order(self, may_fork: bool = True) -> bool:
        """Until something happens: whether an order has come, or nobody gives any more. Meanwhile it is made ahead."""
        ordered, ended = self._office.wait(self.pause if may_fork else None)
        if not (ordered or ended):
            self.make()
        for pid in self._office.tell_ends() if ended else ():
            self.lost(pid)
        return ordered

    def make(self) -> None:
        """Make it ahead. Where that cannot be done, the next one is made when it is ordered."""
        self._is_wanted = False
        with suppress(OSError):
            self._waiting = self._fork(self._prepare)

    def launch(self, order: Order, descriptors: Sequence[int]) -> int:
        """Its process; it has the order, and this process has the descriptors no more. Errors: OSError."""
        try:
            if self._waiting is None or not _hand_on(self._waiting[1], order, descriptors):
                self._waiting = self._fork(inherited=descriptors)
                _hand_on(self._waiting[1], order, descriptors)
            self._is_wanted = True
            return self._waiting[0]
        finally:
            self._waiting = None
            for descriptor in descriptors:
                os.close(descriptor)

    def rest(self) -> None:
        """None is made ahead until the next one is ordered: this process may not be needed any more."""
        self._is_wanted = False

    def lost(self, pid: int) -> None:
        """This process has ended."""
        if self._waiting is not None and self._waiting[0] == pid:
            self.dismiss()
            self.rest()

    def dismiss(self) -> None:
        """Whoever waits ends: it would not have what this process has now, or nobody is needed any more."""
        if self._waiting is not None:
            self._waiting[1].close()
            self._waiting, self._is_wanted = None, True

    def _fork(
        self, prepare: Callable[[], None] = lambda: None, inherited: Sequence[int] = ()
    ) -> tuple[int, socket.socket]:
        here, there = socket.socketpair()
        with there:
            try:
                pid = os.fork()
            except OSError:
                here.close()
                raise
            if pid == 0:
                for descriptor in (here.detach(), *inherited):  # those that are inherited come with the order once more
                    os.close(descriptor)
                self._begin(there, prepare)
        lead_group(pid)
        return pid, here

    def _begin(self, channel: socket.socket, prepare: Callable[[], None]) -> NoReturn:
        """In the fork, which must not get back into what its parent does."""
        try:
            self._office.leave()
            prepare()
            try:
                order, descriptors = receive_order(channel)
            except (OSError, EOFError):
                os._exit(0)  # it is not needed
            channel.close()
            self._live(order, descriptors)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)


def _hand_on(channel: socket.socket, order: Order, descriptors: Sequence[int]) -> bool:
    """False where the process is gone."""
    with channel:
        try:
            send(channel, order, descriptors)
        except OSError:
            return False
    return True


def ended_children() -> list[tuple[int, int]]:
    """The children that have ended, and their statuses as of waitpid."""
    found = []
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(ended)
    except ChildProcessError:
        pass
    return found


def lead_group(pid: int) -> None:
    """Make this fork the leader of a group, here as well as in itself, so that it can be killed from now on."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass


def wait_until_told(told: int) -> None:
    """Until the supervisor takes this process for a generation; where it does not, the group ends.

    The message stays in the pipe for all workers of the generation, also later ones.
    """
    bell = select.poll()
    bell.register(told, select.POLLIN)
    if not any(flags & select.POLLIN for _, flags in bell.poll()):
        os.killpg(0, signal.SIGKILL)
