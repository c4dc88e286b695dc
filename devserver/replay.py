"""Samples and where to send them come in; what was answered, and how it differs from the last time, goes out."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from devserver.changes import ChangeSet, Role
from devserver.config import Config
from devserver.replies import KEPT, Reply, difference
from devserver.samples import REPLAY_HEADER, ReplayReport, Sample, SampleSent, Unusable, read_sample

LIMIT = 30.0  # seconds for one answer where run() has no limit of its own
GRACE = 3.0  # seconds more than the limit of run(), so that the server's own answer to it arrives
SHOWN = 1 << 16  # characters of an answer that are told


class NoAnswer(Exception):
    """The sample was not answered; `str(error)` is one line for the person."""


Send: TypeAlias = Callable[[Sample, float], Reply]
"""Sends one sample; the number is how many seconds it may take. Errors: `NoAnswer`."""


def send_all(
    samples: Iterable[Sample | Unusable], send: Send, limit: float, answers: dict[str, Reply]
) -> Iterator[SampleSent]:
    """What came of each, one after the other.

    `answers` are the last ones by name: they are compared with, and brought up to date.
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
    before = answers.get(sample.name)
    answers[sample.name] = reply
    text = reply.text
    return SampleSent(
        **facts,
        status=reply.status,
        milliseconds=milliseconds,
        size=reply.size,
        content_type=reply.content_type,
        answer=None if text is None else text[:SHOWN],
        difference=None if before is None else difference(before, reply),
    )


def limit_of(config: Config) -> float:
    """Seconds that a sample may take: what the person has set as limit of run(), else `LIMIT`."""
    given = config.scoring_timeout_ms if "scoring_timeout_ms" in config.sources else 0
    return given / 1000 + GRACE if given else LIMIT


# --- the two ways to send


class Wire:
    """Sends over HTTP to `address` (host:port), as the client `localhost`; `cut` ends what is under way, for good."""

    def __init__(self, address: str, mark: bool = False) -> None:
        self._address = address
        self._mark = mark
        self._socket: socket.socket | None = None
        self._is_cut = False
        self._lock = threading.Lock()

    def __call__(self, sample: Sample, limit: float) -> Reply:
        import http.client

        end = time.monotonic() + limit
        connection = http.client.HTTPConnection(self._address, timeout=limit)
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
                _shut(held)

    def cut(self) -> None:
        """From another thread."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                _shut(self._socket)


def _shut(held: socket.socket) -> None:
    try:
        held.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already


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


def to_app(app: Any) -> Send:
    """Sends to a WSGI app in this process; nothing but the app's own limit ends it."""

    def send(sample: Sample, _limit: float) -> Reply:
        from werkzeug.test import EnvironBuilder, run_wsgi_app

        builder = EnvironBuilder(
            sample.target,
            "http://localhost",
            method=sample.method,
            headers=list(sample.headers),
            data=sample.body,
            environ_base={"REMOTE_ADDR": "127.0.0.1"},
        )
        try:
            parts, status, headers = run_wsgi_app(app, builder.get_environ(), buffered=True)
            body = b"".join(parts)
        except Exception as error:
            raise NoAnswer(f"the answer broke off ({type(error).__name__}: {error})") from None
        return Reply(int(status.split()[0]), headers.get("Content-Type", ""), len(body), body[:KEPT])

    return send


# --- in the dev loop


class Replays:
    """Sends what there is to each new generation, in a thread; a newer round ends the one before.

    `deliver` gets the generation's number and a `SampleSent` or `ReplayReport`, from that thread.
    """

    def __init__(self, deliver: Callable[[int, SampleSent | ReplayReport], None]) -> None:
        self._deliver = deliver
        self._answers: dict[str, Reply] = {}
        self._remembered: Sample | None = None
        self._unsent: set[str | None] = set()  # of the round that is under way; None stands for what is remembered
        self._wire: Wire | None = None
        self._lock = threading.Lock()

    def remember(self, request: Sample) -> None:
        """This one is sent, too, from the next round on."""
        self._remembered = request

    def start(self, generation: int, changes: ChangeSet, config: Config, address: str) -> None:
        """Send to the server at `address`: everything, or where nothing but samples changed these only."""
        self.cancel()
        changed = [change.path for change in changes.changes]
        if changed and all(change.role is Role.SAMPLE for change in changes.changes):
            wanted = self._unsent.union(changed)
        else:
            wanted = {None, *config.samples}
        paths = [path for path in config.samples if path in wanted]
        remembered = self._remembered if None in wanted else None
        if not paths and remembered is None:
            return
        self._unsent = wanted
        self._wire = wire = Wire(address, mark=config.replay is not None)
        work = (generation, config, paths, remembered, wire)
        threading.Thread(target=self._run, args=work, daemon=True, name="replay").start()

    def cancel(self) -> None:
        """The generation is no longer the newest: nothing of its round is told from now on."""
        with self._lock:
            if self._wire is not None:
                self._wire.cut()
            self._wire = None

    def _run(self, generation: int, config: Config, paths: list[str], remembered: Sample | None, wire: Wire) -> None:
        import http.client  # noqa: F401  # not before it is needed, nor while a sample is timed

        begun = time.monotonic()
        read = (read_sample(path, config.request_content_type, config.base) for path in paths)
        samples = itertools.chain([remembered] if remembered else [], read)  # one after the other: they may be large
        count = failed = 0
        answers = dict(self._answers)
        for sent in send_all(samples, wire, limit_of(config), answers):
            count += 1
            failed += not sent.ok
            if not self._note(sent, wire, answers):
                return
            if sent.path is None and sent.ok and config.replay == "failed" and self._remembered is remembered:
                self._remembered = None
            self._deliver(generation, sent)
        self._deliver(generation, ReplayReport(count, failed, time.monotonic() - begun))

    def _note(self, sent: SampleSent, wire: Wire, answers: dict[str, Reply]) -> bool:
        """Whether the round still counts; if so, what it has brought does, too."""
        with self._lock:
            if self._wire is not wire:
                return False
            self._answers = dict(answers)
            self._unsent.discard(sent.path)
            return True
