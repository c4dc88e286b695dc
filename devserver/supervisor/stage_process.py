"""The supervisor's handle of an initialised stage, from when a generation may make one until it is gone."""

from __future__ import annotations

import os
import queue
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from devserver.process import threads
from devserver.process.platform import Process
from devserver.process.wire import Concerned, Ended, Forked, Initialised, KeptOrder, receive_answer, send
from devserver.records.messages import Kept
from devserver.records.reasons import Reason, Why
from devserver.supervisor.end_codes import EndCodes, ForkedProcess

ANSWER_LIMIT = 5.0  # seconds in which it decides and forks; one that does not is given up
END_LIMIT = 1.5  # seconds in which it clears away what load and init() have left
TURN = b"!"  # for the one of several workers that makes the stage
LOST = Reason(Why.LOST)


class StageProcess:
    """A stage that `generation` may make, by the descriptor of `given`; it may never come to be.

    `generations` are those that still live of the one that made it and those that came from it. Only the supervisor's
    thread uses it; the one that listens only delivers.
    """

    def __init__(self, generation: int, ready: Callable[[Kept], None]) -> None:
        self._ready = ready
        self.generations = {generation}
        self._made: Initialised | None = None
        self._is_settled = threading.Event()  # it waits for orders, or never will
        self._answers: queue.SimpleQueue[Process | Reason] = queue.SimpleQueue()
        self._codes = EndCodes()
        self._channel, self.given = socket.socketpair()
        limit = struct.pack("ll", int(ANSWER_LIMIT), 0)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._channel.send(TURN)
        self._thread: threading.Thread | None = None

    def listen(self) -> None:
        """From here on its answers are heard; where no thread can be started it never comes to be."""
        try:
            self._thread = threads.start("stage", self._listen)
        except OSError:
            self._is_settled.set()

    @property
    def _is_heard(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def made(self) -> Initialised | None:
        """What it has told of itself, while it lives."""
        return self._made if self._is_heard else None

    @property
    def kept(self) -> Kept | None:
        """What waits there, for people."""
        made = self.made
        return Kept(made.pid, made.init_ms, tuple(sorted(made.files))) if made is not None else None

    @property
    def is_lost(self) -> bool:
        """Whether it was there, and is not any more."""
        return self._made is not None and not self._is_heard

    def wait(self) -> Initialised | None:
        """What it tells of itself; None where it never came to be, or has ended."""
        self._is_settled.wait(ANSWER_LIMIT)
        return self.made

    def launch(self, order: KeptOrder, descriptors: Sequence[int]) -> Process | Reason:
        """A new generation's process, or why there is none; with `LOST` there never will be."""
        try:
            send(self._channel, order, descriptors)
            return self._answers.get(timeout=ANSWER_LIMIT)
        except (OSError, queue.Empty):
            return LOST

    def close(self) -> None:
        """It ends, when it has cleared away what it has to; the generations of it must be gone."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)  # close() alone would not wake the thread that listens

    def join(self) -> None:
        """After `close`: until it is gone."""
        if self._thread is not None:
            self._thread.join(2 * END_LIMIT)

    def _listen(self) -> None:
        process = -1
        try:
            while True:
                answer, descriptors = receive_answer(self._channel)
                match answer:
                    case Initialised():
                        self._made, process = answer, descriptors[0]
                        self._is_settled.set()
                        self._ready(Kept(answer.pid, answer.init_ms, tuple(sorted(answer.files))))
                    case Forked(pid):
                        self._answers.put(ForkedProcess(pid, descriptors[0], self._codes))
                    case Concerned(reason):
                        self._answers.put(reason)
                    case Ended(pid, code):
                        self._codes.tell(pid, code)
        except (OSError, EOFError):
            pass  # it is gone, or was closed, or never came to be
        self._codes.end()
        self._answers.put(LOST)
        self._channel.close()
        if self._made is not None and process >= 0:
            _end(self._made.pid, process)
        self._is_settled.set()


def _end(pid: int, process: int) -> None:
    """Wait for its end, and see to it; it may have become a child of ours when its parent ended."""
    if not select.select([process], [], [], END_LIMIT)[0]:
        with suppress(OSError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], END_LIMIT)
    os.close(process)
    with suppress(OSError):
        os.waitpid(pid, os.WNOHANG)
