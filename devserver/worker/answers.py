"""Tells of every answered request to /score, whoever answered it: the script, the router or the app that holds.

It stands around the whole app, so that nothing that answers has to think of it. Many answers are told together: a
message for each would cost the machine more than some scripts do.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from devserver.display import blocks
from devserver.process.platform import System
from devserver.records.diagnostic import Diagnostic
from devserver.records.messages import RequestAnswered, RequestsAnswered
from devserver.serve import Wsgi

PROBLEM = "azmlinfsrv.problem"  # in the WSGI environment: the diagnostic of what was wrong with this request
PAUSE = 0.1  # seconds between two messages
MOST = 200  # requests in one message


def telling(app: Wsgi, tell: Callable[[RequestAnswered], None], base: str, problem: Diagnostic | None = None) -> Wsgi:
    """The app, of which each answer to /score is told when it has been sent; `problem` is that of all of them.

    Places in headlines are shown as seen from the folder `base`.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") != "/score":
            return app(environ, start_response)
        noted = _Answer(environ, tell, base)
        environ[PROBLEM] = problem
        body = app(environ, noted.starting(start_response))
        if isinstance(body, environ.get("wsgi.file_wrapper", ())):
            noted.close()  # the server sends the file itself, and only what is of this class
            return body
        noted.body = body
        return noted

    return answer


class _Answer:
    """One answer on its way; iterated by the server, and closed when it is sent."""

    def __init__(self, environ: dict[str, Any], tell: Callable[[RequestAnswered], None], base: str) -> None:
        self.body: Iterable[bytes] = ()
        self._environ = environ
        self._tell = tell
        self._base = base
        self._begun = time.perf_counter()
        self._status = 500
        self._size = self._sent = 0

    def starting(self, start_response: Callable[..., Any]) -> Callable[..., Any]:
        def started(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            self._status = int(line.split(None, 1)[0])
            self._size = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
            return start_response(line, headers, *rest)

        return started

    def __iter__(self) -> Iterator[bytes]:
        for part in self.body:
            self._sent += len(part)
            yield part

    def close(self) -> None:
        milliseconds = (time.perf_counter() - self._begun) * 1000
        close = getattr(self.body, "close", None)
        try:
            if close is not None:
                close()  # with it the problem is described
        finally:
            self._tell(self._told(milliseconds))

    def _told(self, milliseconds: float) -> RequestAnswered:
        environ = self._environ
        query, problem = environ.get("QUERY_STRING", ""), environ[PROBLEM]
        return RequestAnswered(
            method=environ["REQUEST_METHOD"],
            target=f"/score?{query}" if query else "/score",
            status=self._status,
            milliseconds=milliseconds,
            size=self._sent or self._size,
            headline=None if problem is None else blocks.headline(problem, cwd=self._base),
        )


class Together:
    """Tells answers together: the first at once, what comes soon after it when a pause is over.

    Safe from any thread, and in each process that is forked from the one that made it.
    """

    def __init__(self, tell: Callable[[RequestsAnswered], None]) -> None:
        self._tell = tell
        self._begin()
        System.after_fork(self._begin)
        atexit.register(self._flush)

    def _begin(self) -> None:
        self._change = threading.Condition()
        self._waiting: list[RequestAnswered] = []
        self._next = 0.0  # when the next message may be sent
        self._thread: threading.Thread | None = None

    def __call__(self, request: RequestAnswered) -> None:
        with self._change:
            self._waiting.append(request)
            if time.monotonic() >= self._next or len(self._waiting) >= MOST:
                self._flush_now()
            elif self._thread is None:
                self._thread = threading.Thread(target=self._flush_later, daemon=True, name="answers")
                self._thread.start()
            elif len(self._waiting) == 1:
                self._change.notify()

    def _flush_later(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting)
                pause = self._next - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            self._flush()

    def _flush(self) -> None:
        with self._change:
            if self._waiting:
                self._flush_now()

    def _flush_now(self) -> None:
        told, self._waiting = tuple(self._waiting), []
        self._next = time.monotonic() + PAUSE
        self._tell(RequestsAnswered(told))
