"""No client keeps the others from being answered: silent, slow, half-finished, deaf or speaking TLS."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from live import DEADLINE, Server
from loop import Loop, answering

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn is not on Windows")
both = pytest.mark.parametrize("server", ["gunicorn", "waitress"])
modes = pytest.mark.parametrize("reload", [False, True], ids=["plain", "reload"])
QUICK = 3.0  # seconds in which an answer that nobody holds up is there, on a busy machine
HEAD = b"POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
GENERATION = "x-azmlinfsrv-generation"


@contextmanager
def serving(folder: Path, server: str, reload: bool, script: str, *arguments: str) -> Iterator[Server]:
    """The script, served with or without --reload."""
    if reload:
        with Loop(folder, *arguments, score=script, server=server) as loop:
            yield loop
        return
    (folder / "score.py").write_text(script)
    with Server("--entry_script", "score.py", "--server", server, *arguments, folder=folder) as running:
        yield running


def connect(server: Server, sent: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
    client.sendall(sent)
    return client


def read_all(client: socket.socket) -> bytes:
    found = b""
    while part := client.recv(1 << 16):
        found += part
    return found


def quick_answer(server: Server) -> object:
    begun = time.monotonic()
    answer = server.post("/score", "{}")
    assert time.monotonic() - begun < QUICK
    return answer.json()


def heard_nothing(client: socket.socket) -> bool:
    """Whether the client was neither answered nor cut off."""
    client.settimeout(0.05)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(DEADLINE)


UNFINISHED = [b"", b"P", b"POST /score HTTP/1.1\r\nHost: x\r\n", HEAD % 10, HEAD % 10 + b"12345"]
UNFINISHED += [b"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"]


@both
@modes
def test_unfinished_requests(tmp_path: Path, server: str, reload: bool) -> None:
    """Beside clients that stop anywhere in a request the others are answered; a client that goes on is, too."""
    with serving(tmp_path, server, reload, answering("ok")) as running, ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(running, sent))) for sent in UNFINISHED * 2]
        for _ in range(5):
            assert quick_answer(running) == "ok"
        assert all(heard_nothing(client) for client in clients)
        clients[4].sendall(b"67890")
        assert read_all(clients[4]).endswith(b'"ok"')
        clients[5].sendall(b"cde\r\n0\r\n\r\n")
        assert clients[5].recv(12) == b"HTTP/1.1 200"


@both
@modes
def test_tls(tmp_path: Path, server: str, reload: bool) -> None:
    """A client of https is told at once what is wrong, in one line of the log, and blocks nobody."""
    with serving(tmp_path, server, reload, answering("ok")) as running:
        for _ in range(2):
            with closing(connect(running)) as client, pytest.raises(ssl.SSLError):
                ssl._create_unverified_context().wrap_socket(client)
        with closing(connect(running, b"\x16\x03\x01\x02\x00\x01")) as client:
            assert quick_answer(running) == "ok"
            answer = read_all(client)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"This port speaks http, not https" in answer
        assert (b"\r\nx-azmlinfsrv-generation: 1\r\n" in answer) == reload
        assert running.output().count("this port speaks http, not https") == 1


@both
@modes
def test_a_client_that_does_not_take_its_answer(tmp_path: Path, server: str, reload: bool) -> None:
    """An answer that nobody reads keeps no worker, and comes whole when it is read after all."""
    script = "def init(): pass\ndef run(data):\n    return 'x' * 20_000_000 if data == 'big' else 'ok'\n"
    with serving(tmp_path, server, reload, script) as running, closing(connect(running)) as client:
        client.sendall(HEAD % 3 + b"big")
        client.recv(1)
        for _ in range(3):
            assert quick_answer(running) == "ok"
        assert len(read_all(client)) > 20_000_000


@both
@modes
def test_a_client_that_does_not_hang_up(tmp_path: Path, server: str, reload: bool) -> None:
    """A client that has its answer, also a refusal, and stays connected keeps nobody waiting."""
    with serving(tmp_path, server, reload, answering("ok")) as running, ExitStack() as stack:
        for sent in (HEAD % 2 + b"{}more", b"bad\r\n\r\n"):
            client = stack.enter_context(closing(connect(running, sent)))
            assert client.recv(12).startswith(b"HTTP/1.")
        begun = time.monotonic()
        for _ in range(3):
            quick_answer(running)
        assert time.monotonic() - begun < 1.5


@both
@modes
def test_a_slow_upload(tmp_path: Path, server: str, reload: bool) -> None:
    """A large body that comes in pieces is whole in the end; the others are answered meanwhile."""
    script = "def init(): pass\ndef run(data):\n    return len(data)\n"
    with serving(tmp_path, server, reload, script) as running, closing(connect(running, HEAD % 30_000_000)) as client:
        for _ in range(3):
            client.sendall(b"x" * 10_000_000)
            assert quick_answer(running) == 2
        assert read_all(client).endswith(b"30000000")


@both
@modes
def test_expect_continue(tmp_path: Path, server: str, reload: bool) -> None:
    """A client that waits for 100 Continue gets it, once, without a turn; the others are answered meanwhile."""
    head = (HEAD % 2).replace(b"Host", b"Expect: 100-continue\r\nHost")
    with serving(tmp_path, server, reload, answering("ok")) as running, closing(connect(running, head)) as client:
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert quick_answer(running) == "ok"
        client.sendall(b"{}")
        answer = read_all(client)
        assert answer.startswith(b"HTTP/1.1 200") and b"100 Continue" not in answer


@both
def test_a_request_that_a_save_cuts_in_two(tmp_path: Path, server: str) -> None:
    """It is answered by the new code, whoever has read its beginning; half a body in memory or in a file."""
    with Loop(tmp_path, score=answering(1), server=server) as loop, ExitStack() as stack:
        small, large = HEAD % 10 + b"12345", HEAD % 2_000_000 + b"x" * 1_000_000
        clients = [stack.enter_context(closing(connect(loop, sent))) for sent in (small, large)]
        for number in range(2, 5):
            assert loop.ask().json() == number - 1
            loop.save("score.py", answering(number))
            loop.wait_for_nth("ready", number)
        clients[0].sendall(b"67890")
        clients[1].sendall(b"x" * 1_000_000)
        for client in clients:
            assert read_all(client).endswith(b"4")


ENDS = "import os, time\ndef init(): pass\ndef run(data):\n    {end}\n    return 'old'\n"


@both
@pytest.mark.parametrize("end", ["os._exit(3)", "time.sleep(60)"])
def test_a_request_beside_one_that_ends_badly(tmp_path: Path, server: str, end: str) -> None:
    """While another request crashes the process, or hangs until it is killed, half a request is not lost."""
    script = ENDS.format(end=f"if data == 'end': {end}")
    with Loop(tmp_path, "--graceful_timeout", "0.5", score=script, server=server) as loop, ExitStack() as stack:
        half = stack.enter_context(closing(connect(loop, HEAD % 10 + b"12345")))
        assert loop.ask().json() == "old"  # by now the half one has been read
        stack.enter_context(closing(connect(loop, HEAD % 3 + b"end")))
        if "exit" in end:
            loop.wait_for("died")
        loop.save("score.py", answering("new"))
        loop.wait_for_nth("ready", 2)
        loop.wait_until(lambda: loop.ask().json() == "new", "the new code")
        half.sendall(b"67890")
        assert read_all(half).endswith(b'"new"')


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_worker_that_dies_takes_nobody_along(tmp_path: Path, count: str) -> None:
    """Without --reload, too, half a request is finished by the next worker; with two workers by any."""
    script = ENDS.format(end="if data == 'end': os._exit(3)")
    with serving(tmp_path, "gunicorn", False, script, "--worker_count", count) as running, ExitStack() as stack:
        half = stack.enter_context(closing(connect(running, HEAD % 10 + b"12345")))
        assert running.post("/score", "").json() == "old"
        with closing(connect(running, HEAD % 3 + b"end")) as client:
            assert read_all(client) == b""
        half.sendall(b"67890")
        assert read_all(half).endswith(b'"old"')


@both
@modes
def test_many_unfinished_requests(tmp_path: Path, server: str, reload: bool) -> None:
    """Beside 300 of them the others are answered."""
    with serving(tmp_path, server, reload, answering("ok")) as running, ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(running, HEAD % 10 + b"12345"))) for _ in range(300)]
        for _ in range(3):
            assert quick_answer(running) == "ok"
        clients[-1].sendall(b"67890")
        assert read_all(clients[-1]).endswith(b'"ok"')


def test_a_body_that_does_not_come_is_not_missed(tmp_path: Path) -> None:
    """gunicorn answers a request whose body nobody wants to read without it, and one that is read when it comes."""
    with serving(tmp_path, "gunicorn", False, "def init(): pass\ndef run(data): return data\n") as running:
        with closing(connect(running, (HEAD % 3).replace(b"POST /score", b"GET /"))) as client:
            assert read_all(client).endswith(b"Healthy")
        with closing(connect(running, HEAD % 3)) as client:
            time.sleep(0.6)  # its trial is over
            assert heard_nothing(client)
            client.sendall(b"abc")
            assert read_all(client).endswith(b'"abc"')


# --- answers of the servers' own


STREAM = """
import flask
def init(): pass
def run(data):
    def body():
        if data == "late": yield "begun"
        raise ValueError("stream")
    return flask.Response(body(), 201)
