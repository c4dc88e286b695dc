"""Both ends of the wire between two processes, and the listener, are tried: records, portions, deaths, addresses."""

from __future__ import annotations

import errno
import io
import os
import pickle
import queue
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from live import environment

from devserver.config.settings import Config
from devserver.process.child import Child
from devserver.process.listener import Listener, ListenError, bind_all, listening_on, with_real_ports
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import Briefing, Inbox, Link, read_briefing
from devserver.records.messages import Gone, Listening

DEADLINE = 20.0
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the processes are started as on Linux and macOS")
BIG = 5 * getattr(select, "PIPE_BUF", 512)
WRITERS = """
import os, sys, threading
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import Link
link = Link(int(sys.argv[1]))
pids = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        def write(thread):
            for turn in range(20):
                link.send((number, thread, turn, bytes([number * 3 + thread]) * (turn * SIZE // 10)))
        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        os._exit(0)
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
link.send("end")
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe; what is still open of it is closed afterwards."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


# --- link and inbox


def test_records_in_portions(pipe: tuple[int, int]) -> None:
    """Records arrive whole and in order, however the bytes are cut; small and large ones alike."""
    chance = random.Random(5)
    records: list[object] = [None, "x", {"a": [1, b"\0"]}, "y" * 3000, b"", ("z" * 9, 2.5)]
    link, inbox, found = Link(pipe[1]), Inbox(), []
    for record in records:
        link.send(record)
    content = os.read(pipe[0], 1 << 16)
    while content:
        size = chance.randrange(1, 40)
        found += inbox.feed(content[:size])
        content = content[size:]
    assert found == records and inbox.feed(b"") == []


@POSIX
def test_many_processes_and_threads(pipe: tuple[int, int]) -> None:
    """Processes and threads that write at once, more than the pipe takes in one piece, do not mix their records."""
    code = WRITERS.replace("SIZE", str(BIG))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(pipe[1])], pass_fds=[pipe[1]], env=environment({})
    ) as process:
        os.close(pipe[1])
        inbox, found, end = Inbox(), [], time.monotonic() + DEADLINE
        while "end" not in found and time.monotonic() < end:
            assert select.select([pipe[0]], [], [], DEADLINE)[0], "silence"
            found += inbox.feed(os.read(pipe[0], 1 << 16))
        assert process.wait(DEADLINE) == 0
    assert found.pop() == "end" and len(found) == 180
    for number, thread, turn, content in found:
        assert content == bytes([number * 3 + thread]) * (turn * BIG // 10)
    for writer in {record[:2] for record in found}:
        assert [record[2] for record in found if record[:2] == writer] == list(range(20))


def test_nobody_reads(pipe: tuple[int, int]) -> None:
    """Where the reader is gone sending does nothing; it raises nothing into the script's calls."""
    os.close(pipe[0])
    link = Link(pipe[1])
    link.send("x")
    link.send(b"x" * BIG)


def test_what_a_script_writes(pipe: tuple[int, int]) -> None:
    """Bytes that are no record, since a script wrote to our descriptor, end nothing in the reader."""
    link, inbox = Link(pipe[1]), Inbox()
    assert inbox.feed(b"print to a wrong descriptor" * 40) == []
    link.send("x")
    inbox.feed(os.read(pipe[0], 1 << 16))


def test_briefing(pipe: tuple[int, int]) -> None:
    """A briefing reaches the child as it is; where the parent is gone before, that is an EOFError."""
    briefing = Briefing(3, Config(port=0, events="x"), arguments=("--port", "0"))
    assert read_briefing(io.BytesIO(pickle.dumps(briefing))) == briefing
    with pytest.raises(EOFError):
        read_briefing(io.BytesIO(b""))


# --- the parent's handle

TALK = """
import os, subprocess, sys
from devserver.process.scoreboard import Scoreboard
from devserver.process.wire import Link
link = Link(int(sys.argv[1]))
link.send("x" * 100_000)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[int(sys.argv[1])])
link.send(child.pid)
"""


