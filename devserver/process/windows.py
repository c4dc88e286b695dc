"""Windows: no fork, no process groups, no signals but those that end; handles instead of descriptors."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    import subprocess

import msvcrt

from devserver.process.jobs import SUSPENDED_IN_NEW_GROUP, Job, is_console, is_same_object, resume
from devserver.process.systems import (
    KILLED,
    RETIRE,
    WSAEACCES,
    Process,
    SharedSocket,
    shut_down,
    temporary_file,
    unless_ignored,
)


class System:
    """Windows: no fork, no process groups, no signals but those that end; handles instead of descriptors."""

    can_fork = False
    forks_safely = False  # also once libraries with threads and locks of their own are imported
    can_ask_pipes = False  # whether there is something to read
    lends_descriptors = False  # to a process that runs already
    sees_itself = False  # its own descriptors, threads and memory in /proc
    kills_with_code = True  # os.kill() gives its number as the exit code
    lists_processes = False  # under Wine there is a /proc, of another system
    consoles_take_text = True  # bytes would be taken for the code page's
    suspend_signals: tuple[int, ...] = (signal.SIGBREAK,)  # in a generation; the tool itself ends with that
    _stop_signals = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
    _before_a_code = ("\x00", "\xe0")  # what arrows and function keys begin with
    most_connections = 200  # that are looked at together; select() takes no more than 512
    _tools_job: Job | None = None
    clock_tick = 1 / 64  # seconds that time.thread_time() jumps by, where less than one is not counted at all
    atomic_write = 512  # bytes that one write to a pipe passes whole

    @staticmethod
    def start(
        command: Sequence[str],
        descriptors: Sequence[int],
        sockets: Sequence[int],
        environ: dict[str, str],
        folder: str | None = None,
    ) -> Process:
        """A Python with these descriptors as its last arguments. Errors: OSError where none can be made."""
        import subprocess

        handles = [msvcrt.get_osfhandle(number) for number in descriptors]
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles})
        arguments = [_interpreter(), *command, *map(str, handles)]
        flags = subprocess.CREATE_NEW_PROCESS_GROUP  # Ctrl-C is not for it
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        try:
            process = subprocess.Popen(
                arguments, env=_variables(environ), startupinfo=startup, creationflags=flags, cwd=folder
            )
        finally:
            for handle in handles:
                os.set_handle_inheritable(handle, False)
        return ProcessInJob(process)

    @staticmethod
    def start_line(text: str, **named: Any) -> tuple[subprocess.Popen[bytes], Process]:
        """A shell with this line, and the group of all that it starts; `named` as for Popen. Errors: OSError."""
        import subprocess

        process = subprocess.Popen(text, shell=True, creationflags=SUSPENDED_IN_NEW_GROUP, **named)
        group = ProcessInJob(process)
        resume(process.pid)  # what it starts from now on is in its job
        return process, group

    @staticmethod
    def inherited_descriptor(argument: str, flags: int = os.O_RDWR) -> int:
        """The descriptor that the parent passed as this argument; `flags` as for os.open."""
        os.set_handle_inheritable(int(argument), False)  # or what the script starts would hold it, too
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

    @classmethod
    def end_all_with_this_process(cls) -> None:
        """From now on the system ends what this process has started, however this process ends; if it can."""
        try:
            cls._tools_job = Job(may_leave=False)
            cls._tools_job.take(os.getpid())
        except OSError:
            cls._tools_job = None  # in a job that allows none inside

    @staticmethod
    def ask_to_end(process: Process, tell: Callable[[bytes], None]) -> None:
        """Asks a generation to finish and end; `tell` writes to the pipe on which it was briefed."""
        tell(RETIRE)

    @staticmethod
    def obey(pipe: BinaryIO) -> None:
        """In a generation: from now on what `ask_to_end` asks comes as SIGTERM."""
        threading.Thread(target=_raise_when_told, args=(pipe,), daemon=True, name="obey").start()

    @staticmethod
    def ask_group_to_end(process: Process) -> None:
        """Asks a process group to end, as it may wish."""

    @staticmethod
    def kill_group(process: Process) -> None:
        """Ends it now, with its process group."""
        assert isinstance(process, ProcessInJob)
        process.end()

    @staticmethod
    def allow_files(wanted: int) -> int:
        """How many files this process may have open; as many as are wanted, where the system lets it choose."""
        return wanted

    @classmethod
    def hear_stop_signals(cls, tell: Callable[[], None]) -> None:
        """From now on `tell` is called when somebody wants this process to end.

        What was ignored at the start, as nohup asks for, stays ignored. It is called in a thread: no handler runs
        while the main thread waits in a queue.
        """
        for number in unless_ignored(cls._stop_signals):
            signal.signal(number, lambda *_: None)
        hear, woken = socket.socketpair()
        woken.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        arguments = (hear, woken, frozenset(cls._stop_signals), tell)
        threading.Thread(target=_hear_signals, args=arguments, daemon=True, name="signals").start()

    @staticmethod
    def wake_by_signals(alarm: Any) -> None:
        """From now on a signal writes to this socket: nothing else wakes the main thread, which waits there."""
        signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)

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
    def cut(connected: socket.socket) -> None:
        """Ends what another thread does on this connection. To shut it down alone would not wake a read."""
        shut_down(connected)
        descriptor = connected.detach()
        if descriptor >= 0:
            socket.close(descriptor)

    @staticmethod
    def is_any_refusal(error: OSError) -> bool:
        """Whether an address was refused and this does not say why: it is taken, reserved or forbidden."""
        return getattr(error, "winerror", None) == WSAEACCES

    @staticmethod
    def is_terminal(descriptor: int) -> bool:
        """Whether a person may sit there. Errors: OSError where it is closed."""
        return os.isatty(descriptor) and is_console(msvcrt.get_osfhandle(descriptor))

    @staticmethod
    def is_same_file(one: int, other: int) -> bool:
        """Whether what is written to these descriptors goes to the same place. Errors: OSError."""
        if os.fstat(one).st_ino:
            return os.path.sameopenfile(one, other)
        return is_same_object(msvcrt.get_osfhandle(one), msvcrt.get_osfhandle(other))  # pipes have no number

    @staticmethod
    def lends_keyboard(descriptor: int) -> bool:
        """Whether this is a terminal that process groups can hand to each other."""
        return False

    @classmethod
    def has_console_keys(cls) -> bool:
        """Whether keys come one by one from `typed_at_console`."""
        try:
            return cls.is_terminal(0)
        except OSError:
            return False

    @classmethod
    def typed_at_console(cls) -> bytes:
        """The key that was typed, empty where there was none."""
        typed = msvcrt.getwch() if msvcrt.kbhit() else ""
        if typed in cls._before_a_code:
            msvcrt.getwch()  # its code, which looks like a letter
            return b""
        return typed.encode("utf-8", "replace")

    @staticmethod
    def nameless_file() -> int:
        """The descriptor of a new file that nobody has to clear away."""
        return temporary_file()

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
    def step_back(back: bool) -> None:
        """Lets other processes go first, or, with false, does so no more."""
        import ctypes

        kernel = ctypes.WinDLL("kernel32")
        kernel.SetPriorityClass(ctypes.c_void_p(-1), 0x4000 if back else 0x20)  # of this process

    @staticmethod
    def open_descriptors() -> frozenset[int]:
        """The numbers of all descriptors of this process; none where they cannot be listed."""
        return frozenset()

    @staticmethod
    def peak_memory_of_children() -> int | None:
        """Bytes that the largest child had which has ended; None where nobody counts."""
        return None


def _interpreter() -> str:
    """In a virtual environment sys.executable is no interpreter, but a program that starts one.

    The process that we would know were not the one to which a socket can be passed.
    """
    base: str | None = getattr(sys, "_base_executable", None)  # multiprocessing starts that one, too
    return base or sys.executable


def _variables(environ: dict[str, str]) -> dict[str, str]:
    """With what makes the interpreter one of the virtual environment; it takes this out again."""
    is_redirected = os.path.normcase(_interpreter()) != os.path.normcase(sys.executable)
    return {**environ, "__PYVENV_LAUNCHER__": sys.executable} if is_redirected else environ


class ProcessInJob:
    """A process that is in a job of its own, with all that it starts."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._process = process
        self._job = _job_of(process.pid)

    def wait(self) -> int:
        return self._process.wait()

    def send_signal(self, number: int, /) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        """Ends it and all of its job."""
        try:
            self._process.kill()
        except OSError:
            pass  # it ends at this moment
        if self._job is not None:
            self._job.end()


def _job_of(pid: int) -> Job | None:
    """None where the process is gone: it starts nothing before it is briefed."""
    try:
        job = Job(may_leave=True)
        job.take(pid)
    except OSError:
        return None
    return job


def _hear_signals(
    hear: socket.socket, _woken: socket.socket, numbers: Collection[int], tell: Callable[[], None]
) -> None:
    while heard := hear.recv(64):
        for _ in filter(numbers.__contains__, heard):
            tell()


def _raise_when_told(pipe: BinaryIO) -> None:
    if pipe.readline() == RETIRE:
        signal.raise_signal(signal.SIGTERM)
