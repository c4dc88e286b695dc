"""The gate with a clock that is moved by hand and dependencies that the test sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devserver.process.scoreboard import Scoreboard
from devserver.worker.gate import COPYING, RING_AGAIN, STUCK, FileGate
from devserver.worker.known import Differences


class Played:
    """`now` are the differences; what is accepted differs no more. `grows` are files that move with each look."""

    def __init__(self) -> None:
        self.now: Differences = {}
        self.accepted: Differences = {}
        self.grows: set[str] = set()
        self.rung: list[tuple[str, ...]] = []
        self.time = 100.0
        self.board = Scoreboard()
        self.gate = FileGate(self, self.rung.append, self.board, clock=lambda: self.time, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        for path in self.grows:
            self.now[path] = (len(self.grows), int(self.time * 1e6), 1)

    def differences(self) -> Differences:
        return {path: state for path, state in self.now.items() if self.accepted.get(path, "") != state}

    def accept(self, differences: Differences) -> None:
        self.accepted |= differences

    def open(self, after: float = 0.0) -> bool:
        self.time += after
        return self.gate.is_open()


@pytest.fixture
def played() -> Iterator[Played]:
    made = Played()
    yield made
    made.board.close()


def test_it_closes_and_rings(played: Played) -> None:
    """Once for each news and now and then; it opens again when all is as before."""
    assert played.open()
    played.now = {"a": (1, 1, 1)}
    assert [played.open() for _ in range(3)] == [False] * 3 and played.rung == [("a",)]
    played.now["b"] = None
    assert not played.open() and played.rung[1:] == [("a", "b")]
    assert not played.open(RING_AGAIN + 0.1) and len(played.rung) == 3
    played.now = {}
    assert played.open()


def test_a_dismissal_opens_it(played: Played) -> None:
    """Only for what was told before: a change that came since keeps it closed until it is dismissed, too."""
    played.now = {"a": (1, 1, 1)}
    assert not played.open()
    played.now["b"] = (2, 2, 2)
    assert not played.open()
    played.board.dismiss()
    assert not played.open()
    assert set(played.accepted) == {"a"}
    played.board.dismiss()
    assert played.open()
    played.now["a"] = (9, 9, 9)
    assert not played.open()


def test_nobody_comes(played: Played) -> None:
    """It gives way after a while, and closes again for the next change."""
    played.now = {"a": (1, 1, 1)}
    assert not played.open() and not played.open(STUCK - 1)
    assert played.open(1.1) and played.open() and played.open(60)
    played.now["a"] = (2, 2, 2)
    assert not played.open()


def test_while_a_large_file_is_copied(played: Played) -> None:
    """Requests that come before it is complete are answered; from then on it is closed, until somebody acts or 5 s."""
    played.grows = {"model"}
    for _ in range(3):
        played.sleep(0.05)
        assert not played.open()  # it may be complete at any moment, and mostly is
    played.time += COPYING
    for _ in range(100):  # for longer than any patience
        played.sleep(0.1)
        assert played.open()
    played.grows = set()
    assert not played.open() and not played.open(1)


def test_a_save_during_a_copy(played: Played) -> None:
    """What is complete is not answered by the old one for the sake of what is not."""
    played.grows = {"model"}
    for _ in range(5):
        played.sleep(COPYING)
        played.open()
    played.now["score.py"] = (1, 1, 1)
    for _ in range(5):
        played.sleep(0.05)
        assert not played.open()


def test_a_retired_generation(played: Played) -> None:
    """Never opens again."""
    played.board.retire()
    assert not played.open() and played.gate.is_over()
