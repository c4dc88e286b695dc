"""Where generations come from: a briefing comes in, a `Child` goes out, from a warm process or started cold."""

from __future__ import annotations

import dataclasses
import os
import pickle
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devserver.process import LAUNCHER, LINUX, WINDOWS, Briefing, Child, Listener, Process, interpreter_command

ANSWER_LIMIT = 2.0  # seconds in which the warm process answers; one that does not is given up
GO = b"!"
MOST_DESCRIPTORS = 8
CODE_LIMIT = 1.0  # seconds in which it tells how a generation ended that has ended


# --- what passes between the supervisor and the warm process


@dataclass(frozen=True)
class WarmOrder:
    """What to import: `modules` in this order, with `path` as sys.path but for `user_folders`.

    The first of these will stand before the libraries when the script is loaded. `arguments` are for sys.argv.
    """

    path: tuple[str, ...]
    user_folders: tuple[str, ...]
    modules: tuple[str, ...]
    arguments: tuple[str, ...]
    becomes: bool  # it may become a generation itself


@dataclass(frozen=True)
class Warmed:
    """The imports are done. `refusal` says why no generation can come from this process, or is None."""

    refusal: str | None


@dataclass(frozen=True)
class LaunchOrder:
    """Here is the next generation; it loads the script when it is told to.

    With the message come the descriptors of its link, of its recorder, and of the pipe on which it is told.
    """

    briefing: Briefing
    path: tuple[str, ...]


@dataclass(frozen=True)
class Forked:
    """The generation is a fork; a descriptor of its process comes with the message."""

    pid: int


@dataclass(frozen=True)
class Became:
    """The generation is the warm process itself, from here on."""


@dataclass(frozen=True)
class Ended:
    """A generation's process is gone; `code` as subprocess says it."""

    pid: int
    code: int


_LENGTH = struct.Struct("!I")


def send(channel: socket.socket, message: object, descriptors: Sequence[int] = ()) -> None:
    """Pass a message on, with descriptors. Errors: OSError where nobody listens any more."""
    content = pickle.dumps(message)
    socket.send_fds(channel, [_LENGTH.pack(len(content))], descriptors)
    channel.sendall(content)


def receive(channel: socket.socket) -> tuple[object, list[int]]:
    """The next message and its descriptors. Errors: OSError, EOFError where nobody sends any more."""
    header, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, MOST_DESCRIPTORS)
    content = _read(channel, _LENGTH.unpack(header)[0]) if len(header) == _LENGTH.size else b""
    if not content:
        raise EOFError
    return pickle.loads(content), descriptors


def _read(channel: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = channel.recv(length - len(content))
        if not part:
            raise EOFError
        content += part
    return content


# --- the supervisor's end


class WarmProcess:
    """The supervisor's handle of one warm process. Errors: OSError where none can be made."""

    def __init__(self, order: WarmOrder, listeners: Sequence[Listener], environ: dict[str, str]) -> None:
        self.modules = frozenset(order.modules)
        self.refusal: str | None = None
        self.is_ready = False
        self._codes: dict[int, int] = {}
        self._is_gone = False
        self._change = threading.Condition()
        self._answers: queue.SimpleQueue[Process | Warmed] = queue.SimpleQueue()
        self._channel, other = socket.socketpair()
        inherited = [other.fileno(), *(listener.socket.fileno() for listener in listeners)]
        with other:
            command = [*interpreter_command(), LAUNCHER, "warm", str(other.fileno())]
            self.process = subprocess.Popen(command, pass_fds=inherited, env=environ, cwd=order.user_folders[0])
        send(self._channel, order)

    def listen(self, warmed: Callable[[], None]) -> None:
        """Begin to hear it; `warmed` is called from a thread when its imports are done, or it is gone."""
        threading.Thread(target=self._listen, args=(warmed,), daemon=True, name="warm").start()

    def _listen(self, warmed: Callable[[], None]) -> None:
        try:
            while True:
                self._take(*receive(self._channel), warmed)
        except (OSError, EOFError):
            pass  # it is gone, or is a generation now, or was closed
        with self._change:
            self._is_gone = True
            self._change.notify_all()
        ended = "the process that imported the libraries ended"
        self._answers.put(Warmed(ended))  # whoever waits for an answer
        if not self.is_ready:
            self.refusal, self.is_ready = ended, True
            warmed()
        self.process.wait()

    def _take(self, message: object, descriptors: Sequence[int], warmed: Callable[[], None]) -> None:
        match message:
            case Warmed(refusal) if not self.is_ready:
                self.refusal, self.is_ready = refusal, True
                warmed()
            case Warmed():
                self._answers.put(message)
            case Forked(pid):
                self._answers.put(ForkedProcess(pid, descriptors[0], self._code_of))
            case Became():
                self._answers.put(self.process)
            case Ended(pid, code):
                with self._change:
                    self._codes[pid] = code
                    self._change.notify_all()

    def extend(self, order: WarmOrder) -> None:
        """Import more. Errors: OSError where it is gone."""
        self.modules |= frozenset(order.modules)
        self.is_ready = False
        send(self._channel, order)

    def launch(self, order: LaunchOrder, descriptors: Sequence[int]) -> Process | str:
        """A new generation's process, or the reason why there is none."""
        try:
            send(self._channel, order, descriptors)
            answer = self._answers.get(timeout=ANSWER_LIMIT)
        except (OSError, queue.Empty):
            return "the process that imported the libraries does not answer"
        return (answer.refusal or "") if isinstance(answer, Warmed) else answer

    def _code_of(self, pid: int) -> int:
        """Only its parent learns how a process ended; where that is gone, nobody knows, and it counts as killed."""
        with self._change:
            self._change.wait_for(lambda: pid in self._codes or self._is_gone, CODE_LIMIT)
            return self._codes.pop(pid, -signal.SIGKILL)

    def close(self) -> None:
        """Ends it; generations that came from it live on."""
        self.let_go()
        self.process.kill()

    def let_go(self) -> None:
        """It is a generation now."""
        try:
            self._channel.shutdown(socket.SHUT_RDWR)  # close() alone would not wake the thread that listens
        except OSError:
            pass  # it is gone already
        self._channel.close()


class ForkedProcess:
    """The part of `subprocess.Popen` that a `Child` needs, for a process that another one has forked."""

    def __init__(self, pid: int, descriptor: int, code_of: Callable[[int], int]) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._code_of = code_of
        self._lock = threading.Lock()
        self._code: int | None = None

    def wait(self) -> int:
        with self._lock:
            if self._code is None:
                select.select([self._descriptor], [], [])
                self._code = self._code_of(self.pid)
                os.close(self._descriptor)
            return self._code

    def send_signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)


