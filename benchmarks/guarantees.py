"""The guarantees of the loop under load: hammered through reloads, never stale, nothing left behind, no growth.

    python benchmarks/guarantees.py [hammer] [crowd] [stale] [stale_ways] [saves] [endings] [cold] [soak] [kept] [idle]

On Linux only.

Each part prints its figures and ends with `ok` or `VIOLATED`; the exit code is 1 when one is violated.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import stale_ways as by_ways
from servers import ROOT
from sides import cpu_seconds, megabytes

LIMIT = 30.0
SLOW = "import time\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    time.sleep(2)\n    return 'slow'\n"
SILENT = (
    b"",
    b"POST /score HTTP/1.1\r\nHost: x\r\n",
    b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
    b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
)  # what a client sends before it falls silent
SCRIPT = "def init():\n    pass\n\n\ndef run(data):\n    return {value!r}\n"
LONG = SCRIPT.replace("def", "import time\n\n\ndef", 1).replace("pass", "time.sleep(0.1)")  # worth keeping


class Loop:
    """The command with --reload on a folder of its own, for use in a `with`."""

    def __init__(self, folder: Path, *arguments: str, server: str = "gunicorn", source: str = SCRIPT) -> None:
        self.source = source
        self.script, self.events = folder / "score.py", folder / "events.jsonl"
        self.mark = uuid.uuid4().hex
        self.save(0)
        self.command = [sys.executable, "-m", "devserver", "--entry_script", "score.py", "--host", "127.0.0.1"]
        self.command += ["--port", "0", "--reload", "--events", str(self.events), "--server", server, *arguments]
        self.folder = folder

    def __enter__(self) -> Loop:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "BENCHMARK_MARK": self.mark}
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.port = int(self.wait_for("listening")["port"])
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT)

    def save(self, value: object) -> None:
        self.script.write_text(self.source.format(value=value))

    def all_events(self) -> list[dict[str, object]]:
        lines = self.events.read_bytes().splitlines(keepends=True) if self.events.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def wait_for(self, name: str, count: int = 1) -> dict[str, object]:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            found = [event for event in self.all_events() if event["event"] == name]
            if len(found) >= count:
                return found[count - 1]
            time.sleep(0.01)
        found = [event["event"] for event in self.all_events()]
        state = f"exit code {self.process.poll()}, load {os.getloadavg()[0]:.0f}, events {found}"
        raise SystemExit(f"no event {name} within {LIMIT:g} s: {state}")

    def ask(self, connection: http.client.HTTPConnection | None = None) -> object:
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        own.request("POST", "/score", "{}", {"Content-Type": "application/json"})
        answer = own.getresponse()
        body = answer.read()
        if connection is None:
            own.close()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
        return json.loads(body)

    def marked(self) -> list[int]:
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
                state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if self.mark.encode() in environ and state != "Z":
                found.append(int(name))
        return found


def size_of(pid: int) -> tuple[float, int, int]:
    """Resident memory in MB, descriptors and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(facts["VmRSS"].split()[0]) / 1024, len(os.listdir(f"/proc/{pid}/fd")), int(facts["Threads"])


def verdict(name: str, good: bool, text: str) -> bool:
    print(f"{name:<9} {'ok' if good else 'VIOLATED':<9} {text}", flush=True)
    return good


def hammer(folder: Path) -> bool:
    """8 keep-alive and 8 new-connection clients through 100 reloads, and a 2 s request across one, each server."""
    good = [_hammer(folder / server, server) for server in ("gunicorn", "waitress")]
    return all(good)


