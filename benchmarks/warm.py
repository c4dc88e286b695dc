"""How long from a save to the first answer of the new code with a warm start, and with a cold one, side by side.

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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 60.0  # seconds for anything
SETTLE = 0.5  # seconds after each answer, so that nothing of one measurement falls into the next
SCRIPT = "def init():\n    pass\n\ndef run(data):\n    return {}\n"


class Loop:
    """The command with `--reload` and a script that answers with a number."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir()
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
        self._script.write_text(SCRIPT.format(value), encoding="utf-8")

    def _read(self) -> list[dict[str, Any]]:
        if not self._events.exists():
            return []
        lines = self._events.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def count(self, name: str, **match: object) -> int:
        """How many events of this name there are, with these fields."""
        return sum({"event": name, **match}.items() <= event.items() for event in self._read())

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="saves per side (default: 10)")
    rounds = parser.parse_args().rounds
    cold: list[float] = []
    warm: list[float] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        sides = [(cold, Loop(Path(folder, "cold"), "--no_warm")), (warm, Loop(Path(folder, "warm")))]
        for _, loop in sides:
            stack.callback(loop.close)
        for number in range(1, rounds + 1):
            until(lambda number=number: sides[1][1].count("warm") >= number or sys.platform != "win32")
            for found, loop in sides:
                found.append(loop.seconds_to_new_answer())
                time.sleep(SETTLE)
        were_warm = sides[1][1].count("ready", warm=True)
    medians = statistics.median(cold), statistics.median(warm)
    for name, found, median in zip(("cold", "warm"), (cold, warm), medians, strict=True):
        print(f"{name}: median {median * 1000:.0f} ms, {min(found) * 1000:.0f} to {max(found) * 1000:.0f} ms")
    print(f"warm / cold: {medians[1] / medians[0]:.2f}; {were_warm} of {rounds} starts were warm ({sys.platform})")


if __name__ == "__main__":
    main()
