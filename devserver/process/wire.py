"""What passes between two processes, with both ends in one file."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from devserver.process.platform import System

MOST_DESCRIPTORS = 8


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
    return [System.open_shared(shared) for shared in briefing.listeners]


_HEADER = struct.Struct("!IIBH")  # process, message, whether more follows, length
_ROOM = System.atomic_write - _HEADER.size  # what one write passes whole


class Link:
    """The child's end: `send` is safe from any thread and any forked process of the generation."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.RLock()  # a signal may come while a record is sent, and its handler may send, too
        self._count = 0
        System.after_fork(self._after_fork)

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
