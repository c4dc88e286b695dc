"""Whether a process that has loaded a script and run init() may be forked, and what each fork has to be given anew.

A fork has one thread, shares open files, sockets and shared memory with its siblings, and is nobody's parent. So
OpenMP runtimes are asked to end their threads, a throw-away fork makes other libraries end theirs, and then it is
looked at what is left. Linux only: everything is read in /proc/self.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]  # signal.getsignal() makes an enum of each
import ctypes
import mmap
import os
import re
import signal
import stat
import sys
import time
import warnings
from collections.abc import Callable, Collection

from devserver.process.platform import System
from devserver.records.reasons import Reason, Why
from devserver.records.record import record
from devserver.worker.keep.hook import quiet

OMP_PAUSE_HARD = 2
ENDING_LIMIT = 0.2  # seconds for threads that may be about to end
_RUNTIME = re.compile(r"/lib(gomp|iomp5|omp)\b[^/]*\.so[^/]*$")
_NOLOAD = getattr(os, "RTLD_NOLOAD", 4)
_HARMLESS = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/full")


@record(frozen=True)
class Held:
    """What tells one descriptor from another that has its number later; `locked`: a file with a name is."""

    identity: tuple[int, int]  # device, inode
    kind: int  # the file type bits of its mode
    flags: int  # of its opening
    locked: bool


@record(frozen=True)
class Opened:
    """One descriptor that load or init() left. `target` as /proc names it."""

    number: int
    target: str
    kind: int
    flags: int
    locked: bool


@record(frozen=True)
class Shared:
    """Writable memory that forks would share, by its addresses and what the map calls it; `file` is 0, 0 for none."""

    start: int
    end: int
    rights: str
    file: tuple[int, int]  # device, inode
    name: str


@record(frozen=True)
class State:
    """What of a process a fork would share or lose, at one moment."""

    held: dict[int, Held]
    handlers: dict[int, object]
    timers: tuple[str, ...]


@record(frozen=True)
class Forkable:
    """It may be forked; each fork gives these descriptors descriptions of their own, and copies of this memory."""

    reopen: tuple[Opened, ...] = ()
    copy: tuple[Shared, ...] = ()


def state_now(ignore: Collection[int] = ()) -> State:
    """The state of this process. `ignore`: descriptors of the tool's own."""
    if not System.sees_itself:
        return State({}, {}, ())
    return State(_descriptors(ignore), _signal_handlers(), _timers())


def forkable(before: State, ignore: Collection[int] = ()) -> Forkable | Reason:
    """Whether this process may be forked, given its state before the script was loaded. Forks a throw-away child."""
    return threads_left() or _children() or _left_since(before, state_now(ignore))


def _left_since(before: State, after: State) -> Forkable | Reason:
    """What load and init() have left that cannot be shared, or what has to be opened anew."""
    reopen = []
    for opened in _new(before, after):
        reason = _why_not_shared(opened)
        if reason is not None:
            return reason
        if opened.kind in (stat.S_IFREG, stat.S_IFDIR):
            reopen.append(opened)
    known = {held.identity for held in before.held.values()}
    shared = [found for found in _shared_memory() if found.file not in known]
    named = next((found.name for found in shared if not _is_nobody_else_s(found)), None)
    if named is not None:
        return Reason(Why.SHARED_MEMORY, fact=named)
    handled = [number for number, handler in after.handlers.items() if before.handlers.get(number) != handler]
    if handled:
        return Reason(Why.SIGNALS, fact=", ".join(signal.Signals(number).name for number in handled))
    if after.timers:
        return Reason(Why.TIMER, fact=after.timers[0])
    return Forkable(tuple(reopen), tuple(shared))


# --- threads and children


def pause_openmp() -> list[str]:
    """Ask each OpenMP runtime in this process to end its threads; they come back when they are needed."""
    paths = _openmp_runtimes()
    for path in paths:
        try:
            ctypes.CDLL(path, mode=_NOLOAD).omp_pause_resource_all(OMP_PAUSE_HARD)
        except (OSError, AttributeError):
            pass  # an old one; the count of threads tells
    return paths


def _openmp_runtimes() -> list[str]:
    rows = _read("/proc/self/maps").split("\n")
    return list(dict.fromkeys(row.split(None, 5)[-1] for row in rows if _RUNTIME.search(row)))


def threads_left() -> Reason | None:
    """Those that a fork would lose, after runtimes and libraries were given the chance to end theirs."""
    if not System.sees_itself:
        return Reason(Why.SYSTEM, fact="there is no /proc")
    if len(os.listdir("/proc/self/task")) == 1:
        return None
    pause_openmp()
    _throw_away_fork()
    _wait_for_ending()
    names = _other_threads()
    return Reason(Why.THREADS, fact=", ".join(names)) if names else None


def _throw_away_fork() -> None:
    """Some libraries end their threads when the process forks."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _wait_for_ending() -> None:
    """A thread that was joined may still have its last steps to go, on a busy machine for a while."""
    limit = time.monotonic() + ENDING_LIMIT
    while any(_runs(number) for number in _others() if number not in _named()) and time.monotonic() < limit:
        time.sleep(0.001)


def _runs(thread: int) -> bool:
    text = _read(f"/proc/self/task/{thread}/stat")
    return text[text.rfind(")") + 1 :].split()[:1] == ["R"]


def _other_threads() -> list[str]:
    """Names of all threads but this one: Python's, else the system's."""
    named = _named()
    return sorted({named.get(number) or _system_name(number) for number in _others()} - {""})


def _others() -> list[int]:
    return [int(number) for number in os.listdir("/proc/self/task") if int(number) != os.getpid()]


def _named() -> dict[int | None, str]:
    """Python's threads that are not over."""
    threading = sys.modules.get("threading")
    return {found.native_id: found.name for found in threading.enumerate()} if threading is not None else {}


def _system_name(thread: int) -> str:
    return _read(f"/proc/self/task/{thread}/comm").strip()


def _children() -> Reason | None:
    """Also one that has ended and was not waited for: a fork could not wait for it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    own = str(os.getpid())
    numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    found = [text for text in (_read(f"/proc/{number}/stat") for number in numbers) if _parent(text) == own]
    names = sorted(text[text.find("(") + 1 : text.rfind(")")] for text in found)
    return Reason(Why.CHILDREN, fact=", ".join(names)) if names else None


def _parent(text: str) -> str:
    fields = text[text.rfind(")") + 1 :].split()
    return fields[1] if len(fields) > 1 else ""


def _read(path: str) -> str:
    """A text of /proc, which is made while it is read; empty where that is gone already."""
    parts = []
    try:
        with quiet():
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                while part := os.read(number, 1 << 16):
                    parts.append(part)
            finally:
                os.close(number)
    except OSError:
        return ""
    return b"".join(parts).decode(errors="replace")


# --- descriptors


def _descriptors(ignore: Collection[int]) -> dict[int, Held]:
    """All but those; quick, for every start takes them down."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    found = {number: _held(number) for number in numbers if number not in ignore}
    return {number: held for number, held in found.items() if held is not None}


def _held(number: int) -> Held | None:
    from fcntl import F_GETFL, fcntl  # not on every system

    try:
        status, flags = os.fstat(number), fcntl(number, F_GETFL)
    except OSError:
        return None  # the listing's own
    kind = stat.S_IFMT(status.st_mode)
    named = kind in (stat.S_IFREG, stat.S_IFDIR) and status.st_nlink > 0
    return Held((status.st_dev, status.st_ino), kind, flags, named and _is_locked(number))


def _is_locked(number: int) -> bool:
    return "\nlock:" in _read(f"/proc/self/fdinfo/{number}")


def _new(before: State, after: State) -> list[Opened]:
    """Opened since, or something else under an old number, or locked since."""
    new = {number: held for number, held in sorted(after.held.items()) if before.held.get(number) != held}
    return [_opened(number, held) for number, held in new.items()]


