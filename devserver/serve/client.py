"""A connection as gunicorn's worker has it: its request is there already, and writing does not wait for the client."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence
from typing import Any

from devserver.serve import WorkerLeaving
from devserver.serve.intake import BACKLOG, Intake
from devserver.serve.kept import Kept
from devserver.serve.store import PIECE, Store

LATE = 5.0  # seconds for what gunicorn still reads of a request that the intake takes for whole
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyMissing(WorkerLeaving):
    """Raised where a request that has its turn without its body cannot do without."""


class Client(socket.socket):
    """A connection whose request was read before: what gunicorn reads is there, and what it writes does not wait.

    gunicorn would close it only when the client has taken the answer and closes, too, and answer nobody meanwhile; so
    closing gives it back to the intake, which waits for many at once.
    """

    def __init__(self, kept: Kept, intake: Intake) -> None:
        plain = kept.socket
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.setblocking(True)
        self.is_over = False  # the client has sent its request and nothing more
        self._intake = intake
        self._kept = kept
        self._read = kept.store
        self._unsent: Store | None = None

    def recv(self, size: int, flags: int = 0) -> bytes:
        if flags == 0 and len(self._read):
            return self._read.take(size)
        if flags == 0 and self.gettimeout() is None:
            return self._recv_late(size)
        return super().recv(size, flags)

    def _recv_late(self, size: int) -> bytes:
        if self._kept.trial == "now":
            raise BodyMissing
        self.settimeout(LATE)
        try:
            return super().recv(size)
        finally:
            self.settimeout(None)

    def send(self, data: Any, flags: int = 0) -> int:
        if data == CONTINUE and self._kept.continued:
            return len(data)
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Returns at once, but for a client that leaves more waiting than there may be."""
        sent = 0
        if self._unsent is None:
            try:
                sent = super().send(data, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            if sent == len(data):
                return
            self._unsent = Store()
        self._unsent.add(bytes(memoryview(data)[sent:]))
        self._push(self._unsent, len(self._unsent) > BACKLOG)

    def _push(self, unsent: Store, patiently: bool) -> None:
        """Write what waits, as far as the client takes it."""
        while part := unsent.peek():
            try:
                unsent.skip(super().send(part, 0 if patiently else socket.MSG_DONTWAIT))
            except BlockingIOError:
                return
            patiently = patiently and len(unsent) > BACKLOG // 2

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As `sendall`."""
        file.seek(offset)
        left = count if count is not None else sys.maxsize
        while left > 0 and (part := file.read(min(left, PIECE))):
            self.sendall(part)
            left -= len(part)
        return 0

    def has_sent_all(self) -> bool:
        """Whether the client has sent its whole request and nothing more; else closing now could cut off the answer."""
        if not self._kept.framing.is_whole:
            return False
        try:
            return not super().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)  # nothing: it has closed its side
        except BlockingIOError:
            return True
        except OSError:
            return False

    def shutdown(self, _how: int) -> None:
        raise OSError(errno.ENOTCONN, "the intake does that")

    def close(self) -> None:
        if self.is_over and self._unsent is None:
            self._read.close()
            super().close()
        elif self.fileno() >= 0:
            self._read.close()
            self._intake.finish(self._plain(), self._unsent, self.is_over)

    def put_back(self) -> None:
        """The request has to wait for its body."""
        self._intake.put_back(self._kept, self._plain())

    def _plain(self) -> socket.socket:
        return socket.socket(self.family, self.type, self.proto, fileno=self.detach())


class Draft:
    """Stands for a connection while gunicorn makes an answer of its own, which is completed before it is sent."""

    def __init__(self, client: socket.socket, headers: Sequence[tuple[str, str]]) -> None:
        self._client = client
        self._lines = "".join(f"\r\n{name}: {value}" for name, value in headers).encode("latin-1")

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        head, end, body = data.partition(b"\r\n\r\n")
        self._client.sendall(head + self._lines + end + body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
