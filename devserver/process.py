"""The border between two processes, both ends of the wire: briefings go to a child, records come back."""

from __future__ import annotations

import atexit
import json
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, Protocol

WINDOWS = sys.platform == "win32"
LINUX = sys.platform == "linux"
BACKLOG = 2048
RUN_VARIABLE = "AZMLINFSRV_RUN"  # stands in the environment of every process of one run, to find them again
LAUNCHER = os.path.join(os.path.dirname(__file__), "launch")
DEFER_SECONDS = 600
THREADS_GRACE = 0.5  # seconds that a leaving process gives to the script's own threads


# --- the listener


class ListenError(OSError):
    """The address cannot be listened on; `str(error)` is one line for the person."""


@dataclass(frozen=True)
class Listener:
    """A bound, listening socket; bound once, closed when the tool ends."""

    socket: socket.socket
    host: str

    @classmethod
    def bind(cls, host: str, port: int, option: str = "--port") -> Listener:
        """Bind and listen. Errors: `ListenError`, its text naming `option` as the way out."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ListenError(f"{host!r} is no address to listen on ({why}); choose another with --host") from None
        bound = socket.socket(family, kind, protocol)
        try:
            _prepare(bound)
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError as error:
            bound.close()
            raise ListenError(_why_not(host, port, option, error)) from None
        return cls(bound, host)

    @property
    def port(self) -> int:
        """The real port, also where 0 was asked for."""
        return int(self.socket.getsockname()[1])

    @property
    def address(self) -> str:
        """`host:port` that can be clicked and called from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host and not host.startswith("[") else f"{host}:{self.port}"

    def close(self) -> None:
        self.socket.close()


def _prepare(bound: socket.socket) -> None:
    if WINDOWS:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # type: ignore[attr-defined,unused-ignore]
        return
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_DEFER_ACCEPT"):
        # A connection is handed out when its request begins: one that only waits belongs to no generation and blocks
        # no worker.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)


