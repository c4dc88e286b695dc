"""Who listens on a port that is in use: asked of /proc on Linux, and of the system's own tools elsewhere.

The person sees a name, the process id and, where it is known, the folder; never the arguments, which may hold keys.
"""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence

from devserver.process import sockets
from devserver.process.platform import System
from devserver.records.record import record

PATIENCE = 3.0  # seconds for a tool of the system
OURS = "azmlinfsrv"
_HEAD = 4096  # bytes of a command's script, in which it says what it starts


@record(frozen=True)
class Holder:
    """A process that listens. `is_ours`: it is one of this tool; `user` where only that is known of it."""

    name: str = ""
    pid: int = 0
    folder: str = ""
    is_ours: bool = False
    user: str = ""

    def __str__(self) -> str:
        if not self.pid:
            return f"the program of the user {self.user} that listens on it"
        who = f"the other {self.name} that listens on it" if self.is_ours else "the program that listens on it"
        name = "" if self.is_ours else f": {self.name}"
        place = f", in {self.folder}" if self.folder else ""
        return f"{who}{name} (pid {self.pid}{place})"


def holder_of(host: str, port: int) -> Holder | None:
    """Who listens on this numeric address; None where nobody can tell."""
    if sockets.are_told():
        return _by_proc(host, port)
    if shutil.which("lsof"):
        return _by_lsof(port)
    return _by_netstat(port) if shutil.which("netstat") and shutil.which("tasklist") else None


# --- Linux


def _by_proc(host: str, port: int) -> Holder | None:
    rows = [row for row in sockets.on_port(port) if _collide(host, row.host)]
    pids = sockets.holders({row.inode for row in rows})
    if pids:
        return _described(sockets.eldest(pids), any(map(sockets.is_of_a_run, pids)))
    return Holder(user=_user(rows[0].user)) if rows else None  # we may not look at its descriptors


def _collide(one: str, other: str) -> bool:
    return one == other or not {"0.0.0.0", "::"}.isdisjoint((one, other))


def _user(number: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return str(number)


def _described(pid: int, is_ours: bool) -> Holder:
    words, folder = sockets.arguments(pid), sockets.folder_of(pid)
    is_ours = is_ours or is_our_command(words, folder)
    return Holder(OURS if is_ours else name_of(words) or sockets.short_name(pid), pid, folder, is_ours)


# --- macOS and other systems


def _by_lsof(port: int) -> Holder | None:
    fields = _run("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc").split("\n")
    pid = next((int(field[1:]) for field in fields if field.startswith("p") and field[1:].isdigit()), 0)
    if not pid:
        return None
    words = _run("ps", "-o", "command=", "-p", str(pid)).split()
    name = next((field[1:] for field in fields if field.startswith("c")), "")
    is_ours = is_our_command(words, "")
    return Holder(OURS if is_ours else name_of(words) or name, pid, is_ours=is_ours)


def _by_netstat(port: int) -> Holder | None:
    pid = listener_in(_run("netstat", "-ano", "-p", "TCP"), port)
    rows = list(csv.reader(_run("tasklist", "/FI", f"PID eq {pid}", "/FO", "CSV", "/NH").splitlines())) if pid else []
    return Holder(rows[0][0], pid) if pid and rows and rows[0] else None


def listener_in(text: str, port: int) -> int:
    """The process that listens on the port, of what Windows' netstat shows; 0 for none.

    The word for the state is in the person's language: what listens is known by the other end, which has port 0.
    """
    for words in map(str.split, text.splitlines()):
        if len(words) == 5 and words[1].endswith(f":{port}") and words[2].endswith(":0") and words[4].isdigit():
            return int(words[4])
    return 0


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, encoding="utf-8", errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


# --- what a command line says


def name_of(words: Sequence[str]) -> str:
    """What people call the program: for Python the script or the module."""
    if not words:
        return ""
    first = os.path.basename(words[0])
    if not first.startswith("python"):
        return first
    match [*words[1:], "", ""]:
        case ["-m", module, *_]:
            return f"{first} -m {module}"
        case [script, *_] if script and not script.startswith("-"):
            return os.path.basename(script)
    return first


def is_our_command(words: Sequence[str], folder: str) -> bool:
    """Whether this is a command line of this tool, and not of another that has the same name."""
    start = words[:4]  # the script's own arguments say nothing
    if ("-m", "devserver") in itertools.pairwise(start) or any("devserver.cli" in word for word in start):
        return True
    scripts = (os.path.join(folder, word) for word in start if os.path.basename(word).startswith(OURS))
    return any(b"devserver.cli" in _head(path) for path in scripts)


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


# --- another port


def free_port(host: str, after: int, taken: Iterable[int] = ()) -> int | None:
    """The next port from `after` on that can be had there, and that is none of `taken`."""
    return next((port for port in _candidates(after) if port not in taken and _is_free(host, port)), None)


def _candidates(after: int) -> Iterator[int]:
    yield from range(after + 1, min(after + 50, 65536))


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            System.prepare_listener(probe)
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True
