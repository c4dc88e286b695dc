"""The command in a terminal: what keys do, and who has the keyboard."""

from __future__ import annotations

import signal
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from at_terminal import AtTerminal, InBackground
from live import DEADLINE
from loop import Loop, answering

from devserver.lifecycle import ReloadAsked, StopAsked
from devserver.records.messages import Look
from devserver.supervisor import keys


def test_what_is_pressed() -> None:
    """Each key means one thing; a pasted text, an arrow and a key that means nothing ask for nothing."""
    assert keys.meaning(b"R") == (ReloadAsked(cold=True),)
    assert keys.meaning(b"qq") == (StopAsked(),)
    assert keys.meaning(b"w") == (Look("watched"),)
    for nothing in (b"request", b"\x1b[A", b"x", b"\xff", b"\n"):
        assert keys.meaning(nothing) == ()


def test_keys_in_a_terminal(tmp_path: Path) -> None:
    """Every key does what the help says, and the terminal is as before at the end."""
    files = {"one.json": "{}"}
    with AtTerminal(tmp_path, "--request", "one.json", score=answering(1), files=files) as loop:
        loop.sees("press h")
        loop.wait_for("replayed")
        assert not loop.mode()[3] & (termios.ECHO | termios.ICANON)
        loop.press("h")
        loop.sees("full traceback of the last error")
        loop.press("w")
        loop.sees("code           score.py")
        loop.press("t")
        loop.sees("there was no error yet")
        loop.press("r")
        assert loop.wait_for_nth("sample", 2)["difference"] == []
        loop.save("score.py", answering(1, init="int('x')"))
        loop.wait_for("not_ready")
        loop.press("t")
        loop.sees("Traceback (most recent call last):")
        loop.save("score.py", answering(2))
        loop.wait_for_nth("ready", 2)
        loop.press("R")
        assert loop.wait_for_nth("ready", 3)["generation"] == 4
        loop.press("c")
        loop.sees("\x1b[2J")
        assert not loop.mode()[3] & (termios.ECHO | termios.ICANON)
        loop.press("q")
        assert loop.process.wait(20) == 0
        assert loop.mode() == loop.before


BREAKPOINT = """
def init():
    pass

def run(data):
    secret = 6
    breakpoint()
    answer = secret * 7
    return answer
"""
STOPPED = "-> breakpoint()" if sys.version_info >= (3, 13) else "-> answer = secret * 7"


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_a_breakpoint_has_the_keyboard(tmp_path: Path, server: str) -> None:
    """One steps, prints and continues; keys mean nothing meanwhile; the client is answered; a save reloads."""
    with AtTerminal(tmp_path, score=BREAKPOINT, server=server) as loop, ThreadPoolExecutor() as pool:
        for number in (1, 2):
            client = pool.submit(loop.ask)
            loop.wait_for_nth("keyboard", 2 * number - 1)
            loop.sees(STOPPED, number)
            if sys.version_info >= (3, 13):
                loop.press("n\n")
                loop.sees("-> answer = secret * 7", number)
            loop.press("n\n")
            loop.sees("-> return answer", number)
            loop.press("p ('answer', answer)\n")
            loop.sees("('answer', 42)", number)
            assert "- ('answer', 42)" not in loop.output()
            assert loop.count("keyboard") == 2 * number - 1
            loop.press("c\n")
            assert client.result(20).json() == 42
            assert loop.wait_for_nth("keyboard", 2 * number)["lent"] is False
        loop.save("score.py", answering(43))
        assert loop.ask().json() == 43
        loop.press("h")
        loop.sees("what is watched")
        assert loop.count("stopping") == 0


def test_input_has_the_keyboard(tmp_path: Path) -> None:
    """input() in run() reads a line that looks like keys."""
    score = "def init(): pass\ndef run(data):\n    return input('name? ')\n"
    with AtTerminal(tmp_path, score=score) as loop, ThreadPoolExecutor() as pool:
        client = pool.submit(loop.ask)
        loop.sees("name? ")
        loop.wait_for("keyboard", lent=True)
        loop.press("q\n")
        assert client.result(20).json() == "q"
        loop.wait_for("keyboard", lent=False)
        assert loop.count("stopping") == 0


def test_a_save_leaves_a_breakpoint_alone_and_says_so(tmp_path: Path) -> None:
    """A save while a debugger has the keyboard is served at once; the old code ends when it goes on; then keys work."""
    with (
        AtTerminal(tmp_path, "--graceful_timeout", "0.2", score=BREAKPOINT) as loop,
        ThreadPoolExecutor() as pool,
    ):
        client = pool.submit(loop.ask)
        loop.sees(STOPPED)
        loop.save("score.py", answering(43))
        loop.wait_for("ready", generation=2)
        loop.sees("waits for the keyboard")
        assert loop.ask().json() == 43
        loop.press("c\n")
        assert client.result(20).json() == 42
        loop.wait_for("keyboard", lent=False)
        loop.wait_until(lambda: not loop.mode()[3] & (termios.ECHO | termios.ICANON), "the keys are the tool's")
        loop.press("h")
        loop.sees("what is watched")


def test_a_time_limit_ends_a_breakpoint_and_says_so(tmp_path: Path) -> None:
    """The limit of run() counts for a debugger, too: the client and the terminal are told, and keys work again."""
    env = {"SCORING_TIMEOUT_MS": "400"}
    with AtTerminal(tmp_path, score=BREAKPOINT, env=env) as loop, ThreadPoolExecutor() as pool:
        assert pool.submit(loop.ask).result(20).status == 500
        loop.wait_for("keyboard", lent=False)
        assert "400 ms" in loop.wait_for("request_failed")["error"]["message"]
        loop.press("h")
        loop.sees("what is watched")


def test_the_terminal_after_kill(tmp_path: Path) -> None:
    """Even kill -9 leaves a terminal that shows what is typed."""
    with AtTerminal(tmp_path, score=answering(1)) as loop:
        assert not loop.mode()[3] & termios.ECHO
        loop.process.send_signal(signal.SIGKILL)
        loop.process.wait(20)
        loop.wait_until(lambda: loop.mode() == loop.before, "the terminal is as before")


CLOSED_INPUT = """
import os, sys
os.close(0)
os.execv(sys.executable, [sys.executable, "-m", "devserver", *sys.argv[1:]])
"""


def test_without_a_terminal(tmp_path: Path) -> None:
    """A closed stdin does no harm, and nobody is told of keys that are not there."""
    loop = Loop(tmp_path, score=answering(1))
    loop._argv[:3] = [sys.executable, "-c", CLOSED_INPUT]
    with loop:
        assert loop.ask().json() == 1
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2
        assert "press h" not in loop.output()


def test_a_start_in_the_background(tmp_path: Path) -> None:
    """Keys are the shell's until `fg`, and again when it takes the keyboard back; the settings are always right."""
    with InBackground(tmp_path, score=answering(1)) as loop:
        assert loop.mode() == loop.before and "press h" not in loop.output()
        for times in (1, 2):
            loop.foreground(True)
            loop.wait_until(lambda: loop.mode() != loop.before, "keys are read one by one")
            loop.press("h")
            loop.sees("[azmlinfsrv] keys:", times)
            loop.foreground(False)
            loop.wait_until(lambda: loop.mode() == loop.before, "the shell has the keyboard")
        loop.foreground(True)
        loop.press("q")
        assert loop.process.wait(DEADLINE) == 0
        assert loop.mode() == loop.before and loop.output().count("press h") == 1