class Nursery:
    """Starts generations, warm where it can be. All is called from the supervisor's thread.

    The warm process forks them, on Linux; where that is not possible and `becomes` says that the server forks nothing
    later, it becomes the next one itself, and another one takes its place.
    `say` gets one line for each new reason why a start was cold, and `warmed` the libraries that were imported ahead;
    both are called from that thread or another.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        environ: dict[str, str],
        path: Sequence[str],
        deliver: Callable[[int, object], None],
        say: Callable[[str], None],
        warmed: Callable[[Sequence[str]], None],
        warm: bool,
        becomes: bool = False,
    ) -> None:
        self._listeners = listeners
        self._environ = environ
        self._path = tuple(path)
        self._deliver = deliver
        self._say = say
        self._tell_warmed = warmed
        self._becomes = becomes
        self._wanted = warm
        self._warm: WarmProcess | None = None
        self._modules: dict[str, None] = {}
        self._said = ""

    @property
    def pids(self) -> set[int]:
        """The warm process, where there is one."""
        return {self._warm.process.pid} if self._warm is not None else set()

    def launch(self, briefing: Briefing, recorder: Sequence[int], cold: bool = False) -> Child:
        """A process for this generation. Errors: OSError where none can be made."""
        if cold:
            self._give_up()
        child = self._launch_warm(briefing, recorder) if self._warm is not None and self._warm.is_ready else None
        return child or Child.start(briefing, self._listeners, self._environ, self._path, self._deliver, recorder)

    def _launch_warm(self, briefing: Briefing, recorder: Sequence[int]) -> Child | None:
        assert self._warm is not None
        if self._warm.refusal is not None:
            return None
        listeners = tuple(listener.socket.fileno() for listener in self._listeners)
        order = LaunchOrder(dataclasses.replace(briefing, warm=True, listeners=listeners), self._path)
        hear, heard = os.pipe()
        told, tell = os.pipe()
        process = self._warm.launch(order, (heard, *recorder, told))
        os.close(heard)
        os.close(told)
        if isinstance(process, str):
            os.close(hear)
            os.close(tell)  # unless it was told before, this ends a process that comes too late
            self._explain(process)
            self._give_up()
            return None
        try:
            os.write(tell, GO)
        except BrokenPipeError:
            pass  # it is gone already; `Gone` tells
        os.close(tell)
        if process is self._warm.process:
            self._warm.let_go()
            self._warm = None
        self._said = ""
        return Child.adopt(process, briefing.generation, hear, self._deliver)

    def learned(
        self,
        modules: Sequence[str],
        warm: bool,
        user_folders: Sequence[str],
        settings: dict[str, str],
        refusal: str | None,
    ) -> None:
        """What a load has taught: the libraries to keep warm, or why they cannot be.

        `modules` are all that the script imported, or after a `warm` start those that were not imported yet. `settings`
        are the variables that the configuration adds to the environment.
        """
        if not self._wanted:
            return
        refusal = refusal or _why_never(self._becomes)
        self._modules = {**(self._modules if warm else {}), **dict.fromkeys(modules)}
        if refusal is not None:
            self._give_up()
            self._explain(refusal)
            return
        try:
            self._warm_up(tuple(user_folders), settings)
        except OSError as error:
            self._give_up()
            self._explain(f"the libraries cannot be imported ahead ({error.strerror})")

    def _warm_up(self, user_folders: tuple[str, ...], settings: dict[str, str]) -> None:
        warm, wanted = self._warm, self._modules.keys()
        if warm is not None and warm.refusal is not None and wanted != warm.modules:
            self._give_up()
            warm = None
        missing = tuple(name for name in wanted if warm is None or name not in warm.modules)
        order = WarmOrder(self._path, user_folders, missing, tuple(sys.argv), self._becomes)
        if warm is None:
            self._warm = WarmProcess(order, self._listeners, {**self._environ, **settings})
            self._warm.listen(self._warmed)
        elif missing and warm.is_ready and warm.refusal is None:
            warm.extend(order)

    def _warmed(self) -> None:
        warm = self._warm
        if warm is None or not warm.is_ready:
            return
        if warm.refusal is not None:
            self._explain(warm.refusal)
        else:
            self._tell_warmed(sorted(warm.modules))

    def _explain(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._say(f"starting cold: {reason}")

    def _give_up(self) -> None:
        if self._warm is not None:
            self._warm.close()
        self._warm = None

    def close(self) -> None:
        """Ends the warm process."""
        self._give_up()


def _why_never(becomes: bool) -> str | None:
    """What speaks against a warm process on this system, whatever the script does."""
    if WINDOWS:
        return "on Windows each generation imports the libraries anew"
    if not LINUX and not becomes:
        return "gunicorn forks, which is not safe on this system once libraries are imported (try --server waitress)"
    return None
