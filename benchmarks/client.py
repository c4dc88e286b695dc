"""A port and a request come in; how many times per second it is answered goes out, as one number on stdout."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

CLOSE = b"\r\nconnection: close\r\n"
PATIENCE = 20.0  # seconds for one answer


def main() -> None:
    """Arguments: port, clients at a time, seconds, `new` or `keep`. The request's bytes are read from stdin."""
    port, clients, seconds, mode = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    request = sys.stdin.buffer.read()
    work = on_new_connections if mode == "new" else on_kept_connections
    print(rate(work, port, request, clients, seconds))


def rate(work: Callable[[int, bytes, float], int], port: int, request: bytes, clients: int, seconds: float) -> float:
    """Answers per second of so many clients side by side."""
    begun = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        counts = list(pool.map(lambda _: work(port, request, begun + seconds), range(clients)))
    return sum(counts) / (perf_counter() - begun)


def on_new_connections(port: int, request: bytes, until: float) -> int:
    """Connect, ask, read until the server closes; again and again. Returns the number of answers."""
    answers = 0
    while perf_counter() < until:
        with _connection(port) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        _check(answer)
        answers += 1
    return answers


def on_kept_connections(port: int, request: bytes, until: float) -> int:
    """Ask again on the same connection for as long as the server lets it. Returns the number of answers."""
    answers = 0
    connection: socket.socket | None = None
    while perf_counter() < until:
        connection = connection or _connection(port)
        connection.sendall(request)
        if _read_answer(connection):
            connection.close()
            connection = None
        answers += 1
    if connection is not None:
        connection.close()
    return answers


def _read_answer(connection: socket.socket) -> bool:
    """Read one answer, no more; returns whether the server is going to close the connection."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _part(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = head.lower() + b"\r\n"
    missing = int(fields.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(_part(connection))
    _check(answer)
    return CLOSE in fields


def _part(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise ConnectionError("the answer was cut off")
    return part


def _connection(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _check(answer: bytes) -> None:
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"not answered with 200: {answer[:200]!r}")


if __name__ == "__main__":
    main()
