"""Sends the requests of the page to the server, each within a time of its own; one under way can be cut off."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from collections import OrderedDict
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from devserver.process.platform import System
from devserver.records.samples import Sample
from devserver.replay.compare import KEPT, SHOWN, Reply, difference
from devserver.replay.reader import without_framing

LIMIT = 600.0  # seconds for one answer; the person can cancel it before
CONNECT_LIMIT = 10.0  # seconds
MOST_IMAGE = 4 * 1024 * 1024  # bytes of an image that is shown
MOST_REMEMBERED = 10  # answers that later ones are compared with
MOST_AT_ONCE = 6
RUN_TIME = "x-ms-run-fn-exec-ms"
GENERATION = "x-azmlinfsrv-generation"
Json = dict[str, Any]


class Attempt:
    """One request under way. `cut` ends it from another thread."""

    def __init__(self) -> None:
        self.why_cut = ""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def hold(self, connected: socket.socket) -> None:
        with self._lock:
            self._socket = connected
            if self.why_cut:
                System.cut(connected)

    def cut(self, why: str) -> None:
        """Closes the connection; `why` is one line for the person."""
        with self._lock:
            self.why_cut = self.why_cut or why
            if self._socket is not None:
                System.cut(self._socket)


class _Adapter(HTTPAdapter):
    """Hands the socket of its connection to the attempt, so that this can close it."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **facts: Any) -> None:
        super().init_poolmanager(*arguments, **facts)
        attempt = self._attempt

        class Connection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                attempt.hold(self.sock)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        self.poolmanager.pool_classes_by_scheme = {"http": Pool}


class Trials:
    """Sends to the server at `address` (host:port), and remembers the last answers to compare with."""

    def __init__(self, address: str, limit: float = LIMIT) -> None:
        self._address = address
        self._limit = limit
        self._lock = threading.Lock()
        self._attempts: dict[str, Attempt] = {}
        self._answers: OrderedDict[bytes, Reply] = OrderedDict()

    def send(self, sample: Sample, name: str) -> Json:
        """What came of it, as JSON; `name` is how `cancel` calls it."""
        attempt = Attempt()
        with self._lock:
            if len(self._attempts) >= MOST_AT_ONCE:
                return {"problem": f"{MOST_AT_ONCE} requests are under way; cancel one first"}
            self._attempts[name] = attempt
        timer = threading.Timer(self._limit, attempt.cut, [f"no answer within {self._limit:g} s"])
        timer.daemon = True
        timer.start()
        begun = time.perf_counter()
        try:
            return {**self._ask(sample, attempt, begun), "notes": _notes(sample)}
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            problem = attempt.why_cut or f"no answer: {_reason(error)}"
            return {"problem": problem, "milliseconds": _since(begun), "notes": _notes(sample)}
        finally:
            timer.cancel()
            with self._lock:
                self._attempts.pop(name, None)

    def cancel(self, name: str) -> bool:
        """Whether it was under way."""
        with self._lock:
            attempt = self._attempts.get(name)
        if attempt is not None:
            attempt.cut("cancelled")
        return attempt is not None

    def _ask(self, sample: Sample, attempt: Attempt, begun: float) -> Json:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no .netrc: the server is on this machine
            session.headers.clear()
            session.mount("http://", _Adapter(attempt))
            headers = {name: value.encode("latin-1", "replace") for name, value in without_framing(sample.headers)}
            url = f"http://{self._address}{sample.target}"
            body = sample.body or None
            request = requests.Request(sample.method, url, headers=headers, data=body).prepare()
            with session.send(request, stream=True, timeout=(CONNECT_LIMIT, None), allow_redirects=False) as response:
                kept, size = _read(response)
            if attempt.why_cut:
                raise OSError(attempt.why_cut)
        milliseconds = _since(begun)
        reply = Reply(response.status_code, response.headers.get("Content-Type", ""), size, kept[:KEPT])
        return {
            **_shown(reply, kept),
            "milliseconds": milliseconds,
            "run_ms": response.headers.get(RUN_TIME),
            "generation": response.headers.get(GENERATION),
            "difference": self._difference(sample, reply),
        }

    def _difference(self, sample: Sample, reply: Reply) -> list[str] | None:
        """What differs from the answer before to the same request; None where there was none, or this is an error."""
        if reply.status >= 400:
            return None
        named = repr((sample.method, sample.target, sorted(sample.headers))).encode()
        key = hashlib.sha256(named + b"\0" + sample.body).digest()
        with self._lock:
            before = self._answers.pop(key, None)
            self._answers[key] = reply
            if len(self._answers) > MOST_REMEMBERED:
                self._answers.popitem(last=False)
        return None if before is None else list(difference(before, reply))


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


def _reason(error: Exception) -> str:
    """The innermost text: the libraries wrap it several times."""
    while (inner := error.__cause__ or error.__context__) is not None and isinstance(inner, Exception):
        error = inner
    return str(error) or type(error).__name__


def _read(response: requests.Response) -> tuple[bytes, int]:
    """As much of the body as may be shown, and how many bytes it has."""
    kept, size = bytearray(), 0
    for part in response.iter_content(1 << 16):
        size += len(part)
        kept += part[: MOST_IMAGE - len(kept)]
    return bytes(kept), size


def _notes(sample: Sample) -> list[str]:
    types = [value for name, value in sample.headers if name.lower() == "content-type"]
    if not sample.body or not any("json" in each.lower() for each in types):
        return []
    try:
        json.loads(sample.body)
    except (ValueError, RecursionError) as error:
        reason = "no text" if isinstance(error, UnicodeDecodeError) else str(error)
        return [f"the body is not JSON, sent as it is ({reason})"]
    return []


def _shown(reply: Reply, kept: bytes) -> Json:
    found: Json = {"status": reply.status, "content_type": reply.content_type, "size": reply.size}
    kind = reply.content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/") and reply.size == len(kept):
        return {**found, "kind": "image", "image": f"data:{kind};base64,{base64.b64encode(kept).decode()}"}
    text = reply.text
    if text is None or "\0" in text:
        return {**found, "kind": "binary"}
    pretty = _pretty(text) if reply.size == len(reply.body) else None
    whole = text if pretty is None else pretty
    is_cut = len(whole) > SHOWN or reply.size > len(reply.body)
    return {**found, "kind": "text" if pretty is None else "json", "text": whole[:SHOWN], "is_cut": is_cut}


def _pretty(text: str) -> str | None:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
