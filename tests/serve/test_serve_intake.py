"""What the intake keeps, for how long, and how it passes it on; without a server."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from devserver.serve import intake as rooms
from devserver.serve import store as stores
from devserver.serve.handoff import Handoff
from devserver.serve.intake import Intake
from devserver.serve.store import KEPT, Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors cannot be passed on there")
HALF = b"POST /score HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345"
Connect = Callable[..., socket.socket]


@pytest.fixture
def handoff() -> Iterator[Handoff]:
    made = Handoff.make()
    assert made is not None
    yield made
    made.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Admit a client to an intake that has sent these bytes; returns the client's end."""
    ends: list[socket.socket] = []

    def connected(intake: Intake, sent: bytes = HALF) -> socket.socket:
        client, server = socket.socketpair()
        ends.append(client)
        client.settimeout(5)
        client.sendall(sent)
        assert intake.admit(server, ("127.0.0.1", 1), 0) is None
        return client

    yield connected
    for end in ends:
        end.close()


def test_the_one_that_is_idle_for_the_longest_time_gives_way(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound; the one that was heard last is not it."""
    monkeypatch.setattr(rooms, "MOST", 3)
    intake = Intake(None, [("X-A", "b")])
    clients = [connect(intake) for _ in range(3)]
    clients[0].sendall(b"6")
    for descriptor in list(intake.kept):
        intake.attend(descriptor)
    connect(intake)
    assert len(intake.kept) == 3
    answer = clients[1].recv(1000)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and b"\r\nX-A: b\r\n" in answer
    assert clients[1].recv(1) == b""
    intake.close()


def test_one_that_says_nothing_for_too_long(connect: Connect) -> None:
    """It is told so, and closed."""
    intake = Intake(None)
    client = connect(intake)
    intake.expire()
    [one] = intake.kept.values()
    one.heard -= rooms.IDLE + 1
    intake.expire()
    assert not intake.kept and client.recv(12) == b"HTTP/1.1 408"


def test_many_change_hands(connect: Connect, handoff: Handoff) -> None:
    """All arrive with what was read of them, in one message or in several, and nothing stays behind."""
    first, second = Intake(handoff), Intake(handoff)
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    clients = [connect(first, HALF) for _ in range(120)]
    first.set_aside()
    assert not first.kept and len(second.collect()) == 120
    for client in clients:
        client.sendall(b"67890")
    for descriptor in list(second.kept):
        second.attend(descriptor)
    assert len(second.whole) == 120 and {one.store.take() for one in second.whole} == {HALF + b"67890"}
    second.close()
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before + 120  # the clients' own ends


def test_what_does_not_fit_stays(connect: Connect, handoff: Handoff) -> None:
    """A handoff that is full takes no more; the others are kept where they are."""
    while handoff.put(b"x" * 10_000, []):
        pass
    intake = Intake(handoff)
    connect(intake)
    intake.set_aside()
    assert len(intake.kept) == 1
    intake.close()


@pytest.mark.parametrize("size", [10, KEPT + 1])
def test_store(size: int) -> None:
    """It gives what it was given, from memory or from a file, also to another process."""
    store = Store()
    for _ in range(3):
        store.add(b"ab" * size)
    assert (store.take(3), len(store)) == (b"aba", 6 * size - 3)
    content, file, begin = store.passed()
    other = Store(content, None if file is None else os.dup(file), begin)
    assert len(other) == len(store)
    found = b""
    while part := other.take():
        found += part
    assert found == (b"ab" * size * 3)[3:]
    store.close()
    other.close()


def test_a_body_for_which_there_is_no_room(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told so; nobody else is concerned."""

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stores, "_nameless", full)
    monkeypatch.setattr(stores, "KEPT", 10)
    intake = Intake(None)
    assert connect(intake).recv(12) == b"HTTP/1.1 507"
    intake.close()
