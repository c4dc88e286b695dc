"""init() takes what only one process can have, and a request is in flight at the save."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live import WINDOWS
from loop import SERVERS, Loop

LOCK = """
import os, time
held = None
try:
    import fcntl
    def take(file): fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except ImportError:
    import msvcrt
    def take(file): msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
def init():
    global held
    held = open("lock", "w")
    {take}

def run(data):
    if data == "1":
        open("began", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    return {value}
"""
TAKES = {
    "a lock": "take(held)",
    "an end": "try: take(held)\n    except OSError: os._exit(7)",
}
DONE = 30.0 if WINDOWS else 5.0  # seconds


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("take", [TAKES["a lock"], TAKES["an end"]], ids=["raises", "exits"])
def test_init_takes_a_lock(tmp_path: Path, server: str, take: str) -> None:
    """503 while the old code answers what it has, and the new code as soon as that is done; the terminal says so."""
    score = LOCK.replace("{take}", take)
    patience = ("--graceful_timeout", "60")  # two starts take as long as that where they are slow
    with Loop(tmp_path, *patience, score=score.format(value=1), server=server) as loop, ThreadPoolExecutor() as pool:
        old = pool.submit(loop.ask, "1")
        loop.wait_until((loop.project / "began").exists, "run() has begun")
        loop.save("score.py", score.format(value=2))
        assert loop.wait_for("not_ready")["again"]
        words = "tried again when the code from before the save has ended"
        loop.wait_until(lambda: words in loop.output(), "the terminal says so")
        assert loop.ask().status == 503
        (loop.project / "go").touch()
        assert old.result(DONE).json() == 1
        loop.wait_for("restarting", retry=True)
        loop.wait_for_nth("ready", 2)
        assert loop.ask().json() == 2
        assert loop.count("ready") == 2 and loop.count("not_ready") == 1


@pytest.mark.parametrize("server", SERVERS)
def test_what_fails_alone_is_not_tried_again(tmp_path: Path, server: str) -> None:
    """It fails with the old code, without it, and also where it has taken something before it failed: no more."""
    score = LOCK.replace("{take}", "take(held)")
    fails = score.replace("take(held)", "take(held); raise RuntimeError('no')")
    with Loop(tmp_path, score=score.format(value=1), server=server) as loop:
        loop.save("score.py", fails.format(value=2))
        loop.wait_for("not_ready")
        loop.wait_for("not_ready", again=False)
        told = loop.ask().json()["error"]
        assert (told["type"], told["message"]) == ("RuntimeError", "no")
        assert loop.count("not_ready") <= 2 and loop.count("restarting") <= 2
        loop.save("score.py", score.format(value=3))
        loop.wait_until(lambda: loop.ask().status == 200, "the new code answers")
        assert loop.ask().json() == 3
