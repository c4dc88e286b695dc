"""Answers while no process can be made that would: a thread of the supervisor, so that no request hangs.

A request waits a moment for its answer: a save that came before it may be the way out, and is seen by then. If so, the
next generation takes it over.

All that it needs it has from the start: where there is no interpreter any more nothing can be imported, and where no
more files can be opened or threads be started it is too late to ask for them.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import TypeAlias

from devserver.process.platform import System
from devserver.records import as_json
from devserver.records.diagnostic import Diagnostic
from devserver.records.record import record
from devserver.serve import GENERATION
from devserver.serve.framing import fields_of
from devserver.serve.handoff import split
from devserver.serve.intake import Intake, plain_answer
from devserver.serve.kept import Kept
from devserver.serve.locality import is_local

MESSAGE = "There is no process that could answer. Check the terminal for more info."
RESERVE = 8  # descriptors that are held back for this
PATIENCE = 0.4  # seconds in which a save that came before a request is seen
PAUSE = 0.05  # seconds between two looks at connections that something is waited for
MOST = min(System.most_connections, 200)  # connections at a time
Ready: TypeAlias = int | socket.socket
JOIN = 1.0  # seconds to wait for the thread


@record(frozen=True)
class _Answer:
    """What is said, and for which generation."""

    generation: int
    error: Diagnostic | None

    def to(self, one: Kept) -> bytes:
        """The whole answer to this request; only a client on this machine is told all of it."""
        fields = fields_of(one.store.peek())
        body: dict[str, object] = {"message": MESSAGE}
        if self.error is not None and is_local(one.address[0] if one.address else None, fields):
            body["error"] = as_json.error_object(self.error)
        headers = (("x-ms-run-function-failed", "True"), (GENERATION, str(self.generation)))
        return plain_answer("503 Service Unavailable", json.dumps(body), headers, "application/json")


class StandIn:
    """Answers between `begin` and `end`. `sockets` are the listeners, and the handoff where there is one."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._listeners, handoff = split(sockets)
        self._intake = Intake(handoff, tries=True)
        self._lock = threading.Lock()  # held while connections are taken
        self._answer: _Answer | None = None
        self._is_over = False
        self._hear, self._wake = socket.socketpair()
        self._hear.setblocking(False)
        self._reserve: list[int] = []
        self._hold_back()
        self._thread = threading.Thread(target=self._run, daemon=True, name="stand-in")
        self._thread.start()

    # --- from the supervisor

    def begin(self, generation: int, error: Diagnostic | None) -> None:
        """From now on each request is answered with this."""
        self._let_go()
        for listener in self._listeners:
            listener.setblocking(False)
        with self._lock:
            self._answer = _Answer(generation, error)
        self._wake.send(b"!")

    def end(self) -> None:
        """From now on no connection is taken; one of which the request is not whole is for the next generation."""
        if self._answer is None:
            return
        with self._lock:
            self._intake.set_aside()
            self._answer_whole(hurry=True)  # those for which there was no room, or no handoff
            self._answer = None
        self._hold_back()

    def close(self) -> None:
        """No more is answered."""
        self.end()
        self._is_over = True
        self._wake.send(b"!")
        self._thread.join(JOIN)
        self._let_go()
        self._hear.close()
        self._wake.close()

    def _hold_back(self) -> None:
        try:
            while len(self._reserve) < RESERVE:
                self._reserve.append(os.dup(self._hear.fileno()))
        except OSError:
            pass  # none are left: it has to do with fewer

    def _let_go(self) -> None:
        while self._reserve:
            os.close(self._reserve.pop())

    # --- in the thread

    def _run(self) -> None:
        while not self._is_over:
            ready = self._wait()
            if self._hear in ready:
                self._hear.recv(64)
            with self._lock:
                self._turn(ready)
        self._intake.close()

    def _wait(self) -> set[Ready]:
        """Descriptors of connections, and sockets, that are ready."""
        intake = self._intake
        with self._lock:
            reads: list[Ready] = [self._hear, *(self._listeners if self._answer else ())]
            reads += [number for number, one in intake.kept.items() if one.phase != "answer"]
            writes: list[Ready] = [number for number, one in intake.kept.items() if one.phase == "answer"]
            pause = PAUSE if intake.kept or intake.whole or self._answer else None
        try:
            ready = select.select(reads, writes, [], pause)
        except (OSError, ValueError):
            return set()  # one of them was passed on just now
        return {*ready[0], *ready[1]}

    def _turn(self, ready: set[Ready]) -> None:
        intake = self._intake
        for descriptor in [number for number in intake.kept if number in ready]:
            intake.attend(descriptor)
        intake.expire()
        if self._answer is None:
            return
        intake.collect()
        for number, listener in enumerate(self._listeners):
            if listener in ready:
                self._accept(number, listener)
        self._answer_whole(hurry=len(intake.whole) >= MOST // 2)

    def _answer_whole(self, hurry: bool) -> None:
        whole, now = self._intake.whole, time.monotonic()
        while self._answer is not None and whole and (hurry or now - whole[0].heard >= PATIENCE):
            one = whole.popleft()
            self._intake.answer(one, self._answer.to(one))

    def _accept(self, number: int, listener: socket.socket) -> None:
        while len(self._intake.kept) >= MOST // 2 and self._intake.make_room():
            pass
        try:
            client, address = listener.accept()
        except BlockingIOError:
            return  # somebody else has taken it
        except OSError:  # for want of descriptors
            self._intake.make_room()
            self._answer_whole(hurry=True)
            return
        client.setblocking(False)
        if (one := self._intake.admit(client, address, number)) is not None:
            self._intake.whole.append(one)
