"""Requests that are passed on by a second connection, without a server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from live import DEADLINE

from devserver.process import threads
from devserver.serve import relay as relays
from devserver.serve.framing import Framing
from devserver.serve.kept import Kept
from devserver.serve.relay import Relay
from devserver.serve.store import KEPT

BODY = b"x" * (2 * KEPT)
REQUEST = b"POST /score HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Line:
    """A listener, a client of it, and the client's connection as a retired server holds it."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE)
        self.client = socket.create_connection(self.listener.getsockname(), DEADLINE)
        accepted, (_, port) = self.listener.accept()
        accepted.setblocking(False)
        self.kept = Kept(accepted, (address, port), 0, Framing())
        self.kept.store.add(REQUEST)

    def close(self) -> None:
        for each in (self.listener, self.client, self.kept.socket):
            each.close()
        self.kept.store.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def read(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or all up to the end."""
    found = b""
    while len(found) < size and (part := connection.recv(1 << 16)):
        found += part
    return found


def next_server(line: Line) -> socket.socket:
    accepted = line.listener.accept()[0]
    accepted.settimeout(DEADLINE)
    return accepted


def test_the_next_server_answers(line: Line) -> None:
    """It gets all of the request, the client all of the answer and the end of it; then nothing is under way."""
    relay = Relay()
    assert relay.take(line.kept) and relay.is_busy
    with next_server(line) as server:
        assert read(server, len(REQUEST)) == REQUEST
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.recv(1)  # nobody has said that this is the end
        server.settimeout(DEADLINE)
        server.sendall(BODY)
    assert read(line.client, len(BODY) + 1) == BODY
    relay._under_way[0].join(DEADLINE)
    assert not relay.is_busy


def test_the_end_of_what_a_client_sends_is_passed_on(line: Line) -> None:
    """The next server would wait for the rest."""
    line.client.shutdown(socket.SHUT_WR)
    assert Relay().take(line.kept)
    with next_server(line) as server:
        assert read(server, len(REQUEST) + 1) == REQUEST
        server.sendall(b"answer")
    assert read(line.client, 10) == b"answer"


def test_a_client_that_goes_away(line: Line) -> None:
    """The next server sees it, and nothing stays under way."""
    relay = Relay()
    assert relay.take(line.kept)
    with next_server(line) as server:
        assert read(server, len(REQUEST)) == REQUEST
        line.client.close()
        with pytest.raises(OSError):
            for _ in range(1000):
                server.sendall(BODY)
    relay._under_way[0].join(DEADLINE)
    assert not relay.is_busy


def test_clients_from_elsewhere_would_look_like_local_ones() -> None:
    """They are not passed on, and stay as they were."""
    line = Line("192.0.2.1")
    assert not Relay().take(line.kept)
    assert line.kept.socket.fileno() >= 0 and len(line.kept.store) == len(REQUEST)
    line.close()


def test_what_cannot_be_passed_on_stays(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, or nobody listens any more."""

    def none(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(threads, "start", none)
        assert not Relay().take(line.kept)
    line.listener.close()
    monkeypatch.setattr(relays, "CONNECT_LIMIT", 0.5)
    assert not Relay().take(line.kept)
    assert line.kept.socket.fileno() >= 0 and len(line.kept.store) == len(REQUEST)
