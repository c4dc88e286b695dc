"""What a worker was doing and how it ended comes in; its last words and its obituary are looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from live import environment

from devserver.diagnostics.exits import obituary
from devserver.process.scoreboard import Scoreboard
from devserver.records.messages import LastWords, Phase

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are passed on as on Linux and macOS")
DEADLINE = 20.0


@pytest.fixture
def recorder() -> Iterator[Scoreboard]:
    made = Scoreboard()
    yield made
    made.close()


def test_phases(recorder: Scoreboard) -> None:
    """A new recorder stands at the start; the phase that was entered last is the one that is read."""
    assert recorder.last_words() == LastWords("start", "")
    for phase in get_args(Phase):
        recorder.enter(phase)
        assert recorder.last_words() == LastWords(phase, "")


def test_calls(recorder: Scoreboard) -> None:
    """The oldest of those that go on is known, also to another process with the same page; each place is its own."""
    assert recorder.oldest_call() is None
    for place, since in ((0, 30.0), (1, 10.0), (2, 20.0)):
        recorder.call(place, since)
    other = Scoreboard((os.dup(recorder.descriptors[0]), os.dup(recorder.descriptors[1])))
    assert other.oldest_call() == 10.0
    for place, oldest in ((1, 20.0), (0, 20.0), (2, None)):
        recorder.call(place, 0.0)
        assert other.oldest_call() == oldest
    recorder.call(1_000_000, 5.0)
    assert other.oldest_call() == 5.0 and not other.is_retired and other.last_words().phase == "start"
    assert other.loading == "load"
    recorder.loads("init")
    assert other.loading == "init"
    other.close()


def test_retiring(recorder: Scoreboard) -> None:
    """What is admitted before the retirement is known to it, and nothing is admitted after; the phase stays."""
    recorder.enter("idle")
    other = Scoreboard()
    assert (other.retire(), other.admit()) == (False, False)
    other.close()
    assert not recorder.is_retired and recorder.admit()
    assert recorder.retire() and recorder.is_retired
    assert not recorder.admit()
    assert recorder.last_words().phase == "idle"


def test_no_files_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files have no name, so that nobody has to clear them away."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Scoreboard()
    assert list(tmp_path.iterdir()) == []
    made.close()
    with pytest.raises(OSError):
        os.fstat(made.descriptors[0])


CRASH = """
import os, sys
from devserver.process.scoreboard import Scoreboard
recorder = Scoreboard((int(sys.argv[1]), int(sys.argv[2])))
recorder.watch_crashes()
recorder.enter("run")
def deep_inside():
    {statement}
deep_inside()
"""


@POSIX
@pytest.mark.parametrize(
    ("statement", "code", "dumped"),
    [
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, True),
        ("os.abort()", -signal.SIGABRT, True),
        ("os.kill(os.getpid(), 9)", -9, False),
        ("os._exit(5)", 5, False),
    ],
)
def test_death_of_another_process(recorder: Scoreboard, statement: str, code: int, dumped: bool) -> None:
    """The parent reads what the process was doing when it ended, and after a crash in which function."""
    command = [sys.executable, "-c", CRASH.format(statement=statement), *map(str, recorder.descriptors)]
    found = subprocess.run(
        command, pass_fds=recorder.descriptors, env=environment({}), capture_output=True, timeout=DEADLINE
    )
    assert found.returncode == code
    words = recorder.last_words()
    assert words.phase == "run" and ("deep_inside" in words.dump) == dumped


@pytest.mark.parametrize(
    ("phase", "told", "inside"),
    [
        ("start", "load", " while the script was loaded"),
        ("load", "load", " while the script was loaded"),
        ("init", "init", " in init()"),
        ("run", "run", " in run()"),
        ("idle", "run", ""),
    ],
)
def test_obituary(tmp_path: Path, phase: Phase, told: str, inside: str) -> None:
    """A death is told with the phase, the code or the signal's name, and a place in the script."""
    script = tmp_path / "score.py"
    script.write_text("import os\ndef init():\n    pass\ndef run(data):\n    os._exit(5)\n", encoding="utf-8")
    by_code, by_signal = (obituary(LastWords(phase), code, str(script)) for code in (5, -signal.SIGSEGV))
    assert (by_code.phase, by_code.code, by_signal.code) == (told, 5, -11)
    assert by_code.error is not None and by_signal.error is not None
    assert by_code.error.message == f"the worker exited with code 5{inside}"
    assert f"the worker died{inside}: SIGSEGV" in by_signal.error.message
    assert (by_code.error.path, by_code.error.line) == (str(script), 5)


def test_obituary_of_what_was_told() -> None:
    """An end that the worker has told itself is not told again."""
    assert obituary(LastWords("told"), 1, "score.py").error is None
