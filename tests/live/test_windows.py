"""What is different on Windows: two processes for one interpreter, jobs for groups, no signals, other names."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import colorama
import pytest
from live import COMMAND, DEADLINE, ROOT, Server, environment, is_alive
from loop import GONE_WITHIN, Loop, WarmLoop, answering, end_all

from devserver.process.listener import Listener, ListenError
from devserver.process.platform import System
from devserver.process.streams import understand_colours
from devserver.records.spelling import spelled

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="about Windows")

if sys.platform == "win32":
    import on_windows

LIMIT = 60.0
AT_ONCE = 0.8  # seconds: clearly below any pause after which somebody looks whether there is news
SLEEPER = "[sys.executable, '-c', 'import time; time.sleep(600)']"


def check(folder: Path, *arguments: str, script: str = "score.py") -> subprocess.CompletedProcess[bytes]:
    """`--check` with pipes, in the encoding that Windows gives them."""
    command = [*COMMAND, "--entry_script", script, "--check", *arguments]
    env = environment({"PYTHONIOENCODING": None, "PYTHONUTF8": None})
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=LIMIT, stdin=subprocess.DEVNULL)


def in_run(statement: str, top: str = "") -> str:
    """A script of which run() says that it has begun, and then does this."""
    return f"{top}\ndef init(): pass\ndef run(data):\n    open('began', 'w').close()\n    {statement}\n    return 1\n"


def began(loop: Server) -> None:
    file = loop._cwd / "began"
    end = time.monotonic() + LIMIT
    while not file.exists():
        assert time.monotonic() < end, loop._story("run() has not begun")
        time.sleep(0.01)


# --- a virtual environment


def test_reload_stays_in_the_environment(tmp_path: Path) -> None:
    """Each generation is Python of the environment in which the command was started, and knows it."""
    where = "[sys.executable, sys.prefix, sys.base_prefix, '__PYVENV_LAUNCHER__' in os.environ, marker]"
    score = f"import os, sys\nmarker = 0\ndef init(): pass\ndef run(data): return {where}\n"
    with Loop(tmp_path, score=score) as loop:
        assert loop.ask().json() == [sys.executable, sys.prefix, sys.base_prefix, False, 0]
        loop.save("score.py", score.replace("marker = 0", "marker = 1"))
        assert loop.ask().json() == [sys.executable, sys.prefix, sys.base_prefix, False, 1]


def test_check_in_the_environment(tmp_path: Path) -> None:
    """`--check` asks a script that tells where it is."""
    score = f"import sys\ndef init(): pass\ndef run(data): assert sys.prefix == {sys.prefix!r}\n"
    (tmp_path / "score.py").write_text(score, "utf-8")
    (tmp_path / "sample.json").write_text("{}", "utf-8")
    done = check(tmp_path, "--request", "sample.json", "--check_format", "json")
    assert done.returncode == 0, done


# --- nothing is left behind


def test_a_killed_tool_leaves_nobody(tmp_path: Path) -> None:
    """Whoever ends the process that was started, by the task manager say, ends all of it, and the port is free."""
    score = answering(1, top="import subprocess, sys", init=f"subprocess.Popen({SLEEPER})")
    with Loop(tmp_path, score=score) as loop:
        assert loop.ask().json() == 1
        loop.process.kill()
        loop.process.wait()
        assert not loop.survivors()
        Listener.bind("127.0.0.1", loop.port).close()


STRAYS = f"""
import os, subprocess, sys
def init():
    global pids
    detached = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
    pids = [subprocess.Popen({SLEEPER}, creationflags=flags).pid for flags in (0, detached)]
def run(data):
    return [os.getpid(), *pids]
"""


def test_children_of_the_script(tmp_path: Path) -> None:
    """What a generation started is gone soon after it, also when that detached itself; the next one's lives."""
    with Loop(tmp_path, score=STRAYS) as loop:
        old = loop.ask().json()
        for number in range(2):
            assert all(map(is_alive, old))
            loop.save("score.py", STRAYS + f"# {number}\n")
            new = loop.ask().json()
            assert set(new).isdisjoint(old)
            loop.wait_until(lambda old=old: not any(map(is_alive, old)), "all of the old generation are gone", 4.0)
            old = new
        assert all(map(is_alive, old))


