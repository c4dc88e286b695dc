"""What passes between two processes, with both ends in one file."""

from __future__ import annotations

import os
import pickle
import queue
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import BinaryIO, TypeAlias

from devserver.config.settings import Config
from devserver.process import threads
from devserver.process.platform import SharedSocket, System
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import Became, Refused, Told, Warmed
from devserver.records.reasons import Reason
from devserver.records.record import record
from devserver.records.stamps import Stamp

MOST_DESCRIPTORS = 8


@record(frozen=True)
class Briefing:
    """All that a generation has to know.

    `hold`: do not load, answer with that. `known` are other files than it loads, on which it depends, None for one that
    is not there. `left_out` is an expression for the paths (with forward slashes) of which a change does not count.
    `generation` counts from 1; it is 0 outside of the dev loop.

    Who starts the process fills in the rest: `path` is its sys.path, `listeners` are its sockets, `warm` says that it
    comes from a process that has imported the libraries. By `channel` (a descriptor, or -1) the initialised stage gets
    its orders, if one comes of this generation. One that `stands_by` waits when init() is over, for its turn.
    """

    generation: int
    config: Config
    hold: Diagnostic | None = None
    arguments: tuple[str, ...] = ()  # the command line as the person typed it, for sys.argv
    known: Mapping[str, Stamp | None] = field(default_factory=dict)
    left_out: str = ""
    warm: bool = False
    path: tuple[str, ...] = ()
    listeners: tuple[SharedSocket, ...] = ()
    channel: int = -1
    stands_by: bool = False


def read_briefing(source: BinaryIO) -> Briefing:
    """The briefing that the parent wrote. Errors: EOFError where the parent is gone."""
    briefing = pickle.load(source)
    assert isinstance(briefing, Briefing)
    return briefing


def open_listeners(briefing: Briefing) -> list[socket.socket]:
    """The sockets of the briefing, in this process."""
    return [System.open_shared(shared) for shared in briefing.listeners]


TURN = b"T"  # before the order for one that stands by


def read_turn(control: BinaryIO) -> KeptOrder:
    """The order for which a process stands by. Errors: EOFError where it is not needed any more."""
    while (mark := control.read(1)) != TURN:
        if not mark:
            raise EOFError  # what else was told before is over
    order = pickle.load(control)
    assert isinstance(order, KeptOrder)
    return order


# --- the supervisor and a process that generations come from

# A `Briefing` orders the next generation, which loads the script when it is told to. With it come the descriptors of
# its link, of its scoreboard, and of the pipe on which it is told.


@record(frozen=True)
class WarmOrder:
    """What to import: `modules` in this order, with `path` as sys.path but for `user_folders`.

    The first of these will stand before the libraries when the script is loaded. `arguments` are for sys.argv. `lazy`
    are modules that libraries have imported late, if nothing speaks against it; those that fail are left out.
    """

    path: tuple[str, ...]
    user_folders: tuple[str, ...]
    modules: tuple[str, ...]
    arguments: tuple[str, ...]
    becomes: bool  # it may become a generation itself
    lazy: tuple[str, ...] = ()


@record(frozen=True)
class KeptOrder:
    """To the initialised stage: a generation of what it has loaded, with some of its source files as they are now.

    `contents`: by the absolute path, the bytes and their stamp. The descriptors are those of a `Briefing`.
    """

    briefing: Briefing
    contents: Mapping[str, tuple[bytes, Stamp]]


@record(frozen=True)
class Initialised:
    """The initialised stage waits; a descriptor of its process comes with the message.

    `files`: what it has loaded and read. `init_ms`: how long init() took.
    """

    pid: int
    files: Mapping[str, Stamp]
    init_ms: float


@record(frozen=True)
class Concerned:
    """There is no generation from the initialised stage, for init() has to run again; the stage waits for the next."""

    reason: Reason


@record(frozen=True)
class Forked:
    """The generation is a fork; a descriptor of its process comes with the message."""

    pid: int


