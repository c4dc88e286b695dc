"""What every process needs that generations are forked from, and every generation that was."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Sequence

from devserver.process.wire import Answer, send


class Office:
    """Where a process that generations are forked from waits: for orders on its channel, and for the end of a child."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
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

    def leave(self) -> None:
        """From here on this process is, or waits to be, a generation."""
        signal.set_wakeup_fd(-1)
        self.channel.close()
        for end in self._ends:
            os.close(end)


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
