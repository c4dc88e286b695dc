"""A port in use: who has it, whether it is one of ours, and which one is free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from live import WINDOWS

from devserver.process import port_holder, sockets
from devserver.process.listener import Listener, ListenError
from devserver.process.port_holder import Holder, is_our_command, listener_in, name_of

LISTEN = (
    "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
)
PROC = pytest.mark.skipif(not sockets.are_told(), reason="only Linux has these tables")
NETSTAT = """
Aktive Verbindungen

  Proto  Lokale Adresse         Remoteadresse          Status           PID
  TCP    0.0.0.0:135            0.0.0.0:0              ABHÖREN         1044
  TCP    127.0.0.1:5001         127.0.0.1:61234        HERGESTELLT     1
  TCP    0.0.0.0:5001           0.0.0.0:0              ABHÖREN         4712
"""


@contextmanager
def listening(folder: Path, script: str = "thief.py") -> Iterator[tuple[int, int]]:
    """Another program that listens: its process and its port."""
    (folder / script).write_text(LISTEN)
    other = subprocess.Popen(
        [sys.executable, script, "--key", "SECRET"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin and other.stdout
    with other, other.stdin:
        yield other.pid, int(other.stdout.readline())


def refusal(port: int, host: str = "127.0.0.1") -> str:
    with pytest.raises(ListenError) as caught:
        Listener.bind(host, port).close()
    return str(caught.value)


@PROC
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_another_program_is_named(tmp_path: Path, host: str) -> None:
    """By script, process and folder; its arguments, which may hold a key, are not shown."""
    with listening(tmp_path) as (pid, port):
        told = refusal(port, host)
        assert told.endswith(f"or stop the program that listens on it: thief.py (pid {pid}, in {tmp_path})")
        assert "SECRET" not in told
        free = int(told.partition("(--port ")[2].partition(" is free)")[0])
    assert free > port


@PROC
def test_a_program_of_another_address_is_not_named(tmp_path: Path) -> None:
    """The same port of 127.0.0.2 is somebody else's, and in nobody's way."""
    with listening(tmp_path) as (_, port):
        assert port_holder.holder_of("127.0.0.2", port) is None
        Listener.bind("127.0.0.2", port).close()


def test_the_free_port_is_free_and_not_promised() -> None:
    """One that somebody has is passed over, and so is one that this tool is about to take."""
    first = port_holder.free_port("127.0.0.1", 30000)
    assert first is not None
    with closing(Listener.bind("127.0.0.1", first)):
        second = port_holder.free_port("127.0.0.1", 30000)
        assert second is not None and second > first
        third = port_holder.free_port("127.0.0.1", 30000, [second])
        assert third is not None and third > second
    assert port_holder.free_port("127.0.0.1", 65535) is None


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (Holder("nginx", 7), "the program that listens on it: nginx (pid 7)"),
        (Holder("azmlinfsrv", 7, "/p", is_ours=True), "the other azmlinfsrv that listens on it (pid 7, in /p)"),
        (Holder(user="root"), "the program of the user root that listens on it"),
    ],
)
def test_words(holder: Holder, words: str) -> None:
    """What of it is known is said."""
    assert str(holder) == words


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/python3 -m http.server 5001", "python3 -m http.server"),
        ("/usr/bin/python3 -u /home/me/serve.py x", "python3"),
        ("python3 /home/me/serve.py x", "serve.py"),
        ("/usr/sbin/nginx -g daemon", "nginx"),
        ("python", "python"),
        ("", ""),
    ],
)
def test_names(command: str, name: str) -> None:
    """A Python program is called by its script or module."""
    assert name_of(command.split()) == name


def test_ours_is_told_from_the_other_of_this_name(tmp_path: Path) -> None:
    """The script of the command says which one it is; `-m devserver` is ours, a folder of this name is not."""
    ours, other = tmp_path / "azmlinfsrv", tmp_path / "bin" / "azmlinfsrv"
    other.parent.mkdir()
    ours.write_text("from devserver.cli import main\n")
    other.write_text("from azureml_inference_server_http.amlserver import main\n")
    assert is_our_command(["python3", str(ours), "--reload"], "")
    assert is_our_command(["python3", "azmlinfsrv"], str(tmp_path))
    assert not is_our_command(["python3", str(other), "--entry_script", "score.py"], "")
    assert is_our_command(["python3", "-m", "devserver", "score.py"], "")
    assert not is_our_command(["python3", "serve.py", "devserver", "-m"], "")


def test_netstat() -> None:
    """What listens is found in any language; a connection of the same port is no listener."""
    assert (listener_in(NETSTAT, 5001), listener_in(NETSTAT, 135), listener_in(NETSTAT, 500)) == (4712, 1044, 0)


@pytest.mark.skipif(WINDOWS, reason="there are no such tools")
def test_tools_of_other_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc lsof and ps are asked, and without them nobody; one that hangs or fails is no answer."""
    for name, text in {"lsof": "echo p4711; echo cPython; echo f3", "ps": "echo /usr/bin/python3 -m devserver"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sockets, "are_told", lambda: False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert port_holder.holder_of("127.0.0.1", 5001) == Holder("azmlinfsrv", 4711, is_ours=True)
    (tmp_path / "ps").write_text("#!/bin/sh\nexit 1\n")
    assert port_holder.holder_of("127.0.0.1", 5001) == Holder("Python", 4711)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert port_holder.holder_of("127.0.0.1", 5001) is None


@PROC
def test_addresses_of_the_tables() -> None:
    """As they stand there on a little-endian machine."""
    if sys.byteorder == "little":
        assert sockets.numeric("0100007F") == "127.0.0.1"
        assert sockets.numeric("00000000000000000000000001000000") == "::1"
    with closing(socket.create_server(("127.0.0.1", 0))) as bound:
        rows = sockets.on_port(bound.getsockname()[1])
        assert [row.host for row in rows] == ["127.0.0.1"]
        assert sockets.holders({rows[0].inode}) == [os.getpid()]
