"""How long from a save to the first answer of the new code: cold, warm, and where init() takes a while and is kept.

It needs nothing of POSIX, so that it runs on Windows, too, also under Wine:
`python3 tests/windows/run.py --script benchmarks/warm.py`. Absolute times there say nothing; their ratio does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 60.0  # seconds for anything
SETTLE = 0.5  # seconds before each save, so that nothing of one measurement falls into the next
SCRIPT = "import time\n\ndef init():\n    time.sleep({})\n\ndef run(data):\n    return {}\n"
EACH_TIME = sys.platform == "win32"  # there what waits is used up by a save, and another one has to take its place


class Loop:
    """The command with `--reload` and a script that answers with a number; init() takes `seconds`."""

    def __init__(self, folder: Path, *arguments: str, seconds: float = 0.0) -> None:
        folder.mkdir()
        self._seconds = seconds
        self._script = folder / "score.py"
        self._events = folder / "events.jsonl"
        self._value = 0
        self._write(0)
        command = [sys.executable, "-m", "devserver", "--entry_script", "score.py", "--reload", "--server", "waitress"]
        command += ["--host", "127.0.0.1", "--port", "0", "--events", str(self._events), *arguments]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stdin=nothing, stdout=nothing, stderr=nothing
        )
        until(lambda: self.count("ready"))
        self._port = next(event["port"] for event in self._read() if event["event"] == "listening")

    def _write(self, value: int) -> None:
        self._script.write_text(SCRIPT.format(self._seconds, value), encoding="utf-8")

    def _read(self) -> list[dict[str, Any]]:
        if not self._events.exists():
            return []
        lines = self._events.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def count(self, name: str) -> int:
        """How many events of this name there are."""
        return len(self.events(name))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Those of this name so far."""
        return [event for event in self._read() if event["event"] == name]

    def seconds_to_new_answer(self) -> float:
        """Save, and ask until the answer is new: by the promise of the tool it is the first one."""
        self._value += 1
        begun = time.perf_counter()
        self._write(self._value)
        until(lambda: self._ask() == self._value)
        return time.perf_counter() - begun

    def _ask(self) -> object:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LIMIT)
        try:
            connection.request("POST", "/score", b"{}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def close(self) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)


def until(true: Callable[[], object]) -> None:
    """Ask until it is true. Errors: TimeoutError."""
    end = time.monotonic() + LIMIT
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.002)


@dataclass
class Side:
    """`waits`: the event that tells that what the next generation comes from is there; `mark`: of those that came."""

    name: str
    loop: Loop
    waits: str | None
    mark: Callable[[dict[str, Any]], object]
    times: list[float] = field(default_factory=list)

    def is_prepared(self) -> bool:
        wanted = len(self.times) + 1 if EACH_TIME else 1
        return self.waits is None or self.loop.count(self.waits) >= wanted

    def save(self) -> None:
        self.times.append(self.loop.seconds_to_new_answer())

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    def tell(self) -> None:
        marked = sum(bool(self.mark(event)) for event in self.loop.events("ready"))
        low, high = min(self.times) * 1000, max(self.times) * 1000
        print(f"{self.name}: median {self.median * 1000:.0f} ms, {low:.0f} to {high:.0f} ms; {marked} starts were so")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="saves per side (default: 10)")
    parser.add_argument("--init", type=float, default=2.0, help="seconds that a kept init() takes (default: 2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as stack:

        def loop(name: str, *arguments: str, seconds: float = 0.0) -> Loop:
            made = Loop(Path(folder, name), *arguments, seconds=seconds)
            stack.callback(made.close)
            return made

        cold = Side("cold", loop("cold", "--no_warm"), None, lambda event: not event["warm"])
        warm = Side("warm", loop("warm"), "warm", lambda event: event["warm"])
        seconds = options.init
        kept = Side("kept", loop("kept", seconds=seconds), "kept", lambda event: event["kept_ms"] is not None)
        sides = (cold, warm, kept)
        for _ in range(options.rounds):
            for side in sides:
                until(lambda: all(each.is_prepared() for each in sides))
                time.sleep(SETTLE)
                side.save()
        for side in sides:
            side.tell()
    print(f"of {options.rounds} saves each; warm / cold: {warm.median / cold.median:.2f} ({sys.platform})")


if __name__ == "__main__":
    main()
