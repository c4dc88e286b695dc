"""What the app tells of its work, and to whom.

The app answers as the contract says and knows nothing of the reload loop: it says what happened, and somebody else
describes it, finds a hint and passes it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import flask

from devserver.scoring.request import Request
from devserver.serve import WorkerAborted


class Report(Protocol):
    """One failure. Nothing is worked out before it is asked for, so that the answer need not wait."""

    def error_object(self) -> Mapping[str, Any]:
        """What a client on this machine is told beside the message, as JSON values."""

    def tell(self) -> None:
        """Called when the answer has been sent."""


class Reporter(Protocol):
    """Told what happens to the requests of one script; each call but `Report.tell` is made before the answer."""

    def run_begins(self) -> None:
        """run() is called next."""

    def run_ends(self) -> None:
        """run() has returned or raised."""

    def raised(self, error: BaseException, request: Request, phase: Literal["run", "server"]) -> Report:
        """run(), or the server itself, raised this."""

    def timed_out(self, error: TimeoutError, request: Request, milliseconds: int) -> Report:
        """run() was interrupted by the scoring timeout, with this exception."""

    def no_json(self, result: object, error: Exception, request: Request) -> Report:
        """run() returned what JSON cannot hold."""

    def aborted(self, error: WorkerAborted, request: Request) -> None:
        """The server ends this process, since run() has taken longer than WORKER_TIMEOUT."""

    def body_failed(self, error: Exception, request: Request, status: int) -> None:
        """The body of a streamed answer raised this; `status` is what the client got: a 500 before the first byte."""

    def odd_result(self, result: object, request: Request) -> None:
        """run() returned nothing, a tuple, or what may hold a number that JSON does not know; the answer is sent."""

    def scored(self, arguments: Mapping[str, Any], result: object, request: Request) -> None:
        """run() got these arguments and returned this, and it was made an answer of."""

    def ran(self, seconds: float, answer: flask.Response) -> None:
        """run() took so long, and this answer is its own."""

    def answered(self, request: Request, answer: flask.Response, milliseconds: float) -> None:
        """Any request but a probe, or one to nowhere, is answered like this, so long after it came."""
