"""Scripts that hang, crash, refuse to end and leave children behind: the tool lives on, and the next save works."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
from live import PATIENCE, WINDOWS, Answer, is_alive
from loop import SERVERS, Loop, answering

both = pytest.mark.parametrize("server", SERVERS)
# seconds for an answer that waits for nothing but a reload, also on a busy machine
PROMPT = PATIENCE * (15.0 if WINDOWS else 4.0)
HOLD_THE_LOCK = "sum(range(10**12))"  # C code that does not let go of the interpreter


def in_run(statement: str, top: str = "") -> str:
    """A script of which run() says that it has begun, and then does this."""
    return f"{top}\ndef init(): pass\ndef run(data):\n    open('began', 'w').close()\n    {statement}\n"


def began(loop: Loop) -> None:
    loop.wait_until((loop.project / "began").exists, "the script has begun")


def assert_prompt(loop: Loop, value: object) -> None:
    """The script that answers with this is saved, and answers."""
    begun = time.monotonic()
    loop.save("score.py", answering(value))
    assert loop.ask().json() == value
    assert time.monotonic() - begun < PROMPT


def cut_off(request: Future[Answer]) -> bool:
    """Whether the connection ended without an answer."""
    return isinstance(request.exception(), (OSError, HTTPException))


@both
@pytest.mark.parametrize("statement", ["while True: pass", HOLD_THE_LOCK])
def test_run_never_ends(tmp_path: Path, server: str, statement: str) -> None:
    """New requests do not wait for a run() that never ends, and it is cut off when its time is over."""
    arguments = ("--graceful_timeout", "0.5")
    with Loop(tmp_path, *arguments, score=in_run(statement), server=server) as loop, ThreadPoolExecutor() as pool:
        request = pool.submit(loop.ask)
        began(loop)
        assert_prompt(loop, 2)
        loop.wait_for("overran", generation=1)
        if not WINDOWS:  # where nothing can be asked for its stacks
            assert "was at score.py:5" in loop.wait_for("note")["text"]
        assert cut_off(request)
        assert loop.ask().json() == 2


@both
def test_loading_never_ends(tmp_path: Path, server: str) -> None:
    """A save does not wait for a load that never ends, and a request that waited is answered by the new code."""
    begin = "open('began', 'w').close()"
    never = ("while True: pass", HOLD_THE_LOCK, "import time; time.sleep(1000)")
    scripts = [f"{begin}\n{statement}\n{answering(1)}" for statement in never]
    scripts += [answering(1, init=f"{begin}\n    {statement}") for statement in never]
    with Loop(tmp_path, score=scripts.pop(), server=server, until="listening") as loop, ThreadPoolExecutor() as pool:
        for number in range(6):
            began(loop)
            waiting = pool.submit(loop.ask)
            assert_prompt(loop, number)
            assert waiting.result().json() == number
            (loop.project / "began").unlink()
            if scripts:
                loop.save("score.py", scripts.pop())
        assert not loop.count("overran")


IGNORES = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
THREADS = """
import threading, time
def work():
    while True:
        time.sleep(0.01)
threading.Thread(target=work).start()
"""


@both
@pytest.mark.parametrize("top", [IGNORES, THREADS])
def test_nothing_in_flight_but_unwilling_to_end(tmp_path: Path, server: str, top: str) -> None:
    """A generation that ignores SIGTERM, or has threads of its own, ends soon, and nobody is told of work in flight."""
    score = f"import os\n{top}\ndef init(): pass\ndef run(data): return os.getpid()\n"
    with Loop(tmp_path, score=score, server=server) as loop:
        pid = loop.ask().json()
        assert_prompt(loop, 2)
        loop.wait_until(lambda: not is_alive(pid), "the old worker is gone", PROMPT)
        assert not loop.count("overran")


CHILDREN = """
import multiprocessing, os, subprocess, sys, time
from concurrent.futures import ProcessPoolExecutor

def daemon():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
        os.write(writing, b"%d" % pid)
        os._exit(0)
    os.wait()
    return int(os.read(reading, 20))

def deaf():
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)

def init():
    global pids, pool, executor, other
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    pids = [subprocess.Popen(command, start_new_session=own).pid for own in (False, True)]
    pids.append(subprocess.Popen(["setsid", "sleep", "1000"], env={}).pid)
    context = multiprocessing.get_context("fork")
    pool = context.Pool(2)
    pids += [process.pid for process in pool._pool]
    executor = ProcessPoolExecutor(2, context)
    pids += [executor.submit(os.getpid).result()]
    other = context.Process(target=deaf)
    other.start()
    pids += [other.pid, daemon()]

def run(data):
    return [os.getpid(), *pids]
