"""Which stage the next generation comes from: what it is told of the files, what speaks against it, when it may go."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devserver.config.settings import Config
from devserver.process import table
from devserver.process.child import Child
from devserver.process.wire import Briefing, Concerned, Forked, Initialised, KeptOrder, receive_order, send
from devserver.records.messages import Kept, LoadReport, Times
from devserver.records.reasons import Reason, Why
from devserver.records.stamps import Stamp, full_stamp
from devserver.supervisor.keeping import Keeping

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
RAN = Reason(Why.RAN, place="init")
LOADED = LoadReport(ok=True, times=Times(init_ms=3000.0))


class Stage:
    """Stands for the process that a generation splits off; `orders` are those that it got."""

    def __init__(self, channel: socket.socket, files: dict[str, Stamp], reason: Reason | None) -> None:
        self.orders: list[KeptOrder] = []
        self.ended = threading.Event()
        self._channel, self._reason = channel, reason
        self._process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self._tell(Initialised(self._process.pid, files, 3000.0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _tell(self, message: Any) -> None:
        process = os.pidfd_open(self._process.pid)
        send(self._channel, message, [process])
        os.close(process)

    def _serve(self) -> None:
        try:
            while True:
                order, descriptors = receive_order(self._channel)
                for descriptor in descriptors:
                    os.close(descriptor)
                assert isinstance(order, KeptOrder)
                self.orders.append(order)
                if self._reason is not None:
                    send(self._channel, Concerned(self._reason))
                else:
                    self._tell(Forked(self._process.pid))
        except (OSError, EOFError):
            self.ended.set()
            self._channel.close()
            self._process.communicate(b"\n")


class World:
    """A project of two files, and what is kept of it; `stage` was made by generation 1."""

    def __init__(self, folder: Path, reason: Reason | None = None, **facts: Any) -> None:
        self.folder = folder
        self.script, self.helper = folder / "score.py", folder / "helper.py"
        for path in (self.script, self.helper):
            path.write_text("1\n")
        self.config = Config(entry_script=str(self.script), base=str(folder), reload=True, **facts)
        self.kept: list[Kept] = []
        self.asked = 0  # how often a process was to be started that stands by
        self.ready = threading.Event()
        self.keeping = Keeping(lambda *_: None, self._start, self._hear)
        self.children: list[Child] = []
        with self.keeping.offer(self.briefing(1)) as offered:
            channel = os.dup(offered.channel) if offered.channel >= 0 else -1
        self.stage = Stage(self._turn(channel), self.files(), reason) if channel >= 0 else None
        if self.stage is not None:
            assert self.ready.wait(10)

    def _start(self, *_: object) -> Child:
        self.asked += 1
        raise OSError("nothing stands by")

    def _hear(self, record: object) -> None:
        if isinstance(record, Kept):
            self.kept.append(record)
            self.ready.set()

    def _turn(self, channel: int) -> socket.socket:
        made = socket.socket(fileno=channel)
        assert made.recv(1)
        return made

    def files(self) -> dict[str, Stamp]:
        found = {str(path): full_stamp(str(path)) for path in (self.script, self.helper)}
        return {path: stamp for path, stamp in found.items() if stamp is not None}

    def briefing(self, generation: int) -> Briefing:
        return Briefing(generation, self.config)

    def launch(self, generation: int = 2) -> Child | Reason | None:
        found = self.keeping.launch(self.briefing(generation))
        if isinstance(found, Child):
            self.children.append(found)
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.keeping.learned(1, LOADED, True)
    yield made
    made.keeping.gone(1)
    made.keeping.gone(2)
    made.keeping.close()


def test_what_the_stage_is_told(world: World) -> None:
    """The files that are not as they were loaded, each with its stamp, however many saves there were between."""
    world.script.write_text("22\n")
    assert isinstance(world.launch(), Child)
    assert world.stage is not None
    (order,) = world.stage.orders
    assert order.contents == {str(world.script): (b"22\n", full_stamp(str(world.script)))}
    assert order.briefing.warm and order.briefing.generation == 2


@pytest.mark.parametrize(("free", "started"), [(401.0, 1), (399.0, 0), (None, 1)])
def test_one_stands_by_where_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch, free: float | None, started: int
) -> None:
    """As much as the one beside it has must be less than a quarter of what is free; where nobody tells, it is tried."""
    monkeypatch.setattr(table, "members", lambda pid: [pid, pid + 1])
    monkeypatch.setattr(table, "own_memory", lambda _: 50.0)
    monkeypatch.setattr(table, "free_memory", lambda: free)
    world.keeping.learned(1, replace(LOADED, could_stand_by=True), True)
    world.keeping.stand_by(world.briefing(1), 1)
    assert world.asked == started


def test_a_file_that_is_gone(world: World) -> None:
    """Nothing is asked then; once it is there again, it is."""
    world.helper.unlink()
    assert world.launch() == Reason(Why.GONE, path=str(world.helper))
    world.helper.write_text("1\n")
    assert isinstance(world.launch(), Child)


def test_another_script(world: World) -> None:
    """As where the link that names it leads elsewhere."""
    other = world.folder / "other.py"
    other.write_text("1\n")
    world.config = replace(world.config, entry_script=str(other))
    assert world.launch() == Reason(Why.NOT_COMPILED, path=str(other))


def test_the_stage_decides(tmp_path: Path) -> None:
    """Its reason is told; it stays, and is asked again."""
    world = World(tmp_path, reason=RAN)
    world.keeping.learned(1, LOADED, True)
    assert world.launch() == RAN == world.launch(3)
    assert world.keeping.kept == world.kept[0]
    world.keeping.gone(1)
    world.keeping.close()


def test_it_stays_while_its_generations_live(world: World) -> None:
    """What load and init() have left belongs to them, too."""
    assert isinstance(world.launch(), Child) and world.stage is not None
    world.keeping.forget()
    assert world.launch() is None
    world.keeping.gone(1)
    assert not world.stage.ended.wait(0.1)
    world.keeping.gone(2)
    assert world.stage.ended.wait(10)


def test_a_load_that_failed_leaves_the_last_stage(world: World) -> None:
    """The next save may be one that mends it."""
    with world.keeping.offer(world.briefing(2)):
        pass
    world.keeping.learned(2, replace(LOADED, ok=False), True)
    assert isinstance(world.launch(3), Child)
    world.keeping.gone(3)


def test_a_generation_that_was_replaced_while_it_loaded(tmp_path: Path) -> None:
    """Its stage is not the newest code's."""
    world = World(tmp_path)
    world.keeping.learned(1, LOADED, False)
    assert world.launch() is None and world.stage is not None
    world.keeping.gone(1)
    assert world.stage.ended.wait(10)


def test_why_there_is_none(tmp_path: Path) -> None:
    """Told with each edit of code, until something is kept again."""
    world, threads = World(tmp_path), Reason(Why.THREADS, fact="worker")
    world.keeping.learned(1, replace(LOADED, unkept=threads), True)
    assert world.launch() == threads == world.launch(3)
    world.keeping.gone(1)
    world.keeping.close()


@pytest.mark.parametrize("facts", [{"no_keep": True}, {"check": True}, {"debug": 5678}, {"debug_port": 5678}])
def test_where_nothing_is_kept(facts: dict[str, Any], tmp_path: Path) -> None:
    """Nobody is offered to make a stage."""
    assert World(tmp_path, **facts).stage is None
