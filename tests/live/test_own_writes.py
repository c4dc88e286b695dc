"""What the script, its programs and the tool itself write is no change; an edit of the same file is one."""

from __future__ import annotations

import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live import COMMAND
from loop import SERVERS, Loop

both = pytest.mark.parametrize("server", SERVERS)

TELLS = """
import logging.handlers, multiprocessing, os, shutil, sqlite3, subprocess, tempfile, time
M = os.environ["AZUREML_MODEL_DIR"]
log = logging.handlers.RotatingFileHandler(os.path.join(M, "out.txt"), maxBytes=500, backupCount=3)
held = open(os.path.join(M, "held.txt"), "a", buffering=1)

def text():
    return str(time.time_ns())

def write():
    with open(os.path.join(M, "new.part"), "w") as file:
        file.write(text())
    os.replace(os.path.join(M, "new.part"), os.path.join(M, "cache.bin"))
    with sqlite3.connect(os.path.join(M, "store.db")) as store:
        store.execute("create table if not exists t(x)")
        store.execute("insert into t values(?)", (text(),))
    store.close()
    log.emit(logging.LogRecord("x", 20, "f", 1, "m" * 300, (), None))
    held.write(text())
    with open(os.path.join(M, f"{text()}.bin"), "w") as file:
        file.write(text())
    folder = tempfile.mkdtemp(dir=M)
    with open(os.path.join(folder, "a.bin"), "w") as file:
        file.write(text())
    shutil.rmtree(os.path.join(M, "moved"), ignore_errors=True)
    try:
        os.rename(folder, os.path.join(M, "moved"))
    except OSError:  # one of the two was just being looked at, and Windows moves and removes nothing that is open
        if os.name != "nt":
            raise
    with open("state.json", "w") as file:
        file.write(text())

def init():
    global state
    write()
    with open("state.json") as file:
        state = file.read()

def child():
    with open(os.path.join(M, f"{text()}.child"), "w") as file:
        file.write(text())
        time.sleep(0.01)

def run(data):
    write()
    if hasattr(os, "fork"):
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
    return os.path.getsize(os.path.join(M, "cache.bin"))
"""


@both
def test_what_the_script_writes_into_its_model_folder(tmp_path: Path, server: str) -> None:
    """By a file that is moved into place, sqlite, rotating logs, files kept open, ever new ones, a fork: no reload.

    An edit of such a file is one.
    """
    files = {"model/model.bin": "first"}
    with Loop(tmp_path, "--model_dir", "model", "--no_warm", score=TELLS, files=files, server=server) as loop:
        for _ in range(5):
            assert loop.ask().status == 200
        time.sleep(0.7)  # as long as a new model file gets to be complete
        assert loop.count("restarting") == 0
        loop.save("model/cache.bin", "an edit")
        loop.wait_for_nth("restarting", 1)
        assert loop.events()[-1]["event"] != "note"
        loop.wait_for_nth("ready", 2)
        time.sleep(0.7)  # init() has just written the same file
        with sqlite3.connect(loop.project / "model/store.db") as store:
            store.execute("insert into t values('an edit')")
        store.close()
        loop.wait_for_nth("restarting", 2)


LONG = """
import os, time
def init():
    open("state.txt").close()
def run(data):
    with open("state.txt", "w") as file:
        file.write("script's")
    end = time.monotonic() + 20
    while not os.path.exists("go") and time.monotonic() < end:
        time.sleep(0.01)
    return 1
"""


@both
def test_an_edit_while_the_script_works_that_has_written_the_file(tmp_path: Path, server: str) -> None:
    """What it has written is no change, and what a person saves there before it is done is one."""
    with Loop(tmp_path, "--no_warm", "--no_keep", score=LONG, files={"state.txt": "first..."}, server=server) as loop:
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(loop.ask)
            loop.wait_until(lambda: (loop.project / "state.txt").read_text() == "script's", "it has written")
            time.sleep(1)  # until that has been looked at
            assert loop.count("restarting") == 0
            loop.save("state.txt", "an edit!")
            loop.wait_for("restarting")
            loop.save("go", "")
            assert answer.result().json() == 1
        loop.wait_for("ready", generation=2)
        time.sleep(0.5)
        assert loop.count("restarting") == 1


UNTOLD = """
import os, subprocess
PATH = os.path.join(os.environ["AZUREML_MODEL_DIR"], "untold")

def write():
    subprocess.START(["sh", "-c", f"date +%s%N > {PATH}WHERE.txt"])

def init():
    INIT

def run(data):
    RUN
    return 1
"""


@pytest.mark.parametrize(
    ("where", "name", "start", "server"),
    [
        ("INIT", "", "run", "gunicorn"),
        ("RUN", "", "run", "waitress"),
        ("INIT", ".$$", "run", "waitress"),
        ("RUN", ".$$", "Popen", "gunicorn"),  # it is not waited for
    ],
)
def test_a_loop_that_nobody_explains_is_stopped(tmp_path: Path, where: str, name: str, start: str, server: str) -> None:
    """A program that the script starts writes each time: three reloads, one line, and then peace; an edit counts."""
    score = (
        UNTOLD.replace("WHERE", name)
        .replace("START", start)
        .replace(where, "write()", 1)
        .replace("INIT", "pass")
        .replace("RUN", "pass")
    )
    files = {"model/model.bin": "first"}
    with Loop(tmp_path, "--model_dir", "model", "--no_warm", score=score, files=files, server=server) as loop:
        end = time.monotonic() + 20
        while not (told := notes(loop)) and time.monotonic() < end:
            assert loop.ask().json() == 1
        assert len(told) == 1 and "model" in told[0] and "the script's own" in told[0]
        before = loop.count("restarting")
        assert before <= 4  # by its name and by its folder, where it came at first
        for _ in range(4):
            assert loop.ask().json() == 1
        time.sleep(0.7)
        assert loop.count("restarting") == before and len(notes(loop)) == 1
        loop.save("model/model.bin", "second")
        loop.wait_for_nth("restarting", before + 1)


def notes(loop: Loop) -> list[str]:
    return [event["text"] for event in loop.events() if event["event"] == "note"]


class IntoTheTree(Loop):
    """Its output and its events go into the project, which is the model folder."""

    def __init__(self, folder: Path, redirection: str, server: str) -> None:
        script = f'exec {sys.executable} -m devserver "$@" {redirection}'
        command = ("bash", "-c", script, "azmlinfsrv")
        super().__init__(
            folder, "--model_dir", ".", "--no_warm", score="def init(): pass\ndef run(data): return 1\n", server=server
        )
        self._argv = [*command, *self._argv[len(COMMAND) : -1], str(self.project / "events.jsonl")]
        self._events = self.project / "events.jsonl"


@pytest.mark.parametrize(
    ("redirection", "server"), [("> out.txt 2>&1", "gunicorn"), ("> >(tee out.txt) 2>&1", "waitress")]
)
def test_what_the_tool_writes_is_no_change(tmp_path: Path, redirection: str, server: str) -> None:
    """Neither its events nor its output, sent into a file or through a program into one."""
    with IntoTheTree(tmp_path, redirection, server) as loop:
        for _ in range(3):
            assert loop.ask().json() == 1
        time.sleep(0.8)
        assert loop.count("restarting") == 0
        loop.save("score.py", "def init(): pass\ndef run(data): return 2\n")
        assert loop.ask().json() == 2
        time.sleep(0.8)
        assert loop.count("restarting") == 1
