"""The loop, played with stand-ins for all that runs beside it: what arrives is taken out in order, and acted upon."""

from __future__ import annotations

import errno
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeConsole, FakeSpawner, FakeTerminal, FakeWatch, nothing_kept
from live import environment

from devserver import lifecycle
from devserver.config.sources import read_config
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import Warmed
from devserver.records.changes import ChangeSet, FileChange, ReloadPlan, Role, Scope
from devserver.records.messages import (
    ColdWanted,
    FilesLoaded,
    FileWritten,
    Gone,
    Keyboard,
    LoadReport,
    Look,
    Note,
    SawChange,
    StopWanted,
)
from devserver.records.stamps import Stamp
from devserver.supervisor.arrivals import Arrival, DebuggerCame, FilesChanged, Heard, LookDue, WaitOver, WarmedUp
from devserver.supervisor.generations import Generations
from devserver.supervisor.project import Project
from devserver.supervisor.supervisor import Supervisor

STAMP = Stamp(1, 2, 3, "x")


class Played:
    """A supervisor of which the test fills the queue; `changed` is what its configuration says later."""

    def __init__(self, folder: Path, *arguments: str, **changed: object) -> None:
        (folder / "score.py").write_text("def init(): pass\ndef run(data): pass\n")
        config = read_config(["--entry_script", "score.py", "--reload", *arguments], {}, str(folder))
        self.arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self.console, self.spawner, self.watch = FakeConsole(), FakeSpawner(), FakeWatch()
        self.project = Project(config, lambda: replace(config, **changed))
        self.generations = Generations(self.spawner, nothing_kept(), FakeTerminal(), None, ())  # type: ignore[arg-type]
        self.supervisor = Supervisor(
            self.arrivals,
            self.console,  # type: ignore[arg-type]
            self.project,
            self.generations,
            self.spawner,  # type: ignore[arg-type]
            self.watch,  # type: ignore[arg-type]
            "127.0.0.1:1",
        )

    def play(self, *arrivals: Arrival, launched: int = 1) -> list[object]:
        """What was shown until the end, when the `launched` generations end because they were asked to."""
        self.supervisor.begin()
        gone = (Heard(number, Gone(0)) for number in range(1, launched + 1))
        for arrival in (*arrivals, lifecycle.StopAsked(), *gone):
            self.arrivals.put(arrival)
        self.supervisor.loop()
        return self.console.shown


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    made = Played(tmp_path)
    yield made
    for child in made.spawner.children:
        assert child.told[-1] == "close", "what was kept of a generation was not given back"


def seen(*paths: str, role: Role = Role.MODEL) -> FilesChanged:
    return FilesChanged(ChangeSet(tuple(FileChange(path, "modified", role) for path in paths)))


def kinds(shown: list[object]) -> list[str]:
    return [type(message).__name__ for message in shown]


def test_from_start_to_end(played: Played) -> None:
    """Started, ready, stopped; the watch began, and is told what was loaded."""
    report = LoadReport(True, files={"/p/helper.py": STAMP})
    shown = played.play(Heard(1, FilesLoaded({"/p/a.py": STAMP})), Heard(1, report))
    assert kinds(shown) == ["Starting", "Ready", "Stopping"]
    assert played.watch.started and "/p/helper.py" in played.watch.targets[-1].code
    assert "/p/a.py" in played.watch.targets[1].code and "/p/a.py" not in played.watch.targets[-1].code
    assert played.spawner.learned_from == [report]


def test_what_the_script_writes_starts_nothing(played: Played) -> None:
    """What others change beside it does."""
    shown = played.play(
        Heard(1, FileWritten("/m/own", time.time_ns())), seen("/m/own"), seen("/m/own", "/m/other"), launched=2
    )
    [restarting] = [message for message in shown if isinstance(message, lifecycle.Restarting)]
    assert [change.path for change in restarting.changes.changes] == ["/m/other"]


def test_what_waits_in_the_queue_is_judged_by_who_wrote_it(played: Played) -> None:
    """A write of the script's that is seen beside an edit is no change either, although the edit is taken first."""
    played.play(Heard(1, FileWritten("/m/own", time.time_ns())), seen("/m/edited"), seen("/m/own"), launched=2)
    assert len(played.spawner.children) == 2


def test_a_generation_that_cannot_be_started(played: Played) -> None:
    """It counts as gone; the loop goes on, and ends when it is asked to."""
    played.spawner.error = OSError(errno.EAGAIN, "no more processes")
    shown = played.play(launched=0)
    assert kinds(shown) == ["Starting", "Stopping"] and played.spawner.children == []


def test_only_the_loop_writes(played: Played) -> None:
    """Lines of the watch, looks of a person and the warm process come as arrivals."""
    warm = WarmedUp(None, Warmed(None))  # type: ignore[arg-type]
    shown = played.play(Note("a line"), Look("help", "keys"), warm)
    assert played.console.notes == ["a line"] and Look("help", "keys") in shown
    assert played.spawner.warmed_up == [(None, Warmed(None))]