def test_a_grandchild_with_all_handles(tmp_path: Path) -> None:
    """A process of the script that inherits what can be inherited keeps neither the news of a death nor the port."""
    start = f"subprocess.Popen({SLEEPER}, close_fds=False); os._exit(7)"
    with Loop(tmp_path, score=in_run(start, "import os, subprocess, sys")) as loop, ThreadPoolExecutor() as pool:
        pool.submit(loop.ask)
        assert loop.wait_for("died", deadline=5.0)["exit_code"] == 7
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2


# --- a spare

LISTS = """
import os, sys
import waitress
def init(): pass
def run(data): return [{}, os.getpid(), os.getppid(), sys.executable]
"""


def saved(loop: Loop, script: str) -> bool:
    """Save the script; whether its generation was warm."""
    number = loop.count("ready") + 1
    loop.save("score.py", script)
    return bool(loop.wait_for_nth("ready", number)["warm"])


def test_each_generation_after_the_first_is_warm(tmp_path: Path) -> None:
    """A spare waits with the libraries, becomes the next generation, and another one takes its place."""
    with WarmLoop(tmp_path, score=LISTS.format(0)) as loop:
        found = [loop.ask().json()]
        for number in range(1, 4):
            loop.wait_for_nth("warm", number)
            assert saved(loop, LISTS.format(number))
            found.append(loop.ask().json())
        assert [number for number, *_ in found] == [0, 1, 2, 3]
        assert len({pid for _, pid, *_ in found}) == 4
        assert {program for *_, program in found} == {sys.executable}


def test_a_save_before_the_spare_is_ready(tmp_path: Path) -> None:
    """It is not waited for."""
    with WarmLoop(tmp_path, score=LISTS.format(0)) as loop:
        for number in range(1, 5):
            loop.save("score.py", LISTS.format(number))
            assert loop.ask().json()[0] == number


def test_a_spare_that_somebody_ends(tmp_path: Path) -> None:
    """The next generation is a cold one, and the terminal says why."""
    with WarmLoop(tmp_path, score=LISTS.format(0)) as loop:
        loop.wait_for("warm")
        _, generation, tool, _ = loop.ask().json()
        spares = set(loop.processes()) - {generation, tool, loop.process.pid}
        assert len(spares) == 1
        end_all(spares)
        loop.wait_until(lambda: "starting cold" in loop.output(), "a note")
        assert not saved(loop, LISTS.format(1))
        assert loop.ask().json()[0] == 1
        loop.wait_for_nth("warm", 2)
        assert saved(loop, LISTS.format(2))


def test_a_killed_tool_leaves_no_spare(tmp_path: Path) -> None:
    """It ends as the generations do."""
    with WarmLoop(tmp_path, score=LISTS.format(0)) as loop:
        loop.wait_for("warm")
        loop.process.kill()
        loop.process.wait()
        assert not loop.survivors()


INITIALISES = """
import time
def init():
    global model
    model = time.perf_counter()
    time.sleep(0.6)
def run(data): return [{}, model > 0]
"""


def test_a_process_that_has_run_init_takes_its_turn(tmp_path: Path) -> None:
    """A long init() has run meanwhile in a process that stands by, and the save does not wait for it."""
    with WarmLoop(tmp_path, score=INITIALISES.format(0)) as loop:
        for number in (1, 2):
            loop.save("score.py", INITIALISES.format(number))
            assert loop.ask().json() == [number, True]
            loop.wait_for_nth("ready", number + 1)
            if number == 1:
                loop.wait_for("kept")
        kept = [event["kept_ms"] is not None for event in loop.events() if event["event"] == "ready"]
        assert kept == [False, False, True]
        loop.wait_for_nth("kept", 2)
    assert "Traceback" not in loop.output()


# --- Ctrl-C and Ctrl-Break

IGNORES = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.signal(signal.SIGBREAK, signal.SIG_IGN)"


@pytest.mark.parametrize("key", ["Ctrl-C", "Ctrl-Break"])
@pytest.mark.parametrize("top", ["", IGNORES], ids=["willing", "ignoring"])
def test_the_key_ends_the_loop(tmp_path: Path, top: str, key: str) -> None:
    """The tool hears it itself, at once, whatever the script does with it."""
    with Loop(tmp_path, score=answering(1, top=top)) as loop:
        assert loop.ask().json() == 1
        begun = time.monotonic()
        press(loop, key)
        assert loop.process.wait(LIMIT) == 0
        assert time.monotonic() - begun < GONE_WITHIN


def press(server: Server, key: str = "Ctrl-C") -> None:
    on_windows.press(server.process.pid, on_windows.CTRL_C if key == "Ctrl-C" else on_windows.CTRL_BREAK)


