"""Remembers requests while they are answered, so that they can be sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import unquote

from devserver.records.messages import Remembered
from devserver.records.samples import Sample
from devserver.replay.reader import REPLAY_HEADER, SAMPLE_HEADER, without_framing

PAUSE = 0.1  # seconds
MOST_BYTES = 10 * 1024 * 1024  # of a body; a larger request is not remembered
_MARKED = "HTTP_" + REPLAY_HEADER.upper().replace("-", "_")
_SAMPLE = "HTTP_" + SAMPLE_HEADER.upper().replace("-", "_")
SAMPLE = "azmlinfsrv.sample"  # in the WSGI environment: the path of the sample file that this request is made of
Wsgi = Callable[..., Iterable[bytes]]


def remembering(app: Wsgi, tell: Callable[[Remembered], None], only_failed: bool) -> Wsgi:
    """Tells a `Remembered` for each request to /score (`only_failed`: that got a status from 500), before its answer.

    What the tool itself has sent is not told.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.pop(_MARKED, None) is not None or environ.get("PATH_INFO") != "/score":
            return app(environ, start_response)
        copy = environ["wsgi.input"] = _Copied(environ["wsgi.input"])
        status = 500

        def started(line: str, *rest: Any) -> Any:
            nonlocal status
            status = int(line.split(None, 1)[0])
            return start_response(line, *rest)

        try:
            return app(environ, started)
        finally:
            if (status >= 500 or not only_failed) and copy.size <= MOST_BYTES:
                name = "last failed request" if only_failed else "last request"
                tell(Remembered(_request(name, environ, bytes(copy.kept))))

    return answer


class Latest:
    """Tells a request at once and, of those that come soon after it, the last one when a pause is over.

    For who wants to know only what was sent last: a message for each would cost more than some scripts do.
    """

    def __init__(self, tell: Callable[[Remembered], None], pause: float = PAUSE) -> None:
        self._tell = tell
        self._pause = pause
        self._lock = threading.Lock()
        self._waiting: Remembered | None = None
        self._next = 0.0  # when the next one may be told

    def __call__(self, told: Remembered) -> None:
        with self._lock:
            left = self._next - time.monotonic()
            if left <= 0:
                self._say(told)
            elif (self._waiting is None and self._start(left)) or self._waiting is not None:
                self._waiting = told

    def _start(self, seconds: float) -> bool:
        timer = threading.Timer(seconds, self._is_over)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # the system allows no more threads
            return False
        return True

    def _is_over(self) -> None:
        with self._lock:
            if self._waiting is not None:
                self._say(self._waiting)

    def _say(self, told: Remembered) -> None:
        self._waiting, self._next = None, time.monotonic() + self._pause
        self._tell(told)


def knowing_samples(app: Wsgi, samples: Collection[str]) -> Wsgi:
    """The app, told by the key `SAMPLE` which of these files a request is made of; the header for it is taken away."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = unquote(environ.pop(_SAMPLE, ""))
        if path in samples:
            environ[SAMPLE] = path
        return app(environ, start_response)

    return answer


class _Copied:
    """A request's body that is kept while it is read."""

    def __init__(self, stream: Any) -> None:
        self.kept = bytearray()
        self.size = 0
        self._stream = stream

    def read(self, *size: int) -> bytes:
        return self._keep(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._keep(self._stream.readline(*size))

    def readlines(self, *_hint: int) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Any:
        return iter(self.readline, b"")

    def _keep(self, part: bytes) -> bytes:
        self.size += len(part)
        if self.size <= MOST_BYTES:
            self.kept += part
        return part


def _request(name: str, environ: dict[str, Any], body: bytes) -> Sample:
    query = environ.get("QUERY_STRING", "")
    headers = [(key[5:].replace("_", "-").title(), str(value)) for key, value in environ.items() if key[:5] == "HTTP_"]
    if environ.get("CONTENT_TYPE"):
        headers.append(("Content-Type", environ["CONTENT_TYPE"]))
    target = f"/score?{query}" if query else "/score"
    return Sample(name, None, environ["REQUEST_METHOD"], target, without_framing(tuple(headers)), body)