def test_what_takes_long_is_told(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load, init(), and the oldest call of run() while it goes on; nothing at rest, or of who was replaced."""

    class Act(Note):
        """Something happens in the generation while the queue is emptied."""

    look, shown = LookDue(1), played.console.shown
    note = played.console.note

    def board() -> Scoreboard:
        return played.spawner.children[0].scoreboard

    acts = {
        "init": lambda: board().loads("init"),
        "call": lambda: board().call(3, time.monotonic() - 20),
        "younger": lambda: board().call(4, time.monotonic() - 10),
        "end": lambda: board().call(3, 0.0),
    }
    monkeypatch.setattr(played.console, "note", lambda text: acts[text]() if text in acts else note(text))
    loaded = Heard(1, LoadReport(True))
    arrivals = (look, Act("init"), look, loaded, look, Act("call"), Act("younger"), look, Act("end"), look, LookDue(7))
    played.play(*arrivals)
    told = [(each.phase, round(each.seconds)) for each in shown if isinstance(each, lifecycle.Slow)]
    assert told == [("load", 0), ("init", 0), ("run", 20), ("run", 10)]


def test_a_debugger_has_a_new_generation_made(played: Played) -> None:
    """Only one that comes; both are told."""
    played.play(Heard(1, LoadReport(True)), DebuggerCame(True), DebuggerCame(False), launched=2)
    assert played.console.notes == ["a debugger is attached", "the debugger is gone"]
    assert len(played.spawner.children) == 2


def test_a_start_waits_for_libraries(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until they are there, or take too long; a newer save takes its place, and a cold start does not wait."""

    class Patience(Note):
        """From here on a start may wait so many seconds."""

    spawner, warm = played.spawner, WarmedUp(None, Warmed(None))  # type: ignore[arg-type]
    launched: list[int] = []

    def note(text: str) -> None:
        spawner.seconds = float(text)
        launched.append(len(spawner.children))

    monkeypatch.setattr(played.console, "note", note)
    save, look = seen("/m/a"), LookDue(3)
    coming, there = Patience("60"), Patience("0")
    saves = (coming, save, coming, save, look, warm, there, warm, coming, Heard(3, LoadReport(True)))
    again = (save, there, WaitOver(), coming, Heard(4, LoadReport(True)), lifecycle.ReloadAsked(cold=True), coming)
    shown = played.play(*saves, *again, save, launched=5)
    assert launched == [1, 1, 1, 2, 2, 3, 4]
    assert [child.briefing.generation for child in spawner.children] == [1, 3, 4, 5]
    assert (spawner.cold, spawner.waits) == ([False, False, False, True], 4)
    assert kinds(shown).count("Slow") == 1 and kinds(shown)[-1] == "Stopping"


def test_libraries_that_came_too_early(played: Played) -> None:
    """The next generation is cold; one that was retired has no say."""
    played.play(Heard(1, ColdWanted(("X",))), Heard(1, ColdWanted(("Y",))), launched=2)
    assert played.spawner.cold == [False, True] and played.spawner.early == [("X",)]


def test_a_ring_and_the_keyboard(played: Played) -> None:
    """A worker that saw a change has the watch look; a loan of the keyboard is told, and its end too."""
    played.play(Heard(1, SawChange(("/p/a.py",))), Heard(1, Keyboard(True)), Heard(1, Keyboard(False)))
    assert played.watch.looks == [(("/p/a.py",), 1)] and played.console.lent == [True, False]


def test_ctrl_c_at_a_prompt_ends_at_once(played: Played) -> None:
    """It waits for the person, who will not answer."""
    played.play(Heard(1, StopWanted()))
    assert "kill" in played.spawner.children[0].told


def test_several_workers(tmp_path: Path) -> None:
    """Ready is told when all of them have loaded."""
    played = Played(tmp_path, "--worker_count", "2", "--server", "gunicorn")
    shown = played.play(Heard(1, LoadReport(True)))
    assert "Ready" not in kinds(shown)
    other = tmp_path / "other"
    other.mkdir()
    again = Played(other, "--worker_count", "2", "--server", "gunicorn")
    assert "Ready" in kinds(again.play(Heard(1, LoadReport(True)), Heard(1, LoadReport(True))))


def test_a_changed_configuration_is_read_again(tmp_path: Path) -> None:
    """Before the next generation is briefed."""
    played = Played(tmp_path, log_level="DEBUG")
    plan = ReloadPlan(Scope.RESTART, ChangeSet((FileChange("/p/config.json", "modified", Role.CONFIG),)))
    played.play(lifecycle.Changed(plan), launched=2)
    assert [child.briefing.config.log_level for child in played.spawner.children] == ["INFO", "DEBUG"]


def test_it_stays_small() -> None:
    """Nothing is loaded with the supervisor that only generations need, or an error."""
    code = "import sys, devserver.supervisor.start; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment({}), capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    heavy = ("flask", "werkzeug", "gunicorn", "waitress", "hashlib", "devserver.diagnostics.hints", "devserver.scoring")
    assert [name for name in found if name.startswith(heavy)] == []
