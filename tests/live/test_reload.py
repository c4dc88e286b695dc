"""Edit, save, ask: what the dev loop answers."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from live import PATIENCE, WINDOWS
from loop import SERVERS, Loop, WarmLoop, answering, ask_on

both = pytest.mark.parametrize("server", SERVERS)
SAVES = 6 if WINDOWS else 15
# seconds for an answer that waits for nothing but a reload, also on a busy machine
PROMPT = PATIENCE * (15.0 if WINDOWS else 4.0)


@pytest.mark.parametrize(("server", "workers"), [(server, workers) for server in SERVERS for workers in (1, 3)])
def test_broken_then_repaired(tmp_path: Path, server: str, workers: int) -> None:
    """A script that is broken at the start, repaired, broken and repaired again is answered for at once each time."""
    with Loop(tmp_path, "--worker_count", str(workers), score="def init(:\n", server=server, until="not_ready") as loop:
        refusal = loop.ask()
        assert refusal.status == 503
        found = refusal.json()["error"]
        assert (found["phase"], found["type"], found["line"]) == ("load", "SyntaxError", 1)
        assert found["file"] == str(loop.project / "score.py")
        assert loop.get().status == 503
        loop.save("score.py", answering(1))
        assert loop.ask().json() == 1
        assert (loop.get().status, loop.get().body) == (200, b"Healthy")
        loop.wait_for("ready", generation=2)  # of several workers the first one answers before the last one is ready
        loop.save("score.py", answering(2, init="1 / 0"))
        refusal = loop.ask()
        assert (refusal.status, refusal.json()["error"]["phase"]) == (503, "init")
        assert refusal.json()["error"]["type"] == "ZeroDivisionError"
        loop.wait_for("not_ready", generation=3)
        loop.save("score.py", answering(3))
        assert loop.ask().json() == 3
        loop.wait_for("ready", generation=4)
        assert loop.count("not_ready") == 2


@pytest.mark.parametrize(("server", "workers"), [(server, workers) for server in SERVERS for workers in (1, 3)])
def test_no_stale_answer(tmp_path: Path, server: str, workers: int) -> None:
    """A request that is sent the moment a save returns is answered by what was saved, on whatever connection."""
    chance = random.Random(f"{server}{workers}")
    arguments = ("--worker_count", str(workers))
    with WarmLoop(tmp_path, *arguments, score=answering(0), server=server) as loop, closing(loop.connection()) as kept:
        for number in range(1, SAVES + 1):
            value = f"{number} {'x' * chance.randrange(9)}"
            chance.choice((loop.save, loop.replace))("score.py", answering(value))
            answers = [ask_on(kept) for _ in range(chance.randrange(3))] + [(200, loop.ask().json())]
            assert set(answers) == {(200, value)}


@both
def test_a_request_in_flight_is_answered(tmp_path: Path, server: str) -> None:
    """A request of two seconds gets its answer from the old code while the new code already answers others."""
    run = "def run(data):\n    open('began', 'w').close()\n    time.sleep(2)\n    return 1\n"
    with (
        Loop(tmp_path, score=f"import time\ndef init(): pass\n{run}", server=server) as loop,
        ThreadPoolExecutor() as pool,
    ):
        first = pool.submit(loop.ask)
        loop.wait_until((loop.project / "began").exists, "the request has begun")
        begun = time.monotonic()
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2
        assert time.monotonic() - begun < PROMPT
        assert (first.result().status, first.result().json()) == (200, 1)
        assert not loop.count("overran")


@both
def test_the_last_save_wins(tmp_path: Path, server: str) -> None:
    """Saves that come faster than they can be loaded, also in the moment of an answer, end in the last one."""
    chance = random.Random(1)
    with WarmLoop(tmp_path, score=answering(0), server=server) as loop:
        for number in range(1, 31):
            loop.save("score.py", answering(number))
            if number % 10 == 0:
                assert loop.ask().json() == number  # and the next save comes in the moment of this answer
            else:
                time.sleep(chance.random() * 0.05)


@both
def test_a_save_while_loading(tmp_path: Path, server: str) -> None:
    """A load that takes long does not make the next save wait."""
    with Loop(tmp_path, score=answering(0), server=server) as loop:
        loop.save("score.py", answering(1, init="open('began', 'w').close(); time.sleep(30)", top="import time"))
        loop.wait_until((loop.project / "began").exists, "init() has begun")
        begun = time.monotonic()
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2
        assert time.monotonic() - begun < PROMPT


WORLD = """
import os, sys, signal
names = ("SIGUSR2", "SIGALRM", "SIGPIPE", "SIGHUP", "SIGBREAK")
numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
handlers = [str(signal.getsignal(number)) for number in numbers]
world = {
    "environ": dict(os.environ), "path": list(sys.path), "folder": os.getcwd(), "handlers": handlers,
    "arguments": list(sys.argv), "umask": os.umask(0o022), "name": __name__, "file": __file__,
}
os.umask(world["umask"])
def init():
    os.environ["LEAK"] = "leak"
    os.environ.pop("HOME", None)
    sys.path.insert(0, "/leak")
    os.chdir("/")
    os.umask(0o077)
    for number in numbers:
        signal.signal(number, lambda *_: None)
