"""The command without --reload, over real HTTP: processes, signals, limits, ports, deaths, and what it imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from live import DEADLINE, Server, environment

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn, signals and process groups are not on Windows")
gunicorn = pytest.mark.parametrize("server", [pytest.param("gunicorn", marks=POSIX)])
both = pytest.mark.parametrize("server", [pytest.param("gunicorn", marks=POSIX), "waitress"])
SCRIPT = ("--entry_script", "score.py")
GONE = (OSError, HTTPException)
"""What a client may see of a server that ends in the middle of a call."""

WAITS = """
import os, threading, time

def wait_for(name):
    end = time.monotonic() + 20
    while not os.path.exists(name):
        assert time.monotonic() < end
        time.sleep(0.005)

def note(name, text=""):
    with open(name + ".new", "w") as file:
        file.write(text)
    os.replace(name + ".new", name)

def init():
    pass
"""


@contextmanager
def serving(folder: Path, script: str, *arguments: str, until: str | None = "ready", **env: str) -> Iterator[Server]:
    """The script, served in its folder."""
    (folder / "score.py").write_text(WAITS + script, encoding="utf-8")
    with Server(*SCRIPT, *arguments, folder=folder, env=env, until=until) as running:
        yield running


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.005)


def processes(server: Server) -> list[int]:
    """The living processes of the server's session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if session == str(server.process.pid) and state not in "ZX":
                found.append(int(entry.name))
    return found


def assert_nothing_left(server: Server) -> None:
    """No process of the run lives, and its port can be bound."""
    if Path("/proc").is_dir():
        wait_until(lambda: processes(server) == [], "the end of all processes")
    server.port = server.wait_for("listening")["port"]
    with pytest.raises(ConnectionError):
        server.get("/")


@contextmanager
def asking(server: Server, body: str, times: int = 1) -> Iterator[list[Future[Any]]]:
    """So many calls at once, in threads."""
    with ThreadPoolExecutor(times) as pool:
        yield [pool.submit(server.post, "/score", body) for _ in range(times)]


# --- the end