HEARS = """
import queue, signal, sys, threading
from devserver.process.platform import System
heard = queue.SimpleQueue()
System.hear_stop_signals(lambda: heard.put(1))
threading.Timer(0.3, signal.raise_signal, [getattr(signal, sys.argv[1])]).start()
sys.exit(0 if heard.get() else 1)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGBREAK", "SIGTERM"])
def test_signals_are_heard_while_the_loop_waits(name: str) -> None:
    """Python runs no handler while the main thread waits in a queue; Wine passes no Ctrl-Break, but this is the way."""
    subprocess.run([sys.executable, "-c", HEARS, name], check=True, timeout=20)


def test_a_request_in_flight_is_answered_before_the_end(tmp_path: Path) -> None:
    """The first Ctrl-C cuts nothing off that ends in time."""
    with Loop(tmp_path, score=in_run("time.sleep(0.7)", "import time")) as loop, ThreadPoolExecutor() as pool:
        answer = pool.submit(loop.ask)
        began(loop)
        press(loop)
        assert answer.result().json() == 1
        assert loop.process.wait(LIMIT) == 0


def test_the_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    """It ends what is still running."""
    with Loop(tmp_path, score=in_run("time.sleep(60)", "import time")) as loop, ThreadPoolExecutor() as pool:
        pool.submit(loop.ask)
        began(loop)
        press(loop)
        loop.wait_for("stopping")
        begun = time.monotonic()
        press(loop)
        assert loop.process.wait(LIMIT) == 0
        assert time.monotonic() - begun < 1.2


def test_ctrl_c_ends_serving(tmp_path: Path) -> None:
    """Without `--reload`, too."""
    (tmp_path / "score.py").write_text(answering(1), "utf-8")
    with Server("--entry_script", "score.py", folder=tmp_path) as server:
        assert server.post("/score", "{}").json() == 1
        begun = time.monotonic()
        press(server)
        assert server.process.wait(LIMIT) == 0
        assert time.monotonic() - begun < GONE_WITHIN


# --- encodings

WIDE = "\u2192 \ud55c\uae00 \U0001f600"  # none of it in any code page of Western Europe


@pytest.mark.parametrize("form", ["human", "github", "json", "junit"])
def test_check_tells_what_no_code_page_has(tmp_path: Path, form: str) -> None:
    """The verdict comes whole, with its exit code; formats for programs are UTF-8."""
    score = f"def init(): pass\ndef run(data): raise ValueError('begin {WIDE} end')\n"
    (tmp_path / "score.py").write_text(score, "utf-8")
    (tmp_path / "sample.json").write_text("{}", "utf-8")
    done = check(tmp_path, "--request", "sample.json", "--check_format", form)
    assert done.returncode == 4, done
    assert b"begin" in done.stdout and b"end" in done.stdout
    if form != "human":
        text = done.stdout.decode("utf-8")
        text = json.dumps(json.loads(text), ensure_ascii=False) if form == "json" else text
        assert f"begin {WIDE} end" in text


@pytest.mark.parametrize("statement", ["print('{}')", "print('{}', file=sys.stderr)", "logging.warning('{}')"])
def test_what_a_script_prints(tmp_path: Path, statement: str) -> None:
    """A script that runs on the server does not fail here for the code page of a pipe."""
    line = statement.format(f"begin {WIDE} end")
    score = f"import logging, sys\ndef init():\n    {line}\ndef run(data):\n    {line}\n    return '{WIDE}'\n"
    with Loop(tmp_path, score=score, env={"PYTHONIOENCODING": None, "PYTHONUTF8": None}) as loop:
        assert loop.ask().json() == WIDE
        loop.wait_until(lambda: loop.output().count("begin") >= 2, "what it printed")
        assert "Traceback" not in loop.output()


# --- the end of a generation

LEAVES = "import atexit, time\natexit.register(lambda: open('left', 'a').write(f'{time.time()}\\n'))"


def test_check_ends_the_script_in_good_order(tmp_path: Path) -> None:
    """It is asked to leave, and runs its exit handlers, and nobody waits for a limit."""
    (tmp_path / "score.py").write_text(answering(1, top=LEAVES), "utf-8")
    done = check(tmp_path, "--check_format", "json")
    finished = time.time()
    assert done.returncode == 0
    assert finished - float((tmp_path / "left").read_text("utf-8")) < 2.0


def test_a_retired_generation_leaves_at_once(tmp_path: Path) -> None:
    """It is woken, and does not find out some time later."""
    with Loop(tmp_path, score=answering(0, top=LEAVES)) as loop:
        assert loop.ask().json() == 0
        for number in range(1, 6):
            retired = time.time()
            loop.save("score.py", answering(number, top=LEAVES))
            assert loop.ask().json() == number
            left = loop.project / "left"
            loop.wait_until(lambda n=number: left.exists() and len(left.read_text("utf-8").split()) == n, "it has left")
            restarting = [event for event in loop.events() if event["event"] == "restarting"][-1]
            assert float(left.read_text("utf-8").split()[-1]) - retired < AT_ONCE, restarting


def test_a_wire_that_is_cut() -> None:
    """Whoever waits for an answer goes on at once."""
    from devserver.records.samples import Sample
    from devserver.replay.client import NoAnswer, Wire

    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        wire = Wire(f"127.0.0.1:{deaf.getsockname()[1]}", cut=System.cut)
        ended: list[float] = []

        def send() -> None:
            with pytest.raises(NoAnswer):
                wire(Sample("a sample", body=b"{}"), 30.0)
            ended.append(time.monotonic())

        sending = threading.Thread(target=send)
        sending.start()
        with deaf.accept()[0] as connected:
            connected.recv(10)
            cut = time.monotonic()
            wire.cut()
            sending.join(LIMIT)
        assert ended[0] - cut < 2.0


# --- clients


def test_a_request_that_is_being_sent_at_a_save(tmp_path: Path) -> None:
    """No connection can be handed to the next generation there, so the old one hears it out, and passes it on."""
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    with WarmLoop(tmp_path, score=answering(0)) as loop, ExitStack() as stack:
        sending, silent = (
            stack.enter_context(socket.create_connection(("127.0.0.1", loop.port), DEADLINE)) for _ in range(2)
        )
        sending.sendall(head)
        silent.sendall(head)
        assert loop.ask().json() == 0  # whoever has answered this has met the others before
        loop.save("score.py", answering(1))
        loop.wait_for("restarting")
        sending.sendall(b"{}")
        answer = b"".join(iter(lambda: sending.recv(1 << 12), b""))
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n1")
        assert loop.ask().json() == 1
        assert not loop.count("overran")


# --- editors


REPLACES = """
import os, time
from pathlib import Path
MODEL = Path(os.environ["AZUREML_MODEL_DIR"])