def _hammer(folder: Path, server: str) -> bool:
    folder.mkdir()
    outcomes: Counter[str] = Counter()
    over = threading.Event()
    with Loop(folder, server=server) as loop:
        loop.wait_for("ready")
        clients = [threading.Thread(target=_client, args=(loop, number < 8, over, outcomes)) for number in range(16)]
        for client in clients:
            client.start()
        for number in range(1, 101):
            loop.save(number)
            outcomes["stale"] += loop.ask() != number
            time.sleep(0.03)
        over.set()
        for client in clients:
            client.join(LIMIT)
        loop.script.write_text(SLOW)
        slow: list[object] = []
        thread = threading.Thread(target=lambda: slow.append(loop.ask()))
        thread.start()
        time.sleep(0.5)
        loop.save("next")
        following = loop.ask()
        thread.join(LIMIT)
    good = (
        {name for name, count in outcomes.items() if count} == {"answered"} and slow == ["slow"] and following == "next"
    )
    return verdict("hammer", good, f"{server}: {dict(outcomes)}; across a reload: {slow}, then {following!r}")


def _client(loop: Loop, keep: bool, over: threading.Event, outcomes: Counter[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", loop.port, timeout=LIMIT)
    while not over.is_set():
        try:
            loop.ask(connection if keep else None)
            outcomes["answered"] += 1
        except Exception as error:
            outcomes[f"{type(error).__name__}: {error}"[:60]] += 1
            connection.close()


def crowd(folder: Path) -> bool:
    """4 silent clients and 1 TLS client beside 16 good ones, for 5 s: 0 refused, none above 1 s, each server."""
    good = [_crowd(folder / server, server) for server in ("gunicorn", "waitress")]
    return all(good)


def _crowd(folder: Path, server: str) -> bool:
    folder.mkdir()
    outcomes: Counter[str] = Counter()
    times: list[float] = []
    over = threading.Event()
    with Loop(folder, server=server) as loop, ExitStack() as stack:
        loop.wait_for("ready")
        for sent in SILENT:
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", loop.port), LIMIT))
            silent.sendall(sent)
        tasks = [(_timed_client, (loop, over, outcomes, times)) for _ in range(16)]
        tasks.append((_tls_client, (loop, over, outcomes)))
        clients = [threading.Thread(target=task, args=arguments) for task, arguments in tasks]
        for client in clients:
            client.start()
        over.wait(5)
        over.set()
        for client in clients:
            client.join(LIMIT)
    slowest = max(times, default=LIMIT)
    good = {name for name, count in outcomes.items() if count} == {"answered", "https told"} and slowest < 1
    middle = statistics.median(times or [LIMIT])
    text = f"{server}: {dict(outcomes)}; slowest {slowest * 1000:.0f} ms, median {middle * 1000:.0f} ms"
    return verdict("crowd", good, text)


def _timed_client(loop: Loop, over: threading.Event, outcomes: Counter[str], times: list[float]) -> None:
    while not over.is_set():
        begun = time.perf_counter()
        try:
            loop.ask()
            outcomes["answered"] += 1
        except Exception as error:
            outcomes[f"{type(error).__name__}: {error}"[:60]] += 1
        times.append(time.perf_counter() - begun)


def _tls_client(loop: Loop, over: threading.Event, outcomes: Counter[str]) -> None:
    """Asks by https again and again, and is told that this is not spoken here."""
    context = ssl.create_default_context()
    while not over.is_set():
        try:
            with socket.create_connection(("127.0.0.1", loop.port), LIMIT) as plain:
                context.wrap_socket(plain, server_hostname="localhost").close()
            outcomes["https spoken"] += 1
        except ssl.SSLError:
            outcomes["https told"] += 1
        except OSError as error:
            outcomes[f"https: {error}"[:60]] += 1
        over.wait(0.1)


def stale(folder: Path) -> bool:
    """500 saves of random content, each followed at once by requests, new and several on one connection."""
    wrong = 0
    with Loop(folder) as loop:
        loop.wait_for("ready")
        connection = http.client.HTTPConnection("127.0.0.1", loop.port, timeout=LIMIT)
        for _ in range(500):
            value = uuid.uuid4().hex[: random.randint(1, 30)]
            loop.save(value)
            wrong += loop.ask() != value
            wrong += sum(loop.ask(connection) != value for _ in range(2))
    return verdict("stale", wrong == 0, f"{wrong} stale answers of 1500")


def stale_ways(folder: Path) -> bool:
    """500 saves each of links, of a large model file and of code that is loaded by its path, a request after each."""

    def start(place: Path, script: str, arguments: tuple[str, ...]) -> Loop:
        loop = Loop(place, *arguments)
        loop.script.write_text(script)
        return loop

    good = True
    for name, way in by_ways.WAYS.items():
        (folder / name).mkdir()
        wrong = way(folder / name, start)
        good &= verdict("stale", wrong == 0, f"{name}: {wrong} stale answers of {by_ways.TIMES}")
    return good


def saves(folder: Path) -> bool:
    """300 saves with 0 to 50 ms between them; the last one is served within 2 s, and nothing has grown."""
    with Loop(folder) as loop:
        loop.wait_for("ready")
        for number in range(3):
            loop.save(f"warm up {number}")
            loop.ask()
        time.sleep(6)
        before = (len(loop.marked()), *size_of(loop.process.pid)[1:])
        for number in range(300):
            loop.save(number)
            time.sleep(random.uniform(0, 0.05))
        begun = time.monotonic()
        served = loop.ask()
        seconds = time.monotonic() - begun
        end = time.monotonic() + 10
        while (after := (len(loop.marked()), *size_of(loop.process.pid)[1:])) != before and time.monotonic() < end:
            time.sleep(0.2)
    good = served == 299 and seconds < 2 and after == before
    what = "processes, descriptors, threads"
    return verdict("saves", good, f"served {served} after {seconds:.2f} s; {what}: {before} before, {after} after")


def endings(folder: Path) -> bool:
    """kill -9 of the supervisor, 50 times at random moments: nothing survives 3 s, and the port is free."""
    survivors = taken = 0
    for number in range(50):
        own = folder / str(number)
        own.mkdir()
        with Loop(own, server=random.choice(["gunicorn", "waitress"])) as loop:
            time.sleep(random.uniform(0, 1.0))
            loop.process.kill()
            loop.process.wait(LIMIT)
            end = time.monotonic() + 3
            while loop.marked() and time.monotonic() < end:
                time.sleep(0.02)
            survivors += len(loop.marked())
            with socket.socket() as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken += again.connect_ex(("127.0.0.1", loop.port)) == 0
    return verdict("endings", not survivors and not taken, f"{survivors} survivors, port taken {taken} times, of 50")


def cold(folder: Path) -> bool:
    """From save to first new answer with --no_warm, median of 20, beside a fresh interpreter that answers once."""
    times, floors = [], []
    code = "import flask, score; score.init(); flask.json.dumps(score.run('{}'))"
    with Loop(folder, "--no_warm") as loop:
        loop.wait_for("ready")
        for number in range(1, 21):
            begun = time.perf_counter()
            loop.save(number)
            loop.ask()
            times.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-B", "-c", code], cwd=folder, check=True, timeout=LIMIT)
            floors.append(time.perf_counter() - begun)
    median, floor = statistics.median(times), statistics.median(floors)
    return verdict("cold", median < 0.5, f"{median * 1000:.0f} ms; floor (fresh interpreter) {floor * 1000:.0f} ms")


def soak(folder: Path) -> bool:
    """200 reloads: the supervisor does not grow, and the last 20 are as fast as the first 20."""
    times = []
    with Loop(folder) as loop:
        loop.wait_for("ready")
        for number in range(200):
            if number == 20:
                first = size_of(loop.process.pid)
            loop.save(number)
            begun = time.perf_counter()
            loop.ask()
            times.append((time.perf_counter() - begun) * 1000)
            time.sleep(0.05)
        time.sleep(6)
        last = size_of(loop.process.pid)
    early, late = statistics.median(times[2:22]), statistics.median(times[-20:])
    good = last[0] - first[0] < 2 and last[1] <= first[1] and last[2] <= first[2] and late < 1.5 * early
    sizes = f"{first[0]:.1f} -> {last[0]:.1f} MB, {first[1:]} -> {last[1:]} descriptors and threads"
    return verdict("soak", good, f"{sizes}; reload {early:.0f} ms first, {late:.0f} ms last")


def kept(folder: Path) -> bool:
    """1,000 saves after which init() is kept, under 8 clients, each server: none refused or stale, nothing grows."""
    good = [_kept(folder / server, server) for server in ("gunicorn", "waitress")]
    return all(good)


def _kept(folder: Path, server: str) -> bool:
    folder.mkdir()
    outcomes: Counter[str] = Counter()
    newest, over = [0], threading.Event()
    with Loop(folder, server=server, source=LONG) as loop:
        loop.wait_for("kept")
        clients = [threading.Thread(target=_wary_client, args=(loop, newest, over, outcomes)) for _ in range(8)]
        for client in clients:
            client.start()
        for number in range(1, 1001):
            loop.save(number)
            newest[0] = number
            answer = loop.ask()
            outcomes["stale"] += answer != number
            if number == 100:
                first = _settled(loop)
        last = _settled(loop)
        over.set()
        for client in clients:
            client.join(LIMIT)
        again = sum(not event["kept_ms"] for event in loop.all_events() if event["event"] == "ready") - 1
    grown = any(after > 1.2 * before for before, after in zip(first, last, strict=True))
    good = {name for name, count in outcomes.items() if count} == {"answered"} and again == 0 and not grown
    return verdict("kept", good, f"{server}: {dict(outcomes)}; init() again {again}; {_shown(first)} -> {_shown(last)}")


def _wary_client(loop: Loop, newest: list[int], over: threading.Event, outcomes: Counter[str]) -> None:
    while not over.wait(0.02):
        saved = newest[0]
        try:
            answer = loop.ask()
            outcomes["stale" if not isinstance(answer, int) or answer < saved else "answered"] += 1
        except Exception as error:
            outcomes[f"{type(error).__name__}: {error}"[:60]] += 1


def _settled(loop: Loop) -> tuple[float, ...]:
    """What all processes have when those that were replaced have ended: megabytes, descriptors, threads, and how many
    they are."""
    time.sleep(3)
    sizes = [(megabytes(pid, "Pss"), *size_of(pid)[1:], 1) for pid in loop.marked()]
    return tuple(map(sum, zip(*sizes, strict=True)))


def _shown(settled: tuple[float, ...]) -> str:
    return f"{settled[0]:.1f} MB, {settled[1]} descriptors, {settled[2]} threads of {settled[3]} processes"


def idle(folder: Path) -> bool:
    """30 s beside 50,000 model files in 2,000 folders and 100,000 files beside score.py."""
    model = folder / "model"
    for number in range(2000):
        (model / str(number)).mkdir(parents=True)
        for name in range(25):
            (model / str(number) / str(name)).touch()
    for number in range(100_000):
        (folder / f"data-{number}").touch()
    with Loop(folder, "--model_dir", "model") as loop:
        ready = loop.wait_for("ready")
        time.sleep(5)
        before = cpu_seconds(loop.marked())
        time.sleep(30)
        used = (cpu_seconds(loop.marked()) - before) / 30
        memory = size_of(loop.process.pid)[0]
    with tempfile.TemporaryDirectory() as other, Loop(Path(other)) as small:
        alone = small.wait_for("ready")
    late = float(str(ready["seconds"])) - float(str(alone["seconds"]))
    text = f"{used:.2%} of a core; ready {late:+.2f} s against an empty folder; supervisor {memory:.1f} MB"
    return verdict("idle", used < 0.01 and late < 1, text)


def main() -> int:
    parts = {part.__name__: part for part in (hammer, crowd, stale, stale_ways, saves, endings, cold, soak, kept, idle)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[*parts, []], default=list(parts))
    good = True
    for name in parser.parse_args().part:
        with tempfile.TemporaryDirectory() as folder:
            good &= parts[name](Path(folder))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
