"""Two servers side by side: a folder with a script comes in, running servers and their exact answers go out."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import devserver

ORIGINAL = "azureml-inference-server-http==1.5.1"
BESIDE_IT = ("inference-schema", "numpy", "pandas")
INSTALL_SECONDS = 540.0
START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
STOP_SECONDS = 10.0
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DROPPED = ("date", "server")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class CannotInstall(Exception):
    """The original could not be installed here; the text says why."""


def original_python() -> Path:
    """The interpreter of a virtual environment that holds the original; made once per set of versions and user.

    Raises CannotInstall. It is built under a name of its own and renamed when complete, so that runs side by side
    neither wait for each other nor see half of it. What converts the input of run() has the versions that it has here.
    """
    wanted = [ORIGINAL, *_as_here(BESIDE_IT)]
    key = hashlib.sha256(" ".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    home = Path(tempfile.gettempdir()) / f"azmlinfsrv-original-{os.getuid()}-{key}"
    if not _works(home):
        building = Path(tempfile.mkdtemp(prefix=home.name + "-"))
        try:
            _install(building, wanted)
            _put_in_place(building, home)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return home / "bin" / "python"


def _works(home: Path) -> bool:
    """Whether `home` is a complete environment of this user's; cleaners of temporary folders leave half ones behind."""
    try:
        if home.lstat().st_uid != os.getuid():
            return False
        command = [str(home / "bin" / "python"), "-c", "import azureml_inference_server_http, inference_schema, pandas"]
        return subprocess.run(command, capture_output=True, timeout=START_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _put_in_place(building: Path, home: Path) -> None:
    if not _works(home):  # else somebody else was quicker: theirs is as good
        shutil.rmtree(home, ignore_errors=True)
        with contextlib.suppress(OSError):
            building.rename(home)
    if not _works(home):
        raise CannotInstall(f"{home} is in the way, or not usable")


def _as_here(names: Sequence[str]) -> list[str]:
    try:
        return [f"{name}=={importlib.metadata.version(name)}" for name in names]
    except importlib.metadata.PackageNotFoundError as error:
        raise CannotInstall(f"{error.name} is not installed here; the extra 'test' has it")


def _install(home: Path, wanted: Sequence[str]) -> None:
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q"]
    for command in ([sys.executable, "-m", "venv", str(home)], [*pip, *wanted]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, encoding="utf-8")
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotInstall(str(error))
        if done.returncode:
            raise CannotInstall(f"{' '.join(command[1:4])}: {(done.stderr or done.stdout).strip()[-600:]}")


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 on which nobody listens at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True)
class Server:
    """A running server: its process, its ports (scoring, health) and the file that keeps its output."""

    process: subprocess.Popen[bytes]
    port: int
    health_port: int
    log: Path

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


def start(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Server:
    """Start `command` in `folder`; `{port}` and `{health_port}` in its words are filled in. `ready` waits for it."""
    port, health_port = free_ports(2)
    words = [word.format(port=port, health_port=health_port) for word in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Server(process, port, health_port, log)


def ready(server: Server) -> None:
    """Wait until GET / is answered with 200; raises AssertionError with the output when that does not come."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError):
            if exchange(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 200 "):
                return
        time.sleep(0.02)
    raise AssertionError(
        f"no answer from {server.process.args!r}, exit code {server.process.poll()}:\n{server.output()}"
    )


def stop(server: Server) -> None:
    """Ask the process to end, and end it with its workers if it does not."""
    if server.process.poll() is None:
        server.process.terminate()
    try:
        server.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def running(servers: Sequence[Server]) -> Iterator[None]:
    """All of `servers` ready inside, none of them alive after."""
    try:
        for server in servers:
            ready(server)
        yield
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.process.terminate()
        for server in servers:
            stop(server)


def exchange(port: int, request: bytes) -> bytes:
    """Send these bytes, return every byte that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(request)
        received = []
        while part := connection.recv(65536):
            received.append(part)
        return b"".join(received)


@dataclass(frozen=True)
class Answer:
    """What a client can see: `status` ("200 OK"), sorted "name: value" headers (names in lower case), `body`.

    Streamed bodies keep their chunks' framing, so that two answers are equal only if they come in the same pieces.
    """

    status: str
    headers: tuple[str, ...]
    body: str

    def all(self, name: str) -> list[str]:
        """The values of every header of this name."""
        return [value for header, _, value in (line.partition(": ") for line in self.headers) if header == name]


def parse(received: bytes) -> Answer:
    """The answer in these bytes, with what differs from run to run replaced by its description."""
    head, _, body = received.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() not in DROPPED:
            headers.append(f"{name.lower()}: {_described(name.lower(), value.strip())}")
    text = body.decode("utf-8", "backslashreplace")
    return _with_ids_numbered(Answer(status_line.partition(" ")[2], tuple(sorted(headers)), text))


def _described(name: str, value: str) -> str:
    if name == "x-ms-run-fn-exec-ms":
        return re.sub(r"^\d+\.\d{3}$", "<milliseconds>", value)
    if name == "x-ms-server-version":
        return re.sub(r"^azmlinfsrv/\d+\.\d+\.\d+\S*$", "azmlinfsrv/<version>", value)
    if name == "allow":
        return ", ".join(sorted(value.split(", ")))
    return value


def _with_ids_numbered(answer: Answer) -> Answer:
    """Generated ids become <uuid 1>, <uuid 2> ...: the same id gets the same number."""
    found: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        return found.setdefault(match[0], f"<uuid {len(found) + 1}>")

    return replace(answer, headers=tuple(UUID4.sub(numbered, line) for line in answer.headers))


def structure(document: Any) -> Any:
    """A swagger document without its free texts: each description that is there becomes "<text>"."""
    if isinstance(document, dict):
        return {
            key: "<text>" if key == "description" and isinstance(value, str) and value else structure(value)
            for key, value in document.items()
        }
    return [structure(value) for value in document] if isinstance(document, list) else document


def with_structure_only(answer: Answer) -> Answer:
    """The same answer, its body a swagger document reduced to its structure, its length no longer told."""
    headers = tuple(line for line in answer.headers if not line.startswith("content-length:"))
    return replace(
        answer, headers=headers, body=json.dumps(structure(json.loads(answer.body)), indent=1, sort_keys=True)
    )


def package_folder() -> str:
    """The folder from which `devserver` is imported here."""
    return str(Path(devserver.__file__).resolve().parent.parent)
