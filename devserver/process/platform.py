"""The one file that asks for the platform.

What the systems do differently stands in two classes with one name, `System`, with the same members; everybody else
uses these and asks nothing.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeAlias

if TYPE_CHECKING:
    import subprocess

THREADS_GRACE = 0.5  # seconds that a leaving process gives to the script's own threads
DEFER_SECONDS = 600
RETIRE = b"retire\n"
KILLED = 9  # exit code where no signal can be told

SharedSocket: TypeAlias = int | bytes  # what another process needs to open a listening socket of ours


class Process(Protocol):
    """What is needed of a process that was started."""

    pid: int

    def wait(self) -> int: ...

    def send_signal(self, number: int, /) -> None: ...


if sys.platform == "win32":
    import msvcrt

    class System:
        """Windows: no fork, no process groups, no signals but those that end; handles instead of descriptors."""

        can_fork = False
        forks_safely = False  # also once libraries with threads and locks of their own are imported
        lends_descriptors = False  # to a process that runs already
        stop_signals: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
        suspend_signals: tuple[int, ...] = ()
        most_connections = 200  # that are looked at together; select() takes no more than 512
        atomic_write = 512  # bytes that one write to a pipe passes whole

        @staticmethod
        def start(
            command: Sequence[str], descriptors: Sequence[int], sockets: Sequence[int], environ: dict[str, str]
        ) -> subprocess.Popen[bytes]:
            """A process with these descriptors as its last arguments. Errors: OSError where none can be made."""
            import subprocess

            handles = [msvcrt.get_osfhandle(number) for number in descriptors]
            for handle in handles:
                os.set_handle_inheritable(handle, True)
            startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles})
            return subprocess.Popen([*command, *map(str, handles)], env=environ, startupinfo=startup)

        @staticmethod
        def inherited_descriptor(argument: str, flags: int = os.O_RDWR) -> int:
            """The descriptor that the parent passed as this argument; `flags` as for os.open."""
            return msvcrt.open_osfhandle(int(argument), flags)

        @staticmethod
        def share(bound: socket.socket, pid: int) -> SharedSocket:
            """What this process needs to open the socket."""
            return bound.share(pid)

        @staticmethod
        def open_shared(shared: SharedSocket) -> socket.socket:
            """In the other process: the socket."""
            assert isinstance(shared, bytes)
            return socket.fromshare(shared)

        @staticmethod
        def lead_own_group() -> None:
            """Makes this process the leader of a process group, so that all it starts can be ended together."""

        @staticmethod
        def adopt_orphans() -> None:
            """From now on each descendant whose parent ends becomes a child of this process."""

        @staticmethod
        def ask_to_end(process: Process, control: int) -> None:
            """Asks a generation to finish and end, by the pipe on which it was briefed (-1: closed)."""
            if control >= 0:
                os.write(control, RETIRE)

        @staticmethod
        def ask_group_to_end(process: Process) -> None:
            """Asks a process group to end, as it may wish."""

        @staticmethod
        def kill_group(process: Process) -> None:
            """Ends it now, with its process group."""
            try:
                process.send_signal(signal.SIGTERM)  # which Windows takes as the end, at once
            except ProcessLookupError:
                pass

        @staticmethod
        def end_group_with(lifeline: int) -> bool:
            """From now on the system itself kills this process group when the pipe's other end is closed; if it can."""
            return False

        @staticmethod
        def end_followers() -> None:
            """Ends the process group that this process leads, but not this process."""

        @staticmethod
        def end_own_group() -> NoReturn:
            """Ends this process and its group at once."""
            os._exit(KILLED)

        @staticmethod
        def readable(pipes: Sequence[int]) -> Sequence[int]:
            """Those of these pipes that have something to read, or are at their end; waits for one."""
            return pipes  # nothing can be asked of them: a read waits by itself

        @staticmethod
        def after_fork(call: Callable[[], None]) -> None:
            """`call` is called in each process that is forked from this one."""

        @staticmethod
        def prepare_listener(bound: socket.socket) -> None:
            """Options of a listening socket, before it is bound."""
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)

        @staticmethod
        def lends_keyboard(descriptor: int) -> bool:
            """Whether this is a terminal that process groups can hand to each other."""
            return False

        @staticmethod
        def typed_at_console() -> bytes | None:
            """The key that was typed, empty where there was none; None where keys do not come this way."""
            if sys.stdin is None or not sys.stdin.isatty():
                return None
            return msvcrt.getwch().encode() if msvcrt.kbhit() else b""

        @staticmethod
        def nameless_file() -> int:
            """The descriptor of a new file that nobody has to clear away."""
            return _temporary_file()

        @staticmethod
        def dump_when_asked(descriptor: int) -> None:
            """From now on this process, and those that it forks, write their stacks there when `ask_for_dump` asks."""

        @staticmethod
        def ask_for_dump(pid: int) -> bool:
            """Whether this process was asked for its stacks: not where it has ended, or nothing can be asked."""
            return False

        @staticmethod
        def ended_child(pid: int) -> int | None:
            """How this child ended, without reaping it: a status as of waitpid; None while it lives or is unknown."""
            return None

        @staticmethod
        def peak_memory_of_children() -> int | None:
            """Bytes that the largest child had which has ended; None where nobody counts."""
            return None

else:

    class System:
        """Linux, macOS and their kin."""

        can_fork = True
        forks_safely = sys.platform == "linux"
        lends_descriptors = True
        stop_signals: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        suspend_signals: tuple[int, ...] = (signal.SIGTSTP,)
        most_connections = 1000
        atomic_write = max(512, select.PIPE_BUF)
        _dump_signal = signal.SIGRTMIN + 8 if hasattr(signal, "SIGRTMIN") else None

        @staticmethod
        def start(
            command: Sequence[str], descriptors: Sequence[int], sockets: Sequence[int], environ: dict[str, str]
        ) -> subprocess.Popen[bytes]:
            """A process with these descriptors as its last arguments, which inherits the sockets, too."""
            import subprocess

            arguments = [*command, *map(str, descriptors)]
            return subprocess.Popen(arguments, pass_fds=[*descriptors, *sockets], env=environ)

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
            if sys.platform == "linux":
                import ctypes

                set_child_subreaper = 36
                ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)

        @staticmethod
        def ask_to_end(process: Process, control: int) -> None:
            _send(process, signal.SIGTERM)

        @staticmethod
        def ask_group_to_end(process: Process) -> None:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                pass

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
        def lends_keyboard(descriptor: int) -> bool:
            try:
                return os.isatty(descriptor)
            except OSError:
                return False

        @staticmethod
        def typed_at_console() -> bytes | None:
            return None

        @staticmethod
        def nameless_file() -> int:
            """In memory where the system can do that: no disk can be full then."""
            if hasattr(os, "memfd_create"):
                return os.memfd_create("azmlinfsrv")
            return _temporary_file()

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
        def peak_memory_of_children() -> int | None:
            import resource

            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def _send(process: Process, number: int) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        pass


def _temporary_file() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def leave(code: int, with_group: bool = False) -> NoReturn:
    """Ends this process although threads of the script may run for ever: they get a moment, then they are cut off.

    `with_group`: it leads its process group, and nobody of that shall be left.
    """
    try:
        end = time.monotonic() + THREADS_GRACE
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        # sys.exit() would wait for those threads, os._exit() alone skips what the script registered: no public way
        # runs the one without the other
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass
        if with_group:
            System.end_followers()
    finally:
        os._exit(code)  # also where another signal raised in the midst of this
