"""The living processes: whom a word reaches, who is waited for, and what is known of one that is gone."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator

import pytest
from fakes import FakeSpawner, FakeTerminal, nothing_kept

from devserver.config.settings import Config
from devserver.lifecycle import Death
from devserver.process.wire import Briefing
from devserver.records.changes import ChangeSet, FileChange, Role, Scope
from devserver.records.messages import WorkerDied
from devserver.records.stamps import Stamp
from devserver.supervisor.generations import Generations

SOME = Stamp(1, 2, 3, "x")


@pytest.fixture
def spawner() -> Iterator[FakeSpawner]:
    made = FakeSpawner()
    yield made
    for child in made.children:
        if "close" not in child.told:
            child.close()


@pytest.fixture
def generations(spawner: FakeSpawner) -> Generations:
    return Generations(spawner, nothing_kept(), FakeTerminal(), None, ())  # type: ignore[arg-type]


def launched(generations: Generations, *numbers: int, files: dict[str, Stamp | None] | None = None) -> None:
    for number in numbers:
        generations.launch(Briefing(number, Config()), files or {}, Scope.RELOAD)


def changes(*paths: str) -> ChangeSet:
    return ChangeSet(tuple(FileChange(path, "modified", Role.MODEL) for path in paths))


def test_one_that_has_accepted_is_asked_to_end(generations: Generations, spawner: FakeSpawner) -> None:
    """It may be answering."""
    launched(generations, 1)
    spawner.children[0].scoreboard.admit()
    generations.retire(1, waits=False)
    assert spawner.children[0].told == ["retire"] and spawner.children[0].scoreboard.is_retired


@pytest.mark.parametrize(
    ("waits", "keyboard", "told"), [(False, False, ["kill"]), (True, False, []), (False, True, [])]
)
def test_one_that_has_accepted_nothing(
    generations: Generations, spawner: FakeSpawner, waits: bool, keyboard: bool, told: list[str]
) -> None:
    """It is ended at once, unless somebody may be looking at it; it accepts nothing in any case."""
    launched(generations, 1)
    generations[1].has_keyboard = keyboard
    generations.retire(1, waits)
    assert spawner.children[0].told == told and not spawner.children[0].scoreboard.admit()


def test_who_is_not_there(generations: Generations, spawner: FakeSpawner) -> None:
    """A word to one that could not be started, or is gone, does nothing."""
    spawner.error = OSError(errno.EMFILE, "too many")
    with pytest.raises(OSError):
        launched(generations, 1)
    generations.retire(1, waits=False)
    generations.kill(1)
    assert generations.get(1) is None and generations.place_of(1) is None


def test_what_it_had_loaded_when_it_died(generations: Generations) -> None:
    """Of the newest generation only; an older one that ends later changes nothing."""
    launched(generations, 1, 2, files={"/p/score.py": SOME})
    generations[2].load({"/p/helper.py": SOME})
    generations.bury(2)
    assert generations.died_with == {"/p/score.py": SOME, "/p/helper.py": SOME}
    generations.bury(1)
    assert "/p/helper.py" in generations.died_with


def test_its_keyboard_is_taken_back(spawner: FakeSpawner) -> None:
    """Whoever had it."""
    terminal = FakeTerminal()
    generations = Generations(spawner, nothing_kept(), terminal, None, ())  # type: ignore[arg-type]
    launched(generations, 1)
    pid = generations[1].child.process.pid
    generations.bury(1)
    assert terminal.taken_back == [pid] and generations.get(1) is None


@pytest.mark.parametrize(
    ("code", "death"),
    [(-signal.SIGSEGV, ("SIGSEGV", None)), (7, (None, 7)), (-signal.SIGTERM, ("SIGTERM", None))],
)
def test_how_it_died(generations: Generations, code: int, death: tuple[str | None, int | None]) -> None:
    """By the scoreboard and the exit code: a phase, and a report."""
    launched(generations, 1)
    generations[1].child.scoreboard.enter("init")
    found = generations[1].death(code, None, ())
    assert (found.signal, found.exit_code, found.phase) == (*death, "init") and found.report is not None


def test_what_its_parent_told_counts(generations: Generations) -> None:
    """Of several workers one has died, and the others were ended for it."""
    launched(generations, 1)
    generations[1].ending = WorkerDied("run", 9, None)
    assert generations[1].death(1, None, ()) == Death(None, 9, "run", None)