@pytest.fixture
def adopted(pipe: tuple[int, int]) -> Iterator[Callable[[str], tuple[Child, queue.Queue[tuple[int, object]]]]]:
    """Run code in a process of its own group that gets the writing end; returns its handle and what it delivers."""
    started: list[subprocess.Popen[bytes]] = []

    def adopt(code: str) -> tuple[Child, queue.Queue[tuple[int, object]]]:
        heard: queue.Queue[tuple[int, object]] = queue.Queue()
        command = [sys.executable, "-c", code, str(pipe[1])]
        process = subprocess.Popen(command, pass_fds=[pipe[1]], env=environment({}), start_new_session=True)
        started.append(process)
        os.close(pipe[1])
        scoreboard = boards.enter_context(closing(Scoreboard()))
        child = Child.adopt(process, 4, scoreboard, os.dup(pipe[0]), lambda *heard_of: heard.put(heard_of))
        return child, heard

    with ExitStack() as boards:
        yield adopt
    for process in started:
        process.kill()
        process.wait(DEADLINE)


@POSIX
def test_last_records_and_the_end(adopted: Callable[[str], tuple[Child, queue.Queue[tuple[int, object]]]]) -> None:
    """All records come before the end, with the generation's number; a grandchild with the pipe is not waited for."""
    _, heard = adopted(TALK + "\nos._exit(7)")
    assert heard.get(timeout=DEADLINE) == (4, "x" * 100_000)
    number, grandchild = heard.get(timeout=DEADLINE)
    assert number == 4 and isinstance(grandchild, int)
    assert heard.get(timeout=DEADLINE) == (4, Gone(7))
    assert gone(grandchild), "a grandchild of the same group outlived the end"


@POSIX
@pytest.mark.parametrize(("act", "code"), [("retire", -signal.SIGTERM), ("kill", -9)])
def test_retire_and_kill(
    adopted: Callable[[str], tuple[Child, queue.Queue[tuple[int, object]]]], act: str, code: int
) -> None:
    """Retiring asks by SIGTERM, killing ends the whole group; doing it again later harms nobody."""
    child, heard = adopted(TALK + "\nchild.wait()")
    heard.get(timeout=DEADLINE)
    grandchild = heard.get(timeout=DEADLINE)[1]
    getattr(child, act)()
    assert heard.get(timeout=DEADLINE) == (4, Gone(code))
    assert isinstance(grandchild, int) and gone(grandchild)
    child.retire()
    child.kill()


