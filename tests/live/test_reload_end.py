"""However the tool ends, nothing is left behind: no process, no port, no setting of the terminal."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from at_terminal import AtTerminal
from loop import GONE_WITHIN, SERVERS, Loop, answering

BEGAN = "open('began', 'w').close()"
CHILD = "__import__('subprocess').Popen(['sleep', '1000'], start_new_session=True)"
UNMARKED = (
    "import os, subprocess, sys; "
    "command = [sys.executable, '-c', 'import time; time.sleep(1000)', os.environ['TEST_OF_THE_LOOP']]; "
    "subprocess.Popen(command, start_new_session=True, env={})"
)
STATES = {
    "idle": (answering(1, init=UNMARKED), "ready"),
    "in init()": (answering(1, init=f"{UNMARKED}; {BEGAN}; __import__('time').sleep(30)"), "listening"),
    "in run()": (f"def init(): {UNMARKED}\ndef run(data):\n    {BEGAN}\n    while True: pass\n", "ready"),
    "holding": (answering(1, init=f"{UNMARKED}; 1 / 0"), "not_ready"),
}


def in_state(folder: Path, state: str, server: str) -> AtTerminal:
    score, until = STATES[state]
    return AtTerminal(folder / state.replace(" ", "_"), score=score, server=server, until=until)


def reach(loop: Loop, state: str, pool: ThreadPoolExecutor) -> None:
    """Until the script is where this test wants it."""
    if state == "in run()":
        pool.submit(loop.ask)
    if state in ("in init()", "in run()"):
        loop.wait_until((loop.project / "began").exists, f"the script is {state}")


def story(pid: int) -> str:
    """What is known of a process that should be gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone by now"


