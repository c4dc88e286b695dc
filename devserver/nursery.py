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

MESSAGE_LIMIT = 1 << 20  # bytes; a briefing has some thousand
FORK_LIMIT = 2.0  # seconds in which the warm process answers; one that does not is given up


# --- what passes between the supervisor and the warm process


@dataclass(frozen=True)
class WarmOrder:
    """What to import: `modules` in this order, with `path` as sys.path but for `user_folders`."""

    path: tuple[str, ...]
    user_folders: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Warmed:
    """The imports are done. `refusal` says why no generation can come from this process, or is None."""

    refusal: str | None


@dataclass(frozen=True)
class ForkOrder:
    """Fork a generation. The descriptors of its link and of its recorder come with the message."""

    briefing: Briefing
    path: tuple[str, ...]


@dataclass(frozen=True)
class Forked:
    """The generation's process."""

    pid: int


@dataclass(frozen=True)
class Ended:
    """A generation's process is gone; `code` as subprocess says it."""

    pid: int
    code: int


# --- the supervisor's end


class WarmProcess:
    """The supervisor's handle of one warm process."""

    def __init__(self, order: WarmOrder, listeners: Sequence[Listener], environ: dict[str, str]) -> None:
        self.modules = frozenset(order.modules)
        self.refusal: str | None = None
        self.is_ready = False
        self._codes: dict[int, int] = {}
        self._change = threading.Condition()
        self._forked: queue.SimpleQueue[Forked | Warmed] = queue.SimpleQueue()
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
        while content := self._receive():
            match message := pickle.loads(content):
                case Warmed(refusal) if not self.is_ready:
                    self.refusal, self.is_ready = refusal, True
                    warmed()
                case Warmed() | Forked():
                    self._forked.put(message)
                case Ended(pid, code):
                    with self._change:
                        self._codes[pid] = code
                        self._change.notify_all()
        self.process.wait()
        if not self.is_ready:
            self.refusal, self.is_ready = "the warm process ended", True
            warmed()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(MESSAGE_LIMIT)
        except OSError:
            return b""  # closed

    def extend(self, order: WarmOrder) -> None:
        """Import more."""
        self.modules |= frozenset(order.modules)
        self.is_ready = False
        self._socket.sendall(pickle.dumps(order))

    def fork(self, order: ForkOrder, descriptors: Sequence[int]) -> ForkedProcess | str:
        """A new generation, or the reason why there is none."""
        try:
            socket.send_fds(self._socket, [pickle.dumps(order)], descriptors)
            answer = self._forked.get(timeout=FORK_LIMIT)
        except (OSError, queue.Empty):
            return "the warm process does not answer"
        if isinstance(answer, Warmed):
            return answer.refusal or "the warm process refused"
        return ForkedProcess(answer.pid, self._code_of)

    def _code_of(self, pid: int) -> int:
        with self._change:
            self._change.wait_for(lambda: pid in self._codes, 1.0)
            return self._codes.pop(pid, -signal.SIGKILL)

    def close(self) -> None:
        """Ends it; generations that came from it live on."""
        self._socket.shutdown(socket.SHUT_RDWR)  # close() alone would not wake the thread that listens
        self._socket.close()
        self.process.kill()


class ForkedProcess:
    """The part of `subprocess.Popen` that a `Child` needs, for a process that another one has forked."""

    def __init__(self, pid: int, code_of: Callable[[int], int]) -> None:
        self.pid = pid
        self._code_of = code_of
        self._descriptor = os.pidfd_open(pid)
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
    """Starts generations, warm where it can be. All but `close` is called from the supervisor's thread.

    `say` gets one line for each new reason why a start was cold; `fork` is whether the server may be forked at all.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        environ: dict[str, str],
        path: Sequence[str],
        deliver: Callable[[int, object], None],
        say: Callable[[str], None],
        warm: bool,
    ) -> None:
        self._listeners = listeners
        self._environ = environ
        self._path = tuple(path)
        self._deliver = deliver
        self._say = say
        self._wanted = warm and sys.platform == "linux"
        self._warm: WarmProcess | None = None
        self._modules: dict[str, None] = {}
        self._said = ""

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
        try:
            process = self._warm.fork(order, (heard, *keep))
        finally:
            os.close(heard)
        if isinstance(process, str):
            os.close(hear)
            self._explain(process)
            self._give_up()
            return None
        return Child.adopt(process, briefing.generation, hear, self._deliver)

    def learned(self, modules: Sequence[str], user_folders: Sequence[str], refusal: str | None) -> None:
        """What a load has taught: the libraries to keep warm, or why they cannot be."""
        if not self._wanted:
            return
        self._modules |= dict.fromkeys(modules)
        if refusal is not None:
            self._give_up()
            self._explain(refusal)
        elif self._warm is None:
            order = WarmOrder(self._path, tuple(user_folders), tuple(self._modules))
            self._warm = WarmProcess(order, self._listeners, self._environ)
            self._warm.listen(self._warmed)
        elif self._warm.is_ready and self._warm.refusal is None and not self._modules.keys() <= self._warm.modules:
            more = tuple(name for name in self._modules if name not in self._warm.modules)
            self._warm.extend(WarmOrder(self._path, tuple(user_folders), more))

    def _warmed(self) -> None:
        warm = self._warm
        if warm is not None and warm.is_ready and warm.refusal is not None:
            self._explain(warm.refusal)

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