@both
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_of_an_idle_server(tmp_path: Path, server: str, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it with exit code 0, at once, also where the script left a thread that never ends."""
    script = "threading.Thread(target=time.sleep, args=(600,)).start()\ndef run(data): return data"
    with serving(tmp_path, script, "--server", server) as running:
        assert running.post("/score", "x").json() == "x"
        begun = time.monotonic()
        os.killpg(running.process.pid, number)
        assert running.process.wait(DEADLINE) == 0
        assert time.monotonic() - begun < 5
        assert_nothing_left(running)
        assert "Traceback" not in running.output()


@gunicorn
def test_other_signals(tmp_path: Path, server: str) -> None:
    """SIGHUP replaces the workers, which load the script anew, without a word of death; SIGQUIT ends with 0."""
    with serving(tmp_path, "def run(data): return [1, os.getpid()]", "--server", server) as running:
        first = running.post("/score", "").json()
        (tmp_path / "score.py").write_text(WAITS + "def run(data): return [2, os.getpid()]", encoding="utf-8")
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len([e for e in running.events() if e["event"] == "ready"]) == 2)
        wait_until(lambda: first[1] not in processes(running))
        assert running.post("/score", "").json()[0] == 2
        assert running.stop(signal.SIGQUIT) == 0
        assert [e for e in running.events() if e["event"] in ("died", "not_ready")] == []
        assert_nothing_left(running)


CALL = """
def run(data):
    note("began")
    wait_for("go")
    return "answered"
"""


@both
def test_sigterm_lets_calls_finish(tmp_path: Path, server: str) -> None:
    """A call in flight gets its answer after SIGTERM; a new connection does not."""
    with serving(tmp_path, CALL, "--server", server) as running, asking(running, "x") as [call]:
        wait_until((tmp_path / "began").exists)
        running.process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert call.result(DEADLINE).json() == "answered"
        assert running.process.wait(DEADLINE) == 0
        assert_nothing_left(running)


@both
@pytest.mark.parametrize("busy", ["while True: pass", "time.sleep(600)"])
def test_ctrl_c_does_not_wait(tmp_path: Path, server: str, busy: str) -> None:
    """Ctrl-C ends a server whose run() never would, quickly, and does not blame the script for it."""
    with serving(tmp_path, f"def run(data):\n    note('began')\n    {busy}", "--server", server) as running:
        with asking(running, "x") as [call]:
            wait_until((tmp_path / "began").exists)
            begun = time.monotonic()
            os.killpg(running.process.pid, signal.SIGINT)
            assert running.process.wait(DEADLINE) == 0
            assert time.monotonic() - begun < 5
            assert call.exception(DEADLINE) is None or isinstance(call.exception(), GONE)
        assert_nothing_left(running)
        assert [e for e in running.events() if e["event"] == "request_failed"] == []
        assert "Traceback" not in running.output()


@both
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_while_loading(tmp_path: Path, server: str, number: signal.Signals) -> None:
    """A server that is told to end while init() runs ends with 0, and does not blame the script for it."""
    script = "def init():\n    note('began')\n    time.sleep(600)\ndef run(data): pass"
    with serving(tmp_path, script, "--server", server, until="starting") as running:
        wait_until((tmp_path / "began").exists)
        os.killpg(running.process.pid, number)
        assert running.process.wait(DEADLINE) == 0
        assert_nothing_left(running)
        assert [e for e in running.events() if e["event"] in ("died", "not_ready")] == []
        assert "Traceback" not in running.output()


@gunicorn
def test_end_of_the_parent(tmp_path: Path, server: str) -> None:
    """Where the parent is killed the worker ends by itself within seconds, and the port is free."""
    with serving(tmp_path, "def run(data): return os.getpid()", "--server", server) as running:
        worker = running.post("/score", "").json()
        assert worker != running.process.pid
        running.process.kill()
        running.process.wait(DEADLINE)
        begun = time.monotonic()
        assert_nothing_left(running)
        assert time.monotonic() - begun < 3


@gunicorn
def test_end_while_a_worker_begins(tmp_path: Path, server: str) -> None:
    """SIGTERM that comes while a worker begins reaches it, although it has no handler of its own yet."""
    script = "os.register_at_fork(after_in_child=lambda: time.sleep(0.5))\ndef run(data): pass"
    with serving(tmp_path, script, "--server", server, WORKER_PRELOAD="true") as running:
        begun = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begun < 5
        assert_nothing_left(running)


# --- workers


SIDE_BY_SIDE = """
def run(data):
    mine = f"{os.getpid()} {threading.get_ident()}"
    note("at " + mine)
    end = time.monotonic() + 20
    while len([name for name in os.listdir() if name.startswith("at ") and not name.endswith(".new")]) < 2:
        assert time.monotonic() < end
        time.sleep(0.005)
    return mine
"""


@both
def test_two_workers(tmp_path: Path, server: str) -> None:
    """Two workers answer two calls at once: two processes of gunicorn's, two threads of waitress's."""
    with serving(tmp_path, SIDE_BY_SIDE, "--server", server, "--worker_count", "2") as running:
        with asking(running, "x", times=2) as calls:
            answers = [call.result(DEADLINE).json().split() for call in calls]
        assert answers[0] != answers[1]
        assert (answers[0][0] != answers[1][0]) == (server == "gunicorn")
        assert running.stop() == 0
        assert_nothing_left(running)


@gunicorn
def test_preload(tmp_path: Path, server: str) -> None:
    """With WORKER_PRELOAD init() runs once, in the parent, before the workers are forked."""
    script = "def init():\n    global pid\n    pid = os.getpid()\ndef run(data): return [pid, os.getpid()]"
    arguments = ("--server", server, "--worker_count", "2")
    with serving(tmp_path, script, *arguments, WORKER_PRELOAD="True") as running:
        loaded, answered = running.post("/score", "").json()
        assert loaded == running.process.pid != answered
        assert len([e for e in running.events() if e["event"] == "ready"]) == 1
        assert running.stop() == 0


@gunicorn
def test_preload_that_fails(tmp_path: Path, server: str) -> None:
    """A script that cannot be loaded in the parent ends it with 3, and one report."""
    with serving(tmp_path, "1 / 0", "--server", server, until=None, WORKER_PRELOAD="true") as running:
        assert running.process.wait(DEADLINE) == 3
        assert [e["event"] for e in running.events()] == ["listening", "starting", "not_ready"]


DIES = """
def run(data):
    if data:
        exec(data)
    return os.getpid()
"""


@gunicorn
def test_death_in_run(tmp_path: Path, server: str) -> None:
    """A worker that dies in run() is reported, with the place after a crash, and replaced; the server lives on."""
    with serving(tmp_path, DIES, "--server", server) as running:
        pids = {running.post("/score", "").json()}
        for number, (body, code) in enumerate(
            [("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", -9), ("os.abort()", -6)]
        ):
            with pytest.raises(GONE):
                running.post("/score", body)
            died = running.wait_for("died", code=code)
            assert died["error"]["path"].endswith("score.py") and died["phase"] == "run"
            wait_until(lambda: len([e for e in running.events() if e["event"] == "ready"]) == number + 2)
            pids.add(running.post("/score", "").json())
        assert len(pids) == 4
        assert running.stop() == 0


@gunicorn
@pytest.mark.parametrize("death", ["os._exit(0)", "os._exit(7)", "os.kill(os.getpid(), 9)", "os.abort()"])
@pytest.mark.parametrize("count", ["1", "2"])
def test_death_in_init(tmp_path: Path, server: str, death: str, count: str) -> None:
    """A worker that dies in init() is reported and ends the server with 3: there would be no end of dying."""
    script = f"def init():\n    {death}\ndef run(data): pass"
    with serving(tmp_path, script, "--server", server, "--worker_count", count, until=None) as running:
        assert running.process.wait(DEADLINE) == 3
        died = [e for e in running.events() if e["event"] == "died"]
        assert died and {e["phase"] for e in died} == {"init"}
        assert_nothing_left(running)


@gunicorn
def test_several_workers_that_fail(tmp_path: Path, server: str) -> None:
    """Workers that all fail to load end the server with 3; each report is whole, and none a traceback."""
    arguments = ("--server", server, "--worker_count", "4")
    with serving(tmp_path, "raise ValueError('no')", *arguments, until=None) as running:
        assert running.process.wait(DEADLINE) == 3
        events = [e for e in running.events() if e["event"] not in ("listening", "starting")]
        assert events and {e["event"] for e in events} == {"not_ready"}
        assert {e["error"]["message"] for e in events} == {"no"}
        assert "Traceback" not in running.output()
        assert_nothing_left(running)


def test_failure_beside_a_thread(tmp_path: Path) -> None:
    """A script that starts a thread and then fails ends the server all the same."""
    script = "threading.Thread(target=time.sleep, args=(600,)).start()\n1 / 0"
    with serving(tmp_path, script, "--server", "waitress", until=None) as running:
        assert running.process.wait(DEADLINE) == 3


# --- limits


@gunicorn
def test_worker_timeout(tmp_path: Path, server: str) -> None:
    """A call that outlives WORKER_TIMEOUT is cut off, reported at its line, and a new worker starts."""
    script = "def run(data):\n    if data: time.sleep(600)\n    return os.getpid()"
    with serving(tmp_path, script, "--server", server, WORKER_TIMEOUT="1") as running:
        first = running.post("/score", "").json()
        try:
            answer = running.post("/score", "x")
            assert (answer.status, b"Internal Server Error" in answer.body) == (500, True)
        except GONE:
            pass  # as gunicorn's older versions do it
        failed = running.wait_for("request_failed")["error"]
        assert "run() timed out after 1 s (WORKER_TIMEOUT)" in failed["message"]
        assert (
            failed["line"]
            == (tmp_path / "score.py").read_text(encoding="utf-8").split("\n").index("    if data: time.sleep(600)") + 1
        )
        wait_until(lambda: len([e for e in running.events() if e["event"] == "ready"]) == 2)
        assert running.post("/score", "").json() != first
        assert "Traceback" not in running.output()


@gunicorn
def test_an_answer_of_gunicorn_itself_has_its_access_line(tmp_path: Path, server: str) -> None:
    """It refuses a header that HTTP does not allow; the line stands before that of the next request."""
    script = "def run(data):\n    return AMLResponse('x', 200, {'bad name': 'y'}) if data else 1"
    script = "from azureml.contrib.services.aml_response import AMLResponse\n" + script
    with serving(tmp_path, script, "--server", server) as running:
        assert running.post("/score?first", "x").status == 500
        assert running.post("/score?second", "").status == 200
        wait_until(lambda: "/score?second HTTP" in running.output())
        assert running.output().count('"POST /score?first HTTP/1.1" 500') == 1


@both
def test_scoring_timeout(tmp_path: Path, server: str) -> None:
    """A loop in run() is interrupted and answered in the contract's words, by the same process, again and again."""
    script = "def run(data):\n    while data: pass\n    return os.getpid()"
    with serving(tmp_path, script, "--server", server, SCORING_TIMEOUT_MS="150") as running:
        pid = running.post("/score", "").json()
        for _ in range(2):
            answer = running.post("/score", "x")
            assert (answer.status, answer.json()) == (500, {"message": "Scoring timeout after 150 ms"})
            assert answer.headers["x-ms-run-function-failed"] == "True"
        assert "timed out after 150 ms" in running.wait_for("request_failed")["error"]["message"]
        assert running.post("/score", "").json() == pid
        notes = [e["text"] for e in running.events() if e["event"] == "note"]
        assert len([text for text in notes if "SCORING_TIMEOUT_MS" in text]) == (server == "waitress")


def test_no_note_of_a_limit_that_nobody_set(tmp_path: Path) -> None:
    """What waitress cannot enforce is said only to those who asked for it."""
    with serving(tmp_path, "def run(data): pass", "--server", "waitress") as running:
        assert [e for e in running.events() if e["event"] == "note"] == []


# --- ports


@both
def test_separate_health_port(tmp_path: Path, server: str) -> None:
    """Every route answers on both ports; the printed ones are those that listen, and the script sees them."""
    script = "def run(data): return [os.environ['SERVER_PORT'], os.environ['HEALTH_PORT']]"
    separate = {"SEPERATE_HEALTH_ENDPOINT": "True"}
    with serving(tmp_path, script, "--server", server, "--health_port", "0", **separate) as running:
        port, health = map(int, running.post("/score", "x").json())
        assert port == running.port != health
        for each in (port, health):
            running.port = each
            assert running.get("/").body == b"Healthy" and running.post("/score", "x").json() == [
                str(port),
                str(health),
            ]
        shown = running.output()
        assert f"http://127.0.0.1:{health}/\n" in shown and f"http://127.0.0.1:{port}/score\n" in shown


@both
def test_options_in_other_spellings(tmp_path: Path, server: str) -> None:
    """Dashes and abbreviations do on the real command line too; the address is one that can be called."""
    (tmp_path / "score.py").write_text(
        WAITS + "def run(data): return os.environ['AZUREML_MODEL_DIR']", encoding="utf-8"
    )
    arguments = ("--entry-script", "score.py", "--model", ".", "--serv", server, "--worker-c=1")
    with Server(*arguments, folder=tmp_path) as running:
        assert running.post("/score", "").json() == "."
        assert running.wait_for("listening")["url"] == f"http://127.0.0.1:{running.port}/score"


# --- the debugger


@both
def test_debugger(tmp_path: Path, server: str) -> None:
    """With AZUREML_DEBUG_PORT the server calls the listening debugger, and waits for it, before anything is loaded."""
    (tmp_path / "debugpy.py").write_text(
        "calls = []\ndef connect(port): calls.append(port)\ndef wait_for_client(): calls.append('waited')\n",
        encoding="utf-8",
    )
    script = "import debugpy\nseen = list(debugpy.calls)\ndef run(data): return seen"
    with serving(tmp_path, script, "--server", server, AZUREML_DEBUG_PORT="5678") as running:
        assert running.post("/score", "").json() == [5678, "waited"]
        assert "never do so in production" in running.output()


def test_debugger_that_does_not_listen(tmp_path: Path) -> None:
    """Where nobody listens on the debug port that is one report, and exit code 3."""
    (tmp_path / "debugpy.py").write_text(
        "def connect(port): raise ConnectionRefusedError(111, 'Connection refused')\n", encoding="utf-8"
    )
    with serving(tmp_path, "", "--server", "waitress", until=None, AZUREML_DEBUG_PORT="5678") as running:
        assert running.process.wait(DEADLINE) == 3
        assert "Connection refused" in running.wait_for("not_ready")["error"]["message"]


# --- what is imported


EXTRAS = ("inference_schema", "azure", "opentelemetry", "debugpy")
IMPORTED = """
import json, sys
sys.argv[1:] = {arguments}
from devserver.cli import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["--version"], 0), (["--bogus"], 1), (["--port", "x"], 1)]
)
def test_imports_of_the_help(arguments: list[str], code: int) -> None:
    """Help and refusals import neither an extra nor a server nor Flask."""
    program = IMPORTED.format(arguments=arguments)
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment({}), capture_output=True, text=True, timeout=DEADLINE, check=True, encoding="utf-8"
    )
    found, modules = json.loads(done.stdout.splitlines()[-1])
    assert found == code
    unwanted = {"flask", "werkzeug", "gunicorn", "waitress", "requests", "watchdog", "asyncio", "ssl", *EXTRAS}
    assert unwanted & {name.partition(".")[0] for name in modules} == set()
    assert {name.split(".")[1] for name in modules if name.startswith("devserver.")} <= {"cli", "config", "process"}


@both
def test_imports_of_a_start(tmp_path: Path, server: str) -> None:
    """A start without the extras imports none of them, and not the other server."""
    script = "import sys\ndef run(data): return sorted({name.partition('.')[0] for name in sys.modules})"
    with serving(tmp_path, script, "--server", server) as running:
        modules = running.post("/score", "").json()
        assert {"flask", server} <= set(modules)
        other = "waitress" if server == "gunicorn" else "gunicorn"
        assert {"watchdog", "requests", "flask_cors", other, *EXTRAS} & set(modules) == set()


def test_threads_of_the_tests_are_gone() -> None:
    """No test of this file leaves a thread behind."""
    wait_until(lambda: not [each for each in threading.enumerate() if "ThreadPoolExecutor" in each.name])