def is_free(port: int) -> bool:
    """Whether somebody could listen on it now."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(("127.0.0.1", port))
            bound.listen()
        except OSError:
            return False
    return True


def assert_gone(loop: Loop, begun: float) -> None:
    assert not (left := loop.survivors()), [(pid, story(pid)) for pid in left]
    while not is_free(loop.port) and time.monotonic() - begun < GONE_WITHIN:
        time.sleep(0.02)  # a process that is just being started shows its environment late
    assert not loop.survivors() and is_free(loop.port)
    assert time.monotonic() - begun < GONE_WITHIN


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
@pytest.mark.parametrize(
    ("ending", "states"), [("Ctrl-C", STATES), ("SIGTERM", ["idle", "in init()"]), ("SIGHUP", ["in run()", "holding"])]
)
def test_an_end_that_is_asked_for(tmp_path: Path, ending: str, states: Collection[str], server: str) -> None:
    """Whatever the script does, all is gone in three seconds, with exit code 0, and the terminal is as before."""

    def end(state: str) -> None:
        with in_state(tmp_path, state, server) as loop:
            reach(loop, state, pool)
            begun = time.monotonic()
            if ending == "Ctrl-C":
                loop.press("\x03")
            else:
                loop.process.send_signal(getattr(signal, ending))
            assert loop.process.wait(GONE_WITHIN) == 0
            assert_gone(loop, begun)
            assert loop.mode() == loop.before

    with ThreadPoolExecutor() as pool:
        for result in [pool.submit(end, state) for state in states]:
            result.result()


def test_the_terminal_is_closed(tmp_path: Path) -> None:
    """The window is closed while the script is in run()."""
    with ThreadPoolExecutor() as pool, in_state(tmp_path, "in run()", "gunicorn") as loop:
        reach(loop, "in run()", pool)
        begun = time.monotonic()
        loop.hang_up()
        loop.process.wait(GONE_WITHIN)
        assert_gone(loop, begun)


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_kill_9(tmp_path: Path, server: str) -> None:
    """The tool is killed without a last word: in every state, and at random moments of a start and of a reload."""
    chance = random.Random(server)

    def end(state: str) -> None:
        with in_state(tmp_path, state, server) as loop:
            reach(loop, state, pool)
            kill(loop)
            loop.wait_until(lambda: loop.mode() == loop.before, "the terminal is as before")

    def end_somewhere(number: int) -> None:
        with Loop(tmp_path / str(number), score=answering(1, init=CHILD), server=server, until="listening") as loop:
            if number % 2:
                loop.wait_for("ready")
                loop.save("score.py", answering(2, init=CHILD))
            time.sleep(chance.random() * 0.3)
            kill(loop)

    def kill(loop: Loop) -> None:
        begun = time.monotonic()
        loop.process.kill()
        loop.process.wait()
        assert_gone(loop, begun)

    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(end, state) for state in STATES]:
            result.result()
        for result in [pool.submit(end_somewhere, number) for number in range(4)]:
            result.result()


BUSY = "open('began', 'w').close(); sum(range(10 ** 13))"  # in C, so that no other thread and no handler has a turn
HELPED = "__import__('subprocess').Popen(['sleep', '1000'])"
ALONE = {
    "idle": (answering(1, init=HELPED), "ready"),
    "in init()": (answering(1, init=f"{HELPED}; {BUSY}"), "listening"),
    "in run()": (f"def init(): {HELPED}\ndef run(data):\n    {BUSY}\n", "ready"),
    "holding": (answering(1, init=f"{HELPED}; 1 / 0"), "not_ready"),
}


@pytest.mark.parametrize("state", ALONE)
@pytest.mark.parametrize("server", SERVERS)
def test_kill_9_of_all_who_could_end_the_others(tmp_path: Path, server: str, state: str) -> None:
    """The tool and its reaper are killed at once: every process ends by itself, however busy it is."""
    score, until = ALONE[state]
    with ThreadPoolExecutor() as pool, Loop(tmp_path, score=score, server=server, until=until) as loop:
        if until == "ready":
            loop.wait_for("warm")
        reach(loop, state, pool)
        begun = time.monotonic()
        for pid in (reaper_of(loop), loop.process.pid):
            os.kill(pid, signal.SIGKILL)
        loop.process.wait()
        assert_gone(loop, begun)


@pytest.mark.parametrize("server", SERVERS)
def test_kill_9_of_all_at_any_moment(tmp_path: Path, server: str) -> None:
    """While processes start, are forked ahead or become generations, and with generations that came from others."""
    chance = random.Random(server)

    def end_somewhere(number: int) -> None:
        score = answering(1, init=HELPED)
        with Loop(tmp_path / str(number), score=score, server=server, until="listening") as loop:
            if number % 2:
                loop.wait_for("warm")
                loop.save("score.py", answering(2, init=HELPED))
            time.sleep(chance.random() * 0.6)
            begun = time.monotonic()
            for pid in (reaper_of(loop), loop.process.pid):
                os.kill(pid, signal.SIGKILL)
            loop.process.wait()
            assert_gone(loop, begun)

    with ThreadPoolExecutor(3) as pool:
        for result in [pool.submit(end_somewhere, number) for number in range(5)]:
            result.result()


def reaper_of(loop: Loop) -> int:
    """The child of the command that stays a copy of it; others are one until they are another program."""
    command = command_of(loop.process.pid)
    found: list[str] = []

    def is_alone() -> bool:
        children = Path(f"/proc/{loop.process.pid}/task/{loop.process.pid}/children").read_text().split()
        found[:] = [pid for pid in children if command_of(int(pid)) == command]
        return len(found) == 1

    loop.wait_until(is_alone, "one child is a copy of the command")
    return int(found[0])


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it is gone


def test_what_was_there_before_is_left_alone(tmp_path: Path) -> None:
    """What a shell had started before it became the command is a child of the command, and no generation's."""
    loop = Loop(tmp_path, score=answering(1, init=CHILD))
    loop._argv[:] = ["/bin/sh", "-c", 'env -i sleep 1000 & echo $! > older; exec "$@"', "sh", *loop._argv]
    with loop:
        older = int((loop.project / "older").read_text(encoding="utf-8"))
        try:
            before = set(loop.processes())
            loop.save("score.py", answering(2))
            assert loop.ask().json() == 2
            loop.wait_until(lambda: not any(map(is_sleeping, before)), "what the generation had started is gone")
            assert is_sleeping(older)
        finally:
            os.kill(older, signal.SIGKILL)


def test_the_end_of_children_may_be_ignored(tmp_path: Path) -> None:
    """Whoever starts the command may have SIGCHLD ignored, which it inherits."""
    loop = Loop(tmp_path, score=answering(1))
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    loop._argv[:] = [sys.executable, "-c", ignoring, *loop._argv]
    with loop:
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2


