"""The listening sockets of a Linux system, and the processes that hold them, as /proc tells."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Iterator

from devserver.process import table
from devserver.process.platform import System
from devserver.process.systems import RUN_VARIABLE
from devserver.records.record import record

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTENS = "0A"  # the state, in these tables


@record(frozen=True)
class Listening:
    """One row: the numeric address, the number of the user, and of the socket."""

    host: str
    port: int
    user: int
    inode: str


def are_told() -> bool:
    """Whether this system has the tables."""
    return System.lists_processes and os.path.exists(TABLES[0])


def on_port(port: int) -> list[Listening]:
    """What listens on this port, on any address of this machine."""
    return [row for path in TABLES for row in _rows(path) if row.port == port]


def _rows(path: str) -> Iterator[Listening]:
    try:
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()[1:]
    except OSError:  # no IPv6 here
        return
    for words in map(str.split, lines):
        if words[3] == LISTENS:
            host, _, port = words[1].partition(":")
            yield Listening(numeric(host), int(port, 16), int(words[7]), words[9])


def numeric(shown: str) -> str:
    """The address that a table shows as words of 32 bits, each in the machine's order of bytes."""
    words = (int(shown[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(shown), 8))
    family = socket.AF_INET if len(shown) == 8 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words))


# --- processes


def holders(inodes: Collection[str]) -> list[int]:
    """The processes that have one of these sockets, as far as we may look at them."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    pids = table.every_pid() if wanted else []
    return sorted(pid for pid in pids if not wanted.isdisjoint(_targets(pid)))


def _targets(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"{folder}/{name}")
        except OSError:
            continue


def eldest(pids: Collection[int]) -> int:
    """The one of a family that the others descend from."""
    return next((pid for pid in sorted(pids) if table.parent(pid) not in pids), min(pids))


def arguments(pid: int) -> list[str]:
    """Its command line; none where we may not see it."""
    return [os.fsdecode(word) for word in table.content(pid, "cmdline").split(b"\0")[:-1]]


def short_name(pid: int) -> str:
    """Up to 15 characters of its program's name."""
    return os.fsdecode(table.content(pid, "comm").strip())


def folder_of(pid: int) -> str:
    """Its working directory, where we may see it."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def is_of_a_run(pid: int) -> bool:
    """Whether it was started by a supervisor of this tool."""
    return any(entry.startswith(f"{RUN_VARIABLE}=".encode()) for entry in table.environment(pid))
