"""How long from a save to the first answer of the new code: this server, the tools people use, and the two floors."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import reloaders
from asking import Troubles, until_new
from reloaders import KINDS, TOOLS, Kind, Tool
from servers import STOP_SECONDS, free_port, scratch_folder

LIMIT = 60.0  # seconds in which the new code has to answer
SETTLE = 0.5  # seconds between two measurements, so that nothing of the one falls into the other
CLIENTS = 4
IDLE_SECONDS = 10.0
FLOORS = ("fork", "fresh")


@dataclass(frozen=True)
class Cell:
    """One thing to do to a project, and what is measured of it."""

    name: str
    label: str
    kind: str
    file: str = "score.py"
    pause: float | None = None  # seconds between two saves; the second one is measured
    same_second: bool = False  # the first of two saves has been answered, and both are of one second
    floors: bool = False
    only: tuple[str, ...] = ()


SLOW = ("warm", "waitress", "cold", "uvicorn", "hupper")
CELLS = {
    cell.name: cell
    for cell in (
        Cell("hello", "hello", "hello", floors=True),
        Cell("pandas", "numpy + pandas + scikit-learn", "pandas", floors=True),
        Cell("torch", "torch", "torch", floors=True),
        Cell("init", "init() of 3 s", "init", floors=True, only=SLOW),
        Cell("helper", "a helper changes", "parts", "helper.py"),
        Cell("model", "a small model file changes", "parts", "model/weights.json"),
        Cell("twice-10", "two saves 10 ms apart", "hello", pause=0.01),
        Cell("twice-50", "two saves 50 ms apart", "hello", pause=0.05),
        Cell("twice-300", "two saves 300 ms apart", "hello", pause=0.3),
        Cell("same-second", "two saves of one length in one second", "hello", same_second=True),
    )
}


@dataclass
class Measured:
    """`seconds` of one cell and tool; `missed`: how often the new code did not answer at all."""

    seconds: list[float] = field(default_factory=list)
    missed: int = 0
    troubles: Troubles = Troubles()

    @property
    def milliseconds(self) -> float | None:
        return median(self.seconds) * 1000 if self.seconds else None


Results = dict[tuple[str, str], Measured]

# --- what is running


class Served:
    """A tool that serves a project of its own; the version counts up with every save."""

    def __init__(self, tool: Tool, kind: Kind, python: str, folder: Path) -> None:
        self.tool, self.kind = tool, kind
        self.folder = folder / "project"
        self.version = 100001
        self.port = free_port()
        kind.write(self.folder, self.version)
        self._log = folder / "log.txt"
        self._events = folder / "events.jsonl"
        begun = time.perf_counter()
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                tool.command(python, self.port),
                cwd=self.folder,
                env=reloaders.environment(self.port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.first_start, _ = until_new(self.port, self.version, begun, LIMIT)
        if self.first_start is None:
            raise RuntimeError(f"{tool.label} does not serve {kind.name}\n{self._log.read_text(errors='replace')}")

    def save(self, name: str) -> float:
        """Change the file; when that was done."""
        self.version += 1
        self.kind.save(self.folder, name, self.version)
        return time.perf_counter()

    def measure(self, cell: Cell) -> tuple[float | None, Troubles]:
        if cell.same_second:
            time.sleep(1.02 - time.time() % 1)
            until_new(self.port, self.version + 1, self.save(cell.file), LIMIT)
        elif cell.pause is not None:
            self.save(cell.file)
            time.sleep(cell.pause)
        saved = self.save(cell.file)
        return until_new(self.port, self.version, saved, 5.0 if cell.same_second else LIMIT)

    def close(self) -> None:
        end_tree(self.process)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Tell the process to end, and end by number what it leaves behind."""
    pids = descendants(process.pid)
    _end(process)
    for pid in pids:
        try:
            os.kill(pid, 9)
        except OSError:
            continue


def descendants(pid: int) -> list[int]:
    """The processes below this one, as they are now."""
    try:
        text = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return []
    return [found for child in map(int, text.split()) for found in (child, *descendants(child))]


class ForkFloor:
    """A process that has the libraries imported and forks itself for each answer."""

    def __init__(self, kind: Kind, python: str, folder: Path) -> None:
        self.kind, self.folder, self.version = kind, folder / "project", 100001
        kind.write(self.folder, self.version)
        command = [python, reloaders.FLOORS, "fork", *kind.libraries]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=reloaders.environment(0),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def measure(self, cell: Cell) -> tuple[float | None, Troubles]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.version += 1
        self.kind.save(self.folder, cell.file, self.version)
        saved = time.perf_counter()
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["version"] == self.version
        return time.perf_counter() - saved, Troubles()

    def close(self) -> None:
        end_tree(self.process)


class FreshFloor:
    """A new interpreter for each answer."""

    def __init__(self, kind: Kind, python: str, folder: Path) -> None:
        self.kind, self.python, self.folder, self.version = kind, python, folder / "project", 100001
        kind.write(self.folder, self.version)

    def measure(self, cell: Cell) -> tuple[float | None, Troubles]:
        self.version += 1
        self.kind.save(self.folder, cell.file, self.version)
        saved = time.perf_counter()
        done = subprocess.run(
            [self.python, reloaders.FLOORS, "fresh"],
            cwd=self.folder,
            env=reloaders.environment(0),
            stdout=subprocess.PIPE,
            check=True,
            timeout=LIMIT,
        )
        assert json.loads(done.stdout)["version"] == self.version
        return time.perf_counter() - saved, Troubles()

    def close(self) -> None:
        """Nothing runs."""


Side = Served | ForkFloor | FreshFloor
