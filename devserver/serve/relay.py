"""Requests that a retired process holds, passed on to the next one where no connection can change hands (Windows).

The client's connection stays here, and beside it another one is made to where the client has come to: whoever accepts
there now answers. To that one all of them come from this machine, so this is for clients that do.
"""

from __future__ import annotations

import socket
import threading
from contextlib import closing

from devserver.process import threads
from devserver.serve.kept import Kept
from devserver.serve.locality import is_loopback
from devserver.serve.store import PIECE

CONNECT_LIMIT = 1.0  # seconds; it is this machine


class Relay:
    """What one process passes on."""

    def __init__(self) -> None:
        self._under_way: list[threading.Thread] = []

    @property
    def is_busy(self) -> bool:
        """Whether a client still waits for its answer, or takes it."""
        self._under_way = [thread for thread in self._under_way if thread.is_alive()]
        return bool(self._under_way)

    def take(self, one: Kept) -> bool:
        """Pass on this request, which is whole; False where that cannot be."""
        if not (one.address and is_loopback(one.address[0])):
            return False
        try:
            onward = socket.create_connection(one.socket.getsockname()[:2], CONNECT_LIMIT)
        except OSError:
            return False
        try:
            self._under_way.append(threads.start("relay", _pass_on, one, onward))
        except OSError:
            onward.close()
            return False
        return True


def _pass_on(one: Kept, onward: socket.socket) -> None:
    with closing(one.store), one.socket as client, onward:
        try:
            onward.settimeout(None)
            while part := one.store.take():
                onward.sendall(part)
            if _has_ended(client):
                onward.shutdown(socket.SHUT_WR)
            client.setblocking(True)
            while part := onward.recv(PIECE):
                client.sendall(part)
        except OSError:
            pass  # one of the two has gone away


def _has_ended(client: socket.socket) -> bool:
    """Whether it sends nothing any more."""
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
