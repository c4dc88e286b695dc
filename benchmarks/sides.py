"""What takes turns in the comparison: a tool or a floor, and a project, come in; the time after each save goes out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Protocol

import reloaders
from asking import Troubles, until_new
from reloaders import FLOORS, Kind, Tool
from servers import STOP_SECONDS, free_port

LIMIT = 45.0  # seconds in which the new code has to answer, an init() of 30 s included; later never will
FIRST_VERSION = 100001

Answered = tuple[float | None, Troubles]  # seconds from the save; None where the new code did not answer


class Side(Protocol):
    """One of those that are compared, with a project of its own."""

    kind: Kind

    def save(self, name: str) -> float:
        """Change the file; the time when that was done."""

    def answered(self, saved: float, limit: float = LIMIT) -> Answered:
        """Wait for the answer of what was saved last."""

    def close(self) -> None:
        """End what runs."""


class Project:
    """A folder of a kind; the version counts up with every save."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder, self.version = kind, folder / "project", FIRST_VERSION
        kind.write(self.folder, self.version)

    def save(self, name: str) -> float:
        self.version += 1
        self.kind.save(self.folder, name, self.version)
        return time.perf_counter()


class Served(Project):
    """A tool that serves the project. Errors: RuntimeError with its output where it does not start."""

    def __init__(self, tool: Tool, kind: Kind, python: str, folder: Path) -> None:
        super().__init__(kind, folder)
        self.tool, self.port, self.log = tool, free_port(), folder / "log.txt"
        begun = time.perf_counter()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                tool.command(python, self.port),
                cwd=self.folder,
                env=reloaders.environment(self.port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.first_start, _ = self.answered(begun)
        if self.first_start is None:
            self.close()
            raise RuntimeError(f"{tool.label} does not serve {kind.name}\n{self.log.read_text(errors='replace')}")

    def answered(self, saved: float, limit: float = LIMIT) -> Answered:
        return until_new(self.port, self.version, saved, limit)

    def processes(self) -> list[int]:
        """All of the tool."""
        return [self.process.pid, *descendants(self.process.pid)]

    def close(self) -> None:
        pids = descendants(self.process.pid)
        _end(self.process)
        for pid in pids:
            _kill(pid)


class ForkFloor(Project):
    """A process that has the libraries imported, or has run init(), and forks itself for each answer."""

    def __init__(self, kind: Kind, python: str, folder: Path, *, has_run_init: bool = False) -> None:
        super().__init__(kind, folder)
        command = [python, FLOORS, *(["stage"] if has_run_init else ["fork", *kind.libraries])]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=reloaders.environment(0),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._line()

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def answered(self, saved: float, limit: float = LIMIT) -> Answered:  # noqa: ARG002
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        _check(self._line(), self.version)
        return time.perf_counter() - saved, Troubles()

    def close(self) -> None:
        _end(self.process)


class FreshFloor(Project):
    """A new interpreter for each answer."""

    def __init__(self, kind: Kind, python: str, folder: Path) -> None:
        super().__init__(kind, folder)
        self._command = [python, FLOORS, "fresh"]

    def answered(self, saved: float, limit: float = LIMIT) -> Answered:
        environ = reloaders.environment(0)
        done = subprocess.run(
            self._command, cwd=self.folder, env=environ, stdout=subprocess.PIPE, check=True, timeout=limit
        )
        _check(done.stdout, self.version)
        return time.perf_counter() - saved, Troubles()

    def close(self) -> None:
        """Nothing runs."""


def _check(answer: bytes, version: int) -> None:
    assert json.loads(answer)["version"] == version, answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def descendants(pid: int) -> list[int]:
    """The processes below this one, as they are now."""
    try:
        text = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return []
    return [found for child in map(int, text.split()) for found in (child, *descendants(child))]


# --- what processes cost; Linux only


def cpu_seconds(pids: list[int]) -> float:
    """Of all these processes so far."""
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int, what: str = "Rss") -> float:
    """Resident memory of the process; `Pss` counts shared pages in part."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    line = next(line for line in text.splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) / 1024


def command_of(pid: int) -> str:
    """Its command line, empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
