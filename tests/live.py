"""The real command as a test sees it: arguments come in; a running server, its events and its answers go out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

if sys.platform == "win32":
    import on_windows

WINDOWS = sys.platform == "win32"
ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "devserver")
PATIENCE = float(os.environ.get("TESTS_PATIENCE", 1))  # more where the machine has other work
DEADLINE = 30.0 * PATIENCE
"""Seconds for a start, an event, a request or an end; far more than any of them needs."""

GLANCE = 0.05 if WINDOWS else 0.01
"""Seconds between two looks at what has happened: Wine needs some time for one."""

SETTINGS = (
    *("AML_", "AZUREML_", "APP_INSIGHTS_", "APPLICATIONINSIGHTS_", "GUNICORN_", "HEALTH_", "HTTP_X_MS_"),
    *("SCORING_", "SEPERATE_", "SERVICE_", "SERVER_", "WORKER_", "WORKSPACE_"),
)
"""Variables whose names begin so are not taken over from the environment of the tests."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """One run of the command on 127.0.0.1 and a port of the system's choice, for use in a `with`.

    `folder` (an empty one of the test's own) takes the events and the output. `cwd` is `folder` unless given. `env` is
    added to an environment without settings; None removes a name. Entering waits for the event `until`, for nothing if
    it is None. Leaving ends the process if it still runs. Every wait has a deadline; a missed one, and a process that
    ended too early, is an AssertionError that shows the output.
    """

    port: int
    process: subprocess.Popen[bytes]
    job: Any = None  # on Windows: what knows the process and all that descend from it

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        until: str | None = "ready",
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._events = folder / "events.jsonl"
        self._output = folder / "output.txt"
        self._cwd = cwd or folder
        self._env = environment(env or {})
        self._until = until
        self._argv = [*command, *arguments, "--host", "127.0.0.1", "--port", "0", "--events", str(self._events)]

    def __enter__(self) -> Server:
        with self._output.open("wb") as output:
            self.process = self._start(output)
        try:
            if self._until:
                self.port = self.wait_for("listening")["port"]
                self.wait_for(self._until)
        except BaseException:
            self._kill()
            raise
        return self

    def _start(self, output: BinaryIO) -> subprocess.Popen[bytes]:
        nothing, both = subprocess.DEVNULL, subprocess.STDOUT
        if sys.platform == "win32":
            self.job = on_windows.Job()
            return self.job.start(  # type: ignore[no-any-return]
                self._argv, cwd=self._cwd, env=self._env, stdin=nothing, stdout=output, stderr=both
            )
        return subprocess.Popen(
            self._argv, cwd=self._cwd, env=self._env, stdin=nothing, stdout=output, stderr=both, start_new_session=True
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.stop()

    def events(self) -> list[dict[str, Any]]:
        """Every event so far, in the order written; a line that is still being written is left out."""
        if not self._events.exists():
            return []
        lines = self._events.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def wait_for(self, event: str, deadline: float = DEADLINE, **match: object) -> dict[str, Any]:
        """The first event of this name whose fields equal `match`, be it past or to come within `deadline` seconds."""
        wanted = {"event": event, **match}
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            ended = self.process.poll() is not None  # asked first: what was written before the end is still read
            for found in self.events():
                if wanted.items() <= found.items():
                    return found
            assert not ended, self._story(f"ended with {self.process.returncode} before {wanted}")
            time.sleep(GLANCE)
        raise AssertionError(self._story(f"no {wanted} within {deadline:g} s"))

    def output(self) -> str:
        """What the process and its children have written so far, stdout and stderr together."""
        return self._output.read_text("utf-8", errors="replace")

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, None, headers)

    def post(self, path: str, body: bytes | str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", path, body, headers)

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; text is sent as UTF-8, without a content type unless given."""
        content = body.encode() if isinstance(body, str) else body
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request(method, path, content, {"Connection": "close", **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def stop(self, sig: signal.Signals = signal.SIGTERM, deadline: float = DEADLINE) -> int:
        """Send `sig`; the exit code, negative for a signal. Kills and fails when the process outlives `deadline`.

        On Windows nobody can be asked to end but by Ctrl-C, whatever `sig` is.
        """
        if sys.platform == "win32":
            on_windows.press(self.process.pid)
        else:
            self.process.send_signal(sig)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self._kill()
            raise AssertionError(self._story(f"still alive {deadline:g} s after {sig.name}"))

    def _kill(self) -> None:
        """End the process, and with it the children that are still of its session's first group."""
        if sys.platform == "win32":
            self.job.end()
        elif self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _story(self, problem: str) -> str:
        events = "\n".join(map(str, self.events()))
        return f"{' '.join(self._argv)}\n{problem}\n--- events\n{events}\n--- output\n{self.output()}"


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and only waits to be reaped does not."""
    if sys.platform == "win32":
        return on_windows.is_alive(pid)
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """The environment of the tests without settings of the server, with this project importable, and with `changes`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS) and name != "PYTHONUTF8"}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {name: value for name, value in {**kept, **changes}.items() if value is not None}
