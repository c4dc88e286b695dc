"""Small stand-ins for processes, the watch and the console, so that the loop is played without any of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import Briefing, Warmed
from devserver.records.changes import Targets
from devserver.records.messages import LoadReport
from devserver.records.stamps import Stamp
from devserver.supervisor.keeping import Keeping
from devserver.supervisor.warm_process import WarmProcess

_pids = itertools.count(1 << 30)  # numbers that no system gives to a process


class FakeProcess:
    def __init__(self) -> None:
        self.pid = next(_pids)


class FakeChild:
    """Takes note of what it is told; its scoreboard is a real one."""

    def __init__(self, briefing: Briefing) -> None:
        self.briefing = briefing
        self.process = FakeProcess()
        self.scoreboard = Scoreboard()
        self.told: list[str] = []

    def retire(self) -> None:
        self.told.append("retire")

    def kill(self) -> None:
        self.told.append("kill")

    def close(self) -> None:
        self.told.append("close")
        self.scoreboard.close()


class FakeSpawner:
    """Makes fake children; `error` is raised instead, where it is set."""

    def __init__(self) -> None:
        self.children: list[FakeChild] = []
        self.cold: list[bool] = []
        self.error: OSError | None = None
        self.learned_from: list[LoadReport] = []
        self.early: list[Sequence[str]] = []
        self.warmed_up: list[tuple[WarmProcess, Warmed]] = []
        self.pids: set[int] = set()
        self.seconds = 0.0  # that a start may wait for libraries
        self.waits = 0

    def launch(self, briefing: Briefing, cold: bool = False) -> FakeChild:
        if self.error is not None:
            raise self.error
        self.cold.append(cold)
        self.children.append(FakeChild(briefing))
        return self.children[-1]

    def patience(self) -> float:
        return self.seconds

    def tell_wait(self) -> None:
        self.waits += 1

    def learned(self, loaded: LoadReport, _folders: Sequence[str], _settings: dict[str, str]) -> None:
        self.learned_from.append(loaded)

    def too_early(self, variables: Sequence[str]) -> None:
        self.early.append(variables)

    def warmed(self, process: WarmProcess, told: Warmed) -> None:
        self.warmed_up.append((process, told))


class FakeTerminal:
    def __init__(self) -> None:
        self.taken_back: list[int] = []

    def take_back(self, group: int) -> None:
        self.taken_back.append(group)


class FakeWatch:
    def __init__(self) -> None:
        self.targets: list[Targets] = []
        self.looks: list[tuple[tuple[str, ...], int]] = []
        self.started = False

    def start(self) -> None:
        self.started = True

    def retarget(self, targets: Targets, _loaded: Mapping[str, Stamp | None]) -> None:
        self.targets.append(targets)

    def look(self, paths: tuple[str, ...], asker: int) -> None:
        self.looks.append((paths, asker))


class FakeConsole:
    def __init__(self) -> None:
        self.shown: list[object] = []
        self.notes: list[str] = []
        self.lent: list[bool] = []

    def show(self, message: object) -> None:
        self.shown.append(message)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def keyboard(self, lent: bool) -> None:
        self.lent.append(lent)

    def watching(self, targets: Targets) -> None: ...


def nothing_kept() -> Keeping:
    """What is kept where no process is real."""
    return Keeping(lambda *_: None, lambda *_: FakeChild(0), lambda _: None)  # type: ignore[arg-type,return-value]
