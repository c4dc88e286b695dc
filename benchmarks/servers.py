"""The servers that are compared: a sample comes in, running processes and the versions in them go out."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ORIGINAL = "azureml-inference-server-http"
SAME_IN_BOTH = ("gunicorn", "flask", "werkzeug", "scikit-learn", "numpy")
SETTINGS = ("AML_", "AZUREML_", "APP_INSIGHTS_", "GUNICORN_", "HEALTH_", "SCORING_", "SERVER_", "SERVICE_", "WORKER_")
START_SECONDS = 60.0
STOP_SECONDS = 10.0
INSTALL_SECONDS = 900.0
LOOK_SECONDS = 0.002


@dataclass(frozen=True)
class Sample:
    """A folder of samples/ and where its model is, if it has one."""

    name: str
    model_dir: str | None = None

    @property
    def folder(self) -> Path:
        return ROOT / "samples" / self.name

    @property
    def arguments(self) -> list[str]:
        """The options of the command that serves it; both servers know them."""
        model = ["--model_dir", str(self.folder / self.model_dir)] if self.model_dir else []
        return ["--entry_script", str(self.folder / "score.py"), *model]

    def request(self, keep_alive: bool) -> bytes:
        """The bytes of a request to /score, as many clients send them."""
        body = (self.folder / "sample-request.json").read_bytes()
        fields = [
            "POST /score HTTP/1.1",
            "Host: 127.0.0.1",
            "User-Agent: benchmark",
            "Accept: */*",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*fields, "", ""]).encode() + body


HELLO = Sample("hello")
IRIS = Sample("iris", "outputs")


def ours(sample: Sample, port: int) -> list[str]:
    """The command of this project."""
    return [sys.executable, "-m", "devserver", *sample.arguments, "--host", "127.0.0.1", "--port", str(port)]


def original(python: Path, sample: Sample, port: int) -> list[str]:
    """The command that Azure ML's own package gives."""
    return [str(python), "-m", "azureml_inference_server_http", *sample.arguments, "--port", str(port)]


def bare(port: int) -> list[str]:
    """gunicorn as it comes, with one worker and an app of one line."""
    return [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "bare:application"]


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path


@contextmanager
def running(command: Sequence[str], port: int, scratch: Path) -> Iterator[Running]:
    """The command's process inside, ended after; what it writes goes to a file in `scratch`."""
    log = scratch / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=scratch,
            env=environment(scratch),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Running(process, port, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)


def environment(home: Path) -> dict[str, str]:
    """This environment without settings of the servers; gunicorn's control socket goes into `home`, too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    kept.pop("XDG_RUNTIME_DIR", None)
    return {**kept, "HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])}


def wait_for_answer(server: Running, request: bytes) -> None:
    """Ask until the answer is 200. Errors: RuntimeError with the log, when it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if _answered(server.port, request):
            return
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"no answer of {server.process.args!r}\n{server.log.read_text('utf-8', 'replace')[-3000:]}")


def _answered(port: int, request: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
            connection.sendall(request)
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of this run's own."""
    with tempfile.TemporaryDirectory(prefix="azmlinfsrv-benchmark-") as folder:
        yield Path(folder)


def train() -> None:
    """Make the model of the sample iris, unless it is there."""
    if not (IRIS.folder / "outputs" / "model" / "iris.pkl").exists():
        subprocess.run([sys.executable, str(IRIS.folder / "train.py")], check=True, timeout=START_SECONDS)


# --- the original, in an environment of its own


def add_original_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--original",
        type=Path,
        metavar="PYTHON",
        help=f"the interpreter of an environment that has {ORIGINAL}; otherwise one is made in the cache folder, once",
    )


def original_python(given: Path | None) -> Path:
    """The interpreter that has the original, with the other packages in the versions that they have here."""
    if given is not None:
        return given
    wanted = [ORIGINAL, *(f"{name}=={importlib.metadata.version(name)}" for name in SAME_IN_BOTH)]
    key = hashlib.sha256(" ".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"azmlinfsrv-benchmark-{key}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {ORIGINAL} into {home} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, timeout=INSTALL_SECONDS)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True, timeout=INSTALL_SECONDS)
        (home / "complete").touch()
    return python


def versions(original: Path) -> dict[str, str]:
    """What was compared, where and when."""
    theirs = _versions_in(original, (ORIGINAL, *SAME_IN_BOTH))
    here = _versions_in(Path(sys.executable), SAME_IN_BOTH)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
        **{name: _both(here[name], theirs[name]) for name in SAME_IN_BOTH},
        ORIGINAL: theirs[ORIGINAL],
    }


def _both(here: str, theirs: str) -> str:
    return here if here == theirs else f"{here} ({theirs} with the original)"


def describe(facts: Mapping[str, str]) -> str:
    """The versions as one line."""
    return ", ".join(f"{name} {value}" if name not in ("date", "system") else value for name, value in facts.items())


def _versions_in(python: Path, names: Sequence[str]) -> Mapping[str, str]:
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    done = subprocess.run([str(python), "-c", code, *names], check=True, capture_output=True, timeout=START_SECONDS)
    found: dict[str, str] = json.loads(done.stdout)
    return found
