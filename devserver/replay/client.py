"""Sends samples over HTTP, each within its time."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias
from urllib.parse import quote

from devserver.config.settings import Config
from devserver.records.samples import Sample, SampleSent, Unusable
from devserver.replay.compare import KEPT, SHOWN, Reply, difference
from devserver.replay.reader import REPLAY_HEADER, SAMPLE_HEADER

LIMIT = 30.0  # seconds for one answer where run() has no limit of its own
GRACE = 3.0  # seconds more than the limit of run(), so that the server's own answer to it arrives


class NoAnswer(Exception):
    """The sample was not answered; `str(error)` is one line for the person."""


Send: TypeAlias = Callable[[Sample, float], Reply]


def send_all(
    samples: Iterable[Sample | Unusable], send: Send, limit: float, answers: dict[str, Reply]
) -> Iterator[SampleSent]:
    """What came of each, one after the other.

    `answers` are the last good ones by name: they are compared with, and brought up to date. An error is no answer to
    compare with.
    """
    for sample in samples:
        if isinstance(sample, Unusable):
            yield SampleSent(sample.name, sample.path, "POST", "/score", problem=sample.problem)
        else:
            yield _send_one(sample, send, limit, answers)


def _send_one(sample: Sample, send: Send, limit: float, answers: dict[str, Reply]) -> SampleSent:
    facts: dict[str, Any] = {
        "name": sample.name,
        "path": sample.path,
        "method": sample.method,
        "target": sample.target,
        "notes": sample.notes,
    }
    begun = time.perf_counter()
    try:
        reply = send(sample, limit)
    except NoAnswer as problem:
        return SampleSent(**facts, problem=str(problem), milliseconds=(time.perf_counter() - begun) * 1000)
    milliseconds = (time.perf_counter() - begun) * 1000
    text = reply.text
    sent = SampleSent(
        **facts,
        status=reply.status,
        milliseconds=milliseconds,
        size=reply.size,
        content_type=reply.content_type,
        answer=None if text is None else text[:SHOWN],
    )
    if not sent.ok:
        return sent
    before = answers.get(sample.name)
    answers[sample.name] = reply
    return sent if before is None else dataclasses.replace(sent, difference=difference(before, reply))


def limit_of(config: Config) -> float:
    """Seconds that a sample may take: what the person has set as limit of run(), else `LIMIT`."""
    given = config.scoring_timeout_ms if "scoring_timeout_ms" in config.sources else 0
    return given / 1000 + GRACE if given else LIMIT


Cut: TypeAlias = Callable[[socket.socket], None]
"""Ends what another thread does on this connection."""


def shut_down(connected: socket.socket) -> None:
    """As far as this wakes a read, which on Windows it does not."""
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already


class Wire:
    """Sends over HTTP to `address` (host:port), as the client `localhost`.

    Its method `cut` ends what is under way, for good, by the function of that name.
    """

    def __init__(self, address: str, mark: bool = False, cut: Cut = shut_down) -> None:
        self.address = address
        self._end = cut
        self._mark = mark
        self._socket: socket.socket | None = None
        self._is_cut = False
        self._lock = threading.Lock()

    def __call__(self, sample: Sample, limit: float) -> Reply:
        import http.client

        end = time.monotonic() + limit
        connection = http.client.HTTPConnection(self.address, timeout=limit)
        try:
            connection.connect()
            connected = connection.sock  # the connection itself lets go of it when the answer begins
            self._hold(connected)
            self._write(connection, sample)
            connected.settimeout(_left(end))
            return _read(connection.getresponse(), connected, end)
        except TimeoutError:
            raise NoAnswer(f"no answer within {limit:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswer(f"the connection gave no answer ({str(error) or type(error).__name__})") from None
        finally:
            self._hold(None)
            connection.close()

    def _write(self, connection: Any, sample: Sample) -> None:
        connection.putrequest(sample.method, sample.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", f"localhost:{connection.port}")
        for name, value in sample.headers:
            connection.putheader(name, value.encode("latin-1", "replace"))
        if sample.path is not None:
            connection.putheader(SAMPLE_HEADER, quote(sample.path))
        if self._mark:
            connection.putheader(REPLAY_HEADER, "1")
        if sample.body or sample.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(sample.body)))
        connection.putheader("Connection", "close")
        try:
            connection.endheaders(sample.body or None)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was read to the end: the answer says why

    def _hold(self, held: socket.socket | None) -> None:
        with self._lock:
            self._socket = held
            if held is not None and self._is_cut:
                self._end(held)

    def cut(self) -> None:
        """From another thread."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                self._end(self._socket)


def _left(end: float) -> float:
    return max(0.001, end - time.monotonic())


def _read(response: Any, connected: socket.socket, end: float) -> Reply:
    kept, size = bytearray(), 0
    while part := response.read1(1 << 16):
        size += len(part)
        kept += part[: KEPT - len(kept)]
        if time.monotonic() > end:
            raise TimeoutError
        if connected.fileno() >= 0:
            connected.settimeout(_left(end))
    return Reply(response.status, response.headers.get("Content-Type", ""), size, bytes(kept))
