"""What was ignored at the start stays ignored: nohup is meant, and a shell's `&` in a script."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from live import Server
from loop import SERVERS, Loop, answering

NUMBERS = (signal.SIGHUP, signal.SIGINT)
IGNORE = f"""import os, signal, sys
for number in {tuple(map(int, NUMBERS))}:
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])"""
SCORE = "import os\ndef init(): pass\ndef run(data): return [os.getppid(), os.getpid()]\n"


def ignoring(server: Server) -> Server:
    server._argv[:] = [sys.executable, "-c", IGNORE, *server._argv]
    return server


@pytest.mark.parametrize("server", SERVERS)
def test_in_the_loop(tmp_path: Path, server: str) -> None:
    """The tool goes on and reloads; SIGTERM still ends it."""
    with ignoring(Loop(tmp_path, score=answering(1), server=server)) as loop:
        for number in NUMBERS:
            loop.process.send_signal(number)
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2
        assert not loop.count("stopping")


@pytest.mark.parametrize("server", SERVERS)
def test_without_the_loop(tmp_path: Path, server: str) -> None:
    """All processes, as when their terminal is closed, are the same ones afterwards."""
    (tmp_path / "score.py").write_text(SCORE)
    made = Server("--entry_script", "score.py", "--server", server, folder=tmp_path)
    with ignoring(made) as plain:
        before = plain.post("/score", "{}").json()
        for number in NUMBERS:
            os.killpg(plain.process.pid, number)
        assert plain.post("/score", "{}").json() == before
        assert plain.stop() == 0
