"""Answers on bound sockets with gunicorn or waitress until told to stop; neither of the two is known to the rest."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from devserver.records.record import record

Wsgi = Callable[..., Any]
CLOSED_GATE_PAUSE = 0.004  # seconds until a closed gate is asked again

GENERATION = "x-azmlinfsrv-generation"  # the header of every answer in the dev loop


class WorkerLeaving(SystemExit):
    """Raised in a worker that was told to end, wherever it is."""


class WorkerAborted(WorkerLeaving):
    """Raised in a worker that has not answered, or not loaded, within its time."""


class AnswerFailed(Exception):
    """Raised by an app whose answer broke off, with the cause: it has been told, and the server only cuts it off."""


def is_told(error: BaseException | None) -> bool:
    """Whether the server has nothing to say about this: it was told already, or is no error."""
    return isinstance(error, (WorkerLeaving, AnswerFailed))


class Gate(Protocol):
    """Asked before a connection is accepted: open means that the code which would answer is the newest."""

    def is_open(self) -> bool: ...

    def is_over(self) -> bool:
        """True when it will never be open again: finish what was accepted, and end."""

    def turn(self) -> AbstractContextManager[object]:
        """A context in which only one worker of a generation is at a time."""


class Witness(Protocol):
    """Told what happens to workers. `worker` is the server's own object, to keep facts by."""

    def forking(self, worker: object) -> None:
        """In the parent: a worker is about to be forked."""

    def has_forked(self) -> None:
        """In the parent: it has been."""

    def forked(self, worker: object) -> None:
        """In the new worker, before anything is loaded."""

    def booted(self, worker: object) -> None:
        """In the worker, when it begins to answer."""

    def aborting(self, worker: object) -> None:
        """In the worker, inside of what took too long."""

    def ended(self, worker: object, status: int | None) -> int | None:
        """In the parent: a worker is gone, `status` as waitpid gives it, if known.

        None lets the server replace it; a number ends the server with this exit code.
        """


@record(frozen=True)
class Plan:
    """How to serve. `factory` is called in the process that will answer; times are in seconds.

    `limit_loading` makes the worker timeout count for the factory, too. Among the listeners may be the two ends of a
    `handoff`. `headers` go into every answer that the server makes by itself.
    """

    server: str
    listeners: Sequence[socket.socket]
    factory: Callable[[], Wsgi]
    workers: int = 1
    worker_timeout: int = 300
    graceful_timeout: float = 30.0
    limit_loading: bool = False
    preload: bool = False
    close_connections: bool = False
    headers: Sequence[tuple[str, str]] = ()
    gate: Gate | None = None
    witness: Witness | None = None


def serve(plan: Plan) -> int:
    """Answer until a signal ends it; returns the exit code. A forked worker leaves it by SystemExit."""
    return runner(plan.server)(plan)


def runner(server: str) -> Callable[[Plan], int]:
    """What serves with this server; afterwards nothing of it is left to import."""
    importlib.import_module("encodings.idna")  # which both ask for by name, at the latest in the first request
    if server == "gunicorn":
        from devserver.serve.with_gunicorn import run
    else:
        from devserver.serve.with_waitress import run
    return run
