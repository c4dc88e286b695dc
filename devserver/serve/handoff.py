"""Where connections wait that nobody attends to: a queue in the kernel that every worker of every generation reads.

A worker that begins to run the script's code, or that is told to end, puts the connections in it that are not done
yet: their sockets, and what was read of them. Whoever is free takes them out again. So neither a crash nor a hang nor
the end of a worker costs anyone but the client that is being answered, and what becomes whole after a save is answered
by the code of after the save.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence

from devserver.process.platform import System

MOST_DESCRIPTORS = 200  # of one message; the system allows 253
MOST_BYTES = 1 << 16  # of one message, about
ROOM = 1 << 20  # bytes that may wait, where the system lets us have so many
_AT_ONCE = getattr(socket, "MSG_DONTWAIT", 0)
_UNSHARED = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Handoff:
    """A queue of messages of about `MOST_BYTES`, each with at most `MOST_DESCRIPTORS` descriptors."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = tuple(sockets)
        self._into, self._out_of = sockets

    @classmethod
    def make(cls) -> Handoff | None:
        """A new one; None where the system cannot pass descriptors on."""
        if not System.lends_descriptors:
            return None
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        return cls(ends)

    def fileno(self) -> int:
        """The descriptor that is readable when something waits."""
        return self._out_of.fileno()

    def put(self, content: bytes, descriptors: Sequence[int]) -> bool:
        """Put in a message; the caller may close its descriptors then. False where there is no room for it."""
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self._into.sendmsg([content], passed, _AT_ONCE)
        except OSError:
            return False
        return True

    def take(self) -> tuple[bytes, list[int]] | None:
        """The next message, None where there is none."""
        room = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
        try:
            content, passed, _, _ = self._out_of.recvmsg(ROOM, room, _AT_ONCE | _UNSHARED)
        except OSError:
            return None
        descriptors = array.array("i")
        for _, _, data in passed:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        for descriptor in descriptors if not _UNSHARED else ():
            os.set_inheritable(descriptor, False)
        return content, list(descriptors)

    def close(self) -> None:
        """Gives back this process's descriptors of it."""
        for each in self.sockets:
            each.close()


def split(sockets: Sequence[socket.socket]) -> tuple[list[socket.socket], Handoff | None]:
    """What a generation was given: the listeners, and the handoff where there is one."""
    ends = [each for each in sockets if System.lends_descriptors and each.family == socket.AF_UNIX]
    return [each for each in sockets if each not in ends], Handoff(ends) if ends else None
