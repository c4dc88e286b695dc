"""The fork that is made ahead: handed its order and its descriptors, made anew where it is gone, never its parent."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from devserver.config.settings import Config
from devserver.process.wire import Briefing, Order
from devserver.worker.forks import Office, Successor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
ORDER = Briefing(7, Config())


@pytest.fixture
def office() -> Iterator[Office]:
    before = signal.getsignal(signal.SIGCHLD), signal.set_wakeup_fd(-1)
    here, there = socket.socketpair()
    made = Office(there)
    yield made
    here.close()
    made.leave()
    signal.signal(signal.SIGCHLD, before[0])
    signal.set_wakeup_fd(before[1])


def tell_descriptors(order: Order, descriptors: list[int]) -> NoReturn:
    """Writes the number of the generation, and how many descriptors are open."""
    assert isinstance(order, Briefing)
    os.write(descriptors[0], f"{order.generation} {len(os.listdir('/proc/self/fd'))}".encode())
    os._exit(0)


def fail(*_: object) -> NoReturn:
    raise OSError("as where something is missing")


def launched(successor: Successor, pipe: tuple[int, int] | None = None) -> tuple[int, bytes]:
    """The process, and what it has told by this pipe."""
    reading, writing = pipe or os.pipe()
    pid = successor.launch(ORDER, [writing])
    told = os.read(reading, 100)
    os.close(reading)
    return pid, told


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def waiting(successor: Successor) -> int:
    assert successor._waiting is not None
    return successor._waiting[0]


def test_ahead_and_at_its_order(office: Office) -> None:
    """The same order and as many descriptors; this process has none more in the end."""
    successor = Successor(office, tell_descriptors)
    before = os.listdir("/proc/self/fd")
    pipes = [os.pipe(), os.pipe()]
    assert successor.pause is not None
    successor.make()
    ahead = waiting(successor)
    assert successor.pause is None
    results = [launched(successor, pipe) for pipe in pipes]
    # the first one has both ends of both pipes, and one of them once more; when the second is made the first is closed
    count = [int(told.removeprefix(b"7 ")) for _, told in results]
    assert results[0][0] == ahead and count[0] - count[1] == 3
    assert [code_of(pid) for pid, _ in results] == [0, 0]
    assert os.listdir("/proc/self/fd") == before and successor.pause is not None


def test_one_that_is_gone(office: Office) -> None:
    """Another one takes the order; it is not tried again and again before."""
    successor = Successor(office, tell_descriptors)
    successor.make()
    lost = waiting(successor)
    os.kill(lost, signal.SIGKILL)
    assert code_of(lost) == -signal.SIGKILL
    pid, told = launched(successor)
    assert pid != lost and told.startswith(b"7 ") and code_of(pid) == 0
    successor.make()
    other = waiting(successor)
    os.kill(other, signal.SIGKILL)
    assert code_of(other) == -signal.SIGKILL
    successor.lost(other)
    assert successor.pause is None
    assert code_of(launched(successor)[0]) == 0 and successor.pause is not None


def test_one_that_is_not_needed(office: Office) -> None:
    successor = Successor(office, tell_descriptors)
    successor.make()
    pid = waiting(successor)
    successor.dismiss()
    assert code_of(pid) == 0 and successor.pause is not None


@pytest.mark.parametrize(("live", "prepare"), [(fail, lambda: None), (tell_descriptors, fail)])
def test_what_fails_in_it_does_not_go_on_as_its_parent(
    office: Office, live: Callable[[Order, list[int]], NoReturn], prepare: Callable[[], None]
) -> None:
    """It ends with the code of a failure."""
    successor = Successor(office, live, prepare)
    successor.make()
    pid = waiting(successor)
    if live is fail:
        launched(successor)
    assert code_of(pid) == 1
    successor.lost(pid)


def test_no_process_can_be_made(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then none is made ahead, and the order says so; nothing stays open."""
    successor = Successor(office, tell_descriptors)
    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fork", fail)
        successor.make()
        assert successor.pause is None
        with pytest.raises(OSError, match="missing"):
            successor.launch(ORDER, list(os.pipe()))
    assert os.listdir("/proc/self/fd") == before
    assert launched(successor)[1].startswith(b"7 ")