"""


@both
def test_children_of_the_script(tmp_path: Path, server: str) -> None:
    """Processes that the script started, however, are gone soon after their generation; those of the next one live."""
    # Python itself waits at its end for a child that ignores SIGTERM: as long as the tool allows
    with Loop(tmp_path, "--graceful_timeout", "0.5", score=CHILDREN, server=server) as loop:
        for number in range(2):
            old = loop.ask().json()
            assert all(map(is_alive, old))
            loop.save("score.py", CHILDREN + f"# {number}\n")
            assert set(loop.ask().json()).isdisjoint(old)
            loop.wait_until(lambda old=old: not any(map(is_alive, old)), "all of the old generation are gone", PROMPT)
            assert all(map(is_alive, loop.ask().json()))


ENDINGS = {
    "os._exit(1)": (1, None),
    "os._exit(0)": (0, None),
    "os.abort()": (None, "SIGABRT"),
    "os.kill(os.getpid(), 9)": (None, "SIGKILL"),
    "os.kill(os.getpid(), 40)": (None, "signal 40"),
    "ctypes.string_at(0)": (None, "SIGSEGV"),
}
if WINDOWS:
    ENDINGS = {"os._exit(1)": (1, None), "os.abort()": (3, None), "os.kill(os.getpid(), 9)": (9, None)}


@both
def test_the_process_dies_while_loading(tmp_path: Path, server: str) -> None:
    """The next generation does not load that code again, and answers with what is known."""
    with Loop(tmp_path, score=answering(0), server=server) as loop:
        for ending, how in ENDINGS.items():
            for phase, line, score in (
                ("load", 2, answering(1, top=f"import ctypes, os\n{ending}")),
                ("init", 3, answering(1, top="import ctypes, os", init=ending)),
            ):
                loop.save("score.py", score)
                answer = loop.ask()
                assert answer.status == 503
                error = answer.json()["error"]
                place = (error["phase"], error["file"], error["line"])
                assert place == (phase, str(loop.project / "score.py"), line), loop._story(f"{ending} in {phase}")
                died = [event for event in loop.events() if event["event"] == "died"][-1]
                assert (died["exit_code"], died["signal"], died["holding"]) == (*how, True)
        assert_prompt(loop, 2)


@both
def test_the_process_dies_in_run(tmp_path: Path, server: str) -> None:
    """The request is lost; the same code is started again and answers the others."""
    score = "import ctypes, os\ndef init(): pass\ndef run(data):\n    if data == '1':\n        {}\n    return 2\n"
    with Loop(tmp_path, score=answering(1), server=server) as loop, ThreadPoolExecutor() as pool:
        for ending, how in ENDINGS.items():
            loop.save("score.py", score.format(ending))
            assert cut_off(pool.submit(loop.ask, "1"))
            assert loop.ask("0").json() == 2
            died = [event for event in loop.events() if event["event"] == "died"][-1]
            assert (died["exit_code"], died["signal"], died["phase"]) == (*how, "run")
        assert_prompt(loop, 3)


@both
def test_exits_that_are_exceptions(tmp_path: Path, server: str) -> None:
    """sys.exit() and KeyboardInterrupt are errors like others, wherever they are raised."""
    with Loop(tmp_path, score="import sys\nsys.exit(3)\n", server=server, until="not_ready") as loop:
        assert loop.ask().json()["error"]["type"] == "SystemExit"
        loop.save("score.py", answering(1, init="raise KeyboardInterrupt"))
        assert loop.ask().json()["error"]["type"] == "KeyboardInterrupt"
        loop.save("score.py", in_run("raise SystemExit(0)"))
        assert [loop.ask().status for _ in range(2)] == [500, 500]
        assert not loop.count("died")
        assert_prompt(loop, 2)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_is_killed(tmp_path: Path, workers: int) -> None:
    """A worker that the system kills, for want of memory perhaps, is told of and replaced."""
    score = "import os\ndef init(): pass\ndef run(data): return os.getpid()\n"
    with Loop(tmp_path, "--worker_count", str(workers), score=score) as loop:
        os.kill(loop.ask().json(), 9)
        died = loop.wait_for("died")
        how = (9, None) if WINDOWS else (None, "SIGKILL")
        assert (died["exit_code"], died["signal"], died["phase"], died["holding"]) == (*how, "run", False)
        loop.wait_for_nth("ready", 2)
        assert loop.ask().status == 200


def test_a_crash_loop_costs_nothing(tmp_path: Path) -> None:
    """Code that dies a moment after each start is started less and less often; the save that repairs it is prompt."""
    # not at once: the end of a process of Windows may wait for ever for a lock that its main thread has at that moment
    score = answering(1, init="threading.Timer(0.3, os._exit, [7]).start()", top="import os, threading")
    with Loop(tmp_path, score=score, until="listening") as loop:
        loop.wait_for_nth("died", 5)
        deaths = [event for event in loop.events() if event["event"] == "died"]
        pauses = [event["again_in"] for event in deaths]
        assert pauses[:5] == sorted(pauses[:5])
        assert pauses[4] >= 2
        assert_prompt(loop, 2)