def is_sleeping(pid: int) -> bool:
    """Whether it is a sleep(1)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except OSError:
        return False


def test_told_twice(tmp_path: Path) -> None:
    """A second Ctrl-C does not wait for anything."""
    with ThreadPoolExecutor() as pool, in_state(tmp_path, "in run()", "gunicorn") as loop:
        reach(loop, "in run()", pool)
        begun = time.monotonic()
        loop.press("\x03")
        loop.wait_for("stopping")
        loop.press("\x03")
        assert loop.process.wait(GONE_WITHIN) == 0
        assert time.monotonic() - begun < 1
        assert_gone(loop, begun)


BREAKPOINT = (
    "def init(): pass\ndef run(data):\n    secret = 6\n    breakpoint()\n    answer = secret * 7\n    return answer\n"
)


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_ctrl_c_at_a_breakpoint(tmp_path: Path, server: str) -> None:
    """Ctrl-C at the prompt of the debugger ends the tool, as it does everywhere else."""
    with AtTerminal(tmp_path, score=BREAKPOINT, server=server) as loop, ThreadPoolExecutor() as pool:
        pool.submit(loop.ask)
        loop.sees("(Pdb)")
        begun = time.monotonic()
        loop.press("\x03")
        assert loop.process.wait(GONE_WITHIN) == 0
        assert_gone(loop, begun)
        assert loop.mode() == loop.before


def test_port_in_use(tmp_path: Path) -> None:
    """A port that somebody else has is an error of one line, and not a traceback."""
    with closing(socket.socket()) as taken, Loop(tmp_path, score=answering(1)) as loop:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [*loop._argv[: loop._argv.index("--port")], "--port", port]
        found = subprocess.run(
            command, cwd=loop.project, env=loop._env, capture_output=True, text=True, timeout=20, encoding="utf-8"
        )
        assert found.returncode == 1
        assert found.stderr.startswith(f"azmlinfsrv: error: port {port} is in use; choose another with --port")
        assert found.stderr.count("\n") == 1


def test_a_save_while_a_breakpoint_waits(tmp_path: Path) -> None:
    """The new code answers at once, the debugger goes on as long as its person likes, and then the keyboard is back."""
    arguments = ("--graceful_timeout", "0.2")
    with AtTerminal(tmp_path, *arguments, score=BREAKPOINT) as loop, ThreadPoolExecutor() as pool:
        old = pool.submit(loop.ask)
        loop.sees("(Pdb)")
        loop.save("score.py", BREAKPOINT.replace("7", "8"))
        new = pool.submit(loop.ask)
        loop.sees("waits for the keyboard")
        loop.wait_for("ready", generation=2)
        loop.press("p ('secret', secret)\n")
        loop.sees("('secret', 6)")
        assert loop.count("keyboard") == 1  # the new code waits for it
        loop.press("c\n")
        assert old.result(5).json() == 42
        loop.wait_for_nth("keyboard", 3)
        loop.sees("(Pdb)", 3)
        loop.press("c\n")
        assert new.result(5).json() == 48
        loop.wait_for_nth("keyboard", 4)
        assert loop.count("overran", "died") == 0
    assert "Traceback" not in loop.output()


def test_a_save_while_init_waits_at_a_breakpoint(tmp_path: Path) -> None:
    """The same for a generation that is not ready yet: it ends when its debugger is left."""
    score = answering(1, top="import os", init="open('pid', 'w').write(str(os.getpid())); breakpoint()")
    with AtTerminal(tmp_path, score=score, until="listening") as loop:
        loop.sees("(Pdb)")
        pid = int((loop.project / "pid").read_text(encoding="utf-8"))
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2
        loop.press("p 'still ' + 'here'\n")
        loop.sees("'still here'")
        loop.press("c\n")
        loop.wait_until(lambda: pid not in loop.processes(), "the old generation is gone")
        assert loop.ask().json() == 2
        assert loop.count("overran", "died") == 0


def test_another_debugger(tmp_path: Path) -> None:
    """PYTHONBREAKPOINT counts: 0 means none, and another debugger has the keyboard, too."""
    other = "def ask():\n    print(f'you say {input()}')\n"
    for number, (value, files) in enumerate((("0", {}), ("other.ask", {"other.py": other}))):
        folder, env = tmp_path / str(number), {"PYTHONBREAKPOINT": value}
        with AtTerminal(folder, score=BREAKPOINT, files=files, env=env) as loop, ThreadPoolExecutor() as pool:
            answer = pool.submit(loop.ask)
            if files:
                loop.wait_for("keyboard", lent=True)
                loop.press("hello\n")
                loop.sees("you say hello")
            assert answer.result(5).json() == 42
