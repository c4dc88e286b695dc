"""The dev loop as a test sees it: a project that can be edited, the command that watches it, and its processes."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any

from live import COMMAND, DEADLINE, GLANCE, WINDOWS, Answer, Server

TOKEN = "TEST_OF_THE_LOOP"  # a variable that every process of one run inherits
GONE_WITHIN = 3.0  # seconds after the end in which every process has to be gone
SERVERS = ("waitress",) if WINDOWS else ("gunicorn", "waitress")


def answering(value: object, init: str = "pass", top: str = "") -> str:
    """A script of which run() returns `value`."""
    return f"{top}\ndef init():\n    {init}\n\ndef run(data):\n    return {value!r}\n"


class Loop(Server):
    """The command with `--reload` in a project of its own; leaving asserts exit code 0 and that nothing survives.

    `files` (name -> text) are written before the start; None for `score.py` means that there is none, and
    None for `entry_script` that none is named.
    """

    more: tuple[str, ...] = ("--no_warm",) if WINDOWS else ()  # to start a process takes seconds under Wine

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        score: str | None = None,
        files: Mapping[str, str] | None = None,
        server: str = SERVERS[0],
        env: Mapping[str, str | None] | None = None,
        until: str | None = "ready",
        command: Sequence[str] = COMMAND,
        entry_script: str | None = "score.py",
    ) -> None:
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        self.token = uuid.uuid4().hex
        for name, text in (files or {}).items():
            self.save(name, text)
        if score is not None:
            self.save("score.py", score)
        super().__init__(
            *(("--entry_script", entry_script) if entry_script else ()),
            *("--reload", "--server", server, *self.more, *arguments),
            folder=folder,
            cwd=self.project,
            env={TOKEN: self.token, **(env or {})},
            until=until,
            command=command,
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        was_running = self.process.poll() is None
        super().__exit__(kind, error, at)
        left = self.survivors()
        end_all(left)
        if error is None:
            assert not left, self._story(f"survivors: {left}")
            assert not was_running or self.process.returncode == 0, self._story(f"exit code {self.process.returncode}")

    # --- editing

    def save(self, name: str, text: str | bytes) -> Path:
        """Write the file in place, as most editors do."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def replace(self, name: str, text: str) -> None:
        """Write a file beside it and move it into place, as other editors do: on Windows again while somebody reads."""
        new, end = self.save(f".{name}.new", text), time.monotonic() + 1
        while True:
            try:
                new.replace(self.project / name)
            except PermissionError:
                assert WINDOWS and time.monotonic() < end, self._story(f"{name} cannot be replaced")
            else:
                return

    # --- asking

    def ask(self, body: str = "{}") -> Answer:
        """POST to /score on a connection of its own."""
        return self.post("/score", body)

    def connection(self) -> HTTPConnection:
        """One that is kept as long as the server likes, and opened again by itself."""
        return HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)

    # --- what has happened

    def count(self, *names: str) -> int:
        """How many events of these names there are so far."""
        return sum(event["event"] in names for event in self.events())

    def wait_for_nth(self, name: str, number: int, deadline: float = DEADLINE) -> dict[str, Any]:
        """The event that is the `number`th of its name, from 1."""
        self.wait_until(lambda: self.count(name) >= number, f"{number} times {name}", deadline)
        return [event for event in self.events() if event["event"] == name][number - 1]

    def wait_until(self, true: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
        """Ask until it is true."""
        end = time.monotonic() + deadline
        while not true():
            assert time.monotonic() < end, self._story(f"not within {deadline:g} s: {what}")
            time.sleep(GLANCE)

    def processes(self) -> list[int]:
        """Every process of this run and every process that these have started, the command itself included."""
        return carrying(self.token) if self.job is None else self.job.processes()

    def survivors(self) -> list[int]:
        """Who is still there when everything should be gone."""
        end = time.monotonic() + GONE_WITHIN
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(GLANCE)
        return left


class WarmLoop(Loop):
    """A loop with all that the tool has, on Windows, too."""

    more = ()


def ask_on(connection: HTTPConnection, body: str = "{}") -> tuple[int, Any]:
    """POST to /score on this connection: the status and the JSON of the answer."""
    connection.request("POST", "/score", body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def carrying(token: str) -> list[int]:
    """The processes with this token in their environment or among their arguments, but none that has ended."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            texts = [Path("/proc", name, file).read_bytes() for file in ("environ", "cmdline")]
        except OSError:
            continue
        if any(token.encode() in text for text in texts):
            found.append(int(name))
    return found


def end_all(pids: Iterable[int]) -> None:
    """Kill what a test has found left over."""
    for pid in pids:
        try:
            os.kill(pid, 9)
        except OSError:
            continue
