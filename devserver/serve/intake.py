"""Reads requests before they take a worker, so that no client keeps the others from being answered.

A connection is accepted and read as far as its bytes are there. One whose request is whole is served; any other one is
kept here, and costs nobody a turn until the rest has come. The same holds for an answer that its client does not take,
and for the moment after it in which the client may still be sending. Nothing here blocks, and nothing here polls: the
server tells which of the connections are ready.
"""

from __future__ import annotations

import logging
import pickle
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from devserver.process.platform import System
from devserver.serve.framing import Framing
from devserver.serve.handoff import Handoff
from devserver.serve.kept import Kept, batches, unpacked
from devserver.serve.store import PIECE, Store

MOST = System.most_connections  # that are kept
IDLE = 120.0  # seconds without a byte after which one is closed
LINGER = 2.0  # seconds in which a client that has its answer may still be sending
BACKLOG = 1 << 26  # bytes of an answer that may wait for its client
QUIET = 0.25  # seconds without a byte of the body after which a request is tried without it
FIRST = 1 << 14  # bytes of the first look, which most requests fit in
ROUND = 1 << 22  # bytes that are read of one connection before the others have their turn
TLS = 0x16  # the first byte of a TLS handshake
SPEAKS_TLS = "this port speaks http, not https: use a URL that begins with http://"
_AT_ONCE = getattr(socket, "MSG_DONTWAIT", 0)
log = logging.getLogger("azmlinfsrv")
Headers = Sequence[tuple[str, str]]


