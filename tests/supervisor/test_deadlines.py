"""Timers of the loop: which is due when, and which a later word replaces."""

from __future__ import annotations

from devserver.lifecycle import LaunchDue, Overdue, Settled, Slow
from devserver.supervisor.deadlines import SETTLED_AFTER, SLOW_EVERY, Deadlines


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


def test_a_load_is_looked_at_again_and_again() -> None:
    """Each look tells the seconds since the launch."""
    clock = Clock()
    deadlines, seconds = Deadlines(clock), []
    deadlines.loads(1)
    for _ in range(3):
        clock.now += SLOW_EVERY
        [slow] = deadlines.due()
        assert isinstance(slow, Slow)
        seconds.append(slow.seconds)
        deadlines.still_loads(slow)
    assert seconds == [SLOW_EVERY, 2 * SLOW_EVERY, 3 * SLOW_EVERY]


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
        deadlines.loads(generation)
        deadlines.answers(generation)
        deadlines.must_end(generation, SETTLED_AFTER + 1)
    deadlines.forget(1)
    clock.now += SETTLED_AFTER + 1
    assert deadlines.due() == [Slow(2, SLOW_EVERY), Settled(2), Overdue(2)]


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
