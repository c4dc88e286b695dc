"""The command where standard streams are closed, know ASCII only, or share their line; and without a folder."""

from __future__ import annotations

import re
import subprocess
from http.client import HTTPException
from pathlib import Path

import pytest
from live import COMMAND, DEADLINE, Server, environment
from loop import SERVERS, Loop, WarmLoop, answering
from mistakes import HAS_COLUMNS

CLOSED = [">&-", "2>&-", "<&-", "<&- >&- 2>&-"]
ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
BARE_ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": None, "PYTHONUTF8": "0"}


def by_shell(server: Server, line: str) -> Server:
    """It is started by this line of a shell, in which the command is "$@"."""
    server._argv[:] = ["/bin/sh", "-c", line, "sh", *server._argv]
    return server


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    """Nothing is read or written there; all the rest works, and no file of the tool's has taken its number."""
    score = answering(1, top="print('out')", init="import sys; print('err', file=sys.stderr)")
    with by_shell(Loop(tmp_path, score=score), f'exec "$@" {closed}') as loop:
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2
        assert "Traceback" not in loop.output()


@pytest.mark.parametrize("server", SERVERS)
def test_closed_streams_without_the_loop(tmp_path: Path, server: str) -> None:
    """The same."""
    (tmp_path / "score.py").write_text(answering(1, top="print('out')"))
    made = Server("--entry_script", "score.py", "--server", server, folder=tmp_path)
    with by_shell(made, f'exec "$@" {CLOSED[-1]}') as plain:
        assert plain.post("/score", "{}").json() == 1
        assert plain.stop() == 0


@pytest.mark.parametrize("env", [ASCII, BARE_ASCII], ids=["asked for", "by the locale"])
def test_a_stream_of_ascii(tmp_path: Path, env: dict[str, str | None]) -> None:
    """What it does not have is written as escapes: nothing is lost, and no print is an error."""
    score = answering("é→", top="import sys; print('caf\u00e9 \u2192'); sys.stdout.write('\u2603\\n')")
    with WarmLoop(tmp_path, "--no_keep", score=score, env=env) as loop:
        for _ in range(2):
            assert loop.ask().json() == "é→"
            loop.wait_until(lambda: r"caf\xe9 \u2192" in loop.output() and r"\u2603" in loop.output(), "it is shown")
        loop.wait_for("warm")
        loop.save("score.py", score + "# again\n")
        loop.wait_for("ready", generation=2)
        loop.wait_until(lambda: loop.output().count(r"caf\xe9") == 2, "it is shown by a warm generation, too")
        assert "Logging error" not in loop.output() and "Traceback" not in loop.output()


GO_AWAY = 'mkdir away; cd away; rmdir ../away; exec "$@"'


@pytest.mark.parametrize("loops", [True, False])
def test_the_working_directory_was_removed(tmp_path: Path, loops: bool) -> None:
    """With a whole path the script's folder takes its place, and the terminal says so."""
    project = tmp_path / "project"
    project.mkdir()
    score = project / "score.py"
    score.write_text(answering(1, top="import os, helper"))
    (project / "helper.py").touch()
    arguments = ["--entry_script", str(score), *(["--reload"] if loops else [])]
    with by_shell(Server(*arguments, folder=tmp_path), GO_AWAY) as server:
        assert server.post("/score", "{}").json() == 1
        assert f"the working directory was removed; {project} takes its place" in server.output()
        if loops:
            score.write_text(answering(2))
            assert server.post("/score", "{}").json() == 2
        assert "Traceback" not in server.output()


def test_nothing_is_left_to_begin_with(tmp_path: Path) -> None:
    """A relative path means nothing there: one line says so."""
    command = ["/bin/sh", "-c", GO_AWAY, "sh", *COMMAND, "--entry_script", "score.py", "--reload"]
    env = environment({})
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("azmlinfsrv: error: the working directory was removed")


OUT, ERR = "sys.stdout.write({0!r}); sys.stdout.flush()", "sys.stderr.write({0!r}); sys.stderr.flush()"
BYTES = "sys.stdout.buffer.write({0!r}.encode()); sys.stdout.buffer.flush()"
HALF = """
import os, sys, time
def init():
    time.sleep(0.05)
    {}
def run(data):
    {}
    if data == "1": os._exit(7)
    raise ValueError(data)
"""


def assert_whole_lines(output: str) -> None:
    """Each line of the tool's begins where a line begins."""
    assert output.count("[azmlinfsrv]") == len(re.findall(r"^\[azmlinfsrv\]", output, re.MULTILINE)), output


@pytest.mark.parametrize(("way", "unbuffered"), [(OUT, None), (ERR, "1"), (BYTES, "1")])
def test_what_the_script_leaves_unfinished(tmp_path: Path, way: str, unbuffered: str | None) -> None:
    """Our lines begin at the left edge, after text that the script has begun and not ended; also one that has died."""
    half = HALF.format(way.format("half of init()'s"), way.format("half of run()'s"))
    with Loop(tmp_path, score=half, env={"PYTHONUNBUFFERED": unbuffered}) as loop:
        loop.wait_for("warm")
        loop.save("score.py", half.replace("raise ValueError(data)", "return 1"))
        assert loop.wait_for("ready", generation=2)["kept_ms"] is not None
        with pytest.raises((OSError, HTTPException)):
            loop.ask("1")
        loop.wait_for("ready", generation=3)
        loop.save("score.py", half.replace("def run", "    1 / 0\ndef run"))
        loop.wait_for("not_ready")
    shown = loop.output()
    assert "half of init()'s\n[azmlinfsrv] ready in" in shown
    assert "half of run()'s\n[azmlinfsrv] restarting: the process died" in shown
    assert re.search(rf"^score.py:6:{5 if HAS_COLUMNS else 1}: error: ZeroDivisionError", shown, re.MULTILINE)
    assert_whole_lines(shown)


def test_no_line_is_empty_for_that(tmp_path: Path) -> None:
    """Where the script ends its lines nothing is added, also where it writes them in parts."""
    score = answering(1, top="import sys; sys.stdout.write('a '); sys.stdout.write('line\\n')", init="print('b')")
    with Loop(tmp_path, score=score) as loop:
        loop.save("score.py", score + "# again\n")
        loop.wait_for("ready", generation=2)
    assert_whole_lines(loop.output())
    begun = loop.output().index("] starting")
    assert "\n\n" not in loop.output()[begun:]


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_left_unfinished_without_the_loop(tmp_path: Path, server: str) -> None:
    """The same, in one process and in several; what waits in a buffer comes before our line."""
    (tmp_path / "score.py").write_text(HALF.format("sys.stdout.write('half of it'); 1 / 0", "pass"))
    with Server("--entry_script", "score.py", "--server", server, folder=tmp_path, until=None) as plain:
        assert plain.process.wait(DEADLINE) == 3
    headline = rf"score.py:5:{37 if HAS_COLUMNS else 1}: error: ZeroDivisionError"
    assert re.search(rf"^.*half of it\n.*{headline}", plain.output(), re.MULTILINE)
    assert_whole_lines(plain.output())