class Intake:
    """The connections of one worker that are not in anybody's hands.

    `headers` go into every answer that is made here; `most` is the size of a body that the server refuses. Where the
    server `tries`, a request whose body does not come has one turn without it: the app may not want to read it.
    """

    def __init__(
        self, handoff: Handoff | None, headers: Headers = (), most: int | None = None, tries: bool = False
    ) -> None:
        self.handoff = handoff
        self.headers = headers
        self.kept: dict[int, Kept] = {}  # by descriptor, those that something is waited for
        self.whole: deque[Kept] = deque()  # those that wait for their turn
        self._most = most
        self._tries = tries
        self._told: set[str] = set()

    # --- the way of a request

    def admit(self, client: socket.socket, address: Any, listener: int) -> Kept | None:
        """A connection that was just accepted: itself when its request is whole, else it is kept, or over."""
        new = Kept(client, address, listener, Framing(self._most))
        if not self._read(new, FIRST):
            return None
        if new.is_whole:
            return new
        new.has_begun = len(new.store) > 0
        self._keep(new)
        return None

    @property
    def is_hearing(self) -> bool:
        """Whether a client may be sending a request."""
        return any(one.phase == "request" for one in (*self.kept.values(), *self.whole))

    def attend(self, descriptor: int) -> None:
        """This one is ready: to be read, or in the phase `answer` to be written."""
        one = self.kept.pop(descriptor, None)
        if one is None:
            return
        if one.phase == "request":
            alive = self._read(one, PIECE)
        else:
            alive = self._write(one) if one.phase == "answer" else self._drained(one)
        if alive:
            self._take_back(one)

    def _read(self, one: Kept, size: int) -> bool:
        """Take what is there, up to the end of the request. False where the connection is over."""
        taken = 0
        while not one.framing.is_whole and taken < ROUND:
            try:
                data = one.socket.recv(size, _AT_ONCE)
            except BlockingIOError:
                break
            except OSError:
                return self._drop(one)
            if not data:
                one.framing.is_whole = True  # there will be no more: the server knows what to say to that
                return bool(len(one.store)) or self._drop(one)
            if data[0] == TLS and not len(one.store):
                return self._refuse_tls(one)
            if not self._add(one, data):
                return False
            taken += len(data)
            size = PIECE
        one.heard = time.monotonic() if taken else one.heard
        return True

    def _add(self, one: Kept, data: bytes) -> bool:
        try:
            one.store.add(data)
        except OSError as error:
            size = len(one.store) + len(data)
            log.error("a request of %d bytes and more cannot be kept: %s", size, error.strerror or error)
            return self.refuse(one, "507 Insufficient Storage", "There is no room for this request.")
        if not one.framing.feed(data) and one.framing.expects_continue:
            one.framing.expects_continue = False
            one.continued = True
            self._send(one, b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    # --- the way of an answer

    def finish(self, client: socket.socket, rest: Store | None, is_over: bool) -> None:
        """The server has answered; `rest` is what the client has not taken, `is_over` that it has nothing to send."""
        if is_over and not rest:
            client.close()
            return
        one = Kept(client, None, 0, Framing(), rest or Store(), "answer")
        if not rest:
            self._begin_to_linger(one)
        self._keep(one)

    @property
    def is_answering(self) -> bool:
        """Whether a client has not taken its answer yet."""
        return any(one.phase == "answer" for one in self.kept.values())

    def _write(self, one: Kept) -> bool:
        while part := one.store.peek():
            try:
                sent = one.socket.send(part, _AT_ONCE)
            except BlockingIOError:
                return True
            except OSError:
                return self._drop(one)
            one.store.skip(sent)
            one.heard = time.monotonic()
        self._begin_to_linger(one)
        return self._drained(one)

    def _begin_to_linger(self, one: Kept) -> None:
        """A connection that is closed while the client sends is reset, and the answer may be lost."""
        one.phase, one.heard = "linger", time.monotonic()
        try:
            one.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client has gone away, which the next look tells

    def _drained(self, one: Kept) -> bool:
        try:
            return bool(one.socket.recv(PIECE, _AT_ONCE)) or self._drop(one)
        except BlockingIOError:
            return True
        except OSError:
            return self._drop(one)

    # --- refusals

    def _refuse_tls(self, one: Kept) -> bool:
        host = one.address[0] if one.address else "a client"
        if host not in self._told:
            self._told.add(host)
            log.warning("%s spoke https; %s", host, SPEAKS_TLS)
        return self.refuse(one, "400 Bad Request", SPEAKS_TLS[0].upper() + SPEAKS_TLS[1:])

    def refuse(self, one: Kept, status: str, text: str) -> bool:
        """Answer with this, and close. Returns False: the request is over."""
        self.answer(one, plain_answer(status, text, self.headers))
        return False

    def answer(self, one: Kept, content: bytes) -> None:
        """Send these few bytes, and close as soon as the client has them."""
        one.store.close()
        one.store = Store()
        self._send(one, content)
        self._begin_to_linger(one)
        self._keep(one)

    def _send(self, one: Kept, content: bytes) -> None:
        """A few bytes, which the system has room for unless the client is up to something."""
        try:
            one.socket.send(content, _AT_ONCE)
        except OSError:
            pass

    # --- how many, how long

    def _keep(self, one: Kept) -> None:
        if len(self.kept) + len(self.whole) >= MOST:
            self.make_room()
        self.kept[one.socket.fileno()] = one

    def make_room(self) -> bool:
        """Close the one on which nothing has happened for the longest time; False where there is none."""
        oldest = min(self.kept.values(), key=lambda one: one.heard, default=None)
        if oldest is None:
            return False
        self._close(oldest)
        return True

    def put_back(self, one: Kept, client: socket.socket) -> None:
        """The server could not do without the body, which had not come."""
        one.socket, one.trial = client, "failed"
        one.store.rewind()
        self._keep(one)

    def expire(self) -> None:
        """Look for those on which nothing has happened: too long, or long enough to try them."""
        if not self.kept:
            return
        now = time.monotonic()
        for one in [one for one in self.kept.values() if self._tries and _may_be_tried(one, now)]:
            one.trial = "now"
            self._take_back(self.kept.pop(one.socket.fileno()))
        for one in [one for one in self.kept.values() if now - one.heard > _patience(one)]:
            self._close(one)

    def _close(self, one: Kept) -> None:
        self.kept.pop(one.socket.fileno(), None)
        if one.phase == "request" and len(one.store):
            text = "The rest of this request did not come."
            self._send(one, plain_answer("408 Request Timeout", text, self.headers))
        self._drop(one)

    def _drop(self, one: Kept) -> bool:
        one.socket.close()
        one.store.close()
        return False

    # --- from hand to hand

    def set_aside(self, answers: bool = True) -> None:
        """Put the requests into the handoff, and `answers`, as far as they fit; who only lingers is not worth it."""
        if self.handoff is None or not (self.kept or self.whole):
            return
        phases = ("request", "answer") if answers else ("request",)
        waiting = [*self.whole, *(one for one in self.kept.values() if one.phase in phases)]
        for batch in batches(waiting):
            rows, descriptors = [row for _, row, _ in batch], [each for _, _, some in batch for each in some]
            if not self.handoff.put(pickle.dumps(rows), descriptors):
                continue
            for one, _, _ in batch:
                self.kept.pop(one.socket.fileno(), None)
                self._drop(one)
        self.whole = deque(one for one in self.whole if one.socket.fileno() >= 0)

    def collect(self) -> list[Kept]:
        """Take what waits in the handoff; returns those that are kept now."""
        found: list[Kept] = []
        while self.handoff is not None and len(self.kept) + len(self.whole) < MOST:
            message = self.handoff.take()
            if message is None:
                break
            for one in unpacked(*message):
                self._take_back(one)
                found.append(one)
        return [one for one in found if not one.is_whole]

    def _take_back(self, one: Kept) -> None:
        if one.is_whole:
            self.whole.append(one)
        else:
            self._keep(one)

    def close(self) -> None:
        """Close all that are left."""
        for one in [*self.kept.values(), *self.whole]:
            self._close(one)
        self.whole.clear()


def _may_be_tried(one: Kept, now: float) -> bool:
    return one.phase == "request" and one.framing.is_bare and one.trial == "none" and now - one.heard > QUIET


def _patience(one: Kept) -> float:
    return LINGER if one.phase == "linger" else IDLE


# --- answers


def plain_answer(
    status: str, text: str, headers: Headers = (), content_type: str = "text/plain; charset=utf-8"
) -> bytes:
    """A whole answer of the server's own, after which the connection is closed."""
    body = f"{text}\n".encode()
    fields = [
        ("Connection", "close"),
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
    ]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (*fields, *headers))]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