def run(data):
    return world
"""
WORLD_IN_THREADS = WORLD.replace("    for number", "    for number in ():\n        pass\n    for number")


@both
def test_every_generation_sees_the_same_world(tmp_path: Path, server: str) -> None:
    """What a script did to variables, search path, folder and signals is gone in the next generation."""
    with Loop(tmp_path, score=WORLD, server=server) as loop:
        first = loop.ask().json()
        assert "LEAK" not in first["environ"]
        assert first["folder"] == str(loop.project)
        for number in range(3):
            loop.save("score.py", WORLD + f"# {number}\n")
            assert loop.ask().json() == first


@both
def test_what_the_person_sees(tmp_path: Path, server: str) -> None:
    """logging.info() is visible and formatted, print() too, and a healthy start raises no alarm."""
    score = "import logging\n" + answering(1, init="logging.info('hello from init'); print('printed')")
    with Loop(tmp_path, score=score, server=server) as loop:
        loop.ask()
        loop.save("score.py", score + "\nOTHER = 1\n")
        loop.wait_for("ready", generation=2)
        loop.wait_until(lambda: loop.output().count("I ["), "records")
        lines = loop.output().splitlines()
        said = [line for line in lines if line.endswith(" root - hello from init")]
        assert len(said) == 2
        assert all(" I [" in line for line in said)
        assert sum(line.endswith(" azmlinfsrv.print - printed") for line in lines) == 2
        for alarm in ("warn", "error", "Traceback", " W [", " E ["):
            assert alarm not in loop.output()


def test_each_answer_names_its_generation(tmp_path: Path) -> None:
    """The header stands on answers of every kind, and counts the lives."""
    failing = "def init(): pass\ndef run(data): raise ValueError\n"
    with Loop(tmp_path, score=failing) as loop:
        answers = [loop.get("/"), loop.get("/nowhere"), loop.ask(), loop.get("/swagger.json")]
        assert [answer.headers["x-azmlinfsrv-generation"] for answer in answers] == ["1"] * 4
        loop.save("score.py", "broken(")
        assert [(a.status, a.headers["x-azmlinfsrv-generation"]) for a in (loop.ask(), loop.get())] == [(503, "2")] * 2


@both
def test_helper_modules(tmp_path: Path, server: str) -> None:
    """Modules and packages count, also those that run() imports later, and those whose import failed."""
    run = "def run(data):\n    import late\n    from pack.inner import value\n    return [late.value, value]\n"
    files = {"late.py": "value = 1\n", "pack/__init__.py": "", "pack/inner.py": "value = 1\n"}
    with Loop(tmp_path, score=f"def init(): pass\n{run}", files=files, server=server) as loop:
        assert loop.ask().json() == [1, 1]
        loop.save("late.py", "value = 2\n")
        assert loop.ask().json() == [2, 1]
        loop.save("pack/inner.py", "value = 2\n")
        assert loop.ask().json() == [2, 2]
        loop.save("score.py", "import late\nfrom pack.inner import value\n" + answering(0))
        assert loop.ask().json() == 0
        loop.save("pack/inner.py", "value = = 2\n")
        assert loop.ask().json()["error"]["file"] == str(loop.project / "pack/inner.py")
        loop.save("pack/inner.py", "value = 3\n")
        assert loop.ask().status == 200


@both
def test_a_missing_module_that_is_created(tmp_path: Path, server: str) -> None:
    """A local module that was not there is the repair as soon as it is."""
    with Loop(tmp_path, score="import helper\n" + answering(1), server=server, until="not_ready") as loop:
        assert loop.ask().json()["error"]["type"] == "ModuleNotFoundError"
        loop.save("helper.py", "")
        loop.wait_for("ready")
        assert loop.ask().json() == 1
        loop.save("score.py", "import pack.deep\n" + answering(2))
        assert loop.ask().json()["error"]["type"] == "ModuleNotFoundError"
        loop.save("pack/deep.py", "")
        loop.wait_for_nth("ready", 2)
        assert loop.ask().json() == 2


def test_configuration_files(tmp_path: Path) -> None:
    """Settings, logging and swagger files count at once; one that cannot be used is an error like others."""
    with Loop(tmp_path, score=answering(1)) as loop:

        def allowed() -> str | None:
            return loop.post("/score", "{}", {"Origin": "http://a.example"}).headers["Access-Control-Allow-Origin"]

        assert allowed() is None
        loop.save("config.json", json.dumps({"AML_CORS_ORIGINS": "http://a.example"}))
        assert allowed() == "http://a.example"
        loop.save("config.json", "{")
        assert (loop.ask().status, loop.ask().json()["error"]["phase"]) == (503, "config")
        loop.save("score.py", answering(2))
        assert (loop.ask().status, loop.ask().json()["error"]["phase"]) == (503, "config")
        (loop.project / "config.json").unlink()
        assert allowed() is None
        formats = {"mine": {"format": "MINE %(message)s"}}
        handlers = {"out": {"class": "logging.StreamHandler", "formatter": "mine", "stream": "ext://sys.stdout"}}
        root = {"level": "INFO", "handlers": ["out"]}
        own = {"version": 1, "formatters": formats, "handlers": handlers, "root": root}
        loop.save("logging.json", json.dumps(own))
        loop.save("score.py", "import logging\nlogging.info('by my own format')\n" + answering(3))
        assert loop.ask().json() == 3
        loop.wait_until(lambda: "MINE by my own format\n" in loop.output(), "the line")
        loop.save("swagger3.json", '{"openapi": "3.0.0", "mine": true}')
        assert loop.get("/swagger.json?version=3").json()["mine"] is True


MODEL = """
import os
def init():
    global content
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.bin")
    with open(path, "rb") as file:
        content = file.read()