def write():
    before = (MODEL / "cache.bin").read_text()
    (MODEL / "new").write_text(str(time.time_ns()))
    os.replace(MODEL / "new", MODEL / "cache.bin")

def init():
    write()

def run(data):
    write()
    return 1
"""


def test_a_script_that_replaces_its_own_files_is_not_refused(tmp_path: Path) -> None:
    """They are not read while it goes on writing them."""
    files = {"model/model.bin": "first", "model/cache.bin": "first"}
    with Loop(tmp_path, "--model_dir", "model", score=REPLACES, files=files) as loop:
        for number in range(40):
            assert loop.ask().status == 200, loop.output()
            time.sleep(0.04 + number % 5 / 100)  # the age at which a file is read
        assert loop.count("restarting") == 0


def test_an_editor_that_moves_files_into_place_is_hardly_ever_refused(tmp_path: Path) -> None:
    """Who looks at a file in the moment of a save makes the next one fail: 40 of 100, when each ring was followed by a
    look at the file. That each generation reads it once is left. On a busy machine that takes long: the best of some
    rows counts.
    """
    with WarmLoop(tmp_path, score=answering(0)) as loop:
        assert any(refused_saves(loop, 40) <= 7 for _ in range(6))
        loop.save("score.py", answering("last"))
        assert loop.ask().json() == "last"


def refused_saves(loop: Loop, count: int) -> int:
    """In a row of saves by a file that is moved into place."""
    refused = 0
    for number in range(count):
        new = loop.save("score.py.new", answering(number))
        try:
            new.replace(loop.project / "score.py")
        except PermissionError:
            refused += 1
        time.sleep(0.05)
    return refused


# --- smaller rules


def test_github_annotations_on_another_drive(tmp_path: Path) -> None:
    """There is no relative path from one drive to another."""
    (tmp_path / "score.py").write_text("x = [\n", "utf-8")
    if tmp_path.drive == ROOT.drive:
        pytest.skip("there is one drive only")
    done = check(ROOT, "--check_format", "github", script=str(tmp_path / "score.py"))
    assert done.returncode == 3, done
    assert b"::error file=" in done.stdout and b"score.py,line=1" in done.stdout


READS = """
import os
def init():
    global found
    found = [open("DATA.TXT").read(), open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "MODEL.TXT")).read()]
    open("OUT.txt", "w").close()
