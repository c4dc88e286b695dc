"""Where generations come from, decided without a process: stand-ins for those that import ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from devserver.config.settings import Config
from devserver.process.child import Child, Origin
from devserver.process.platform import System
from devserver.process.wire import Briefing, WarmOrder
from devserver.records.messages import LoadReport, Times, Warmed
from devserver.supervisor import spawner
from devserver.supervisor.spawner import TOO_LONG, WARM_UP, Spawner


class Importing:
    """A process that imports until the test says that it has."""

    made: ClassVar[list[Importing]] = []

    def __init__(self, order: WarmOrder, _origin: Origin) -> None:
        self.orders = [order]
        self.modules = frozenset(order.modules)
        self.lazy = frozenset(order.lazy)
        self.is_ready, self.is_closed = False, False
        self.refusal: str | None = None
        self.has_become = False
        self.made.append(self)

    def listen(self, _deliver: object) -> None: ...

    def extend(self, order: WarmOrder) -> None:
        self.orders.append(order)
        self.modules |= frozenset(order.modules)
        self.lazy |= frozenset(order.lazy)
        self.is_ready = False

    def launch(self, _briefing: Briefing, _deliver: object) -> str:
        return "warm"

    def close(self) -> None:
        self.is_closed = True


class Played:
    """A spawner, with what it says and the names that it tells to be warm."""

    def __init__(self, becomes: bool = False) -> None:
        self.said: list[str] = []
        self.warm: list[Sequence[str]] = []
        self.spawner = Spawner(
            Origin([], {}, -1), [], print, print, self.said.append, self.warm.append, warm=True, becomes=becomes
        )

    def learned(self, *modules: str, warm: bool = False, seconds: float = 0.0) -> None:
        self.spawner.learned(LoadReport(True, modules=modules, warm=warm, times=Times(1000 * seconds)), ("/p",), {})

    def warmed(self, told: Warmed = Warmed(None)) -> None:
        self.spawner.warmed(Importing.made[-1], told)  # type: ignore[arg-type]

    def launch(self) -> object:
        return self.spawner.launch(Briefing(1, Config()))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    Importing.made = []
    for name in ("WarmProcess", "SpareProcess"):
        monkeypatch.setattr(spawner, name, Importing)
    start: Callable[..., str] = lambda *_: "cold"  # noqa: E731
    monkeypatch.setattr(Child, "start", start)
    monkeypatch.setattr(System, "forks_safely", True)
    return Played()


def test_a_start_waits_for_as_long_as_an_import_may_take(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by how long the script's took; nothing is waited for that is there, and what takes longer is stopped."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert played.spawner.patience() == 0
    played.learned("pandas", seconds=4)
    assert played.spawner.patience() == WARM_UP + 8
    played.warmed()
    assert (played.spawner.patience(), played.launch()) == (0, "warm")
    now = 150.0
    played.learned("torch", warm=True)
    now = 154.0
    assert played.spawner.patience() == WARM_UP + 4
    now = 150.0 + WARM_UP + 9
    assert (played.spawner.patience(), played.launch()) == (0, "cold")
    assert played.said == [f"starting cold: {TOO_LONG}"] and Importing.made[0].is_closed
    assert (played.launch(), len(played.said)) == ("cold", 1)


def test_one_that_somebody_ends_is_missed_at_once(played: Played) -> None:
    """The terminal says so when it happens, the next start is a cold one, and after its load there is another."""
    played.learned("pandas")
    played.warmed()
    played.warmed(Warmed("the process ended"))
    assert played.said == ["starting cold: the process ended"] and Importing.made[0].is_closed
    assert (played.launch(), played.warm) == ("cold", [["pandas"]])
    played.learned("pandas")
    played.warmed()
    assert (played.launch(), len(played.said)) == ("warm", 1)


def test_a_wait_is_told_once_for_each_import(played: Played) -> None:
    """Not for each save, and not where the libraries are there before anybody wonders."""
    played.learned("json", seconds=0.1)
    played.spawner.tell_wait()
    played.warmed()
    for name in ("a", "b"):
        played.learned(name, seconds=1)
        played.spawner.tell_wait()
        played.spawner.tell_wait()
        played.warmed()
    assert played.said == [spawner.WAITS] * 2


def test_what_libraries_have_imported_late_is_imported_ahead(played: Played) -> None:
    """After the modules that the script names; each once, also where it fails, and none that came only indirectly."""
    late = LoadReport(True, modules=("lib", "lib.a"), indirect=frozenset({"lib.a"}), lazy=("lib", "lib.a", "lib.b"))
    played.spawner.learned(late, ("/p",), {})
    played.warmed()
    again = LoadReport(True, modules=("lib.c",), indirect=frozenset({"lib.c"}), lazy=("lib.a", "lib.c"), warm=True)
    for _ in range(2):
        played.spawner.learned(again, ("/p",), {})
        played.warmed()
    orders = [(order.modules, order.lazy) for order in Importing.made[0].orders]
    assert orders == [(("lib",), ("lib", "lib.a", "lib.b")), ((), ("lib.c",))]


def test_a_library_with_threads_is_left_out(played: Played) -> None:
    """For good, with all that lies in it: another process imports the rest, at once, and a line names it."""
    played.learned("a", "threads.sub", "threads", "b")
    played.warmed(Warmed("1 thread runs", "threads"))
    played.warmed()
    played.learned("threads", "threads.sub", warm=True)
    first, second = Importing.made
    assert (first.is_closed, second.is_closed) == (True, False)
    assert [order.modules for order in second.orders] == [("a", "b")]
    assert (played.said, played.warm) == ([spawner.APART.format("threads")], [["a", "b"]])
    assert played.launch() == "warm"