def run(data):
    return [len(content), content[:4].decode()]
"""


@both
def test_model_files(tmp_path: Path, server: str) -> None:
    """A small model counts at once; a large one that takes a while to be copied in is one change, when it is whole."""
    with Loop(tmp_path, "--model_dir", "model", score=MODEL, files={"model/model.bin": "one"}, server=server) as loop:
        assert loop.ask().json() == [3, "one"]
        loop.save("model/model.bin", "two!")
        assert loop.ask().json() == [4, "two!"]
        with (loop.project / "model/model.bin").open("wb") as file:
            for _ in range(10):
                file.write(b"big!" * 250_000)
                file.flush()
                time.sleep(0.1)
        loop.wait_until(lambda: loop.ask().json() == [10_000_000, "big!"], "the large model")
        assert loop.count("restarting") <= 3
        assert loop.count("not_ready") == 0


def test_links_inside_and_of_the_model_folder(tmp_path: Path) -> None:
    """A `..data` link that is switched, and a switched link to the model folder itself, are one change each."""
    for version in ("1", "2"):
        (tmp_path / "versions" / version).mkdir(parents=True)
        (tmp_path / "versions" / version / "model.bin").write_text(f"of {version}", encoding="utf-8")
    with Loop(tmp_path / "run", "--model_dir", "model", score=MODEL, until=None) as loop:
        model = loop.project / "model"
        model.mkdir()
        (model / "..data").symlink_to(tmp_path / "versions/1")
        (model / "model.bin").symlink_to("..data/model.bin")
        loop.port = loop.wait_for("listening")["port"]
        loop.wait_until(lambda: loop.ask().json() == [4, "of 1"], "the first version")
        restarts = loop.count("restarting")
        (model / "..new").symlink_to(tmp_path / "versions/2")
        (model / "..new").replace(model / "..data")
        loop.wait_until(lambda: loop.ask().json() == [4, "of 2"], "the second version")
        assert loop.count("restarting") == restarts + 1
        model.rename(loop.project / "other")
        model.symlink_to(tmp_path / "versions/1")
        loop.wait_until(lambda: loop.ask().status == 200 and loop.ask().json() == [4, "of 1"], "the first again")


def test_include_and_exclude(tmp_path: Path) -> None:
    """`--reload_include` makes further files count, `--reload_exclude` takes files out, also those that are loaded."""
    files = {"labels.txt": "a", "skip.py": "value = 1\n"}
    arguments = ("--reload_include", "*.txt", "--reload_exclude", "skip.py")
    with Loop(tmp_path, *arguments, score="import skip\n" + answering(1), files=files) as loop:
        loop.save("skip.py", "value = 2\n")
        begun = time.monotonic()
        assert loop.ask().json() == 1
        assert time.monotonic() - begun < PROMPT
        loop.save("labels.txt", "b")
        restarted = loop.wait_for("restarting")
        assert [Path(change["path"]).name for change in restarted["changes"]] == ["labels.txt"]
        loop.wait_for("ready", generation=2)
        assert loop.ask().json() == 1


def test_a_script_that_stands_nowhere(tmp_path: Path) -> None:
    """A script may leave its process in a folder that it then removes."""
    init = "folder = tempfile.mkdtemp(); os.chdir(folder); os.rmdir(folder)"
    score = answering(1, top="import os, tempfile", init=init)
    with Loop(tmp_path, score=score) as loop:
        assert loop.ask().json() == 1
        loop.save("score.py", score.replace("return 1", "return 1 / 0"))
        assert loop.ask().json()["error"]["type"] == "ZeroDivisionError"
        loop.save("score.py", score.replace("os.rmdir(folder)", "os.rmdir(folder); 1 / 0"))
        assert loop.ask().json()["error"]["phase"] == "init"
        loop.save("score.py", answering(2))
        assert loop.ask().json() == 2


@pytest.mark.parametrize("first", ["missing", "empty", "folder"])
def test_no_script_at_the_start(tmp_path: Path, first: str) -> None:
    """A score.py that is missing, empty or a folder is waited for; requests are told so."""
    score = "" if first == "empty" else None
    files = {"score.py/inside.txt": ""} if first == "folder" else {}
    with Loop(tmp_path, score=score, files=files, until="not_ready") as loop:
        refusal = loop.ask()
        assert (refusal.status, refusal.json()["error"]["phase"]) == (503, "load")
        assert loop.get().status == 503
        if first == "folder":
            shutil.rmtree(loop.project / "score.py")
        loop.save("score.py", answering(1))
        loop.wait_for("ready")
        assert loop.ask().json() == 1


@both
def test_the_script_is_deleted(tmp_path: Path, server: str) -> None:
    """A deleted script is an error at once, and its return is the repair; so is that of the whole project folder."""
    with Loop(tmp_path, score=answering(1), server=server) as loop:
        (loop.project / "score.py").unlink()
        refusal = loop.ask()
        assert (refusal.status, refusal.json()["error"]["phase"]) == (503, "load")
        loop.save("score.py", answering(2))
        loop.wait_for_nth("ready", 2)
        assert loop.ask().json() == 2
        if WINDOWS:
            return  # nobody can remove a folder that is a working directory there
        shutil.rmtree(loop.project)
        assert loop.ask().status == 503
        loop.save("score.py", answering(3))
        loop.wait_for_nth("ready", 3)
        assert loop.ask().json() == 3


@both
def test_odd_times(tmp_path: Path, server: str) -> None:
    """An older time stamp is a change, two saves of one size within a second are two, a touch is none."""
    with Loop(tmp_path, score=answering(1), server=server) as loop:
        (tmp_path / "old.py").write_text(answering(2), encoding="utf-8")
        os.utime(tmp_path / "old.py", (10**9, 10**9))
        shutil.copy2(tmp_path / "old.py", loop.project / "score.py")
        assert loop.ask().json() == 2
        for value in (3, 4, 5):
            loop.save("score.py", answering(value))
            assert loop.ask().json() == value
        restarts = loop.count("restarting")
        (loop.project / "score.py").touch()
        loop.save("score.py", answering(5))
        assert loop.ask().json() == 5
        loop.save("score.py", answering(6))
        assert loop.ask().json() == 6
        assert loop.count("restarting") == restarts + 1


@both
def test_nobody_is_refused(tmp_path: Path, server: str) -> None:
    """While saves of every kind come, each request of several clients gets a whole answer that it can understand."""
    statuses: list[int] = []
    over = threading.Event()

    def hammer() -> None:
        with closing(loop.connection()) as kept:
            while not over.is_set():
                statuses.append(ask_on(kept)[0])

    with WarmLoop(tmp_path, score=answering(0), server=server) as loop, ThreadPoolExecutor() as pool:
        clients = [pool.submit(hammer) for _ in range(4)]
        try:
            for number in range(1, 9):
                loop.save("score.py", answering(number) if number % 4 else "broken(")
                loop.wait_until(lambda number=number: loop.count("ready", "not_ready") > number, "a reload")
                answered = len(statuses)
                loop.wait_until(lambda answered=answered: len(statuses) > answered + 10, "ten answers")
        finally:
            over.set()
        for client in clients:
            client.result()
        assert set(statuses) == {200, 503}
        assert " W [" not in loop.output()


def test_children_share_no_signals(tmp_path: Path) -> None:
    """A generation that is told to stop by its own process number is started again, for the tool lives on."""
    score = "import os\ndef init(): pass\ndef run(data): return os.getppid()\n"
    with Loop(tmp_path, score=score) as loop:
        os.kill(loop.ask().json(), signal.SIGTERM)
        loop.wait_for_nth("ready", 2)
        assert loop.ask().status == 200