"""


@both
def test_a_stream_that_fails(tmp_path: Path, server: str) -> None:
    """The report has the status that the client got; there is no traceback of the server's beside it."""
    with Loop(tmp_path, score=STREAM, server=server) as loop:
        early = loop.ask("early")
        assert (early.status, early.headers[GENERATION]) == (500, "1")
        assert loop.wait_for("request_failed")["error"]["status"] == 500
        with closing(connect(loop, HEAD % 4 + b"late")) as client:
            assert read_all(client).startswith(b"HTTP/1.1 201 ")
        assert loop.wait_for_nth("request_failed", 2)["error"]["status"] == 201
        assert "gunicorn/" not in loop.output() and "waitress/" not in loop.output()


@both
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nbad\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"a: " + b"x" * 300_000 + b"\r\n\r\n", b"431"),
        (b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: other\r\n\r\n", b"501"),
    ],
)
def test_the_generation_of_a_refusal(tmp_path: Path, server: str, sent: bytes, status: bytes) -> None:
    """An answer that the server makes by itself says who made it, too; without --reload it does not."""
    for reload in (True, False):
        folder = tmp_path / str(reload)
        folder.mkdir()
        with serving(folder, server, reload, answering("ok")) as running, closing(connect(running, sent)) as client:
            answer = read_all(client)
        assert answer.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))
        assert (
            b"\r\n" + GENERATION.encode() + b": 1\r\n"
            in answer.replace(b"X-Azmlinfsrv-Generation", GENERATION.encode())
        ) == reload


@both
def test_no_folder_for_temporary_files(tmp_path: Path, server: str) -> None:
    """Neither server needs one, also for a large body."""
    program = (
        "import sys, tempfile, runpy\n"
        "tempfile._get_default_tempdir = lambda *_: (_ for _ in ()).throw(FileNotFoundError(2, 'none'))\n"
        "sys.argv = ['azmlinfsrv', *sys.argv[1:]]\n"
        "runpy.run_module('devserver', run_name='__main__')\n"
    )
    (tmp_path / "score.py").write_text(answering("ok"))
    command = (sys.executable, "-c", program)
    with Server("--entry_script", "score.py", "--server", server, folder=tmp_path, command=command) as running:
        assert running.post("/score", "{}").json() == "ok"
        assert running.post("/score", b"x" * 2_000_000).json() == "ok"
        assert "Traceback" not in running.output()


def test_clients_that_reset(tmp_path: Path) -> None:
    """A client that vanishes in the middle leaves nothing behind."""
    with serving(tmp_path, "gunicorn", False, answering("ok")) as running:
        for sent in (HEAD % 10, HEAD % 10 + b"12345", b"P"):
            client = connect(running, sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert quick_answer(running) == "ok"
        assert "Traceback" not in running.output()
