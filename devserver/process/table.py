"""The system's processes, and who descends from whom."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from devserver.process import threads
from devserver.process.platform import System
from devserver.process.systems import RUN_VARIABLE


def find(mark: str) -> list[int]:
    """The processes that carry the mark in their environment, and all that descend from them, without this one.

    Empty where the system does not list them.
    """
    wanted, table = f"{RUN_VARIABLE}={mark}".encode(), _processes()
    marked = [pid for pid in table if wanted in environment(pid)]
    return [pid for pid in _families(table, marked) if pid != os.getpid()]


def descendants() -> set[int]:
    """All that descend from this process now; none where the system does not list them."""
    return {pid for pid in _families(_processes(), [os.getpid()]) if pid != os.getpid()}


def members(group: int) -> list[int]:
    """The processes of a process group, its leader last; only the leader where the system does not list them."""
    return [*(pid for pid in _processes() if pid != group and _group(pid) == group), group]


def is_held(pids: Iterable[int], path: str) -> bool:
    """Whether one of these processes has the file open to write it; False where /proc is not there."""
    try:
        wanted = os.stat(path)
    except (OSError, ValueError):
        return False
    return any(os.path.samestat(found, wanted) and _may_write(pid, number) for pid, number, found in _open_files(pids))


def is_mapped(pids: Iterable[int], path: str) -> bool:
    """Whether one of these processes has the file mapped to write it; False where /proc is not there."""
    try:
        inode = str(os.stat(path).st_ino)
    except (OSError, ValueError):
        return False
    return any(row[1].startswith("rw-s") and row[4] == inode for pid in pids for row in _maps(pid))


def _maps(pid: int) -> list[list[str]]:
    try:
        with open(f"/proc/{pid}/maps") as rows:
            return [row.split(None, 5) for row in rows]
    except OSError:
        return []


def readers_of(descriptors: Iterable[int]) -> list[int]:
    """The other processes that read from these pipes of ours, as far as we may look at them."""
    pipes = {found for found in map(_pipe, descriptors) if found is not None}
    if not pipes:
        return []
    others = (pid for pid in _processes() if pid != os.getpid())
    return sorted(
        {
            pid
            for pid, number, found in _open_files(others)
            if (found.st_dev, found.st_ino) in pipes and not _may_write(pid, number)
        }
    )


def _pipe(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if (found.st_mode & 0o170000) == 0o010000 else None


def _open_files(pids: Iterable[int]) -> Iterator[tuple[int, int, os.stat_result]]:
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                yield pid, int(name), os.stat(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue


def _may_write(pid: int, number: int) -> bool:
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
            flags = next(line for line in file if line.startswith(b"flags:"))
    except (OSError, StopIteration):
        return False
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def own_memory(pid: int) -> float | None:
    """The megabytes of this process, those that it shares counted in part; None where nobody knows."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            row = next(line for line in file if line.startswith("Pss:"))
        return int(row.split()[1]) / 1024
    except (OSError, StopIteration, ValueError):
        return None


def free_memory() -> float | None:
    """The megabytes that new processes can have; None where nobody knows."""
    try:
        with open("/proc/meminfo") as file:
            row = next(line for line in file if line.startswith("MemAvailable:"))
        return int(row.split()[1]) / 1024
    except (OSError, StopIteration, ValueError):
        return None


def end_strays(living: Collection[int]) -> None:
    """Ends what generations that are gone have left behind: descendants of this process, but not of `living`.

    A process of which the parent is gone descends from its generation as long as that lives: both adopt orphans.
    """
    table = _processes()
    spared = {os.getpid(), *_families(table, living)}
    strays = [pid for pid in _families(table, [os.getpid()]) if pid not in spared]
    kill_all(strays)
    if strays:
        try:
            threads.start("reap", _reap, strays)
        except OSError:
            pass  # they stay in the table until the tool ends


def _processes() -> dict[int, int]:
    """Every process, and its parent."""
    return {pid: found for pid in every_pid() if (found := parent(pid)) is not None}


def every_pid() -> list[int]:
    """All processes; none where the system does not list them."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if System.lists_processes else []


def parent(pid: int) -> int | None:
    """None for a process that is gone."""
    try:
        return int(content(pid, "stat").rpartition(b")")[2].split()[1])
    except (ValueError, IndexError):
        return None


def environment(pid: int) -> list[bytes]:
    """What it was started with, as NAME=value; nothing where we may not see it."""
    return content(pid, "environ").split(b"\0")


def content(pid: int, name: str) -> bytes:
    """A file of the process in /proc; empty where it is not there, or not ours to read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _families(table: dict[int, int], roots: Iterable[int]) -> list[int]:
    """The roots and all their descendants, each parent before its children."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, parent in table.items():
        children[parent].append(pid)
    found = dict.fromkeys(pid for pid in roots if pid in table)
    todo = list(found)
    while todo:
        new = [child for child in children[todo.pop()] if child not in found]
        found |= dict.fromkeys(new)
        todo += new
    return list(found)


def kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def _reap(pids: Iterable[int]) -> None:
    """When its parent has ended, a process is a child of ours."""
    for pid in pids:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass
