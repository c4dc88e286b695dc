"""Linux, macOS and their kin: forks, process groups, signals and descriptors."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    import subprocess

    pass

from devserver.process.systems import (
    DEFER_SECONDS,
    KILLED,
    Process,
    SharedSocket,
    shut_down,
    temporary_file,
    unless_ignored,
)

LINUX = os.uname().sysname == "Linux"


class System:
    """Linux, macOS and their kin."""

    can_fork = True
    forks_safely = LINUX
    can_ask_pipes = True
    lends_descriptors = True
    sees_itself = os.path.isdir("/proc/self/fd")
    lists_processes = os.path.isdir("/proc")
    kills_with_code = False
    consoles_take_text = False
    suspend_signals: tuple[int, ...] = (signal.SIGTSTP,)
    most_connections = 1000
    clock_tick = 0.0
    atomic_write = max(512, select.PIPE_BUF)
    _dump_signal = signal.SIGRTMIN + 8 if hasattr(signal, "SIGRTMIN") else None

    @staticmethod
    def start(
        command: Sequence[str],
        descriptors: Sequence[int],
        sockets: Sequence[int],
        environ: dict[str, str],
        folder: str | None = None,
    ) -> Process:
        """A Python with these descriptors as its last arguments, which inherits the sockets, too."""
        import subprocess

        arguments = [sys.executable, *command, *map(str, descriptors)]
        return subprocess.Popen(arguments, pass_fds=[*descriptors, *sockets], env=environ, cwd=folder)

    @staticmethod
    def start_line(text: str, **named: Any) -> tuple[subprocess.Popen[bytes], Process]:
        import subprocess

        process = subprocess.Popen(text, shell=True, start_new_session=True, **named)
        return process, process

    @staticmethod
    def inherited_descriptor(argument: str, flags: int = os.O_RDWR) -> int:
        return int(argument)

    @staticmethod
    def share(bound: socket.socket, pid: int) -> SharedSocket:
        return bound.fileno()

    @staticmethod
    def open_shared(shared: SharedSocket) -> socket.socket:
        assert isinstance(shared, int)
        return socket.socket(fileno=shared)

    @staticmethod
    def lead_own_group() -> None:
        os.setpgid(0, 0)

    @staticmethod
    def adopt_orphans() -> None:
        if LINUX:
            import ctypes

            set_child_subreaper = 36
            ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)

    @staticmethod
    def end_all_with_this_process() -> None:
        pass  # nothing here does that: the reaper and the lifeline see to it

    @staticmethod
    def ask_to_end(process: Process, tell: Callable[[bytes], None]) -> None:
        _send(process, signal.SIGTERM)

    @staticmethod
    def ask_group_to_end(process: Process) -> None:
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            pass

    @staticmethod
    def obey(pipe: BinaryIO) -> None:
        pass  # the signal comes by itself

    @staticmethod
    def kill_group(process: Process) -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            _send(process, signal.SIGKILL)

    @classmethod
    def end_group_with(cls, lifeline: int) -> bool:
        import fcntl

        if not hasattr(fcntl, "F_SETSIG"):
            return False
        try:
            # opened anew: to whom the signal goes is kept with what was opened, which a fork would share
            own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
            fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
        except OSError:
            return False
        if select.select([own], [], [], 0)[0]:
            cls.end_own_group()  # it was closed before
        return True

    @staticmethod
    def end_followers() -> None:
        """Ends the process group that this process leads, but not this process."""
        group = os.getpgrp()
        try:
            os.setpgid(0, os.getpgid(os.getppid()))
        except OSError:
            return  # the parent is gone, and the others end as this one does then
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            pass  # there are none

    @staticmethod
    def end_own_group() -> NoReturn:
        os.killpg(0, signal.SIGKILL)
        os._exit(KILLED)

    @staticmethod
    def allow_files(wanted: int) -> int:
        import resource

        allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY or allowed >= wanted:
            return wanted
        wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        except (OSError, ValueError):
            return allowed
        return wanted

    @staticmethod
    def hear_stop_signals(tell: Callable[[], None]) -> None:
        for number in (signal.SIGTERM, *unless_ignored((signal.SIGINT, signal.SIGHUP))):
            signal.signal(number, lambda *_: tell())

    @staticmethod
    def wake_by_signals(alarm: Any) -> None:
        pass  # they interrupt any waiting

    @staticmethod
    def readable(pipes: Sequence[int]) -> Sequence[int]:
        return select.select(pipes, [], [])[0]

    @staticmethod
    def after_fork(call: Callable[[], None]) -> None:
        os.register_at_fork(after_in_child=call)

    @staticmethod
    def prepare_listener(bound: socket.socket) -> None:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            # A connection is handed out when its request begins: one that only waits belongs to no generation and
            # blocks no worker.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)

    @staticmethod
    def cut(connected: socket.socket) -> None:
        shut_down(connected)

    @staticmethod
    def is_any_refusal(error: OSError) -> bool:
        return False

    @staticmethod
    def is_terminal(descriptor: int) -> bool:
        return os.isatty(descriptor)

    @staticmethod
    def is_same_file(one: int, other: int) -> bool:
        return os.path.sameopenfile(one, other)

    @staticmethod
    def lends_keyboard(descriptor: int) -> bool:
        try:
            return os.isatty(descriptor)
        except OSError:
            return False

    @staticmethod
    def has_console_keys() -> bool:
        return False

    @staticmethod
    def typed_at_console() -> bytes:
        return b""

    @staticmethod
    def nameless_file() -> int:
        """In memory where the system can do that: no disk can be full then."""
        if hasattr(os, "memfd_create"):
            return os.memfd_create("azmlinfsrv")
        return temporary_file()

    @classmethod
    def dump_when_asked(cls, descriptor: int) -> None:
        if cls._dump_signal is not None:
            faulthandler.register(cls._dump_signal, descriptor, all_threads=True)

    @classmethod
    def ask_for_dump(cls, pid: int) -> bool:
        if cls._dump_signal is None:
            return False
        try:
            os.kill(pid, cls._dump_signal)
        except OSError:
            return False
        return True

    @staticmethod
    def ended_child(pid: int) -> int | None:
        if not hasattr(os, "waitid"):
            return None
        try:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if found is None:
            return None
        return found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status

    @staticmethod
    def step_back(back: bool) -> None:
        if LINUX:  # niceness could not be taken back
            for thread in os.listdir("/proc/self/task"):
                policy = os.SCHED_BATCH if back else os.SCHED_OTHER
                os.sched_setscheduler(int(thread), policy, os.sched_param(0))

    @classmethod
    def open_descriptors(cls) -> frozenset[int]:
        if not cls.sees_itself:
            return frozenset()
        with os.scandir("/proc/self/fd") as entries:
            found = [int(entry.name) for entry in entries]
        return frozenset(number for number in found if _is_open(number))

    @staticmethod
    def peak_memory_of_children() -> int | None:
        import resource

        unit = 1024 if LINUX else 1  # bytes elsewhere
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def _send(process: Process, number: int) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        pass


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False  # that of the listing itself
    return True
