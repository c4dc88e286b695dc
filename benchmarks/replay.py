"""A score script comes in; how long a save takes to reach a client, and the printed answer of a sample, goes out."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent.parent / "samples" / "hello" / "score.py"
PATIENCE = 20.0  # seconds for one round
ALLOWED = 30.0  # milliseconds that the printed answer may come later


def main() -> None:
    """Arguments: how many rounds of each kind (default 20), and a score script (default: the sample hello)."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    script = Path(sys.argv[2]) if len(sys.argv) > 2 else SCRIPT
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), script.read_text(), rounds)


def measure(folder: Path, script: str, rounds: int) -> None:
    """One kind of round after the other, so that the client's request does not stand in the sample's way."""
    (folder / "score.py").write_text(script)
    (folder / "sample.json").write_text('{"name": "sample"}')
    events = folder / "events.jsonl"
    command = [sys.executable, "-m", "devserver", "--entry_script", "score.py", "--reload", "--request", "sample.json"]
    command += ["--host", "127.0.0.1", "--port", "0", "--events", str(events)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    tool = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        port = wait_for(events, "listening")["port"]
        wait_for(events, "replayed", generation=1)
        client: list[float] = []
        sample: list[float] = []
        for number in range(rounds):
            generation = 2 * number + 2
            client.append(save_and_ask(folder / "score.py", script, generation, port))
            wait_for(events, "replayed", generation=generation)
            sample.append(save_and_watch(folder / "score.py", script, generation + 1, events))
    finally:
        tool.send_signal(signal.SIGTERM)
        tool.wait()
    report(client, sample)


def save_and_ask(path: Path, script: str, number: int, port: int) -> float:
    """Milliseconds from the save to the answer that a client gets; its request waits for the new code."""
    begun = save(path, script, number)
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/score", '{"name": "client"}', {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    took = (time.time() - begun) * 1000
    connection.close()
    assert answer.status == 200, answer.status
    assert answer.headers["x-azmlinfsrv-generation"] == str(number), "answered by the code before"
    return took


def save_and_watch(path: Path, script: str, number: int, events: Path) -> float:
    """Milliseconds from the save to the line with the sample's answer; nobody else asks."""
    begun = save(path, script, number)
    found = wait_for(events, "sample", generation=number)
    assert found["ok"], found
    return (float(found["at"]) - begun) * 1000


def save(path: Path, script: str, number: int) -> float:
    """When it was complete, seconds since 1970: the clock that the events have, too."""
    path.write_text(f"{script}\n# {number}\n")
    return time.time()


def wait_for(events: Path, name: str, **facts: object) -> dict[str, Any]:
    """The latest event of this name with these facts."""
    wanted = {"event": name, **facts}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        lines = events.read_bytes().splitlines(keepends=True) if events.exists() else []
        for event in (json.loads(line) for line in reversed(lines) if line.endswith(b"\n")):
            if wanted.items() <= event.items():
                return dict(event)
        time.sleep(0.005)
    raise TimeoutError("the event did not come")


def report(client: list[float], sample: list[float]) -> None:
    """A line each, in milliseconds, and the difference of the medians."""
    for name, found in (("save to a client's answer", client), ("save to the sample's answer", sample)):
        print(f"{name:<28} median {statistics.median(found):6.1f} ms, worst {max(found):6.1f} ms")
    more = statistics.median(sample) - statistics.median(client)
    print(f"{'difference':<28} median {more:6.1f} ms (allowed: {ALLOWED:.0f} ms)")


if __name__ == "__main__":
    main()
