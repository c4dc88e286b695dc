"""Runs a command of the person's beside the server, in a process group of its own, for a limited time.

It is a line for the shell, as it would be typed. What it needs to know of the server stands in its environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from devserver.process.platform import Process, System
from devserver.records.commands import NOT_STARTED, TIMED_OUT, CommandRan

GRACE = 1.0  # seconds between being asked to end and being ended
KEPT = 1 << 20  # bytes of output in which a failing line is looked for
PAUSE = 0.05  # seconds between two looks at whether it shall go on

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# from what says most to what says least
_FAILING = [
    re.compile(each)
    for each in (
        r"(FAILED|ERROR) \S+",
        r"\S+:\d+:(\d+:)? .*\b(error|fail\w*|\w*Error|\w*Exception)\b",
        r"(E  +\S|not ok\b|FAIL\b)",
        r"[\w.]*(Error|Exception|Exit|Interrupt)(:|$)",
        r".*(\b\w*(Error|Exception)\b|\b(error|failed|failure)\b)",
    )
]

Write = Callable[[bytes], object]


def environment(environ: Mapping[str, str], address: str) -> dict[str, str]:
    """What the command finds: the server's root as AZMLINFSRV_URL, and its port."""
    return {**environ, "AZMLINFSRV_URL": f"http://{address}", "AZMLINFSRV_PORT": address.rpartition(":")[2]}


class Command:
    """One run of a command. `show` gets its output, stdout and stderr as they come; None: they are this process's.

    `starting` surrounds the moment in which its process is made, and `started` is told the process's id then.
    """

    def __init__(
        self,
        text: str,
        environ: Mapping[str, str],
        folder: str,
        show: Write | None,
        starting: AbstractContextManager[object] | None = None,
        started: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.text = text
        self._environ = dict(environ)
        self._folder = folder
        self._show = show
        self._starting = starting or nullcontext()
        self._started = started
        self._cancelled = threading.Event()
        self._output = bytearray()

    def cancel(self) -> None:
        """It is wanted no more: `run` ends it, and returns None."""
        self._cancelled.set()

    def run(self, limit: float, look: Callable[[], None] = lambda: None) -> CommandRan | None:
        """Until it has ended, its time is over (0: no limit) or it is cancelled. `look` is called now and then."""
        begun = time.monotonic()
        try:
            with self._starting:
                process, group = self._start()
                self._started(process.pid)
        except OSError as error:
            return CommandRan(self.text, NOT_STARTED, 0.0, f"{self._folder}: {error.strerror}")
        reader = threading.Thread(target=self._read, args=(process,), daemon=True, name="command")
        reader.start()
        try:
            code = self._wait(process, begun + limit if limit else None, look)
        finally:
            System.kill_group(group)
            process.wait()
        reader.join(GRACE)  # what has left the group may hold the pipe open
        if code is None:
            return None
        seconds = time.monotonic() - begun
        return CommandRan(self.text, code, seconds, "" if code == 0 else first_failing_line(bytes(self._output)))

    def _start(self) -> tuple[subprocess.Popen[bytes], Process]:
        pipe = None if self._show is None else subprocess.PIPE
        return System.start_line(
            self.text,
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=None if pipe is None else subprocess.STDOUT,
        )

    def _wait(self, process: subprocess.Popen[bytes], due: float | None, look: Callable[[], None]) -> int | None:
        while not self._cancelled.is_set():
            try:
                code = process.wait(PAUSE)
            except subprocess.TimeoutExpired:
                look()
                if due is not None and time.monotonic() >= due:
                    self._ask_to_end(process)
                    return TIMED_OUT
            else:
                return code if code >= 0 else 128 - code
        self._ask_to_end(process)
        return None

    def _ask_to_end(self, process: subprocess.Popen[bytes]) -> None:
        System.ask_group_to_end(process)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None or self._show is None:
            return
        while part := os.read(process.stdout.fileno(), 1 << 16):
            self._show(part)
            self._output += part
            del self._output[: max(0, len(self._output) - KEPT)]
        process.stdout.close()


def first_failing_line(output: bytes) -> str:
    """The line that says what failed: the first of the kind that says most; else the last line that says anything."""
    lines = [_COLOUR.sub("", line).rstrip() for line in output.decode("utf-8", "replace").splitlines()]
    for kind in _FAILING:
        found = next((line for line in lines if kind.match(line)), None)
        if found is not None:
            return found.strip()
    return next((line.strip() for line in reversed(lines) if line), "")
