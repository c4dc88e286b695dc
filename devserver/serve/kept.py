"""A connection that is in nobody's hands, and how several of them are packed to change hands."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from devserver.records.record import record
from devserver.serve.framing import Framing
from devserver.serve.handoff import MOST_BYTES, MOST_DESCRIPTORS
from devserver.serve.store import Store

ROW = 512  # bytes that a connection takes in a message beside its content, about
Phase = Literal["request", "answer", "linger"]
Trial = Literal["none", "now", "failed"]


@dataclass(eq=False)
class Kept:
    """A connection. In the phase `request` the store has what was read, in `answer` what is still to be written.

    `listener` is the number of the listener that it came by; `heard` is when something happened on it last.
    """

    socket: socket.socket
    address: Any
    listener: int
    framing: Framing
    store: Store = field(default_factory=Store)
    phase: Phase = "request"
    heard: float = field(default_factory=time.monotonic)
    continued: bool = False  # the client was told to send the body
    trial: Trial = "none"
    has_begun: bool = False  # some of it was there when it was accepted

    @property
    def is_whole(self) -> bool:
        """Whether it may have its turn."""
        return self.phase == "request" and (self.framing.is_whole or self.trial == "now")


@record(frozen=True)
class _Row:
    """A connection without its descriptors: that of its socket, and that of its store where it `has_file`."""

    family: int
    address: Any
    listener: int
    framing: Framing
    phase: Phase
    heard: float
    continued: bool
    trial: Trial
    content: bytes
    has_file: bool
    begin: int


Packed = tuple[Kept, _Row, list[int]]


def _packed(one: Kept) -> Packed:
    content, file, begin = one.store.passed()
    descriptors = [one.socket.fileno(), *([] if file is None else [file])]
    facts = (one.address, one.listener, one.framing, one.phase, one.heard, one.continued, one.trial)
    return one, _Row(one.socket.family, *facts, content, file is not None, begin), descriptors


def batches(waiting: Iterable[Kept]) -> Iterator[list[Packed]]:
    """As many at a time as one message can take."""
    batch: list[Packed] = []
    size = 0
    for one in waiting:
        try:
            packed = _packed(one)
        except OSError:
            continue  # no room for its file: it stays where it is
        grown = size + len(packed[1].content) + packed[1].framing.size + ROW
        if batch and (grown > MOST_BYTES or 2 * len(batch) + 2 > MOST_DESCRIPTORS):
            yield batch
            batch, grown = [], grown - size
        batch.append(packed)
        size = grown
    if batch:
        yield batch


def unpacked(content: bytes, descriptors: list[int]) -> list[Kept]:
    """Those whose descriptors all came through; a process may have no room for more."""
    found, given = [], iter(descriptors)
    for row in pickle.loads(content):
        numbers = list(islice(given, 2 if row.has_file else 1))
        if len(numbers) < (2 if row.has_file else 1):
            for number in numbers:
                os.close(number)
            break
        client = socket.socket(row.family, socket.SOCK_STREAM, fileno=numbers[0])
        store = Store(row.content, numbers[1] if row.has_file else None, row.begin)
        facts = (row.phase, row.heard, row.continued, row.trial)
        found.append(Kept(client, row.address, row.listener, row.framing, store, *facts))
    return found
