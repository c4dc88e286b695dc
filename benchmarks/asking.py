"""A port comes in; what a client sees there goes out: answers, old and new ones, refusals and broken connections."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

REQUEST = (
    b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
PATIENCE = 60.0  # seconds for one answer
PAUSE = 0.001  # seconds between two tries


@dataclass(frozen=True)
class Reply:
    """What one request brought: `kind` is answered, refused, reset or failed; `sent` and `came` in seconds."""

    sent: float
    came: float
    kind: str
    version: int = 0


@dataclass(frozen=True)
class Troubles:
    """How many requests met what they should not."""

    refused: int = 0
    reset: int = 0
    failed: int = 0
    stale: int = 0

    def plus(self, kind: str) -> Troubles:
        """With one more of this kind."""
        return replace(self, **{kind: getattr(self, kind) + 1})

    def __add__(self, other: Troubles) -> Troubles:
        return Troubles(*map(int.__add__, asdict(self).values(), asdict(other).values()))


def ask(port: int) -> Reply:
    """One request on a connection of its own."""
    sent = time.perf_counter()
    try:
        answer = _exchange(port)
    except ConnectionRefusedError:
        return Reply(sent, time.perf_counter(), "refused")
    except (ConnectionError, EOFError):
        return Reply(sent, time.perf_counter(), "reset")
    except OSError:
        return Reply(sent, time.perf_counter(), "failed")
    came = time.perf_counter()
    version = _version(answer)
    return Reply(sent, came, "failed" if version is None else "answered", version or 0)


def _exchange(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(REQUEST)
        answer = b""
        while not _is_whole(answer):
            part = connection.recv(65536)
            if not part:
                raise EOFError
            answer += part
    return answer


def _is_whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    length = (head.lower() + b"\r\n").partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length) if length else body.endswith(b"0\r\n\r\n")


def _version(answer: bytes) -> int | None:
    """Of the JSON in a good answer, also where it came in chunks; None for any other answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head[:16] or b"}" not in body:
        return None
    return int(json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["version"])


def until_new(port: int, version: int, saved: float, limit: float) -> tuple[float | None, Troubles]:
    """Ask until this version answers: seconds since `saved`, None where it did not within `limit` seconds."""
    troubles = Troubles()
    while time.perf_counter() < saved + limit:
        reply = ask(port)
        if reply.kind == "answered" and reply.version >= version:
            return reply.came - saved, troubles
        troubles = troubles.plus("stale" if reply.kind == "answered" else reply.kind)
        time.sleep(PAUSE)
    return None, troubles


def hammer(port: int, clients: int, is_over: Callable[[], bool]) -> list[Reply]:
    """So many clients ask without a pause until it is over."""
    replies: list[Reply] = []

    def work() -> None:
        while not is_over():
            replies.append(ask(port))
            if replies[-1].kind != "answered":
                time.sleep(PAUSE)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def main() -> None:
    """Arguments: port, clients. Hammers until stdin is closed, then writes the replies to stdout as JSON."""
    waiting = threading.Thread(target=sys.stdin.read, daemon=True)
    waiting.start()
    replies = hammer(int(sys.argv[1]), int(sys.argv[2]), lambda: not waiting.is_alive())
    json.dump([[reply.sent, reply.came, reply.kind, reply.version] for reply in replies], sys.stdout)


if __name__ == "__main__":
    main()