@record(frozen=True)
class Ended:
    """A generation's process is gone; `code` as subprocess says it."""

    pid: int
    code: int


GO = b"go\n"
"""A generation that comes from such a process loads nothing before it is told this: it may have come too late."""

Order: TypeAlias = WarmOrder | KeptOrder | Briefing
Answer: TypeAlias = Warmed | Initialised | Concerned | Forked | Became | Refused | Ended

_LENGTH = struct.Struct("!I")


def send(channel: socket.socket, message: Order | Answer, descriptors: Sequence[int] = ()) -> None:
    """Pass a message on, with descriptors. Errors: OSError where nobody listens any more."""
    content = pickle.dumps(message)
    socket.send_fds(channel, [_LENGTH.pack(len(content))], descriptors)
    channel.sendall(content)


def receive_order(channel: socket.socket) -> tuple[Order, list[int]]:
    """The next order and its descriptors. Errors: OSError, EOFError where nobody sends any more."""
    content, descriptors = _receive(channel)
    order: Order = pickle.loads(content)
    return order, descriptors


def receive_answer(channel: socket.socket) -> tuple[Answer, list[int]]:
    """The next answer and its descriptors. Errors: OSError, EOFError where nobody sends any more."""
    content, descriptors = _receive(channel)
    answer: Answer = pickle.loads(content)
    return answer, descriptors


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    header, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, MOST_DESCRIPTORS)
    content = _read(channel, _LENGTH.unpack(header)[0]) if len(header) == _LENGTH.size else b""
    if not content:
        raise EOFError
    return content, descriptors


def _read(channel: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = channel.recv(length - len(content))
        if not part:
            raise EOFError
        content += part
    return content


# --- a generation and the supervisor

_HEADER = struct.Struct("!IIBH")  # process, message, whether more follows, length
_ROOM = System.atomic_write - _HEADER.size  # what one write passes whole


class Link:
    """The child's end: `send` is safe from any thread and any forked process of the generation."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._lock = threading.RLock()  # a signal may come while a record is sent, and its handler may send, too
        self._count = 0
        System.after_fork(self._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()

    def move(self, descriptor: int) -> None:
        """From now on it ends there: this process is another generation's, or, with -1, nobody's."""
        self.descriptor = descriptor

    def send(self, record: Told) -> None:
        """Passes the record on; nothing happens where the supervisor is gone."""
        content = pickle.dumps(record)
        with self._lock:
            self._count = number = self._count + 1
            for start in range(0, len(content), _ROOM):
                part = content[start : start + _ROOM]
                more = start + _ROOM < len(content)
                try:
                    os.write(self.descriptor, _HEADER.pack(os.getpid(), number, more, len(part)) + part)
                except OSError:
                    return


class Outbox:
    """The parent's end of the pipe on which a child is told what to do; without a pipe nothing is told.

    It writes in a thread of its own: a pipe takes little, and nobody waits for a child that does not read.
    """

    def __init__(self, pipe: int | None = None) -> None:
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        if pipe is not None:
            threads.start("tell", self._write, pipe)

    def put(self, content: bytes) -> None:
        """To be written after what came before."""
        self._waiting.put(content)

    def close(self) -> None:
        """Give the pipe back, when all is written or nobody reads any more."""
        self._waiting.put(None)

    def _write(self, pipe: int) -> None:
        with os.fdopen(pipe, "wb", buffering=0) as end:
            while (content := self._waiting.get()) is not None:
                try:
                    while content:
                        content = content[end.write(content) or 0 :]
                except OSError:
                    return  # it is gone; `Gone` tells


class Inbox:
    """The parent's end: makes whole records of bytes in any portions."""

    def __init__(self) -> None:
        self._buffer = b""
        self._parts: dict[tuple[int, int], bytearray] = {}

    def feed(self, content: bytes) -> list[Told]:
        """The records that are complete now."""
        self._buffer += content
        found: list[Told] = []
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