def run(data): return [*found, 1]
"""


def test_names_in_any_case(tmp_path: Path) -> None:
    """One save is one change of one file, however it was named, and what the script writes is none.

    VS Code starts its tasks in a folder with a drive in small letters.
    """
    files = {"data.txt": "a", "model/model.txt": "a", "out.TXT": ""}
    loop = Loop(tmp_path, "--model_dir", "MODEL", score=READS, files=files, entry_script="SCORE.PY")
    loop._cwd = Path(str(loop.project).lower())
    with loop:
        assert loop.ask().json() == ["a", "a", 1]
        loop.save("data.txt", "b")
        loop.wait_for_nth("ready", 2)
        assert loop.ask().json() == ["b", "a", 1]
        loop.save("model/model.txt", "b")
        loop.wait_for_nth("ready", 3)
        loop.save("score.py", READS.replace("1]", "2]"))
        assert loop.ask().json() == ["b", "b", 2]
        told = [event for event in loop.events() if event["event"] == "restarting"]
    changed = [[change["path"] for change in event["changes"]] for event in told]
    paths = (loop.project / name for name in ("data.txt", "model/model.txt", "score.py"))
    assert changed == [[spelled(str(path))] for path in paths]


@pytest.mark.parametrize(("first", "second"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_a_port_that_is_taken_on_another_address(first: str, second: str) -> None:
    """Windows says that access is denied; it means that somebody has the port for himself."""
    with closing(Listener.bind(first, 0)) as other, pytest.raises(ListenError) as caught:
        port = other.port
        Listener.bind(second, port)
    assert f"port {port} is in use" in str(caught.value)


def test_a_port_that_windows_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens on it, it is reserved; no user may have it, and none from 1024 is any better."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def refuse(_self: socket.socket, _address: object) -> None:
        raise PermissionError(13, "forbidden", None, 10013)

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ListenError) as caught:
        Listener.bind("127.0.0.1", port)
    assert "reserved" in str(caught.value) and "1024" not in str(caught.value)


CRASHES = {
    "0xC0000005": "access violation",
    "0xC00000FD": "stack overflow",
    "0xC0000409": "stack buffer overrun",
    "0xC000001D": "illegal instruction",
}


@pytest.mark.parametrize("code", CRASHES)
def test_exit_codes_have_names(tmp_path: Path, code: str) -> None:
    """What a person can look up is the name and the code as Microsoft writes it."""
    end = f"ctypes.windll.kernel32.TerminateProcess(ctypes.c_void_p(-1), {code})"
    with Loop(tmp_path, score=answering(1, top="import ctypes", init=end), until="not_ready") as loop:
        message = loop.ask().json()["error"]["message"]
        assert code in message and CRASHES[code] in message.lower()


def test_consoles_are_told_to_understand_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wine has no console of its own here, so this is as far as it can be seen."""
    told = []
    monkeypatch.setattr(colorama, "just_fix_windows_console", lambda: told.append(True))
    understand_colours()
    assert told == [True]


def test_nul_is_no_terminal(tmp_path: Path) -> None:
    """Without a keyboard nothing is said about keys."""
    with Loop(tmp_path, score=answering(1)) as loop:
        assert loop.ask().json() == 1
        assert "press h" not in loop.output()


@pytest.mark.parametrize(("typed", "asked"), [("\xe0R", 0), ("\x00R", 0), ("\xe0HR", 1), ("R", 1)])
def test_arrows_and_function_keys(monkeypatch: pytest.MonkeyPatch, typed: str, asked: int) -> None:
    """They come as two characters, of which the second looks like a letter."""
    import msvcrt

    from devserver.lifecycle import ReloadAsked
    from devserver.process.platform import System
    from devserver.process.terminal import Terminal
    from devserver.supervisor import keys

    waiting, delivered = list(typed), list[Any]()
    monkeypatch.setattr(System, "is_terminal", lambda _descriptor: True)
    monkeypatch.setattr(msvcrt, "kbhit", lambda: bool(waiting))
    monkeypatch.setattr(msvcrt, "getwch", lambda: waiting.pop(0))
    with keys.Keys(Terminal(), delivered.append):
        end = time.monotonic() + LIMIT
        while waiting and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1)
    assert sum(isinstance(each, ReloadAsked) for each in delivered) == asked
