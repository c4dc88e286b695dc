"""Where generations come from: a briefing comes in, a `Child` goes out, forked from a warm process or started cold."""

from __future__ import annotations

import dataclasses
import os
import pickle
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devserver.process import LAUNCHER, Briefing, Child, Listener, interpreter_command

MESSAGE_LIMIT = 1 << 17  # bytes; a briefing has some thousand
FORK_LIMIT = 2.0  # seconds in which the warm process answers; one that does not is given up
GO = b"!"
CODE_LIMIT = 1.0  # seconds in which it tells how a generation ended that has ended


# --- what passes between the supervisor and the warm process


@dataclass(frozen=True)
class WarmOrder:
    """What to import: `modules` in this order, with `path` as sys.path but for `user_folders`.

    The first of these will stand before the libraries when the script is loaded.
    """

    path: tuple[str, ...]
    user_folders: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Warmed:
    """The imports are done. `refusal` says why no generation can come from this process, or is None."""

    refusal: str | None


@dataclass(frozen=True)
class ForkOrder:
    """Fork a generation, to begin when it is told to.

    With the message come the descriptors of its link, of its recorder, and of the pipe on which it is told.
    """

    briefing: Briefing
    path: tuple[str, ...]


@dataclass(frozen=True)
class Forked:
    """The generation's process; a descriptor of it comes with the message."""

    pid: int


@dataclass(frozen=True)
class Ended:
    """A generation's process is gone; `code` as subprocess says it."""

    pid: int
    code: int


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
        self._answers: queue.SimpleQueue[ForkedProcess | Warmed] = queue.SimpleQueue()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inherited = [other.fileno(), *(listener.socket.fileno() for listener in listeners)]
        with other:
            command = [*interpreter_command(), LAUNCHER, "warm", str(other.fileno())]
            self.process = subprocess.Popen(command, pass_fds=inherited, env=environ)
        self._socket.sendall(pickle.dumps(order))

    def listen(self, warmed: Callable[[], None]) -> None:
        """Begin to hear it; `warmed` is called from a thread when its imports are done, or it is gone."""
        threading.Thread(target=self._listen, args=(warmed,), daemon=True, name="warm").start()

    def _listen(self, warmed: Callable[[], None]) -> None:
        while received := self._receive():
            content, descriptors = received
            match message := pickle.loads(content):
                case Warmed(refusal) if not self.is_ready:
                    self.refusal, self.is_ready = refusal, True
                    warmed()
                case Warmed():
                    self._answers.put(message)
                case Forked(pid):
                    self._answers.put(ForkedProcess(pid, descriptors[0], self._code_of))
                case Ended(pid, code):
                    self._note_end(pid, code)
        self.process.wait()
        with self._change:
            self._is_gone = True
            self._change.notify_all()
        if not self.is_ready:
            self.refusal, self.is_ready = "the process that imported the libraries ended", True
            warmed()

    def _receive(self) -> tuple[bytes, list[int]] | None:
        try:
            content, descriptors, _, _ = socket.recv_fds(self._socket, MESSAGE_LIMIT, 1)
        except OSError:
            return None  # closed
        return (content, descriptors) if content else None

    def _note_end(self, pid: int, code: int) -> None:
        with self._change:
            self._codes[pid] = code
            self._change.notify_all()

    def extend(self, order: WarmOrder) -> None:
        """Import more. Errors: OSError where it is gone."""
        self.modules |= frozenset(order.modules)
        self.is_ready = False
        self._socket.sendall(pickle.dumps(order))

    def fork(self, order: ForkOrder, descriptors: Sequence[int]) -> ForkedProcess | str:
        """A new generation, or the reason why there is none."""
        try:
            socket.send_fds(self._socket, [pickle.dumps(order)], descriptors)
            answer = self._answers.get(timeout=FORK_LIMIT)
        except (OSError, queue.Empty):
            return "the process that imported the libraries does not answer"
        return answer if isinstance(answer, ForkedProcess) else (answer.refusal or "")

    def _code_of(self, pid: int) -> int:
        """Only its parent learns how a process ended; where that is gone, nobody knows, and it counts as killed."""
        with self._change:
            self._change.wait_for(lambda: pid in self._codes or self._is_gone, CODE_LIMIT)
            return self._codes.pop(pid, -signal.SIGKILL)

    def close(self) -> None:
        """Ends it; generations that came from it live on."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # close() alone would not wake the thread that listens
        except OSError:
            pass  # it is gone already
        self._socket.close()
        self.process.kill()


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
    ) -> None:
        self._listeners = listeners
        self._environ = environ
        self._path = tuple(path)
        self._deliver = deliver
        self._say = say
        self._tell_warmed = warmed
        self._wanted = warm and sys.platform == "linux"
        self._warm: WarmProcess | None = None
        self._modules: dict[str, None] = {}
        self._said = ""

    @property
    def pids(self) -> set[int]:
        """The warm process, where there is one."""
        return {self._warm.process.pid} if self._warm is not None else set()

    def launch(self, briefing: Briefing, keep: tuple[int, ...], cold: bool = False) -> Child:
        """A process for this generation. Errors: OSError where none can be made."""
        if cold:
            self._give_up()
        child = self._launch_warm(briefing, keep) if self._warm is not None and self._warm.is_ready else None
        return child or Child.start(briefing, self._listeners, self._environ, self._path, self._deliver, keep)

    def _launch_warm(self, briefing: Briefing, keep: tuple[int, ...]) -> Child | None:
        assert self._warm is not None
        if self._warm.refusal is not None:
            return None
        listeners = tuple(listener.socket.fileno() for listener in self._listeners)
        order = ForkOrder(dataclasses.replace(briefing, warm=True, listeners=listeners), self._path)
        hear, heard = os.pipe()
        told, tell = os.pipe()
        process = self._warm.fork(order, (heard, *keep, told))
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
        self._said = ""
        return Child.adopt(process, briefing.generation, hear, self._deliver)

    def learned(self, modules: Sequence[str], warm: bool, user_folders: Sequence[str], refusal: str | None) -> None:
        """What a load has taught: the libraries to keep warm, or why they cannot be.

        `modules` are all that the script imported, or after a `warm` start those that were not imported yet.
        """
        if not self._wanted:
            return
        self._modules = {**(self._modules if warm else {}), **dict.fromkeys(modules)}
        if refusal is not None:
            self._give_up()
            self._explain(refusal)
            return
        try:
            self._warm_up(tuple(user_folders))
        except OSError as error:
            self._give_up()
            self._explain(f"the libraries cannot be imported ahead ({error.strerror})")

    def _warm_up(self, user_folders: tuple[str, ...]) -> None:
        warm, wanted = self._warm, self._modules.keys()
        if warm is not None and warm.refusal is not None and wanted != warm.modules:
            self._give_up()
            warm = None
        if warm is None:
            self._warm = WarmProcess(WarmOrder(self._path, user_folders, tuple(wanted)), self._listeners, self._environ)
            self._warm.listen(self._warmed)
        elif warm.is_ready and warm.refusal is None and not wanted <= warm.modules:
            warm.extend(WarmOrder(self._path, user_folders, tuple(name for name in wanted if name not in warm.modules)))

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