def gone(pid: int) -> bool:
    """Whether the process ends within the deadline; one that nobody has reaped counts as ended."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            try:
                os.kill(pid, 0)
                state = "?"
            except ProcessLookupError:
                return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


# --- the listener


def test_any_port() -> None:
    """Port 0 is any free port; connections are taken from the moment it is bound."""
    with closing(Listener.bind("127.0.0.1", 0)) as listener:
        assert listener.port > 0 and listener.address == f"127.0.0.1:{listener.port}"
        socket.create_connection(("127.0.0.1", listener.port), DEADLINE).close()


@pytest.mark.parametrize("option", ["--port", "--health_port"])
@pytest.mark.parametrize(("first", "second"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_port_in_use(option: str, first: str, second: str) -> None:
    """A port that another program has, on this address or on all, is one line that names the way out."""
    with closing(Listener.bind(first, 0)) as other, pytest.raises(ListenError) as caught:
        port = other.port
        Listener.bind(second, port, option)
    assert f"port {port} is in use" in str(caught.value) and f"choose another with {option}" in str(caught.value)


def test_port_is_free_at_once() -> None:
    """After the tool's end the port can be bound again, also while old connections linger."""
    listener = Listener.bind("127.0.0.1", 0)
    port = listener.port
    with closing(socket.create_connection(("127.0.0.1", port), DEADLINE)) as client:
        client.send(b"x")
        listener.socket.accept()[0].close()
        listener.close()
        Listener.bind("127.0.0.1", port).close()


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "203.0.113.7"])
def test_bad_host(host: str) -> None:
    """A host that is none, or another machine's, is one line that names --host."""
    with pytest.raises(ListenError) as caught:
        Listener.bind(host, 0)
    assert "--host" in str(caught.value) and host in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "1024"), (errno.ENOBUFS, "cannot listen on 127.0.0.1:80")]
)
def test_other_reasons(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    """A port that only root may have, and any other refusal of the system's, are said in one line; nothing leaks."""

    def refuse(_self: socket.socket, _address: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ListenError) as caught:
        Listener.bind("127.0.0.1", 80)
    assert words in str(caught.value) and "--port" in str(caught.value)


@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
def test_ipv6(host: str) -> None:
    """IPv6 addresses work, with brackets or without; the address to call has them."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = Listener.bind(host, 0)
    except ListenError:
        pytest.skip("no IPv6 here")
    with closing(listener):
        assert listener.address == f"[::1]:{listener.port}"
        socket.create_connection(("::1", listener.port), DEADLINE).close()


def test_address_to_click() -> None:
    """Where all addresses are listened on, the one to call is this machine's."""
    with closing(Listener.bind("0.0.0.0", 0)) as listener:
        assert listener.address == f"127.0.0.1:{listener.port}"
    with closing(Listener.bind("localhost", 0)) as listener:
        assert listener.address == f"localhost:{listener.port}"


def test_threads_write_through_one_link(pipe: tuple[int, int]) -> None:
    """A link is safe from any thread while a reader takes what comes."""
    link, inbox, found = Link(pipe[1]), Inbox(), list[object]()
    threads = [threading.Thread(target=link.send, args=(str(number) * 20_000,)) for number in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + DEADLINE
    while len(found) < 8 and time.monotonic() < end:
        found += inbox.feed(os.read(pipe[0], 1 << 16))
    for thread in threads:
        thread.join(DEADLINE)
    assert sorted(map(str, found)) == [str(number) * 20_000 for number in range(8)]


# --- all that is listened on


def test_both_ports() -> None:
    """The port comes last; the configuration and the record get the ports that the system chose."""
    config = Config(host="127.0.0.1", port=0, health_port=0, separate_health=True)
    health, main = bind_all(config)
    with closing(health), closing(main):
        bound, record = with_real_ports(config, [health, main]), listening_on([health, main])
        assert (bound.port, bound.health_port) == (main.port, health.port)
        assert record == Listening("127.0.0.1", main.port, f"127.0.0.1:{main.port}", f"127.0.0.1:{health.port}")
        assert 0 not in (main.port, health.port)


def test_one_port() -> None:
    """Without a separate health port there is one listener, and the setting stays as it is."""
    config = Config(host="127.0.0.1", port=0, health_port=5000)
    [only] = bind_all(config)
    with closing(only):
        assert with_real_ports(config, [only]).health_port == 5000 and listening_on([only]).health == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::"])
def test_who_can_call(host: str) -> None:
    """What is bound to this machine alone cannot be called from outside; else its own address is told, or none."""
    try:
        listener = Listener.bind(host, 0)
    except ListenError:
        pytest.skip("there is no IPv6 here")
    with closing(listener):
        network = listener.network
        assert not network or (host in ("0.0.0.0", "::") and network.endswith(f":{listener.port}"))
        assert not network.startswith(("127.", "[::1]", "0.0.0.0", "[::]"))


def test_no_port_is_kept_when_the_other_is_taken() -> None:
    """Where the second cannot be bound, the first is given back."""
    with closing(Listener.bind("127.0.0.1", 0)) as taken, closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
        probe.close()
        config = Config(host="127.0.0.1", port=taken.port, health_port=free, separate_health=True)
        with pytest.raises(ListenError):
            bind_all(config)
        Listener.bind("127.0.0.1", free).close()
