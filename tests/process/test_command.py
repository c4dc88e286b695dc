"""Commands of a few milliseconds, and their output, come in; how they end, and the line that says why, is looked at."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from live import DEADLINE, GLANCE, is_alive

from devserver.process.command import Command, environment, first_failing_line
from devserver.records.commands import CommandRan

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="lines for a shell of POSIX")
ENVIRON = os.environ if sys.platform == "win32" else {"PATH": "/usr/bin:/bin"}


def python(folder: Path, text: str) -> str:
    """A line, for whatever shell, that runs this script."""
    (folder / "script.py").write_text(text, "utf-8")
    return f'"{sys.executable}" script.py'


def run(text: str, folder: Path, limit: float = 30.0) -> tuple[CommandRan | None, bytes]:
    shown: list[bytes] = []
    ran = Command(text, environment(ENVIRON, "127.0.0.1:9"), str(folder), shown.append).run(limit)
    return ran, b"".join(shown)


@POSIX
@pytest.mark.parametrize(
    ("text", "code", "output", "line"),
    [
        ("echo $AZMLINFSRV_URL $AZMLINFSRV_PORT", 0, b"http://127.0.0.1:9 9\n", ""),
        ("pwd; exit 3", 3, None, None),
        ("echo out; echo wrong >&2; false", 1, b"out\nwrong\n", "wrong"),
        ("kill -15 $$", 143, b"", ""),
        ("no-such-command-here", 127, None, None),
    ],
)
def test_how_it_ends(tmp_path: Path, text: str, code: int, output: bytes | None, line: str | None) -> None:
    """With the shell's exit code, and all that it has written."""
    ran, shown = run(text, tmp_path)
    assert ran is not None and (ran.exit_code, ran.ok, ran.command) == (code, code == 0, text)
    assert output is None or shown == output
    assert line is None or ran.line == line


def test_whatever_the_shell(tmp_path: Path) -> None:
    """Both streams are told, and the shell's exit code is that of the command."""
    told = "import os, sys; print(os.environ['AZMLINFSRV_PORT'], flush=True); print('wrong', file=sys.stderr)"
    ran, shown = run(python(tmp_path, f"{told}; sys.exit(3)"), tmp_path)
    assert ran is not None and (ran.exit_code, ran.line) == (3, "wrong")
    assert sorted(shown.split()) == [b"9", b"wrong"]
    ran, shown = run("echo one&& echo two", tmp_path)
    assert ran is not None and ran.ok and shown.split() == [b"one", b"two"]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Nothing is started, and that is said."""
    ran, _ = run("true", tmp_path / "gone")
    assert ran is not None and ran.exit_code == 127 and "gone" in ran.line


def test_a_child_that_keeps_the_output_open(tmp_path: Path) -> None:
    """It is ended with the command, and nobody waits for it."""
    sleeper = "[sys.executable, '-c', 'import time; time.sleep(300)']"
    leaves = f"import subprocess, sys; print('done', subprocess.Popen({sleeper}).pid)"
    ran, shown = run(python(tmp_path, leaves), tmp_path)
    done, pid = shown.split()
    assert ran is not None and ran.ok and done == b"done" and ran.seconds < 20
    end = time.monotonic() + DEADLINE
    while is_alive(int(pid)) and time.monotonic() < end:
        time.sleep(GLANCE)
    assert not is_alive(int(pid))


def test_it_is_cut_off_or_cancelled(tmp_path: Path) -> None:
    """Also when it does not want to end."""
    stays = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    ran, _ = run(python(tmp_path, stays), tmp_path, limit=0.5)
    assert ran is not None and ran.exit_code == 124 and "was cut off" in ran.outcome
    started = threading.Event()
    command = Command(python(tmp_path, stays), ENVIRON, str(tmp_path), None, started=lambda _: started.set())
    threading.Thread(target=lambda: started.wait(20) and command.cancel()).start()
    assert command.run(60) is None


PYTEST = b"""
=================================== FAILURES ===================================
__________________________________ test_score __________________________________
    def test_score():
>       assert 1 == 2  # an error
E       assert 1 == 2

tests/test_score.py:2: AssertionError
=========================== short test summary info ============================
\x1b[31mFAILED\x1b[0m tests/test_score.py::test_score - assert 1 == 2
1 failed in 0.01s
"""


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (PYTEST, "FAILED tests/test_score.py::test_score - assert 1 == 2"),
        (PYTEST.split(b"=== short")[0], "tests/test_score.py:2: AssertionError"),
        (b"Traceback:\n  File 'x', line 1\n    raise error\nurllib.error.HTTPError: HTTP Error 500\nlast\n",
         "urllib.error.HTTPError: HTTP Error 500"),
        (b"1..2\nok 1\nnot ok 2 - it\n# error\n", "not ok 2 - it"),
        (b"src/a.c:3:1: error: no\nmake: *** [x] Error 2\n", "src/a.c:3:1: error: no"),
        (b"curl: (22) The URL returned error: 500\nbye\n", "curl: (22) The URL returned error: 500"),
        (b"one\ntwo\n\n", "two"),
        (b"", ""),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
    ],
)  # fmt: skip
def test_the_line_that_says_what_failed(output: bytes, line: str) -> None:
    """Of many lines the one that a person would look for."""
    assert first_failing_line(output) == line