def _opened(number: int, held: Held) -> Opened:
    lockable = held.kind in (stat.S_IFREG, stat.S_IFDIR)
    target = os.readlink(f"/proc/self/fd/{number}")
    return Opened(number, target, held.kind, held.flags, lockable and _is_locked(number))


def _why_not_shared(opened: Opened) -> Reason | None:
    if opened.target in _HARMLESS:
        return None
    if opened.locked:
        return Reason(Why.FILE_LOCK, fact=opened.target)
    readable = opened.flags & os.O_ACCMODE == os.O_RDONLY
    at_rest = opened.kind in (stat.S_IFREG, stat.S_IFDIR) and not opened.target.startswith("/proc/")
    return None if readable and at_rest else Reason(Why.DESCRIPTOR, fact=opened.target)


def reopen(descriptors: Collection[Opened]) -> None:
    """Give each a description of its own, under the same number, at the same position. Errors: OSError."""
    with quiet():
        for opened in descriptors:
            inheritable = os.get_inheritable(opened.number)
            position = os.lseek(opened.number, 0, os.SEEK_CUR)
            flags = opened.flags & (os.O_NONBLOCK | os.O_DIRECT | os.O_NOATIME | os.O_PATH | os.O_LARGEFILE)
            own = os.open(f"/proc/self/fd/{opened.number}", flags | os.O_RDONLY | os.O_CLOEXEC)
            os.lseek(own, position, os.SEEK_SET)
            os.dup2(own, opened.number, inheritable)
            os.close(own)


# --- memory, signals, timers


def _shared_memory() -> list[Shared]:
    """By address. What libraries have that were imported before the script asked for them is among it."""
    rows = _read("/proc/self/maps").split("\n")
    return [_shared(row.split(None, 5)) for row in rows if _SHARED in row and _WRITABLE.match(row)]


def _shared(row: list[str]) -> Shared:
    start, end = (int(address, 16) for address in row[0].split("-"))
    major, minor = (int(part, 16) for part in row[3].split(":"))
    name = row[5] if len(row) > 5 else "a mapping without a name"
    return Shared(start, end, row[1], (os.makedev(major, minor), int(row[4])), name)


_SHARED = "s "  # few rows have it: most that has a name is private
_WRITABLE = re.compile(r"\S+ .w.s ")


def _is_nobody_else_s(shared: Shared) -> bool:
    """Without a name for others to find it by, and small: anonymous memory, the semaphores of locks."""
    nameless = shared.name == "/dev/zero (deleted)" or _SEMAPHORE.match(shared.name) is not None
    return nameless and shared.rights == "rw-s" and shared.end - shared.start <= _MOST_COPIED


_SEMAPHORE = re.compile(r"/dev/shm/(sem\.)?[\w.-]+ \(deleted\)$")
_MOST_COPIED = 1 << 20  # bytes


def copy_memory(shared: Collection[Shared]) -> None:
    """Give this process memory of its own in these places, shared with its own forks only. Errors: OSError."""
    if not shared:
        return
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _MAP_FIXED
    for found in shared:
        size = found.end - found.start
        content = ctypes.string_at(found.start, size)
        made = library.mmap(found.start, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if made != found.start:
            raise OSError(ctypes.get_errno(), f"no memory for a copy of {found.name}")
        ctypes.memmove(found.start, content, size)


_MAP_FIXED = 0x10


def _signal_handlers() -> dict[int, object]:
    return {number: _signal.getsignal(number) for number in range(1, signal.NSIG)}


def _timers() -> tuple[str, ...]:
    names = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    found: list[tuple[str, Callable[[int], tuple[float, float]], int]] = [
        (name, signal.getitimer, getattr(signal, name)) for name in names if hasattr(signal, name)
    ]
    return tuple(name for name, ask, number in found if ask(number)[0] > 0)
