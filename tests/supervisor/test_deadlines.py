"""Timers of the loop: which is due when, and which a later word replaces."""

from __future__ import annotations

from devserver.lifecycle import LaunchDue, Overdue, Settled
from devserver.supervisor.arrivals import LookDue
from devserver.supervisor.deadlines import LOOK_EVERY, SETTLED_AFTER, Deadlines


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_due() -> None:
    """Without a timer there is no time to wait for."""
    assert (Deadlines().wait(), Deadlines().due()) == (None, [])


def test_in_the_order_of_their_times() -> None:
    """The earliest is waited for; all whose time has come are due, earliest first, and only once."""
    clock = Clock()
    deadlines = Deadlines(clock)
    deadlines.must_end(2, 3.0)
    deadlines.launch_in(1.0)
    deadlines.must_end(1, 2.0)
    assert deadlines.wait() == 1.0 and deadlines.due() == []
    clock.now += 2.5
    assert deadlines.wait() == 0.0 and deadlines.due() == [LaunchDue(), Overdue(1)] and deadlines.due() == []
    assert deadlines.wait() == 0.5


def test_a_later_word_replaces_an_earlier_one() -> None:
    """One deadline per generation and kind; the first one is forgotten, also where it was earlier."""
    clock = Clock()
    deadlines = Deadlines(clock)
    deadlines.must_end(1, 1.0)
    deadlines.must_end(1, 5.0)
    clock.now += 2
    assert deadlines.due() == [] and deadlines.wait() == 3.0
    deadlines.may_stay(1)
    assert deadlines.wait() is None


def test_a_look_is_due_once() -> None:
    """Who wants to look again says so."""
    clock = Clock()
    deadlines = Deadlines(clock)
    deadlines.look_at(1)
    clock.now += LOOK_EVERY
    assert deadlines.due() == [LookDue(1)] and deadlines.wait() is None


def test_the_launch_that_comes_makes_its_timer_void() -> None:
    """However it came about."""
    deadlines = Deadlines(Clock())
    deadlines.launch_in(1.0)
    deadlines.launches()
    assert deadlines.wait() is None


def test_all_of_a_generation_is_forgotten() -> None:
    """Its own timers only."""
    clock = Clock()
    deadlines = Deadlines(clock)
    for generation in (1, 2):
        deadlines.look_at(generation)
        deadlines.answers(generation)
        deadlines.must_end(generation, SETTLED_AFTER + 1)
    deadlines.forget(1)
    clock.now += SETTLED_AFTER + 1
    assert deadlines.due() == [LookDue(2), Settled(2), Overdue(2)]


def test_who_is_spared_is_told_once() -> None:
    """It gets the time once more each time; a generation of the same number later is another one."""
    clock = Clock()
    deadlines = Deadlines(clock)
    assert [deadlines.spare(1, 2.0) for _ in range(3)] == [True, False, False]
    assert deadlines.spare(2, 2.0)
    clock.now += 2
    assert set(deadlines.due()) == {Overdue(1), Overdue(2)}
    deadlines.forget(1)
    assert deadlines.spare(1, 2.0)