def _why_not(host: str, port: int, option: str, error: OSError) -> str:
    import errno

    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; choose another with {option}, or stop the program that listens on it"
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this user; choose one from 1024 with {option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; choose another with --host"
    return f"cannot listen on {host}:{port}: {error.strerror}; choose another with {option} or --host"


# --- what goes to the child


@dataclass(frozen=True)
class Briefing:
    """All that a generation has to know. `config` is a `Config`, `hold` a `RunError` or None; both pass through."""

    generation: int
    config: Any
    hold: Any
    arguments: tuple[str, ...]  # the command line as the person typed it, for sys.argv
    warm: bool = False  # forked from a process that has imported the libraries
    known: Any = None  # other files than it loads, on which it depends: path -> stamp, None for one that is not there
    left_out: str = ""  # an expression for the paths (with forward slashes) of which a change does not count
    listeners: tuple[Any, ...] = ()  # descriptors, or on Windows what socket.share() gave


def read_briefing(source: BinaryIO) -> Briefing:
    """The briefing that the parent wrote. Errors: EOFError where the parent is gone."""
    briefing = pickle.load(source)
    assert isinstance(briefing, Briefing)
    return briefing


def open_listeners(briefing: Briefing) -> list[socket.socket]:
    """The sockets of the briefing, in this process."""
    if WINDOWS:
        return [socket.fromshare(shared) for shared in briefing.listeners]  # type: ignore[attr-defined,unused-ignore]
    return [socket.socket(fileno=descriptor) for descriptor in briefing.listeners]


# --- what comes back


_HEADER = struct.Struct("!IIBH")  # process, message, whether more follows, length
_ROOM = max(512, getattr(select, "PIPE_BUF", 512)) - _HEADER.size  # what one write passes whole


class Link:
    """The child's end: `send` is safe from any thread and any forked process of the generation."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.RLock()  # a signal may come while a record is sent, and its handler may send, too
        self._count = 0
        if not WINDOWS:
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()

    def send(self, record: object) -> None:
        """Passes the record on; nothing happens where the supervisor is gone."""
        content = pickle.dumps(record)
        with self._lock:
            self._count = number = self._count + 1
            for start in range(0, len(content), _ROOM):
                part = content[start : start + _ROOM]
                more = start + _ROOM < len(content)
                try:
                    os.write(self._descriptor, _HEADER.pack(os.getpid(), number, more, len(part)) + part)
                except OSError:
                    return


class Inbox:
    """The parent's end: bytes in any portions come in, whole records go out."""

    def __init__(self) -> None:
        self._buffer = b""
        self._parts: dict[tuple[int, int], bytearray] = {}

    def feed(self, content: bytes) -> list[Any]:
        """The records that are complete now."""
        self._buffer += content
        found = []
        while len(self._buffer) >= _HEADER.size:
            process, message, more, length = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            key = (process, message)
            whole = self._parts.pop(key, None) or bytearray()
            whole += self._buffer[_HEADER.size : end]
            self._buffer = self._buffer[end:]
            if more:
                self._parts[key] = whole
                continue
            try:
                found.append(pickle.loads(whole))
            except Exception:
                pass  # the script wrote to a descriptor that is not its own
        return found


@dataclass(frozen=True)
class Gone:
    """The child's process ended; a negative code is the number of the signal that ended it."""

    code: int


class Process(Protocol):
    """What a `Child` needs of a process."""

    pid: int

    def wait(self) -> int: ...

    def send_signal(self, number: int, /) -> None: ...


def interpreter_command() -> list[str]:
    """The command for another interpreter like this one."""
    return [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]


class Child:
    """The parent's handle of one generation's process."""

    def __init__(self, process: Process, generation: int, control: int) -> None:
        self.process = process
        self.generation = generation
        self._control = control
        self._lock = threading.Lock()

    @classmethod
    def start(
        cls,
        briefing: Briefing,
        listeners: Sequence[Listener],
        environ: dict[str, str],
        path: Sequence[str],
        deliver: Callable[[int, object], None],
        recorder: Sequence[int],
    ) -> Child:
        """Start the process; `deliver` gets its records and at last `Gone`, each with the generation's number.

        `recorder` are the descriptors of the recorder that it shall keep. Errors: OSError where no process can be made.
        """
        told, tell = os.pipe()
        hear, heard = os.pipe()
        arguments = [told, heard, *recorder]
        sockets = [] if WINDOWS else [listener.socket.fileno() for listener in listeners]
        try:
            process = _spawn([*interpreter_command(), LAUNCHER], arguments, sockets, environ)
        except OSError:
            for descriptor in (told, tell, hear, heard):
                os.close(descriptor)
            raise
        os.close(told)
        os.close(heard)
        child = cls(process, briefing.generation, tell)
        threading.Thread(target=child._listen, args=(hear, deliver), daemon=True, name="listen").start()
        child._brief(briefing, listeners, path)
        return child

    @classmethod
    def adopt(cls, process: Process, generation: int, hear: int, deliver: Callable[[int, object], None]) -> Child:
        """The handle of a process that was started by another; `hear` is where its link ends."""
        child = cls(process, generation, -1)
        threading.Thread(target=child._listen, args=(hear, deliver), daemon=True, name="listen").start()
        return child

    def _brief(self, briefing: Briefing, listeners: Sequence[Listener], path: Sequence[str]) -> None:
        import dataclasses

        shared: tuple[Any, ...] = tuple(listener.socket.fileno() for listener in listeners)
        if WINDOWS:
            shared = tuple(each.socket.share(self.process.pid) for each in listeners)  # type: ignore[attr-defined,unused-ignore]
        text = json.dumps(list(path)).encode() + b"\n"
        try:
            with os.fdopen(os.dup(self._control), "wb") as pipe:
                pipe.write(text + pickle.dumps(dataclasses.replace(briefing, listeners=shared)))
        except BrokenPipeError:
            pass  # it is gone already; `Gone` tells

    def _listen(self, hear: int, deliver: Callable[[int, object], None]) -> None:
        """Until the process has ended; a grandchild that holds the pipe open does not count."""
        ended, end = os.pipe()
        threading.Thread(target=self._wait, args=(end,), daemon=True, name="wait").start()
        inbox = Inbox()
        sources = [hear, ended]
        while True:
            ready = select.select(sources, [], [])[0] if not WINDOWS else [hear]
            content = os.read(hear, 1 << 16) if hear in ready else b""
            for record in inbox.feed(content):
                deliver(self.generation, record)
            if not content and (ended in ready or WINDOWS):
                break
            if not content:
                sources = [ended]  # the script has closed what is not its own
        code = self.process.wait()
        for descriptor in (hear, ended):
            os.close(descriptor)
        self.kill()  # what it left behind in its group
        with self._lock:
            if self._control >= 0:
                os.close(self._control)
            self._control = -1
        deliver(self.generation, Gone(code))

    def _wait(self, end: int) -> None:
        self.process.wait()
        os.close(end)

    def retire(self) -> None:
        """It stops accepting at once, finishes what it has, and ends."""
        if not WINDOWS:
            self._signal(signal.SIGTERM)
            return
        with self._lock:
            if self._control >= 0:
                os.write(self._control, b"retire\n")

    def kill(self) -> None:
        """Ends it now, with its process group."""
        if WINDOWS:
            self._signal(signal.SIGTERM)  # which Windows takes as the end, at once
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            self.process.send_signal(number)
        except ProcessLookupError:
            pass


def _spawn(
    command: list[str], arguments: list[int], sockets: list[int], environ: dict[str, str]
) -> subprocess.Popen[bytes]:
    """The process, with these descriptors as its arguments; it inherits them and, but on Windows, the sockets."""
    if not WINDOWS:
        return subprocess.Popen([*command, *map(str, arguments)], pass_fds=[*arguments, *sockets], env=environ)
    import msvcrt

    handles = [msvcrt.get_osfhandle(number) for number in arguments]  # type: ignore[attr-defined,unused-ignore]
    for handle in handles:
        os.set_handle_inheritable(handle, True)  # type: ignore[attr-defined,unused-ignore]
    startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles})  # type: ignore[attr-defined,unused-ignore]
    return subprocess.Popen([*command, *map(str, handles)], env=environ, startupinfo=startup)


def inherited_descriptor(argument: str, flags: int = os.O_RDWR) -> int:
    """The descriptor that the parent passed as this argument; `flags` as for os.open."""
    if not WINDOWS:
        return int(argument)
    import msvcrt

    return msvcrt.open_osfhandle(int(argument), flags)  # type: ignore[attr-defined,unused-ignore,no-any-return]


def lead_own_group() -> None:
    """Makes this process the leader of a process group, so that all it starts can be ended together."""
    if not WINDOWS:
        os.setpgid(0, 0)


def adopt_orphans() -> None:
    """From now on each descendant whose parent ends becomes a child of this process, where the system can do that."""
    if LINUX:
        import ctypes

        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def leave(code: int) -> NoReturn:
    """Ends this process although threads of the script may run for ever: they get a moment, then they are cut off."""
    try:
        end = time.monotonic() + THREADS_GRACE
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass
    finally:
        os._exit(code)  # also where another signal raised in the midst of this
